//! Old entries of a channel, as a viewer may see them now: the way out for history and recovery. Who gets sensitive ones
//! in full is written down, before they leave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use klokke_protocol::Epoch;

use super::disclose::{Disclosure, Subject, Viewer, disclose, is_sensitive};
use super::show::{is_barred, note, profile_behind};
use super::{Roster, SubjectId, day};
use crate::ledger::{
    Actor, Call, CallError, ChannelName, Job, LedgerId, Ledgers, RecordKey, Refusal, View,
};
use crate::store::{ChannelEntry, ChannelHead, EntryRange};
use crate::telemetry::Count;

/// Most entries of one recall: what the client protocol recovers at once by default.
pub const RECALL_MAX: usize = 300;

/// One entry, as it may be seen.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The entry as stored, with offset, tags and time. Its content is not for the viewer; `disclosure` is.
    pub entry: ChannelEntry,
    /// What the viewer gets.
    pub disclosure: Disclosure,
}

/// Entries of a channel with where it stands.
#[derive(Debug, Clone)]
pub struct Recalled {
    /// The entries in the order asked, hidden ones among them so that offsets have no gaps.
    pub entries: Vec<Shown>,
    /// Extent of the channel.
    pub head: ChannelHead,
    /// The ledger's epoch.
    pub epoch: Epoch,
    /// Whether the store had to be read.
    pub from_store: bool,
}

/// Reads entries of a channel and measures each for `viewer`, by the roster and the records of now.
///
/// # Errors
/// As any call of a ledger.
pub async fn recall(
    ledgers: &Ledgers<Roster>,
    ledger: &LedgerId,
    channel: &ChannelName,
    range: EntryRange,
    viewer: Viewer,
) -> Result<Recalled, CallError> {
    let range = EntryRange {
        limit: range.limit.min(RECALL_MAX),
        ..range
    };
    let read = ledgers.read(ledger, channel, range).await?;
    let shown = Arc::new(Mutex::new(None));
    let actor = Actor {
        subject: viewer.subject.as_str().into(),
        profile: None,
        door: "rpc".into(),
    };
    let job = Measuring {
        channel: channel.clone(),
        entries: read.entries,
        viewer,
        shown: Arc::clone(&shown),
    };
    ledgers
        .call(ledger, Call::new("channel.recall", actor, job))
        .await?;
    let entries = lock(&shown).take().ok_or(CallError::Closed)?;
    Ok(Recalled {
        entries,
        head: read.head,
        epoch: read.epoch,
        from_store: read.from_store,
    })
}

/// Measures entries inside the ledger, where roster and records are. Stages nothing but the log of who saw what.
struct Measuring {
    channel: ChannelName,
    entries: Vec<ChannelEntry>,
    viewer: Viewer,
    /// What the last run found: another run may follow, over a newer roster, when somebody else wrote first.
    shown: Arc<Mutex<Option<Vec<Shown>>>>,
}

/// Nothing done under this lock can panic half way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait::async_trait(?Send)]
impl Job<Roster> for Measuring {
    async fn run(&mut self, view: &mut View<'_, Roster>) -> Result<Bytes, Refusal> {
        let today = day::day_at(view.now_ms());
        let behind = profile_behind(view.state(), &self.viewer.subject, &self.channel, today);
        self.viewer.profile = behind;
        let is_barred = is_barred(view.state(), &self.viewer.subject, &self.channel, today);
        let mut known = Known::default();
        let mut shown = Vec::with_capacity(self.entries.len());
        let mut seen = BTreeSet::new();
        for entry in &self.entries {
            let content = &entry.entry.content;
            let subject = known.subject(view, content.subject.as_ref()).await?;
            let part_of = subject
                .as_ref()
                .and_then(|subject| subject.part_of.as_deref());
            let part_of = part_of.map(RecordKey::from);
            let whole = known.subject(view, part_of.as_ref()).await?;
            let (subject, whole) = (subject.as_ref(), whole.as_ref());
            let disclosure = if is_barred {
                Disclosure::Hidden
            } else {
                disclose(&self.viewer, view.state(), content, subject, whole)
            };
            if matches!(disclosure, Disclosure::Full(_)) && is_sensitive(content, subject) {
                let what = part_of.or_else(|| content.subject.clone());
                seen.insert(what.unwrap_or_else(|| self.channel.as_str().into()));
            }
            shown.push(Shown {
                entry: entry.clone(),
                disclosure,
            });
        }
        for what in &seen {
            note(view, &self.viewer, what).await?;
        }
        *lock(&self.shown) = Some(shown);
        Ok(Bytes::new())
    }
}

/// The records that entries of one page speak of, each read once.
#[derive(Default)]
struct Known(BTreeMap<RecordKey, Option<Subject>>);

impl Known {
    async fn subject(
        &mut self,
        view: &View<'_, Roster>,
        key: Option<&RecordKey>,
    ) -> Result<Option<Subject>, Refusal> {
        let Some(key) = key else {
            return Ok(None);
        };
        if let Some(known) = self.0.get(key) {
            return Ok(known.clone());
        }
        let record = view.get_raw(key).await?;
        let subject = record.map(|record| Subject::from_record(&record));
        self.0.insert(key.clone(), subject.clone());
        Ok(subject)
    }
}

impl Viewer {
    /// A login looking through a lens.
    #[must_use]
    pub fn new(subject: SubjectId, lens: super::Lens, now_ms: u64) -> Self {
        Self {
            subject,
            profile: None,
            lens,
            now_ms,
            withheld: Count::default(),
        }
    }
}
