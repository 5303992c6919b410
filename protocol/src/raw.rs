//! `bytes` fields in the JSON codec: JSON embedded as it stands, neither text nor base64.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::Error};
use serde_json::value::RawValue;

/// Writes the bytes as embedded JSON. Fails where they are not JSON, which ends a JSON client with 3506.
pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| S::Error::custom("payload is not JSON"))?;
    let raw: &RawValue =
        serde_json::from_str(text).map_err(|_| S::Error::custom("payload is not JSON"))?;
    if raw.get().contains(['\n', '\r']) {
        // Documents are separated by newlines, so one must not hold any: newlines outside strings are white space.
        return one_line(raw.get()).serialize(serializer);
    }
    raw.serialize(serializer)
}

/// Takes the embedded JSON as it stands.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    Ok(Bytes::from(Box::<str>::from(raw).into_string()))
}

/// The same JSON without line breaks. Inside strings JSON has none, so all are white space.
fn one_line(json: &str) -> Box<RawValue> {
    let line: String = json.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    // Taking white space out of JSON leaves JSON; were it not so, nothing is the safe answer.
    RawValue::from_string(line).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
