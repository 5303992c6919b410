//! The ledger: the ordered, durable history of one unit, and the actor that writes it.
//!
//! This room knows commits, records, entries, channels and offsets. It knows nothing of people,
//! rights, operations or sockets: it is generic over [`State`] (what must be resident for a
//! decision) and runs opaque [`Job`]s.
//!
//! # The words
//!
//! - A [`Commit`] changes **records** (key to value, what *is*) and appends **entries** to
//!   **channels** (what was *said*), atomically; entries are what people see.
//! - A [`Job`] is a function over a [`View`] of one ledger: it checks, reads and stages. The
//!   commit is made of what it staged.
//! - [`Ledgers`] is the handle to all ledgers, usable from any thread.
//!
//! # What is promised
//!
//! - Jobs of one ledger run one at a time; each sees everything earlier ones did.
//! - Durable, then applied to the state, then delivered to every shard, then answered.
//! - What a job staged is committed whole or not at all; a refusal leaves nothing.
//! - A retry with the same idempotency key gets the first answer and changes nothing.
//! - Deliveries of one ledger reach each shard in the order of `seq`, and the answer of an
//!   [`Ledgers::enter`] made at position N comes after the delivery of N and before N + 1.
//!
//! # How a job is written
//!
//! ```
//! use async_trait::async_trait;
//! use bytes::Bytes;
//! use klokke::ledger::{ChannelName, Content, Job, RecordKey, Refusal, State, View};
//!
//! /// Counts a visit and tells a channel about it.
//! struct Visit {
//!     room: String,
//! }
//!
//! #[async_trait(?Send)]
//! impl<S: State> Job<S> for Visit {
//!     async fn run(&mut self, cx: &mut View<'_, S>) -> Result<Bytes, Refusal> {
//!         // 1. Check: against cx.state() (rights) and records.
//!         if self.room.is_empty() {
//!             return Err(Refusal::new(107, "visit.room_missing", "name a room"));
//!         }
//!         // 2. Read: own changes and those of earlier jobs are seen.
//!         let key = RecordKey::from(format!("visits/{}", self.room));
//!         let visits: u32 = cx.get(&key).await?.unwrap_or(0) + 1;
//!         // 3. Stage. Nothing is visible to anybody before it is durable.
//!         cx.put(&key, &visits)?;
//!         let id = cx.next_id("v").await?;
//!         let channel = ChannelName::parse("unit:G10001").expect("a valid name");
//!         let full = Bytes::from(format!("{{\"visit\":\"{id}\"}}"));
//!         cx.append([channel], Content { full, ..Content::default() });
//!         // 4. The outcome; a retry with the same idempotency key gets these bytes again.
//!         Ok(Bytes::from(id))
//!     }
//! }
//! ```
//!
//! It is run with
//! `ledgers.call(&ledger, Call::new("visit", actor, Visit { room }).with_key(key)).await`, which
//! returns [`Done`] when all of it is durable and on its way to every shard.

mod actor;
mod base;
mod cache;
mod codec;
#[cfg(test)]
mod codec_tests;
mod commit;
pub mod copy;
mod counts;
pub(crate) mod derived;
#[cfg(test)]
mod figures_tests;
mod foreign;
#[cfg(test)]
mod foreign_tests;
mod handle;
pub mod inspect;
mod job;
mod name;
#[cfg(test)]
mod oracle_tests;
mod outbox;
pub(crate) mod planted;
mod port;
pub mod retention;
mod ring;
mod round;
mod state;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
mod view;
mod waiting;
mod weight;
mod wire;

pub use klokke_protocol::{ChannelName, Epoch};

pub(crate) use cache::Cache;
pub use codec::{COMMIT_FORMAT, DecodeError, SealedCommit};
pub use commit::{
    Actor, Audience, Commit, CommitHash, Content, Entry, IdempotencyKey, IndexKey, KEY_BYTES_MAX,
    OutboxItem, Publisher, ROUTE_KEY_TTL_MS, RecordChange, RecordKey,
};
pub use foreign::News;
pub use handle::{Entered, Entries, IDLE_UNLOAD, Ledgers, MAILBOX_CALLS, Setup};
pub use job::{Append, Call, CallError, Done, Job, Refusal};
pub use name::{
    DOMAIN_NAMESPACES, LEDGER_ID_BYTES_MAX, LedgerId, LedgerIdError, NAMESPACE_BUCKETS,
};
pub use port::{
    Clock, Delivery, Herald, Inbox, NoHerald, NoInbox, Outlet, ShardAnswer, ShardGone, SpawnTask,
    Spawner, SystemClock,
};
pub use state::{Damage, State};
pub use view::{SCAN_LIMIT_MAX, View};
