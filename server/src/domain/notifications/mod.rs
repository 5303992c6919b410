//! Personal notifications: short notices that something happened, each with an end.
pub(crate) mod record;
