//! Sessions: the first screen, badges, stepping up, and who saw what.

mod access_list;
mod badge_get;
mod badge_recount;
mod start;
mod step_up;
#[cfg(test)]
mod tests;

pub use access_list::AccessList;
pub use badge_get::BadgeGet;
pub use badge_recount::BadgeRecount;
pub use start::Start;
pub use step_up::{Output as StepUpOutput, StepUp};
