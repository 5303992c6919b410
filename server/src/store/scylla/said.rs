//! Reads of what was said: commits, and the entries that lie in channels. All checked: checksum, place, chain, no gap.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};

use super::Inner;
use super::rows::{NumberValue, PARTS, big, open_some, part, split, unsigned};
use crate::ledger::{ChannelName, LedgerId, SealedCommit};
use crate::store::fault::{at, derived};
use crate::store::rows::{EntryValue, Kind, open};
use crate::store::{
    ChannelEntry, ChannelHead, Damaged, EntryRange, EntryRow, Order, Place, StoreError, keys,
};

/// Rows of commits read at once; each is a batch.
const ROWS_PAGE: i32 = 64;

/// Commits may lie so many times as far apart as they are many, and are still read in a row: most lie in the same batches.
const CLOSE: usize = 4;

/// Names asked for in one request.
const NAMES_PAGE: usize = 100;

/// A row of commits: one batch.
#[derive(Debug, Clone)]
pub(super) struct BatchRow {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) data: Bytes,
}

/// A batch that is being read, for all who want it. What was written once never changes, so nobody can be given
/// something too old; no other read is shared.
pub(super) type Flight = Shared<BoxFuture<'static, Result<Arc<[SealedCommit]>, StoreError>>>;

type RowColumns = (i64, Option<i64>, Option<Bytes>);
type ChannelColumns = (String, Option<Bytes>, Option<Bytes>);

impl Inner {
    /// The row that holds a commit, if there is one.
    pub(super) async fn batch_row(
        &self,
        ledger: &LedgerId,
        seq: u64,
    ) -> Result<Option<BatchRow>, StoreError> {
        let mut bucket = self.bucket(seq);
        let lowest = self.lowest_bucket(seq);
        loop {
            let values = (ledger.as_str(), big(bucket), big(seq));
            let statement = &self.cql.statements.commits_at;
            let rows = self.cql.read(statement, values).await?;
            let row = rows.maybe_first_row::<RowColumns>();
            let row = row.map_err(|_| at(ledger, seq, "the row has another shape"))?;
            if let Some(row) = row.and_then(batch_of) {
                return Ok((row.last >= seq).then_some(row));
            }
            if bucket == lowest {
                return Ok(None);
            }
            bucket -= 1;
        }
    }

    /// One commit that must be there.
    pub(super) async fn one(
        self: &Arc<Self>,
        ledger: &LedgerId,
        seq: u64,
    ) -> Result<SealedCommit, StoreError> {
        let place = (ledger.clone(), seq);
        if let Some(sealed) = self.cache.find(&place) {
            return Ok(sealed);
        }
        let (flight, is_shared) = self.flights.join(&place, || {
            let (inner, ledger) = (Arc::clone(self), ledger.clone());
            async move {
                let row = inner.batch_row(&ledger, seq).await?;
                let row = row.ok_or_else(|| at(&ledger, seq, "the commit is missing"))?;
                Ok(open_batch(&ledger, row)?.into())
            }
            .boxed()
            .shared()
        });
        if is_shared {
            self.counts.shared();
        }
        let commits = flight.await;
        self.flights.leave(&place);
        let commits = commits?;
        for sealed in commits.iter() {
            let place = (ledger.clone(), sealed.commit.seq);
            self.cache.keep(place, sealed);
        }
        let found = commits.iter().find(|sealed| sealed.commit.seq == seq);
        found
            .cloned()
            .ok_or_else(|| at(ledger, seq, "the commit is missing"))
    }

    /// Commits above `after` that are there, at most `limit`, dense and chained.
    pub(super) async fn commits_after(
        &self,
        ledger: &LedgerId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<SealedCommit>, StoreError> {
        let mut found: Vec<SealedCommit> = Vec::new();
        let mut next = after.saturating_add(1);
        // The first may lie in the middle of a batch.
        let mut rows = match self.batch_row(ledger, next).await? {
            Some(row) => vec![row],
            None => return Ok(found),
        };
        while found.len() < limit && !rows.is_empty() {
            for row in rows {
                for sealed in open_batch(ledger, row)? {
                    let seq = sealed.commit.seq;
                    if seq < next || found.len() == limit {
                        continue;
                    }
                    let prev = found.last().map(|sealed| sealed.hash);
                    if seq != next || prev.is_some_and(|prev| prev != sealed.commit.prev_hash) {
                        let what = match seq == next {
                            true => "the hash chain is broken",
                            false => "the commit is missing",
                        };
                        return Err(at(ledger, next, what));
                    }
                    next += 1;
                    found.push(sealed);
                }
            }
            if found.len() == limit {
                break;
            }
            let values = (
                ledger.as_str(),
                big(self.bucket(next)),
                big(next),
                ROWS_PAGE,
            );
            let statement = &self.cql.statements.commits_from;
            let answer = self.cql.read(statement, values).await?;
            let shape = |_| at(ledger, next, "the row has another shape");
            rows = Vec::new();
            for row in answer.rows::<RowColumns>().map_err(|_| shape(()))? {
                rows.extend(batch_of(row.map_err(|_| shape(()))?));
            }
        }
        Ok(found)
    }

    /// Extent of some channels, in the order asked.
    pub(super) async fn extents(
        &self,
        ledger: &LedgerId,
        names: &[ChannelName],
    ) -> Result<Vec<ChannelHead>, StoreError> {
        let mut places: Vec<(i32, Vec<String>)> = Vec::new();
        let mut sorted: Vec<&ChannelName> = names.iter().collect();
        sorted.sort_by_key(|name| part(name.as_str(), PARTS));
        for name in sorted {
            let place = part(name.as_str(), PARTS);
            let name = name.as_str().to_owned();
            match places.last_mut() {
                Some((last, group)) if *last == place && group.len() < NAMES_PAGE => {
                    group.push(name);
                }
                _ => places.push((place, vec![name])),
            }
        }
        let mut reads = Vec::with_capacity(places.len());
        for (place, group) in places {
            reads.push(self.extents_of(ledger, place, group));
        }
        let found = self.cql.abreast(reads).await?;
        let found: hashbrown::HashMap<_, _> = found.into_iter().flatten().collect();
        let head = |name| found.get(name).copied().unwrap_or_default();
        Ok(names.iter().map(head).collect())
    }

    async fn extents_of(
        &self,
        ledger: &LedgerId,
        place: i32,
        names: Vec<String>,
    ) -> Result<Vec<(ChannelName, ChannelHead)>, StoreError> {
        let statement = &self.cql.statements.channel;
        let values = (ledger.as_str(), place, names);
        let answer = self.cql.read(statement, values).await?;
        let wrong = || derived(ledger, "a channel's row has another shape");
        let mut found = Vec::new();
        for row in answer.rows::<ChannelColumns>().map_err(|_| wrong())? {
            let (name, top, trimmed) = row.map_err(|_| wrong())?;
            let name = ChannelName::parse(&name)
                .map_err(|_| derived(ledger, "the key of a channel is unreadable"))?;
            let head = extent(ledger, &name, top, trimmed)?;
            found.push((name, head));
        }
        Ok(found)
    }

    /// Channels of a ledger, partition by partition, which is an order too.
    pub(super) async fn channels(
        &self,
        ledger: &LedgerId,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<Vec<ChannelName>, StoreError> {
        let first = after.map_or(0, |name| part(name.as_str(), PARTS));
        let mut after = after.map_or("", ChannelName::as_str);
        let mut found = Vec::new();
        for place in first..i32::try_from(PARTS).unwrap_or(0) {
            let left = i32::try_from(limit - found.len()).unwrap_or(i32::MAX);
            if left == 0 {
                break;
            }
            let statement = &self.cql.statements.channels;
            let values = (ledger.as_str(), place, after, left);
            let answer = self.cql.read(statement, values).await?;
            let wrong = || derived(ledger, "a channel's row has another shape");
            for row in answer
                .rows::<(String, Option<Bytes>)>()
                .map_err(|_| wrong())?
            {
                let (name, top) = row.map_err(|_| wrong())?;
                let name = ChannelName::parse(&name)
                    .map_err(|_| derived(ledger, "the key of a channel is unreadable"))?;
                extent(ledger, &name, top, None)?;
                found.push(name);
            }
            after = "";
        }
        Ok(found)
    }

    /// Rows of a channel, dense, complete at both ends.
    pub(super) async fn rows_in(
        &self,
        ledger: &LedgerId,
        name: &ChannelName,
        range: EntryRange,
    ) -> Result<Vec<EntryRow>, StoreError> {
        let head = self.extent(ledger, name).await?;
        match self.rows_within(ledger, name, range, head).await {
            Err(StoreError::Damaged(gap)) => {
                // Retention may have come between.
                let now = self.extent(ledger, name).await?;
                if now.trimmed == head.trimmed {
                    return Err(gap.into());
                }
                self.rows_within(ledger, name, range, now).await
            }
            read => read,
        }
    }

    pub(super) async fn extent(
        &self,
        ledger: &LedgerId,
        name: &ChannelName,
    ) -> Result<ChannelHead, StoreError> {
        let heads = self.extents(ledger, std::slice::from_ref(name)).await?;
        Ok(heads.first().copied().unwrap_or_default())
    }

    async fn rows_within(
        &self,
        ledger: &LedgerId,
        name: &ChannelName,
        range: EntryRange,
        head: ChannelHead,
    ) -> Result<Vec<EntryRow>, StoreError> {
        let (mut from, mut to) = (range.from.max(head.trimmed + 1), range.to.min(head.top));
        let mut found = Vec::new();
        while from <= to && found.len() < range.limit {
            let span = self.span(if range.order == Order::Ascending {
                from
            } else {
                to
            });
            let (low, high) = self.offsets_of(span);
            let (low, high) = (low.max(from), high.min(to));
            let left = range.limit - found.len();
            let wanted = usize::try_from(high - low + 1).unwrap_or(left).min(left);
            let statement = match range.order {
                Order::Ascending => &self.cql.statements.entries_up,
                Order::Descending => &self.cql.statements.entries_down,
            };
            let limit = i32::try_from(wanted).unwrap_or(i32::MAX);
            let values = (
                ledger.as_str(),
                name.as_str(),
                big(span),
                big(low),
                big(high),
                limit,
            );
            let answer = self.cql.read(statement, values).await?;
            let wrong = || derived(ledger, "an entry's row has another shape");
            let mut rows = answer.rows::<(i64, Option<Bytes>)>().map_err(|_| wrong())?;
            for i in 0..wanted as u64 {
                let offset = match range.order {
                    Order::Ascending => low + i,
                    Order::Descending => high - i,
                };
                let row = rows.next().transpose().map_err(|_| wrong())?;
                found.push(entry_row(ledger, name, offset, row)?);
            }
            match range.order {
                Order::Ascending => from = high + 1,
                Order::Descending => to = low - 1,
            }
        }
        Ok(found)
    }

    /// Some commits, ascending: in a row where they lie close together, else one by one.
    async fn commits_of(
        self: &Arc<Self>,
        ledger: &LedgerId,
        seqs: &[u64],
    ) -> Result<Vec<(u64, SealedCommit)>, StoreError> {
        let (Some(first), Some(last)) = (seqs.first(), seqs.last()) else {
            return Ok(Vec::new());
        };
        let between = usize::try_from(last - first + 1).unwrap_or(usize::MAX);
        if seqs.len() > 1 && between <= seqs.len().saturating_mul(CLOSE) {
            let page = self.commits_after(ledger, first - 1, between).await?;
            return Ok(page
                .into_iter()
                .map(|sealed| (sealed.commit.seq, sealed))
                .collect());
        }
        let reads = seqs.iter().copied();
        let reads = reads.map(async |seq| Ok((seq, self.one(ledger, seq).await?)));
        self.cql.abreast(reads).await
    }

    /// The entries that rows stand for; each must name this channel and offset itself.
    pub(super) async fn bodies(
        self: &Arc<Self>,
        ledger: &LedgerId,
        name: &ChannelName,
        rows: Vec<EntryRow>,
    ) -> Result<Vec<ChannelEntry>, StoreError> {
        let mut seqs: Vec<u64> = rows.iter().map(|row| row.seq).collect();
        seqs.sort_unstable();
        seqs.dedup();
        let commits = self.commits_of(ledger, &seqs).await?;
        let commits: hashbrown::HashMap<u64, SealedCommit> = commits.into_iter().collect();
        let body = |row: EntryRow| {
            let commit = commits.get(&row.seq).map(|sealed| &sealed.commit);
            let entry = commit.and_then(|commit| commit.entries.get(row.n as usize));
            let place = (name, row.offset);
            let names = |entry: &&Arc<crate::ledger::Entry>| {
                entry.channels.iter().any(|(name, at)| (name, *at) == place)
            };
            let entry = entry.filter(names);
            let entry =
                entry.ok_or_else(|| at(ledger, row.seq, "the commit lacks an entry of a row"))?;
            Ok(ChannelEntry {
                offset: row.offset,
                seq: row.seq,
                entry: Arc::clone(entry),
            })
        };
        rows.into_iter().map(body).collect()
    }
}

fn batch_of((first, last, data): RowColumns) -> Option<BatchRow> {
    // A row without its batch is what a fence leaves of a bucket that has none.
    Some(BatchRow {
        first: unsigned(first),
        last: unsigned(last?),
        data: data?,
    })
}

/// The commits of a batch, each checked, in its place, and following the one before.
fn open_batch(ledger: &LedgerId, row: BatchRow) -> Result<Vec<SealedCommit>, StoreError> {
    let BatchRow { first, last, data } = row;
    let rows = split(data).map_err(|error| at(ledger, first, &error.to_string()))?;
    if rows.is_empty() || first + rows.len() as u64 - 1 != last {
        return Err(at(ledger, first, "the batch is cut short"));
    }
    let mut commits: Vec<SealedCommit> = Vec::with_capacity(rows.len());
    for (row, seq) in rows.into_iter().zip(first..) {
        let sealed = SealedCommit::decode(row);
        let sealed = sealed.map_err(|error| at(ledger, seq, &error.to_string()))?;
        if sealed.commit.ledger != *ledger || sealed.commit.seq != seq {
            return Err(at(ledger, seq, "another commit lies in its place"));
        }
        let prev = commits.last().map(|before| before.hash);
        if prev.is_some_and(|prev| prev != sealed.commit.prev_hash) {
            return Err(at(ledger, seq, "the hash chain is broken"));
        }
        commits.push(sealed);
    }
    Ok(commits)
}

fn extent(
    ledger: &LedgerId,
    name: &ChannelName,
    top: Option<Bytes>,
    trimmed: Option<Bytes>,
) -> Result<ChannelHead, StoreError> {
    let key = keys::channel(ledger, name);
    let wrong = |what: &'static str| derived(ledger, what);
    let top: Option<NumberValue> = open_some(Kind::Top, &key, top).map_err(wrong)?;
    let trimmed: Option<NumberValue> = open_some(Kind::Trimmed, &key, trimmed).map_err(wrong)?;
    let number = |value: Option<NumberValue>| value.map_or(0, |value| value.number);
    let (top, trimmed) = (number(top), number(trimmed));
    if top < trimmed {
        return Err(wrong("a channel ends before it begins"));
    }
    Ok(ChannelHead { top, trimmed })
}

fn entry_row(
    ledger: &LedgerId,
    name: &ChannelName,
    offset: u64,
    row: Option<(i64, Option<Bytes>)>,
) -> Result<EntryRow, StoreError> {
    let damaged = |what: &str| {
        StoreError::Damaged(Damaged {
            ledger: ledger.as_str().into(),
            place: Place::Offset(offset),
            what: what.into(),
        })
    };
    let row = row.filter(|(there, _)| unsigned(*there) == offset);
    let row = row.and_then(|(_, row)| row);
    let row = row.ok_or_else(|| damaged("the row of an entry is missing"))?;
    let key = keys::entry(ledger, name, offset);
    let value: EntryValue = open(Kind::Entry, &key, &row).map_err(damaged)?;
    Ok(EntryRow {
        offset,
        seq: value.seq,
        n: value.n,
        time_ms: value.time_ms,
    })
}
