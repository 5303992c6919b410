//! `session.start`: the first screen in one round trip, its size bounded whatever was missed: for each profile of the login the
//! newest threads, what waits, and the newest posts. The rest comes on demand; there is no flood of notices.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admission::{Service, Work};
use crate::domain::badge::{self, Badge};
use crate::domain::bounded;
use crate::domain::error;
use crate::domain::notifications::{self, NotificationView};
use crate::domain::page::Cursor;
use crate::domain::posts::{self, PostView};
use crate::domain::threads;
use crate::domain::threads::view::ThreadSummary;
use crate::domain::{
    Context, Declaration, Degraded, Importance, Kind, Method, Missing, Operation, Rest, Target,
};
use crate::ledger::Refusal;
use crate::people::{GroupId, GroupKind, ObjectId, PersonRef, ProfileId, UnitCode, UserKind};

/// See the file.
pub struct Start;

/// What `session.start` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Profiles of the login to show; left out, all of them.
    #[serde(default, deserialize_with = "bounded::at_most::<32, _, _>")]
    #[schemars(length(max = 32))]
    pub profiles: Vec<ProfileId>,
}

/// What `session.start` gives.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// One screen for each profile of the login that holds today.
    pub screens: Vec<Screen>,
    /// Units that could not answer, each with why; their screens are missing here, and nothing else is.
    #[serde(default)]
    pub degraded: Vec<Degraded>,
    /// Units of the login that were not asked, because it has more than one first screen holds; name a profile there to read
    /// it.
    #[serde(default)]
    pub further: Vec<UnitCode>,
    /// How service is, when it is not as usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
}

/// The first screen of one profile.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Screen {
    /// Who.
    pub person: PersonRef,
    /// In what capacity.
    pub kind: UserKind,
    /// The unit's name.
    pub unit: String,
    /// The groups the profile sees.
    pub groups: Vec<GroupName>,
    /// What waits.
    pub badge: Badge,
    /// The newest threads, read or not, at most ten.
    pub threads: Vec<ThreadSummary>,
    /// Where `thread.list` goes on; absent when these are all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads_cursor: Option<Cursor>,
    /// The beginnings of the newest posts, at most ten.
    pub posts: Vec<PostView>,
    /// The newest notifications, at most ten.
    pub notifications: Vec<NotificationView>,
}

/// A group by name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct GroupName {
    /// The group.
    pub group: GroupId,
    /// Its name.
    pub name: String,
    /// What it gathers.
    pub kind: GroupKind,
}

/// Items of each list on the first screen: what is seen without scrolling on the largest phone.
const FIRST_SCREEN_ITEMS: usize = 10;
/// Profiles of one login in one unit that are shown. Somebody may be teacher, guardian and administrator at one school.
const PROFILES_IN_UNIT_MAX: usize = 4;
/// Groups of a profile that are named; an adviser may see every class of a large school.
const GROUPS_NAMED_MAX: usize = 50;

impl Operation for Start {
    const DECLARATION: Declaration = Declaration {
        name: "session.start",
        summary: "Read the first screen of a login: each profile with its newest threads, posts, notifications and badge.",
        kind: Kind::Query,
        rest: Some(Rest::new(Method::Get, "/v1/session")),
        work: Importance::by_staff(Work::Staff, Work::Messages),
        rights: &[],
        errors: &[&error::NOT_SIGNED_IN],
    };
    type Input = Input;
    type Output = Output;

    fn target(_: &Input) -> Target {
        Target::EveryOwn
    }

    fn acts_as(_: &Input) -> Option<&ProfileId> {
        None
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Output, Refusal> {
        let subject = cx
            .caller()
            .subject
            .as_ref()
            .ok_or_else(|| error::NOT_SIGNED_IN.refuse(""))?;
        let own = cx
            .roster()
            .profiles_of(subject)
            .filter(|profile| profile.holds(cx.today()))
            .filter(|profile| cx.caller().scope.admits(&profile.id));
        let wanted =
            own.filter(|profile| input.profiles.is_empty() || input.profiles.contains(&profile.id));
        let wanted: Vec<ProfileId> = wanted
            .take(PROFILES_IN_UNIT_MAX)
            .map(|profile| profile.id.clone())
            .collect();
        let mut screens = Vec::with_capacity(wanted.len());
        for profile in wanted {
            screens.push(screen(cx, &profile).await?);
        }
        Ok(Output {
            screens,
            ..Output::default()
        })
    }

    fn within(input: &Input) -> Option<Vec<UnitCode>> {
        let units = input.profiles.iter().map(|profile| profile.unit().clone());
        (!input.profiles.is_empty()).then(|| units.collect())
    }

    fn merge(_: &Input, outputs: Vec<Output>, missing: Missing) -> Option<Output> {
        let screens = outputs
            .into_iter()
            .flat_map(|output| output.screens)
            .collect();
        Some(Output {
            screens,
            degraded: missing.degraded,
            further: missing.further,
            service: missing.reduced,
        })
    }
}

async fn screen(cx: &mut Context<'_, '_>, id: &ProfileId) -> Result<Screen, Refusal> {
    let profile = cx.acting(id)?;
    let kind = profile.kind;
    let groups = cx.roster().groups_seen(profile, cx.today());
    let groups = groups
        .iter()
        .filter_map(|id| cx.roster().group(id))
        .take(GROUPS_NAMED_MAX);
    let groups = groups
        .map(|group| GroupName {
            group: group.id.clone(),
            name: group.name.clone(),
            kind: group.kind,
        })
        .collect();
    let window = threads::window(cx, id, FIRST_SCREEN_ITEMS, None, false).await?;
    let posts = posts::newest(cx, id, FIRST_SCREEN_ITEMS).await?;
    Ok(Screen {
        person: PersonRef::of(cx.roster(), id),
        kind,
        unit: cx
            .roster()
            .unit()
            .map(|unit| unit.name.clone())
            .unwrap_or_default(),
        groups,
        badge: badge::of(cx, id).await?,
        threads: window.threads,
        threads_cursor: window.cursor,
        posts: posts.into_iter().map(PostView::excerpt).collect(),
        notifications: notifications::newest(cx, id, FIRST_SCREEN_ITEMS).await?,
    })
}
