//! The load tester: replays a school start against any Klokke, and says without doubt whether it held.
//!
//! It looks from outside: it speaks the wire (`klokke-protocol`) and reads import files, and knows nothing of the server's code.

pub mod agent;
mod chance;
pub mod checker;
pub mod cli;
pub mod control;
pub mod outcome;
pub mod people;
mod procfs;
pub mod report;
pub mod run;
pub mod scenario;
mod target;
pub mod town;
pub mod wire;
