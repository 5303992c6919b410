//! `post.note_seen`: a profile of this unit has looked at a place, perhaps of a unit above; its devices are told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PostId;
use super::record::Place;
use crate::admission::Work;
use crate::domain::{Context, Declaration, Empty, Importance, Kind, Operation, Target};
use crate::ledger::{Content, Refusal};
use crate::people::{ObjectId, ProfileId, channel};

/// See the file.
pub struct NoteSeen;

/// What `post.note_seen` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Who looked.
    pub profile: ProfileId,
    /// Where.
    pub place: Place,
    /// The newest post they looked at.
    pub post: PostId,
}

impl Operation for NoteSeen {
    const DECLARATION: Declaration = Declaration {
        name: "post.note_seen",
        summary: "Tell the devices of a profile that it has looked at a place of another unit.",
        kind: Kind::Internal,
        rest: None,
        work: Importance::of(Work::Posts),
        rights: &[],
        errors: &[],
    };
    type Input = Input;
    type Output = Empty;

    fn target(input: &Input) -> Target {
        Target::unit(input.profile.unit())
    }

    fn acts_as(_: &Input) -> Option<&ProfileId> {
        None
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Empty, Refusal> {
        cx.only_server()?;
        tell_own_devices(cx, &input);
        Ok(Empty {})
    }
}

/// Says it in the profile's own channel.
pub(super) fn tell_own_devices(cx: &mut Context<'_, '_>, seen: &Input) {
    let payload =
        serde_json::json!({ "type": "post.seen", "place": seen.place, "post": seen.post });
    let content = Content {
        full: payload.to_string().into(),
        ..Content::default()
    };
    cx.append([channel::person(&seen.profile)], content);
}
