//! Tests of the session, without a socket.
