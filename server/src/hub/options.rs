//! What the session and the namespace decided about a subscription.

use std::sync::Arc;

use klokke_protocol::{ClientInfo, TagFilter};

use super::{Lens, Wire};

/// How one subscription wants its channel.
#[derive(Debug, Clone, PartialEq)]
pub struct SubOptions {
    /// How bytes are written to this connection.
    pub wire: Wire,
    /// How much of classified content it sees.
    pub lens: Lens,
    /// Follow offsets: start in the recovering state until [`Hub::activate`](super::Hub::activate),
    /// and report a gap.
    pub positioned: bool,
    /// Gets nothing until [`Hub::release`](super::Hub::release): the client is not told yet that the
    /// subscription stands.
    pub held: bool,
    /// Gets deltas where the publication allows them.
    pub delta: bool,
    /// Gets join and leave of others.
    pub join_leave: bool,
    /// Only publications whose tags match.
    pub filter: Option<Box<TagFilter>>,
    /// Who it is; needed when `presence` or `announce` is set.
    pub info: Option<Arc<ClientInfo>>,
    /// Shown in the channel's presence.
    pub presence: bool,
    /// Its coming and going is told to others.
    pub announce: bool,
}

impl SubOptions {
    /// The simplest subscription: live only, everything shown.
    #[must_use]
    pub const fn live(wire: Wire) -> Self {
        Self {
            wire,
            lens: Lens::OPEN,
            positioned: false,
            held: false,
            delta: false,
            join_leave: false,
            filter: None,
            info: None,
            presence: false,
            announce: false,
        }
    }
}
