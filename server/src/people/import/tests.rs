//! The import, from lines to ledgers.
