//! Ids that are parsed once and then trusted.

use std::{fmt, sync::Arc};

use crate::limits;

/// Declares a shared, cheaply cloned text id.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id!(
    /// A channel: `[$]namespace:rest`, at most 255 bytes, never empty (protocol.md, section 9).
    ChannelName
);
text_id!(
    /// A user, as the connection token names it; empty for an anonymous one.
    UserId
);
text_id!(
    /// A connection, named by the server.
    ClientId
);
text_id!(
    /// The life of a stream: offsets of two epochs cannot be compared.
    Epoch
);

/// Declares the free conversion of an id that any text is fit for.
macro_rules! from_text {
    ($($name:ident),*) => {$(
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(Arc::from(text))
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(Arc::from(text))
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self(Arc::from(""))
            }
        }
    )*};
}

from_text!(UserId, ClientId, Epoch);

impl UserId {
    /// Whether nobody in particular is meant.
    pub fn is_anonymous(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why a text is no channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelNameError {
    /// The text is empty.
    #[error("a channel's name must not be empty")]
    Empty,
    /// The text is too long.
    #[error(
        "a channel's name must not be longer than {} bytes",
        limits::CHANNEL_BYTES_MAX
    )]
    TooLong,
}

impl ChannelName {
    /// Reads a channel's name.
    ///
    /// # Errors
    /// An empty or over-long name.
    pub fn parse(text: &str) -> Result<Self, ChannelNameError> {
        match text.len() {
            0 => Err(ChannelNameError::Empty),
            length if length > limits::CHANNEL_BYTES_MAX => Err(ChannelNameError::TooLong),
            _ => Ok(Self(Arc::from(text))),
        }
    }

    /// What precedes the first `:`, without a leading `$`; empty for a channel without namespace.
    pub fn namespace(&self) -> &str {
        self.0
            .trim_start_matches('$')
            .split_once(':')
            .map_or("", |(namespace, _)| namespace)
    }

    /// What follows the namespace.
    pub fn local(&self) -> &str {
        let name = self.0.strip_prefix('$').unwrap_or(&self.0);
        name.split_once(':').map_or(name, |(_, local)| local)
    }

    /// Whether only a subscription token opens it.
    pub fn is_private(&self) -> bool {
        self.0.starts_with('$')
    }

    /// The users listed after the last `#`; `None` where there is no `#`.
    pub fn users(&self) -> Option<impl Iterator<Item = &str>> {
        self.0.rsplit_once('#').map(|(_, users)| users.split(','))
    }
}

impl std::str::FromStr for ChannelName {
    type Err = ChannelNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// A place in a stream: after the publication with this offset, in this epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Offset of the last publication seen; 0 before the first.
    pub offset: u64,
    /// The stream's epoch.
    pub epoch: Epoch,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_apart() {
        let check =
            |text: &str, namespace: &str, local: &str, private: bool, users: Option<&str>| {
                let name = ChannelName::parse(text).expect("a good name");
                assert_eq!(
                    (name.namespace(), name.local()),
                    (namespace, local),
                    "{text}"
                );
                assert_eq!(name.is_private(), private, "{text}");
                let listed = name
                    .users()
                    .map(|users| users.collect::<Vec<_>>().join("+"));
                assert_eq!(listed.as_deref(), users, "{text}");
            };
        check("news", "", "news", false, None);
        check("chat:a:b", "chat", "a:b", false, None);
        check("$chat:x", "chat", "x", true, None);
        check("dialog#1,2", "", "dialog#1,2", false, Some("1+2"));
    }

    #[test]
    fn an_empty_or_long_name_is_none() {
        assert_eq!(ChannelName::parse(""), Err(ChannelNameError::Empty));
        assert_eq!(
            ChannelName::parse(&"x".repeat(256)),
            Err(ChannelNameError::TooLong)
        );
        assert!(ChannelName::parse(&"x".repeat(255)).is_ok());
    }
}
