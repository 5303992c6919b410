//! The import of master data: JSON Lines from a source system, read as a stream, checked whole, shown as a diff, and only then
//! applied, unit by unit.
//!
//! The file says what is true today of every unit it names; what it no longer mentions there ends. A wrong line refuses
//! the whole file with its number and the reason, never with a name. A file that would end a large part of a unit is
//! refused unless that is asked for. Running the same file again changes nothing, so an import that was cut off is
//! simply run again.
//!
//! ```text
//! read(file) ──▶ Wanted ──▶ plan(ledgers) ──▶ Plan (the diff) ──▶ apply(ledgers)
//! ```

mod apply;
mod line;
mod plan;
mod read;
#[cfg(test)]
mod tests;

pub use apply::{ApplyError, Progress, apply};
pub use line::{
    AccountLine, GrantLine, GroupLine, InboxLine, Line, MembershipLine, PersonLine, ProfileLine,
    RelationLine, UnitLine,
};
pub use plan::{Counts, Diff, Plan, PlanError, RecordKind, plan};
pub use read::{LINE_BYTES_MAX, LINES_MAX, LineError, ReadError, Wanted, read};
