//! From recovering to active: history that was read and publications that came meanwhile become one
//! unbroken run.

use std::sync::Arc;

use klokke_protocol::{self as wire, ChannelName, Epoch};

use super::encode::Form;
use super::membership::Late;
use super::publication::{Item, Publication};
use super::subscriber::{Marks, Subscriber};
use super::{ConnKey, Hub, Measure};

/// What was read of a channel's stream, as one consistent reading.
#[derive(Debug, Clone, Default)]
pub struct Backlog {
    /// The stream.
    pub epoch: Epoch,
    /// Its top at the reading.
    pub top: u64,
    /// Publications read, ascending, without gaps among them. What the subscriber may not see stands in it
    /// with [`Audience::NONE`](super::Audience::NONE), so that its offset counts.
    pub publications: Vec<Arc<Publication>>,
}

/// A subscription that is active now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Activation {
    /// The stream.
    pub epoch: Epoch,
    /// Its top as far as it was read or buffered: the first push has the offset after it.
    pub top: u64,
    /// First offset of the unbroken run that ends at `top`; `top + 1` when nothing was read.
    pub unbroken_from: u64,
    /// The run as this subscriber may see it, ascending.
    pub publications: Vec<wire::Publication>,
}

/// Why a subscription could not become active. It is still in the hub, and gets nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ActivateError {
    /// It ended meanwhile.
    #[error("not subscribed")]
    NotSubscribed,
    /// What was read and what came meanwhile leave a hole, or too much came.
    #[error("insufficient state")]
    Insufficient,
    /// A payload cannot be told in the connection's codec.
    #[error("inappropriate protocol")]
    Inappropriate,
}

impl Hub {
    /// Makes a positioned subscription active at the top of `backlog` and what was buffered since.
    ///
    /// # Errors
    /// See [`ActivateError`]. The caller ends the subscription then.
    pub fn activate(
        &mut self,
        conn: ConnKey,
        name: &ChannelName,
        backlog: Backlog,
        now_ms: u64,
    ) -> Result<Activation, ActivateError> {
        let (channel, place) = self
            .subscription(conn, name)
            .ok_or(ActivateError::NotSubscribed)?;
        let subscriber = &mut channel.subscribers[place];
        if !subscriber.marks.has(Marks::RECOVERING) {
            return Err(ActivateError::NotSubscribed);
        }
        let buffer = subscriber.take_buffer();
        if buffer.overflowed {
            return Err(ActivateError::Insufficient);
        }
        let (streamed, late) = buffer.items.into_iter().partition::<Vec<_>, _>(is_streamed);
        if channel.epoch != backlog.epoch && !streamed.is_empty() {
            return Err(ActivateError::Insufficient);
        }
        channel.enter_epoch(&backlog.epoch);
        let run = merge(backlog, streamed, channel.epoch_number)?;
        let subscriber = &mut channel.subscribers[place];
        subscriber.position = run.top;
        subscriber.epoch = channel.epoch_number;
        let publications = disclosed(subscriber, &run.publications, now_ms)?;
        subscriber.marks.set(Marks::RECOVERING, false);
        subscriber.trim();
        let activation = Activation {
            epoch: channel.epoch.clone(),
            top: run.top,
            unbroken_from: run.unbroken_from,
            publications,
        };
        if !late.is_empty() {
            let attempt = subscriber.attempt;
            self.late.push(Late {
                conn,
                channel: name.clone(),
                attempt,
                items: Some(late),
            });
        }
        Ok(activation)
    }
}

fn is_streamed(buffered: &(u32, Item)) -> bool {
    buffered.1.offset() > 0
}

/// History and what came after it.
struct Run {
    top: u64,
    unbroken_from: u64,
    publications: Vec<Arc<Publication>>,
}

/// Appends live publications to what was read: those at or below the top are known, the others must
/// follow it one by one.
fn merge(
    backlog: Backlog,
    live: Vec<(u32, Item)>,
    epoch_number: u32,
) -> Result<Run, ActivateError> {
    let mut top = backlog.top;
    let mut publications = backlog.publications;
    for (epoch, item) in live {
        let Item::Publication(publication) = item else {
            continue;
        };
        if publication.offset <= top {
            continue;
        }
        if epoch != epoch_number || publication.offset != top + 1 {
            return Err(ActivateError::Insufficient);
        }
        top = publication.offset;
        publications.push(publication);
    }
    let mut unbroken_from = top + 1;
    for publication in publications.iter().rev() {
        if publication.offset + 1 != unbroken_from {
            break;
        }
        unbroken_from = publication.offset;
    }
    Ok(Run {
        top,
        unbroken_from,
        publications,
    })
}

/// The run through the subscriber's lens and filter, as deltas where that was agreed.
fn disclosed(
    subscriber: &Subscriber,
    run: &[Arc<Publication>],
    now_ms: u64,
) -> Result<Vec<wire::Publication>, ActivateError> {
    let codec = subscriber.wire.codec();
    let form = if subscriber.marks.has(Marks::DELTA) {
        Form::Fresh
    } else {
        Form::Plain
    };
    let mut base: Option<&Arc<Publication>> = None;
    let mut shown = Vec::with_capacity(run.len());
    for publication in run {
        let measure = subscriber.measure(publication, now_ms);
        if measure == Measure::Hidden {
            base = None;
            continue;
        }
        let shape = form.with_base(base.filter(|_| measure == Measure::Full));
        let message = publication.to_wire(codec, measure, shape);
        shown.push(message.ok_or(ActivateError::Inappropriate)?);
        base = (measure == Measure::Full).then_some(publication);
    }
    Ok(shown)
}
