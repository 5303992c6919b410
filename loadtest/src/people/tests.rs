//! The population as a whole.
