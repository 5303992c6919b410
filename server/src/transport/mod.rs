//! Accepting connections: bytes, frames and limits. Knows nothing of schools.
