//! How people are told that service is reduced, and when it is normal again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Level;

/// How the service is, as clients are told: in a push to every session, and on the first screen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Service {
    /// 0 when all is normal, up to 4.
    pub level: u8,
    /// What is put off, by name, the most important first: `staff`, `messages`, `posts`, `lists`.
    pub put_off: Vec<String>,
    /// The message key: `status.normal` or `status.reduced`.
    pub key: String,
    /// What people read, in Danish.
    pub message_da: String,
    /// The same in English.
    pub message_en: String,
}

impl Service {
    /// The service at a level.
    #[must_use]
    pub fn at(level: Level) -> Self {
        let (key, danish, english) = match level {
            Level::NORMAL => (
                "status.normal",
                "Alt virker igen som det plejer.",
                "Everything works as usual again.",
            ),
            _ => (
                "status.reduced",
                "Der er meget travlt. Fremmøde og personalets beskeder går først; andet kan vente lidt.",
                "It is very busy. Attendance and what staff send go first; other things may wait a little.",
            ),
        };
        Self {
            level: level.number(),
            put_off: level.put_off().map(|work| work.name().to_owned()).collect(),
            key: key.to_owned(),
            message_da: danish.to_owned(),
            message_en: english.to_owned(),
        }
    }

    /// As the data of a push outside of channels: the same with `"type": "status"`.
    ///
    /// # Panics
    /// Never: the type has text keys only.
    #[must_use]
    pub fn to_push(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Status<'a> {
            r#type: &'static str,
            #[serde(flatten)]
            service: &'a Service,
        }
        let status = Status {
            r#type: "status",
            service: self,
        };
        serde_json::to_vec(&status).expect("text and numbers under text keys always encode")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_says_what_kind_it_is() {
        let push = Service::at(Level::of(2)).to_push();
        let push: serde_json::Value = serde_json::from_slice(&push).expect("JSON");
        assert_eq!(push["type"], "status");
        assert_eq!(push["level"], 2);
        assert_eq!(push["key"], "status.reduced");
        assert_eq!(push["put_off"], serde_json::json!(["posts", "lists"]));
        let normal = Service::at(Level::NORMAL);
        assert_eq!((normal.level, &*normal.key), (0, "status.normal"));
        assert!(normal.put_off.is_empty());
    }
}
