//! One line of JSON into a [`Line`], with a reason that names the field when it is none.
//!
//! Error texts of general JSON readers quote what they read; a name must never get into a report that way. So the values
//! are read here through a small deserializer whose errors keep only what was expected.

use std::borrow::Cow;
use std::fmt::{self, Display};

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer as _,
    MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::fault::LineError;
use super::line::{Line, TYPES};

/// Most fields of one line that are looked at; a real one has ten.
const FIELDS_MAX: usize = 32;

/// Reads one line.
pub(super) fn parse(text: &str) -> Result<Line, LineError> {
    let Fields(fields) = serde_json::from_str(text).map_err(|wrong| match wrong.classify() {
        Category::Data => LineError::NotObject,
        _ => LineError::Json(wrong.column()),
    })?;
    let mut types = fields.iter().filter(|(name, _)| name == "type");
    let kind = types.next().map(|(_, value)| value.get());
    if types.next().is_some() {
        return Err(LineError::FieldTwice("type"));
    }
    let kind: Option<Cow<'_, str>> = kind
        .and_then(|value| serde_json::from_str::<Text<'_>>(value).ok())
        .map(|text| text.0);
    Ok(match kind.as_deref() {
        Some("unit") => Line::Unit(take(fields)?),
        Some("person") => Line::Person(take(fields)?),
        Some("account") => Line::Account(take(fields)?),
        Some("profile") => Line::Profile(take(fields)?),
        Some("relation") => Line::Relation(take(fields)?),
        Some("group") => Line::Group(take(fields)?),
        Some("membership") => Line::Membership(take(fields)?),
        Some("grant") => Line::Grant(take(fields)?),
        Some("inbox") => Line::Inbox(take(fields)?),
        _ => return Err(LineError::Type(TYPES)),
    })
}

fn take<T: DeserializeOwned>(fields: Vec<Field<'_>>) -> Result<T, LineError> {
    T::deserialize(Object(fields)).map_err(|wrong| match wrong {
        Wrong::Missing(field) => LineError::Missing(field),
        Wrong::Twice(field) => LineError::FieldTwice(field),
        Wrong::Unknown(known) => LineError::UnknownField(known.join(", ")),
        Wrong::Field(field, expected) => LineError::Field { field, expected },
        Wrong::Value(_) => LineError::NotObject,
    })
}

/// A text, borrowed where it can be.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

type Field<'a> = (Cow<'a, str>, &'a RawValue);

/// The fields of an object in the order they stand, none lost.
struct Fields<'a>(Vec<Field<'a>>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields = Vec::with_capacity(12);
                while let Some((Text(name), value)) =
                    map.next_entry::<Text<'de>, &'de RawValue>()?
                {
                    // Among so many there is one that stands twice or is none of ours; the reader finds it.
                    if fields.len() < FIELDS_MAX {
                        fields.push((name, value));
                    }
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(All)
    }
}

/// What was wrong, without what was there.
#[derive(Debug)]
enum Wrong {
    Missing(&'static str),
    Twice(&'static str),
    Unknown(&'static [&'static str]),
    /// A value whose field is not known yet.
    Value(String),
    Field(&'static str, String),
}

impl Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a line")
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: Display>(text: T) -> Self {
        // Only our own ids say what they expect and nothing else; a date's error quotes the text.
        let text = text.to_string();
        let expected = text
            .strip_prefix("not a valid ")
            .map(|expected| format!("a {expected}"));
        Self::Value(expected.unwrap_or_else(|| "of another form".to_owned()))
    }
    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Value(expected.to_string())
    }
    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Value(expected.to_string())
    }
    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::Value(format!("one of {}", known.join(", ")))
    }
    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }
    fn duplicate_field(field: &'static str) -> Self {
        Self::Twice(field)
    }
}

/// The fields of a line but for its type, as one of its structs reads them.
struct Object<'a>(Vec<Field<'a>>);

impl<'de> Deserializer<'de> for Object<'de> {
    type Error = Wrong;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_map(Walk {
            fields: self.0.into_iter(),
            known,
            at: None,
        })
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_struct("", &[], visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Walk<'a> {
    fields: std::vec::IntoIter<Field<'a>>,
    known: &'static [&'static str],
    at: Option<(&'static str, &'a RawValue)>,
}

impl<'de> MapAccess<'de> for Walk<'de> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Wrong> {
        let Some((name, value)) = self.fields.find(|(name, _)| name != "type") else {
            return Ok(None);
        };
        let known = self.known.iter().find(|known| **known == name);
        let name = *known.ok_or(Wrong::Unknown(self.known))?;
        self.at = Some((name, value));
        seed.deserialize(BorrowedStrDeserializer::new(name))
            .map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let (name, value) = self
            .at
            .take()
            .ok_or_else(|| Wrong::Value("a value".to_owned()))?;
        seed.deserialize(Value(value.get()))
            .map_err(|wrong| match wrong {
                // The only fields whose own error would quote them.
                _ if matches!(name, "from" | "until") => {
                    Wrong::Field(name, "a date (2027-01-31)".to_owned())
                }
                Wrong::Value(expected) => Wrong::Field(name, expected),
                wrong => wrong,
            })
    }
}

/// One value: a text, a truth, nothing, or a list of those. No field of ours holds anything else.
struct Value<'a>(&'a str);

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0.as_bytes().first() {
            Some(b'"') => match serde_json::from_str::<Text<'de>>(self.0) {
                Ok(Text(Cow::Borrowed(text))) => visitor.visit_borrowed_str(text),
                Ok(Text(Cow::Owned(text))) => visitor.visit_string(text),
                Err(_) => Err(Wrong::Value("text without broken escapes".to_owned())),
            },
            Some(b't') => visitor.visit_bool(true),
            Some(b'f') => visitor.visit_bool(false),
            Some(b'n') => visitor.visit_unit(),
            Some(b'[') => {
                let items: Vec<&'de RawValue> =
                    serde_json::from_str(self.0).map_err(|_| Wrong::Value("a list".to_owned()))?;
                visitor.visit_seq(Items(items.into_iter()))
            }
            Some(b'{') => Err(de::Error::invalid_type(Unexpected::Map, &visitor)),
            _ => Err(de::Error::invalid_type(
                Unexpected::Other("number"),
                &visitor,
            )),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            "null" => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match serde_json::from_str::<Text<'de>>(self.0) {
            Ok(Text(text)) => visitor.visit_enum(text.into_deserializer()),
            Err(_) => Err(de::Error::unknown_variant("", known)),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct Items<'a>(std::vec::IntoIter<&'a RawValue>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Wrong> {
        self.0
            .next()
            .map(|item| seed.deserialize(Value(item.get())))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_names_the_field_and_never_what_stood_there() {
        let cases = [
            ("hemmeligt", "not JSON from column 1 on"),
            ("{", "not JSON from column 1 on"),
            ("[]", "not a JSON object"),
            ("\"hemmeligt\"", "not a JSON object"),
            (
                "{}",
                "`type` must be one of unit, person, account, profile, relation, group, membership, grant, inbox",
            ),
            (
                r#"{"type":"hemmeligt"}"#,
                "`type` must be one of unit, person, account, profile, relation, group, membership, grant, inbox",
            ),
            (
                r#"{"type":"person","type":"person"}"#,
                "the field `type` stands twice",
            ),
            (
                r#"{"type":"person","id":"x"}"#,
                "the field `name` is missing",
            ),
            (
                r#"{"type":"person","id":"x","name":"Hemmeligt","name":"Hemmeligt"}"#,
                "the field `name` stands twice",
            ),
            (
                r#"{"type":"person","id":"x","name":"Hemmeligt","hemmeligt":1}"#,
                "it has a field that a line of this type does not have; it has id, name, alias, protected",
            ),
            (
                r#"{"type":"person","id":"hemme ligt","name":"Hemmeligt"}"#,
                "the field `id` must be a person id (1 to 64 visible ASCII characters, no slash)",
            ),
            (
                r#"{"type":"person","id":"x","name":17}"#,
                "the field `name` must be a string",
            ),
            (
                r#"{"type":"person","id":"x","name":{"hemmeligt":1}}"#,
                "the field `name` must be a string",
            ),
            (
                r#"{"type":"person","id":"x","name":"\ud800hemmeligt"}"#,
                "the field `name` must be text without broken escapes",
            ),
            (
                r#"{"type":"person","id":"x","name":"H","protected":"hemmeligt"}"#,
                "the field `protected` must be a boolean",
            ),
            (
                r#"{"type":"account","subject":"x","person":null}"#,
                "the field `person` must be a string",
            ),
            (
                r#"{"type":"profile","id":"hemmeligt","person":"x","kind":"pupil"}"#,
                "the field `id` must be a profile id (G10001.p17)",
            ),
            (
                r#"{"type":"relation","adult":"G1.p1","child":"G1.p2","kind":"hemmeligt"}"#,
                "the field `kind` must be one of guardian, related, attached",
            ),
            (
                r#"{"type":"membership","group":"G1.g1","profile":"G1.p2","kind":"member","until":"hemmeligt"}"#,
                "the field `until` must be a date (2027-01-31)",
            ),
            (
                r#"{"type":"inbox","id":"G1.i1","name":"N","members":["G1.p1","hemmeligt"]}"#,
                "the field `members` must be a profile id (G10001.p17)",
            ),
            (
                r#"{"type":"inbox","id":"G1.i1","name":"N","members":"hemmeligt"}"#,
                "the field `members` must be a sequence",
            ),
        ];
        for (line, reason) in cases {
            let fault = parse(line).expect_err("no line of ours").to_string();
            assert_eq!(fault, reason, "{line}");
        }
        let many: String = (0..40).map(|n| format!("\"f{n}\":1,")).collect();
        let many = parse(&format!("{{\"type\":\"unit\",{many}\"code\":\"G1\"}}"));
        assert!(matches!(many, Err(LineError::UnknownField(_))), "{many:?}");
    }

    #[test]
    fn fields_come_in_any_order_and_absent_is_null() {
        let line = parse(
            r#"{"until":null,"kind":"guardian","child":"G1.p2","custody":true,"adult":"G1.p\u0031","type":"relation"}"#,
        );
        let Ok(Line::Relation(relation)) = line else {
            panic!("{line:?}");
        };
        assert_eq!(relation.adult.to_string(), "G1.p1");
        assert!(relation.custody && !relation.access && relation.until.is_none());
    }
}
