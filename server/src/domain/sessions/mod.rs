//! Sessions: the first screen, badges, stepping up, and who saw what.

mod access_list;
mod access_of_person;
mod badge_get;
mod badge_recount;
mod start;
mod step_up;
#[cfg(test)]
mod tests;
mod watch;

pub use access_list::AccessList;
pub use access_of_person::AccessOfPerson;
pub use badge_get::BadgeGet;
pub use badge_recount::BadgeRecount;
pub use start::Start;
pub use step_up::{Output as StepUpOutput, StepUp};
pub use watch::Watch;
