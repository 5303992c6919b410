//! Rules of threads.
