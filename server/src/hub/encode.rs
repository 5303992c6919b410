//! Items as wire messages, each encoded once for a codec, measure and form.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use klokke_protocol::{self as wire, Codec, Join, Leave, Push, Reply};

use super::Measure;
use super::publication::{Announcement, Movement, Publication};

/// How a subscription takes payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// As they are.
    Plain,
    /// Deltas agreed on, but the reader lacks the publication before.
    Fresh,
    /// Deltas agreed on, and the reader has the publication before.
    Delta,
}

/// A form with what it needs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape<'a> {
    Plain,
    Whole,
    Delta(&'a Arc<Publication>),
}

impl Form {
    /// The shape of one publication whose predecessor, when the reader has it, is `base`.
    pub(super) fn with_base(self, base: Option<&Arc<Publication>>) -> Shape<'_> {
        match (self, base) {
            (Self::Plain, _) => Shape::Plain,
            (_, Some(base)) => Shape::Delta(base),
            (_, None) => Shape::Whole,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    item: usize,
    codec: Codec,
    measure: Measure,
    form: Form,
}

/// Messages of one batch, encoded at most once each. `None` for what JSON cannot tell.
#[derive(Debug, Default)]
pub(super) struct Encodings {
    messages: HashMap<Key, Option<Bytes>, rustc_hash::FxBuildHasher>,
    /// Encoded since last asked.
    made: usize,
}

impl Encodings {
    pub(super) fn publication(
        &mut self,
        codec: Codec,
        item: usize,
        publication: &Publication,
        measure: Measure,
        shape: Shape<'_>,
    ) -> Option<Bytes> {
        let form = match shape {
            Shape::Plain => Form::Plain,
            Shape::Whole => Form::Fresh,
            Shape::Delta(_) => Form::Delta,
        };
        let key = Key {
            item,
            codec,
            measure,
            form,
        };
        let encoded = self.messages.entry(key).or_insert_with(|| {
            self.made += 1;
            let push = Push {
                channel: publication.channel.as_str().to_owned(),
                publication: Some(publication.to_wire(codec, measure, shape)?),
                ..Push::default()
            };
            encode_push(codec, push)
        });
        encoded.clone()
    }

    pub(super) fn announcement(
        &mut self,
        codec: Codec,
        item: usize,
        announcement: &Announcement,
    ) -> Option<Bytes> {
        let key = Key {
            item,
            codec,
            measure: Measure::Full,
            form: Form::Plain,
        };
        let encoded = self.messages.entry(key).or_insert_with(|| {
            self.made += 1;
            let info = Some((*announcement.info).clone());
            let mut push = Push {
                channel: announcement.channel.as_str().to_owned(),
                ..Push::default()
            };
            match announcement.movement {
                Movement::Join => push.join = Some(Join { info }),
                Movement::Leave => push.leave = Some(Leave { info }),
            }
            encode_push(codec, push)
        });
        encoded.clone()
    }

    /// How many messages were encoded since this was last asked.
    pub(super) fn take_made(&mut self) -> usize {
        std::mem::take(&mut self.made)
    }
}

impl Publication {
    /// The publication as a client gets it; `None` when that is nothing, or cannot be told in the codec.
    pub(super) fn to_wire(
        &self,
        codec: Codec,
        measure: Measure,
        shape: Shape<'_>,
    ) -> Option<wire::Publication> {
        let payload = match measure {
            Measure::Full => &self.content.full,
            Measure::Bare => self.content.bare.as_ref()?,
            Measure::Hidden => return None,
        };
        let delta = match shape {
            Shape::Delta(base) if self.delta => {
                klokke_protocol::delta::create(&base.content.full, payload).map(Bytes::from)
            }
            _ => None,
        };
        let is_delta = delta.is_some();
        let data = delta.unwrap_or_else(|| payload.clone());
        let data = match (shape, codec) {
            (Shape::Plain, _) | (_, Codec::Protobuf) => data,
            (_, Codec::Json) => as_json_text(&data)?,
        };
        Some(wire::Publication {
            data,
            info: self.info.as_deref().cloned(),
            offset: self.offset,
            tags: self.content.tags.clone(),
            delta: is_delta,
            time: i64::try_from(self.time_ms).unwrap_or(i64::MAX),
            channel: String::new(),
        })
    }
}

/// Text as a JSON string: how subscriptions with deltas carry payloads in JSON.
fn as_json_text(data: &Bytes) -> Option<Bytes> {
    let text = std::str::from_utf8(data).ok()?;
    serde_json::to_vec(text).ok().map(Bytes::from)
}

fn encode_push(codec: Codec, push: Push) -> Option<Bytes> {
    let mut out = BytesMut::new();
    codec.encode_reply(&Reply::push(push), &mut out).ok()?;
    Some(out.freeze())
}
