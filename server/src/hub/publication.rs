//! What goes through a channel: publications, and the news of who came and went.

use std::sync::Arc;

use bytes::Bytes;
use klokke_protocol::{ChannelName, ClientInfo, Epoch};

use super::Audience;

/// Tags of a publication, for filters.
pub type Tags = std::collections::BTreeMap<String, String>;

/// One publication as every shard gets it; shared, never changed.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The channel.
    pub channel: ChannelName,
    /// Position in the channel's stream, from 1; 0 when the channel keeps no history.
    pub offset: u64,
    /// Which stream the offset belongs to; empty when the offset is 0.
    pub epoch: Epoch,
    /// What it says, and to whom.
    pub content: Content,
    /// The client that published it, when one did.
    pub info: Option<Arc<ClientInfo>>,
    /// When it was said, Unix milliseconds; 0 when that is not told to clients.
    pub time_ms: u64,
    /// Whether subscribers that agreed on deltas may get a difference in place of the whole.
    pub delta: bool,
    /// When the call that publishes it arrived, by the driver's time; 0 when that was not here. For the
    /// figures.
    pub arrived_us: u64,
}

/// Payload in its two measures.
#[derive(Debug, Clone, Default)]
pub struct Content {
    /// The whole payload.
    pub full: Bytes,
    /// What a lens below the needed level gets; present if and only if the content is sensitive.
    pub bare: Option<Bytes>,
    /// Roles it is meant for.
    pub audience: Audience,
    /// Tags, for filters.
    pub tags: Tags,
}

impl Content {
    /// Content for everybody.
    #[must_use]
    pub fn open(full: Bytes) -> Self {
        Self {
            full,
            ..Self::default()
        }
    }

    /// Whether part of it needs a step-up.
    #[must_use]
    pub const fn is_sensitive(&self) -> bool {
        self.bare.is_some()
    }
}

/// Who came to or went from a channel that announces it.
#[derive(Debug, Clone)]
pub struct Announcement {
    /// The channel.
    pub channel: ChannelName,
    /// Came or went.
    pub movement: Movement,
    /// Who.
    pub info: Arc<ClientInfo>,
}

/// Coming or going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Movement {
    /// Subscribed.
    Join,
    /// Unsubscribed or gone.
    Leave,
}

/// What kind of thing goes through a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A publication.
    Publication,
    /// Somebody came.
    Join,
    /// Somebody went.
    Leave,
}

impl From<Movement> for Kind {
    fn from(movement: Movement) -> Self {
        match movement {
            Movement::Join => Self::Join,
            Movement::Leave => Self::Leave,
        }
    }
}

/// One thing waiting in a channel.
#[derive(Debug, Clone)]
pub(super) enum Item {
    Publication(Arc<Publication>),
    Announcement(Arc<Announcement>),
}

impl Item {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Publication(_) => Kind::Publication,
            Self::Announcement(news) => news.movement.into(),
        }
    }

    /// The publication's offset; 0 for what is in no stream.
    pub(super) fn offset(&self) -> u64 {
        match self {
            Self::Publication(publication) => publication.offset,
            Self::Announcement(_) => 0,
        }
    }

    /// When the call that publishes it arrived; 0 for what nobody called for.
    pub(super) fn arrived_us(&self) -> u64 {
        match self {
            Self::Publication(publication) => publication.arrived_us,
            Self::Announcement(_) => 0,
        }
    }

    /// Payload bytes, for bounds on what is joined or buffered.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Publication(publication) => publication.content.full.len(),
            Self::Announcement(_) => 0,
        }
    }
}
