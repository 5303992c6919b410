//! The kinds of questions and of what is told: numbers that stay what they are for good.

/// All kinds: number, name in metrics.
macro_rules! kinds {
    ($($(#[$doc:meta])* $constant:ident = $number:literal, $name:literal;)*) => {
        $($(#[$doc])* pub const $constant: u32 = $number;)*

        /// Their names in metrics, and what is of a newer version.
        pub const NAMES: &[&str] = &[$($name,)* UNKNOWN];

        /// What a kind is called in metrics.
        #[must_use]
        pub const fn name(kind: u32) -> &'static str {
            match kind {
                $($number => $name,)*
                _ => UNKNOWN,
            }
        }
    };
}

const UNKNOWN: &str = "unknown";

kinds! {
    /// Who is present in a channel.
    PRESENCE = 1, "presence";
    /// How many are.
    PRESENCE_STATS = 2, "presence_stats";
    /// Channels with subscribers.
    CHANNELS = 3, "channels";
    /// A page of open connections.
    CONNECTIONS = 4, "connections";
    /// A node's figures.
    INFO = 5, "info";
    /// Something happens to some sessions.
    DIRECT = 6, "direct";
    /// Commands of an emulated connection.
    UPLINK = 7, "uplink";
    /// Told: a publication that is in no stream.
    PUBLICATION = 8, "publication";
    /// Told: somebody came or went.
    MOVEMENT = 9, "movement";
    /// An operation for a ledger that the asked node is to write.
    OPERATION = 16, "operation";
    /// The same of a publication.
    STREAMED = 17, "streamed";
}
