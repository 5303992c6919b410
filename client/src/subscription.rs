//! One subscription: where it is, what it has seen, and what follows from a reply or a push.

use bytes::Bytes;
use klokke_protocol::{Epoch, Position, Publication, SubscribeRequest, SubscribeResult, delta};

/// Where a subscription is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// To be asked for at the next connection, or after a wait.
    Waiting,
    /// Asked for.
    Asked,
    /// It stands.
    Standing,
}

/// What a publication turned out to be.
#[derive(Debug)]
pub(crate) enum Taken {
    /// For the application.
    Fresh(Box<Publication>),
    /// Seen before.
    Seen,
    /// Its delta fits nothing this client holds: the subscription must be made again.
    Broken,
}

impl Taken {
    pub(crate) fn fresh(self) -> Option<Publication> {
        match self {
            Self::Fresh(publication) => Some(*publication),
            Self::Seen | Self::Broken => None,
        }
    }
}

/// A channel this client reads.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) stage: Stage,
    /// Whether the server made it; such a one is not asked for by the client.
    pub(crate) by_server: bool,
    pub(crate) token: String,
    pub(crate) wants_delta: bool,
    /// Failed tries since it last stood.
    pub(crate) backoff: crate::backoff::Backoff,
    /// What was seen, once the server said that it can be recovered from there.
    position: Option<Position>,
    /// The last payload, while deltas are sent against it.
    base: Option<Bytes>,
    sends_deltas: bool,
}

impl Subscription {
    pub(crate) fn new(by_server: bool, backoff: crate::backoff::Backoff) -> Self {
        Self {
            stage: Stage::Waiting,
            by_server,
            token: String::new(),
            wants_delta: false,
            backoff,
            position: None,
            base: None,
            sends_deltas: false,
        }
    }

    /// The request that makes it stand, or that tells its position at connect.
    pub(crate) fn request(&self, channel: &str) -> SubscribeRequest {
        let mut request = SubscribeRequest {
            channel: channel.to_owned(),
            token: self.token.clone(),
            ..SubscribeRequest::default()
        };
        if let Some(position) = &self.position {
            request.recover = true;
            request.offset = position.offset;
            position.epoch.as_str().clone_into(&mut request.epoch);
        }
        if self.wants_delta {
            "fossil".clone_into(&mut request.delta);
        }
        request
    }

    /// It stands: takes over where the stream is and returns what was missed, deltas applied.
    pub(crate) fn accept(&mut self, result: SubscribeResult, json: bool) -> Vec<Publication> {
        self.stage = Stage::Standing;
        self.backoff.reset();
        self.sends_deltas = result.delta;
        self.base = None;
        let keeps_position = result.recoverable || result.positioned;
        self.position = keeps_position.then(|| Position {
            offset: result.offset,
            epoch: Epoch::from(result.epoch),
        });
        let taken = result
            .publications
            .into_iter()
            .map(|publication| self.take(publication, json));
        taken.filter_map(Taken::fresh).collect()
    }

    /// A publication arrived: moves the position and applies the delta.
    pub(crate) fn take(&mut self, mut publication: Publication, json: bool) -> Taken {
        if publication.offset > 0
            && self
                .position
                .as_ref()
                .is_some_and(|position| publication.offset <= position.offset)
        {
            return Taken::Seen;
        }
        if self.sends_deltas {
            let Some(whole) = self.whole(&publication, json) else {
                return Taken::Broken;
            };
            publication.data = whole;
            publication.delta = false;
            self.base = Some(publication.data.clone());
        }
        if publication.offset > 0
            && let Some(position) = &mut self.position
        {
            position.offset = publication.offset;
        }
        Taken::Fresh(Box::new(publication))
    }

    /// In JSON the payload of a subscription with deltas stands as a string that holds the text.
    fn whole(&self, publication: &Publication, json: bool) -> Option<Bytes> {
        let data = if json {
            Bytes::from(serde_json::from_slice::<String>(&publication.data).ok()?)
        } else {
            publication.data.clone()
        };
        match (&self.base, publication.delta) {
            (_, false) => Some(data),
            (Some(base), true) => delta::apply(base, &data).ok().map(Bytes::from),
            (None, true) => None,
        }
    }

    /// The connection is gone; the position stays.
    pub(crate) fn lose_connection(&mut self) {
        self.stage = Stage::Waiting;
        self.base = None;
    }

    /// What was seen is void: the next subscription asks for nothing it missed.
    pub(crate) fn forget_position(&mut self) {
        self.position = None;
    }
}
