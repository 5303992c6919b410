//! Identifiers of units and of what lives in them, parsed once.
//!
//! An id of anything inside a unit carries the unit's code (`G10001.p17`), so that every id routes to
//! its ledger without a look-up. Codes are text with letters: clients that read them as numbers break.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest unit code. Danish institution codes have six characters; the rest is room for codes of
/// municipalities and of test set-ups, while a channel name (255 bytes) still holds several.
const UNIT_CODE_LENGTH_MAX: usize = 16;
/// Longest person id of a source system. A UUID has 36 characters.
const PERSON_ID_LENGTH_MAX: usize = 64;
/// Longest login subject; the same bound as a channel name, which may hold one.
const SUBJECT_LENGTH_MAX: usize = 128;

/// Why a text is not an id. Says which kind, never the text itself: it may hold anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {expected}")]
pub struct IdError {
    /// The kind of id that was expected, with its form.
    pub expected: &'static str,
}

/// Code of a unit: an institution (`G10001`), a municipality (`M101`) or the central body (`C1`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitCode(Arc<str>);

impl JsonSchema for UnitCode {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "UnitCode".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[A-Z][A-Z0-9]{0,15}$", "description": "unit code (G10001)" })
    }
}

impl UnitCode {
    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UnitCode {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let sound = text.len() <= UNIT_CODE_LENGTH_MAX
            && text.starts_with(|c: char| c.is_ascii_uppercase())
            && text
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if sound {
            Ok(Self(text.into()))
        } else {
            Err(IdError {
                expected: "unit code (G10001)",
            })
        }
    }
}

/// Declares the id type of one kind of object that lives in a unit: `UNIT.<letter><number>`.
#[macro_export]
macro_rules! object_id {
    ($(#[$doc:meta])* $name:ident, $letter:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name {
            unit: $crate::people::UnitCode,
            number: u32,
        }

        impl $crate::people::ObjectId for $name {
            fn new(unit: $crate::people::UnitCode, number: u32) -> Self {
                Self { unit, number }
            }
            fn unit(&self) -> &$crate::people::UnitCode {
                &self.unit
            }
            fn number(&self) -> u32 {
                self.number
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let pattern = concat!("^[A-Z][A-Z0-9]{0,15}\\.", $letter, "[1-9][0-9]{0,8}$");
                schemars::json_schema!({ "type": "string", "pattern": pattern, "description": $expected })
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!("{}.", $letter, "{}"), self.unit, self.number)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::people::IdError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let wrong = $crate::people::IdError { expected: $expected };
                let (unit, rest) = text.split_once('.').ok_or(wrong)?;
                let digits = rest.strip_prefix($letter).ok_or(wrong)?;
                // One spelling an id: no sign, no leading zero, or two texts would name one object.
                // Nine digits fit any u32 and keep the published pattern exact.
                if digits.len() > 9 || digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(wrong);
                }
                let number = digits.parse().map_err(|_| wrong)?;
                Ok(Self { unit: unit.parse().map_err(|_| wrong)?, number })
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::people::IdError;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

/// What every id of an object in a unit can tell.
pub trait ObjectId: Sized {
    /// Composes an id.
    fn new(unit: UnitCode, number: u32) -> Self;
    /// The unit whose ledger holds the object.
    fn unit(&self) -> &UnitCode;
    /// The number within the unit and kind, from 1.
    fn number(&self) -> u32;
}

object_id!(
    /// An institution profile: a person in one unit in one capacity. Rights hang on it.
    ProfileId, "p", "profile id (G10001.p17)"
);
object_id!(
    /// A group of a unit, such as a class.
    GroupId, "g", "group id (G10001.g3)"
);
object_id!(
    /// A shared inbox of a unit, such as the school office's.
    InboxId, "i", "shared inbox id (G10001.i1)"
);

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $max:expr, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let sound = !text.is_empty() && text.len() <= $max && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
                if sound { Ok(Self(text.into())) } else { Err(IdError { expected: $expected }) }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // Source ids and logins can identify a person, so they stay out of logs and panics.
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }

        text_conversions!($name);
    };
}

macro_rules! text_conversions {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }
    };
}

text_id!(
    /// A person's id in the source system. The same person has it in every unit.
    PersonId, PERSON_ID_LENGTH_MAX, "person id (1 to 64 visible ASCII characters, no slash)"
);
text_id!(
    /// The subject of a login, as the token's `sub` says it.
    SubjectId, SUBJECT_LENGTH_MAX, "login subject (1 to 128 visible ASCII characters, no slash)"
);
text_conversions!(UnitCode);

impl fmt::Debug for UnitCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_have_one_spelling() {
        for sound in ["G10001.p1", "M101.p999999999", "C1.p9"] {
            let id: ProfileId = sound.parse().expect("a sound id");
            assert_eq!(id.to_string(), sound);
        }
        for wrong in [
            "",
            "p1",
            "G10001",
            "G10001.",
            "G10001.p",
            "G10001.p0",
            "G10001.p01",
            "G10001.p+1",
            "G10001.p1000000000",
            "g10001.p1",
            "G10001.g1",
            "G10001.p1 ",
            "1.p1",
            ".p1",
            "G1.p1.p2",
        ] {
            assert!(wrong.parse::<ProfileId>().is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn text_ids_refuse_what_could_change_a_key() {
        for wrong in ["", "a/b", "a b", "å", "a\n"] {
            assert!(wrong.parse::<PersonId>().is_err(), "{wrong:?} was taken");
            assert!(wrong.parse::<SubjectId>().is_err(), "{wrong:?} was taken");
        }
        assert_eq!(
            format!("{:?}", "anne".parse::<SubjectId>().expect("sound")),
            "SubjectId(…)"
        );
    }

    proptest! {
        #[test]
        fn any_text_parses_or_refuses(text in ".{0,40}") {
            if let Ok(id) = text.parse::<ProfileId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
