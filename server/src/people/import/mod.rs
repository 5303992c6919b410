//! The import of master data: JSON Lines from a source system, read as a stream, checked whole, shown as a diff, and only then
//! applied, unit by unit.
//!
//! The file says what is true today of every unit it names; what it no longer mentions there ends. A wrong line refuses
//! the whole file with its number and the reason, never with a name. A file that would end a large part of a unit is
//! refused unless that is asked for. What somebody of a unit set stays as it is unless the import is told to go over it.
//! Running the same file again changes nothing, so an import that was cut off is simply run again.
//!
//! ```text
//! read(file) ──▶ Wanted ──▶ plan(ledgers) ──▶ Plan (the diff, its digest) ──▶ apply(ledgers)
//! ```

mod apply;
mod diff;
mod fault;
mod gather;
mod line;
mod parse;
mod plan;
mod read;
mod report;
#[cfg(test)]
mod tests;

pub use apply::{ApplyError, Progress, apply};
pub use diff::{Counts, Diff, Ids, KindReport, RecordKind, UnitReport};
pub use fault::{LineError, ReadError};
pub use line::{
    AccountLine, GrantLine, GroupLine, InboxLine, Line, MembershipLine, PersonLine, ProfileLine,
    RelationLine, UnitLine,
};
pub use plan::{
    ENDED_PERCENT_MAX, MassEnd, NoDigest, Override, Plan, PlanDigest, PlanError, Summary, plan,
};
pub use read::{FILE_BYTES_MAX, LINE_BYTES_MAX, LINES_MAX, Wanted, read};
pub use report::{Failed, Report};
