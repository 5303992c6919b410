//! Lists in inputs that hold at most so many items. The schema says it to callers; this holds them to it, before anything
//! is looked up.

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

#[cfg(test)]
mod tests {
    use crate::domain::registry;

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
