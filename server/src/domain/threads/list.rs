//! `thread.list`: the newest threads of a profile, a window at a time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::record::{BoxItem, Thread, box_prefix, place_of_box, thread_key};
use super::view::{ThreadSummary, bare_summary, summary};
use super::{PAGE_DEFAULT, PAGE_MAX, ThreadId};
use crate::admission::Work;
use crate::domain::badge::{self, Badge};
use crate::domain::error;
use crate::domain::page::{Cursor, Limit};
use crate::domain::{Context, Declaration, Importance, Kind, Method, Operation, Rest, Target};
use crate::ledger::{RecordKey, Refusal};
use crate::people::{ObjectId, ProfileId, Roster, show};

/// See the file.
pub struct List;

/// What `thread.list` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Whose threads.
    pub profile: ProfileId,
    /// How many.
    #[serde(default)]
    pub limit: Option<Limit>,
    /// Where the page before ended.
    #[serde(default)]
    pub cursor: Option<Cursor>,
    /// Only those with messages not read.
    #[serde(default)]
    pub unread: bool,
}

/// What `thread.list` gives.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Newest first.
    pub threads: Vec<ThreadSummary>,
    /// Where the next page begins; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
    /// What waits, over all pages.
    pub badge: Badge,
}

impl Operation for List {
    const DECLARATION: Declaration = Declaration {
        name: "thread.list",
        summary: "List the newest threads of a profile with their counters, a window at a time.",
        kind: Kind::Query,
        rest: Some(Rest::new(Method::Get, "/v1/profiles/{profile}/threads")),
        work: Importance::of(Work::Lists),
        rights: &[],
        errors: &[&error::PROFILE_NOT_YOURS],
    };
    type Input = Input;
    type Output = Output;

    fn target(input: &Input) -> Target {
        Target::unit(input.profile.unit())
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Output, Refusal> {
        let limit = input.limit.map_or(PAGE_DEFAULT, Limit::get).min(PAGE_MAX);
        window(
            cx,
            &input.profile,
            limit,
            input.cursor.as_ref(),
            input.unread,
        )
        .await
    }
}

/// Boxes looked at for one page of unread threads, so that somebody with thousands of read ones costs no more: the
/// page may then be short, and its cursor goes on.
const UNREAD_LOOK_MAX: usize = 500;

/// A window of a profile's threads. One thread that cannot be shown in full never spoils the list: it stands there bare.
pub(crate) async fn window(
    cx: &mut Context<'_, '_>,
    profile: &ProfileId,
    limit: usize,
    cursor: Option<&Cursor>,
    unread_only: bool,
) -> Result<Output, Refusal> {
    let viewer = cx.viewer(profile)?;
    let prefix = box_prefix(profile);
    let after = cursor.map(|cursor| RecordKey::from(format!("{prefix}{}", cursor.as_str())));
    let look = if unread_only { UNREAD_LOOK_MAX } else { limit };
    let rows: Vec<(RecordKey, BoxItem)> = cx.scan(&prefix, after.as_ref(), look).await?;
    let more = rows.len() == look;
    let mut output = Output {
        badge: badge::of(cx, profile).await?,
        ..Output::default()
    };
    let mut last = None;
    for (key, item) in rows {
        if output.threads.len() == limit {
            break;
        }
        last = Some(key.clone());
        if unread_only && item.unread == 0 {
            continue;
        }
        let Some((number, last_ms)) = place_of_box(&key) else {
            continue;
        };
        let id = ThreadId::new(profile.unit().clone(), number);
        if let Some(thread) = cx.get::<Thread>(&thread_key(&id)).await? {
            let in_full = |roster: &Roster| summary(roster, &thread, &item, last_ms);
            let bare = |_: &Roster| bare_summary(&thread, &item, last_ms);
            let shown = show(cx, &viewer, &thread.thing(), in_full, bare).await?;
            output.threads.extend(shown);
        }
    }
    let full = output.threads.len() == limit;
    let rest = last.filter(|_| more || full);
    output.cursor = rest.and_then(|key| Cursor::after(key.as_str().strip_prefix(&prefix)?));
    Ok(output)
}
