//! Why an import file is refused: reasons that name lines, fields and what was expected, and never what stood there.

use super::read::{FILE_BYTES_MAX, LINE_BYTES_MAX, LINES_MAX, MEMBERS_MAX, NAME_LENGTH_MAX};

/// Why a file was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A line is wrong; nothing of the file was taken.
    #[error("line {line}: {error}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        error: LineError,
    },
    /// The file is too large to be held.
    #[error("larger than {FILE_BYTES_MAX} bytes: send one file a municipality")]
    TooLarge,
    /// There is not one line in it.
    #[error("there is no line in it")]
    Empty,
    /// The file cannot be read.
    #[error("the file cannot be read")]
    Io(#[from] std::io::Error),
}

/// What is wrong with a line. Never says a name, an id or anything else that stood there; fields are named only when
/// they are ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// Longer than [`LINE_BYTES_MAX`].
    #[error("longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// One line more than [`LINES_MAX`].
    #[error("more than {LINES_MAX} lines")]
    TooMany,
    /// Not UTF-8.
    #[error("not UTF-8")]
    Encoding,
    /// Not JSON.
    #[error("not JSON from column {0} on")]
    Json(usize),
    /// JSON, but not an object.
    #[error("not a JSON object")]
    NotObject,
    /// No `type`, or none of ours.
    #[error("`type` must be one of {0}")]
    Type(&'static str),
    /// A field of another type of line, or of none.
    #[error("it has a field that a line of this type does not have; it has {0}")]
    UnknownField(String),
    /// The same field twice.
    #[error("the field `{0}` stands twice")]
    FieldTwice(&'static str),
    /// A field that must be there is not.
    #[error("the field `{0}` is missing")]
    Missing(&'static str),
    /// A field holds something else than it must.
    #[error("the field `{field}` must be {expected}")]
    Field {
        /// The field.
        field: &'static str,
        /// What it must hold.
        expected: String,
    },
    /// A name or title is empty, too long, or holds what no name holds.
    #[error(
        "the field `{0}` must have 1 to {NAME_LENGTH_MAX} characters, none of them a control character"
    )]
    Name(&'static str),
    /// Said before.
    #[error("the same was said on a line above")]
    Twice,
    /// One login for two persons.
    #[error("the login belongs to another person on line {0}")]
    LoginTaken(u64),
    /// Its unit, person, profile or group does not stand above.
    #[error("the field `{0}` names something that does not stand above")]
    Unknown(&'static str),
    /// The unit's type does not go under its parent's.
    #[error("a unit of this kind does not belong under that parent")]
    Parent,
    /// It joins things of two units.
    #[error("it joins things of different units")]
    Units,
    /// It ends before it begins.
    #[error("`until` is before `from`")]
    Dates,
    /// The profiles' kinds do not go with the relation.
    #[error("the kinds of the profiles do not go with the relation")]
    Kinds,
    /// A child in daycare has a login.
    #[error("a child in daycare has no login")]
    DaycareLogin,
    /// A scope without an administrator, or the other way round.
    #[error("`scope` and the kind `system_administrator` go together")]
    Scope,
    /// Somebody from outside without the unit they come from: they would count as at home.
    #[error("the field `home` is missing: a profile of this kind says which unit it comes from")]
    Home,
    /// More people for one shared inbox than a thread to it can address.
    #[error("more than {MEMBERS_MAX} members")]
    Members,
}
