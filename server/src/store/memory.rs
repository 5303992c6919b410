//! The reference store: plain maps behind a lock, gone with the process.
