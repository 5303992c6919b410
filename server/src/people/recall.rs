//! Old entries of a channel, as a viewer may see them now: the way out for history and recovery.

use bytes::Bytes;
use klokke_protocol::Epoch;
use tokio::sync::oneshot;

use super::disclose::{Disclosure, Subject, Viewer, disclose};
use super::{Roster, SubjectId};
use crate::ledger::{Actor, Call, CallError, ChannelName, Job, LedgerId, Ledgers, Refusal, View};
use crate::store::{ChannelEntry, ChannelHead, EntryRange};

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
    let (shown, answer) = oneshot::channel();
    let actor = Actor {
        subject: viewer.subject.as_str().into(),
        profile: None,
        door: "server".into(),
    };
    let job = Measuring {
        entries: read.entries,
        viewer,
        shown: Some(shown),
    };
    ledgers
        .call(ledger, Call::new("channel.recall", actor, job))
        .await?;
    let entries = answer.await.map_err(|_| CallError::Closed)?;
    Ok(Recalled {
        entries,
        head: read.head,
        epoch: read.epoch,
    })
}

/// Measures entries inside the ledger, where roster and records are. Stages nothing.
struct Measuring {
    entries: Vec<ChannelEntry>,
    viewer: Viewer,
    shown: Option<oneshot::Sender<Vec<Shown>>>,
}

#[async_trait::async_trait(?Send)]
impl Job<Roster> for Measuring {
    async fn run(&mut self, view: &mut View<'_, Roster>) -> Result<Bytes, Refusal> {
        let mut shown = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let content = &entry.entry.content;
            let subject = match &content.subject {
                Some(key) => view
                    .get_raw(key)
                    .await?
                    .map(|record| Subject::from_record(&record)),
                None => None,
            };
            let disclosure = disclose(&self.viewer, view.state(), content, subject.as_ref());
            shown.push(Shown {
                entry: entry.clone(),
                disclosure,
            });
        }
        if let Some(sender) = self.shown.take() {
            // Whoever asked may be gone; then nobody misses it.
            let _ = sender.send(shown);
        }
        Ok(Bytes::new())
    }
}

impl Viewer {
    /// A login looking through a lens.
    #[must_use]
    pub const fn new(subject: SubjectId, lens: super::Lens, now_ms: u64) -> Self {
        Self {
            subject,
            profile: None,
            lens,
            now_ms,
        }
    }
}
