//! The two tables of numbers that clients act on: why a command failed, and why a connection ended; and the few
//! codes that end a subscription (protocol.md, section 3).

use crate::message::{Disconnect, ErrorReply, Unsubscribe};

/// Declares a table of codes once: constant, number, text.
macro_rules! codes {
    ($type:ident { $($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)* }) => {
        impl $type {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// Every code of the table with its text.
            pub const TABLE: &'static [(Self, &'static str)] = &[$((Self($number), $text),)*];

            /// The number on the wire.
            pub const fn number(self) -> u32 {
                self.0
            }

            /// The table's text for people; empty for a number outside it.
            pub fn text(self) -> &'static str {
                Self::TABLE.iter().find(|(code, _)| *code == self).map_or("", |(_, text)| text)
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{} {}", self.0, self.text())
            }
        }
    };
}

/// Why a command failed. Numbers below 400 are the protocol's; an application's own lie from 400 to 1999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(u32);

codes!(ErrorCode {
    /// Something is wrong in the server.
    INTERNAL = 100, "internal server error";
    /// The caller did not say who it is.
    UNAUTHORIZED = 101, "unauthorized";
    /// No namespace has this channel.
    UNKNOWN_CHANNEL = 102, "unknown channel";
    /// The caller may not do this.
    PERMISSION_DENIED = 103, "permission denied";
    /// No operation has this name.
    METHOD_NOT_FOUND = 104, "method not found";
    /// The connection holds this subscription.
    ALREADY_SUBSCRIBED = 105, "already subscribed";
    /// A limit is reached.
    LIMIT_EXCEEDED = 106, "limit exceeded";
    /// The request makes no sense.
    BAD_REQUEST = 107, "bad request";
    /// The feature is switched off.
    NOT_AVAILABLE = 108, "not available";
    /// The token has expired; a new one helps.
    TOKEN_EXPIRED = 109, "token expired";
    /// The time for this has passed.
    EXPIRED = 110, "expired";
    /// The server is asked for too much at once.
    TOO_MANY_REQUESTS = 111, "too many requests";
    /// What was missed cannot be had any more.
    UNRECOVERABLE_POSITION = 112, "unrecoverable position";
    /// Two pages were asked for at once.
    CONCURRENT_PAGINATION = 113, "concurrent pagination";
});

impl ErrorCode {
    /// Whether the same command may succeed later.
    pub const fn is_temporary(self) -> bool {
        matches!(
            self,
            Self::INTERNAL | Self::TOO_MANY_REQUESTS | Self::CONCURRENT_PAGINATION
        )
    }
}

impl From<ErrorCode> for ErrorReply {
    fn from(code: ErrorCode) -> Self {
        Self {
            code: code.number(),
            message: code.text().to_owned(),
            temporary: code.is_temporary(),
        }
    }
}

/// Why a connection ended. The range tells the client whether to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DisconnectCode(u32);

codes!(DisconnectCode {
    /// The client went away; never sent.
    CONNECTION_CLOSED = 3000, "connection closed";
    /// The node stops.
    SHUTDOWN = 3001, "shutdown";
    /// Something is wrong in the server.
    SERVER_ERROR = 3004, "internal server error";
    /// The connection was not refreshed in time.
    EXPIRED = 3005, "connection expired";
    /// A server-side subscription was not refreshed in time.
    SUBSCRIPTION_EXPIRED = 3006, "subscription expired";
    /// The client reads more slowly than it is written to.
    SLOW = 3008, "slow";
    /// Writing failed.
    WRITE_ERROR = 3009, "write error";
    /// The server lost the position of a server-side subscription.
    INSUFFICIENT_STATE = 3010, "insufficient state";
    /// The server wants the client to come again.
    FORCE_RECONNECT = 3011, "force reconnect";
    /// A ping was not answered.
    NO_PONG = 3012, "no pong";
    /// Too many commands.
    TOO_MANY_REQUESTS = 3013, "too many requests";
    /// Token and positions are void.
    STATE_INVALIDATED = 3014, "state invalidated";
    /// The token is not valid.
    INVALID_TOKEN = 3500, "invalid token";
    /// What was sent breaks the protocol.
    BAD_REQUEST = 3501, "bad request";
    /// No connect command came in time.
    STALE = 3502, "stale";
    /// An administrator ended the connection.
    FORCE_DISCONNECT = 3503, "force disconnect";
    /// Too many connections.
    CONNECTION_LIMIT = 3504, "connection limit";
    /// Too many channels.
    CHANNEL_LIMIT = 3505, "channel limit";
    /// A payload cannot be told in the client's codec.
    INAPPROPRIATE_PROTOCOL = 3506, "inappropriate protocol";
    /// The caller may not connect.
    PERMISSION_DENIED = 3507, "permission denied";
    /// Nobody handles what was sent.
    NOT_AVAILABLE = 3508, "not available";
    /// Too many commands failed.
    TOO_MANY_ERRORS = 3509, "too many errors";
});

impl DisconnectCode {
    /// An application's own code; `None` outside 4000 to 4999.
    pub const fn application(number: u32) -> Option<Self> {
        if number >= 4000 && number <= 4999 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// A code as it came over the wire.
    pub const fn from_wire(number: u32) -> Self {
        Self(number)
    }

    /// Whether clients come back after it.
    pub const fn reconnects(self) -> bool {
        !matches!(self.0, 1009 | 3500..=3999 | 4500..=4999)
    }
}

impl From<DisconnectCode> for Disconnect {
    fn from(code: DisconnectCode) -> Self {
        Self {
            code: code.number(),
            reason: code.text().to_owned(),
            reconnect: false,
        }
    }
}

/// Why the server ended a subscription. From 2500 on, clients subscribe again by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnsubscribeCode(u32);

codes!(UnsubscribeCode {
    /// The server ended it.
    SERVER = 2000, "server unsubscribe";
    /// The server lost the position.
    INSUFFICIENT_STATE = 2500, "insufficient state";
    /// It was not refreshed in time.
    EXPIRED = 2501, "subscription expired";
    /// Token and position are void.
    STATE_INVALIDATED = 2502, "state invalidated";
});

impl UnsubscribeCode {
    /// A code as it came over the wire.
    pub const fn from_wire(number: u32) -> Self {
        Self(number)
    }

    /// Whether clients subscribe again.
    pub const fn resubscribes(self) -> bool {
        self.0 >= 2500
    }
}

impl From<UnsubscribeCode> for Unsubscribe {
    fn from(code: UnsubscribeCode) -> Self {
        Self {
            code: code.number(),
            reason: code.text().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_of_a_code_says_whether_to_come_back() {
        for (code, reconnects) in [(1006, true), (1009, false), (3008, true), (3500, false)] {
            assert_eq!(
                DisconnectCode::from_wire(code).reconnects(),
                reconnects,
                "{code}"
            );
        }
        for (code, reconnects) in [
            (3999, false),
            (4000, true),
            (4499, true),
            (4500, false),
            (5000, true),
        ] {
            assert_eq!(
                DisconnectCode::from_wire(code).reconnects(),
                reconnects,
                "{code}"
            );
        }
    }

    #[test]
    fn numbers_stand_once_in_each_table() {
        let ascending = |numbers: Vec<u32>| numbers.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(ascending(
            ErrorCode::TABLE.iter().map(|(code, _)| code.0).collect()
        ));
        assert!(ascending(
            DisconnectCode::TABLE
                .iter()
                .map(|(code, _)| code.0)
                .collect()
        ));
        assert!(ascending(
            UnsubscribeCode::TABLE
                .iter()
                .map(|(code, _)| code.0)
                .collect()
        ));
    }
}
