//! Lists in inputs that hold at most so many items, and points in time that every client can tell. The schema says it to
//! callers; this holds them to it, before anything is looked up.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Reads a list of at most `MAX` items; for `#[serde(deserialize_with = ...)]` beside the schema's `length(max = ...)`.
///
/// # Errors
/// When there are more.
pub(crate) fn at_most<'de, const MAX: usize, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let items = Vec::<T>::deserialize(deserializer)?;
    if items.len() > MAX {
        return Err(D::Error::custom(format_args!("more than {MAX} items")));
    }
    Ok(items)
}

/// Latest point in time taken, in milliseconds since 1970: the largest whole number that a JSON number holds exactly in
/// every language.
pub(crate) const MOMENT_MAX_MS: u64 = (1 << 53) - 1;

/// Reads a point in time that may be left out; beside the schema's `range(max = MOMENT_MAX_MS)`.
///
/// # Errors
/// When it lies too far ahead.
pub(crate) fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let moment = Option::<u64>::deserialize(deserializer)?;
    if moment.is_some_and(|at_ms| at_ms > MOMENT_MAX_MS) {
        return Err(D::Error::custom("too far ahead"));
    }
    Ok(moment)
}

#[cfg(test)]
mod tests {
    use super::MOMENT_MAX_MS;
    use crate::domain::registry;

    #[test]
    fn a_moment_is_taken_as_far_as_the_schema_says() {
        for (operation, field) in [
            ("post.publish", "publish_ms"),
            ("post.publish", "expire_ms"),
            ("post.edit", "expire_ms"),
            ("notification.create", "expires_ms"),
        ] {
            let declared = registry::find(operation).expect("declared");
            let mut generator = schemars::SchemaGenerator::default();
            let schema = (declared.input)(&mut generator);
            let definitions = generator.take_definitions(true);
            let told = serde_json::json!([schema, definitions]).to_string();
            assert!(
                told.contains(&format!("\"maximum\":{MOMENT_MAX_MS}")),
                "{operation}: {told}"
            );
            for (at_ms, good) in [(MOMENT_MAX_MS, true), (MOMENT_MAX_MS + 1, false)] {
                let mut input = serde_json::json!({ "profile": "G10001.p1" });
                let rest = match operation {
                    "post.publish" => {
                        serde_json::json!({ "place": { "unit": "G10001" }, "title": "T", "body": "B" })
                    }
                    "post.edit" => {
                        serde_json::json!({ "post": "G10001.o1", "title": "T", "body": "B" })
                    }
                    _ => serde_json::json!({ "recipients": ["G10001.p2"], "event": "e" }),
                };
                for (name, value) in rest.as_object().expect("an object") {
                    input[name] = value.clone();
                }
                input[field] = at_ms.into();
                let taken = declared.prepare(input.to_string().as_bytes()).is_ok();
                assert_eq!(taken, good, "{operation} {field} {at_ms}");
            }
        }
    }

    #[test]
    fn a_list_that_is_too_long_is_refused_wherever_the_schema_says_so() {
        let many = |length, item: &'static str| vec![item; length];
        let check = |operation: &str, input: serde_json::Value| {
            let declared = registry::find(operation).expect("declared");
            declared.prepare(input.to_string().as_bytes()).is_ok()
        };
        for (length, good) in [(32, true), (33, false)] {
            let input = serde_json::json!({ "profiles": many(length, "G10001.p1") });
            assert_eq!(check("session.start", input), good, "{length}");
        }
        for (length, good) in [(4, true), (5, false)] {
            let input = serde_json::json!({ "profile": "G10001.p1", "place": { "group": "G10001.g1" },
                "title": "Tur", "body": "Husk", "portals": many(length, "guardian") });
            assert_eq!(check("post.publish", input), good, "{length}");
        }
        for (length, good) in [(50, true), (51, false)] {
            let input = serde_json::json!({ "profile": "G10001.p1", "subject": "Tur", "text": "Husk",
                "recipients": [{ "group": "G10001.g1" }], "regarding": many(length, "G10001.p2") });
            assert_eq!(check("thread.create", input), good, "{length}");
        }
    }
}
