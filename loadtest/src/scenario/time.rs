//! Times as people write them: `90s`, `30m`, `1h 30m`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let parsed: Option<jiff::SignedDuration> = text.parse().ok();
    parsed
        .and_then(|it| Duration::try_from(it).ok())
        .ok_or_else(|| {
            D::Error::custom(format!("\"{text}\" is no time such as 90s, 30m or 1h 30m"))
        })
}

/// A time that may be left out.
pub(super) mod optional {
    use super::{Deserializer, Duration};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        super::deserialize(from).map(Some)
    }
}
