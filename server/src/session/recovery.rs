//! What a client is told of its stream when a subscription becomes active: recovered or not, from where
//! (`docs/protocol.md`, section 5).

use klokke_protocol::SubscribeResult;

use super::subscription::Joining;
use super::{RecoveryMode, Subscribed};

/// Recovery failed and the client wanted that refused (error 112).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unrecoverable;

/// The part of a subscribe result that speaks of the stream.
pub(super) fn result(
    joining: &Joining,
    subscribed: Subscribed,
) -> Result<SubscribeResult, Unrecoverable> {
    let wish = &joining.wish;
    let mut result = SubscribeResult {
        recoverable: joining.is_recoverable,
        positioned: joining.is_positioned,
        was_recovering: wish.since.is_some(),
        delta: joining.delta,
        ..SubscribeResult::default()
    };
    if joining.is_positioned {
        subscribed.epoch.as_str().clone_into(&mut result.epoch);
        result.offset = subscribed.top;
    }
    let recovered = match wish.mode {
        _ if !joining.is_recoverable => None,
        RecoveryMode::Stream => missed(joining, &subscribed),
        RecoveryMode::Cache => newest(joining, &subscribed),
    };
    match recovered {
        Some(recovered) => {
            result.recovered = true;
            result.offset = recovered.offset;
            let from = recovered.first_offset;
            let publications = subscribed.publications.into_iter();
            result.publications = publications.filter(|it| it.offset >= from).collect();
        }
        None if wish.since.is_some() && wish.must_recover => return Err(Unrecoverable),
        None => {}
    }
    Ok(result)
}

struct Recovered {
    /// The offset told to the client.
    offset: u64,
    /// Publications from here on are given.
    first_offset: u64,
}

/// Stream mode: everything after the client's position, or nothing. The offset told is the client's own; it
/// moves on as it takes the publications.
fn missed(joining: &Joining, subscribed: &Subscribed) -> Option<Recovered> {
    let since = joining.wish.since.as_ref()?;
    let same_epoch = since.epoch.is_empty() || since.epoch == subscribed.epoch.as_str();
    let is_within = since.offset <= subscribed.top;
    let is_unbroken = subscribed.unbroken_from <= since.offset.saturating_add(1);
    (same_epoch && is_within && is_unbroken).then_some(Recovered {
        offset: since.offset,
        first_offset: since.offset.saturating_add(1),
    })
}

/// Cache mode: the newest publication, unless the client has it.
fn newest(joining: &Joining, subscribed: &Subscribed) -> Option<Recovered> {
    let wish = &joining.wish;
    if wish.since.is_none() && !wish.newest_anyway {
        return None;
    }
    let top = subscribed.top;
    let is_kept = top > 0 && subscribed.unbroken_from <= top;
    let has_it = wish.since.as_ref().is_some_and(|since| {
        since.offset > 0 && since.offset == top && since.epoch == subscribed.epoch.as_str()
    });
    is_kept.then_some(Recovered {
        offset: top,
        first_offset: if has_it { top + 1 } else { top },
    })
}
