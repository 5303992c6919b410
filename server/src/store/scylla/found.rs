//! Reads of what is found by key: records, index, idempotency keys, outbox, the list of ledgers.

use bytes::Bytes;
use scylla::response::query_result::QueryRowsResult;
use scylla::value::CqlValue;

use super::Inner;
use super::derive::small;
use super::merged::merged;
use super::rows::{
    LEDGER_PARTS, PARTS, StateValue, big, blob, group_of, number, part, part_of, record_part,
    removed_at, text, unsigned,
};
use super::session::Write;
use crate::ledger::{IndexKey, LedgerId, RecordKey};
use crate::store::fault::{derived, somewhere};
use crate::store::rows::{IndexValue, KeyValue, Kind, OutboxValue, RecordValue, open};
use crate::store::{Head, OutboxEnd, OutboxKey, Record, Remembered, StoreError, keys};

/// Records asked for in one request.
const KEYS_PAGE: usize = 100;

/// Comes after every text that begins with the prefix it is put behind.
const LAST_CHAR: char = char::MAX;

/// Rows asked for at once, as CQL takes it.
fn rows_max(limit: usize) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX).max(1)
}

impl Inner {
    pub(super) async fn record(
        &self,
        ledger: &LedgerId,
        key: &RecordKey,
    ) -> Result<Option<Record>, StoreError> {
        let place = record_part(key.as_str());
        let found = self
            .records_of(ledger, place, std::slice::from_ref(key))
            .await?;
        Ok(found.into_iter().next().map(|(_, record)| record))
    }

    pub(super) async fn several(
        &self,
        ledger: &LedgerId,
        wanted: &[RecordKey],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        let mut places: Vec<Vec<RecordKey>> = vec![Vec::new(); PARTS as usize];
        for key in wanted {
            let place = usize::try_from(record_part(key.as_str())).unwrap_or(0);
            places[place].push(key.clone());
        }
        let mut reads = Vec::new();
        for (keys, place) in places.iter().zip(0..) {
            for keys in keys.chunks(KEYS_PAGE) {
                reads.push(self.records_of(ledger, place, keys));
            }
        }
        let found = self.cql.abreast(reads).await?;
        let found: hashbrown::HashMap<_, _> = found.into_iter().flatten().collect();
        Ok(wanted.iter().map(|key| found.get(key).cloned()).collect())
    }

    async fn records_of(
        &self,
        ledger: &LedgerId,
        place: i32,
        wanted: &[RecordKey],
    ) -> Result<Vec<(RecordKey, Record)>, StoreError> {
        let names: Vec<&str> = wanted.iter().map(|key| key.as_str()).collect();
        let statement = &self.cql.statements.records;
        let values = (ledger.as_str(), place, names);
        let answer = self.cql.read(statement, values).await?;
        opened(ledger, &answer)
    }

    pub(super) async fn scan(
        &self,
        ledger: &LedgerId,
        prefix: &str,
        after: Option<&RecordKey>,
        limit: usize,
    ) -> Result<Vec<(RecordKey, Record)>, StoreError> {
        let end = format!("{prefix}{LAST_CHAR}");
        let end = end.as_str();
        let after = after.filter(|after| after.as_str() >= prefix).cloned();
        let fetch = async |place, after: Option<RecordKey>, limit| {
            // The next text after a text is that with the least character behind it.
            let start = after.map_or_else(|| prefix.to_owned(), |after| format!("{after}\0"));
            if start.as_str() >= end {
                return Ok(Vec::new());
            }
            let statement = &self.cql.statements.scan;
            let values = (ledger.as_str(), place, start.as_str(), end, rows_max(limit));
            let answer = self.cql.read(statement, values).await?;
            opened(ledger, &answer)
        };
        match group_of(prefix) {
            _ if limit == 0 => Ok(Vec::new()),
            Some(_) => fetch(record_part(prefix), after, limit).await,
            None => merged(PARTS, after, limit, fetch).await,
        }
    }

    pub(super) async fn lookup(
        &self,
        index: &IndexKey,
        after: Option<&(LedgerId, RecordKey)>,
        limit: usize,
    ) -> Result<Vec<(LedgerId, RecordKey)>, StoreError> {
        let (ledger, record) =
            after.map_or(("", ""), |(ledger, key)| (ledger.as_str(), key.as_str()));
        let statement = &self.cql.statements.lookup;
        let values = (index.as_str(), ledger, record, rows_max(limit));
        let answer = self.cql.read(statement, values).await?;
        let wrong = || somewhere("an index row has another shape");
        let rows = answer.rows::<(String, String, Option<Bytes>)>();
        let mut found = Vec::new();
        for row in rows.map_err(|_| wrong())? {
            let (ledger, record, row) = row.map_err(|_| wrong())?;
            let ledger = parse(&ledger)?;
            let record = RecordKey::from(record);
            let key = keys::index_row(index, &ledger, &record);
            let row = row.unwrap_or_default();
            let _: IndexValue =
                open(Kind::Index, &key, &row).map_err(|what| derived(&ledger, what))?;
            found.push((ledger, record));
        }
        found.truncate(limit);
        Ok(found)
    }

    pub(super) async fn idempotent(
        &self,
        ledger: &LedgerId,
        subject: &str,
        key: &str,
    ) -> Result<Option<Remembered>, StoreError> {
        let statement = &self.cql.statements.key;
        let answer = self
            .cql
            .read(statement, (ledger.as_str(), subject, key))
            .await?;
        let row = answer.maybe_first_row::<(Option<Bytes>,)>();
        let row = row.map_err(|_| derived(ledger, "a key's row has another shape"))?;
        let Some((row,)) = row else { return Ok(None) };
        let sealed_by = keys::idempotency(ledger, subject, key);
        let value: KeyValue = open(Kind::Key, &sealed_by, &row.unwrap_or_default())
            .map_err(|what| derived(ledger, what))?;
        Ok(Some(value.read().map_err(|what| derived(ledger, what))?))
    }

    pub(super) async fn ledgers(
        &self,
        after: Option<&LedgerId>,
        limit: usize,
    ) -> Result<Vec<(LedgerId, Head)>, StoreError> {
        let list = merged(
            LEDGER_PARTS,
            after.cloned(),
            limit,
            async |place, after: Option<LedgerId>, limit| {
                let after = after.as_ref().map_or("", LedgerId::as_str);
                let statement = &self.cql.statements.ledgers;
                let answer = self
                    .cql
                    .read(statement, (place, after, rows_max(limit)))
                    .await?;
                let wrong = || somewhere("a ledger's row has another shape");
                let rows = answer
                    .rows::<(String, Option<Bytes>)>()
                    .map_err(|_| wrong())?;
                let mut found = Vec::new();
                for row in rows {
                    let (ledger, state) = row.map_err(|_| wrong())?;
                    let ledger = parse(&ledger)?;
                    let key = keys::ledger(&ledger);
                    let value: StateValue = open(Kind::State, &key, &state.unwrap_or_default())
                        .map_err(|what| derived(&ledger, what))?;
                    let head = value.head().map_err(|what| derived(&ledger, what))?;
                    found.push((ledger, head));
                }
                Ok(found)
            },
        );
        list.await
    }

    pub(super) async fn pending(
        &self,
        source: Option<&LedgerId>,
        after: Option<&OutboxKey>,
        limit: usize,
    ) -> Result<Vec<OutboxKey>, StoreError> {
        let Some(source) = source else {
            return self.outbox(after, limit, false).await;
        };
        let start = match after {
            Some(after) if after.source > *source => return Ok(Vec::new()),
            Some(after) if after.source == *source => (big(after.seq), after.n),
            _ => (-1, 0),
        };
        let n = i32::try_from(start.1).unwrap_or(i32::MAX);
        let place = part(source.as_str(), PARTS);
        let values = (place, source.as_str(), start.0, n, rows_max(limit));
        let statement = &self.cql.statements.pending_of;
        let answer = self.cql.read(statement, values).await?;
        let mut items = outbox_rows(&answer, false)?;
        items.truncate(limit);
        Ok(items)
    }

    pub(super) async fn refused(
        &self,
        after: Option<&OutboxKey>,
        limit: usize,
    ) -> Result<Vec<OutboxKey>, StoreError> {
        self.outbox(after, limit, true).await
    }

    async fn outbox(
        &self,
        after: Option<&OutboxKey>,
        limit: usize,
        refused: bool,
    ) -> Result<Vec<OutboxKey>, StoreError> {
        let statement = match refused {
            true => &self.cql.statements.refused,
            false => &self.cql.statements.pending,
        };
        let list = merged(
            PARTS,
            after.cloned(),
            limit,
            async |place, after: Option<OutboxKey>, limit| {
                let (source, seq, n) = after.as_ref().map_or(("", -1, 0), |item| {
                    let n = i32::try_from(item.n).unwrap_or(i32::MAX);
                    (item.source.as_str(), big(item.seq), n)
                });
                let values = (place, source, seq, n, rows_max(limit));
                let answer = self.cql.read(statement, values).await?;
                Ok(outbox_rows(&answer, refused)?
                    .into_iter()
                    .map(|item| (item, ()))
                    .collect())
            },
        );
        Ok(list.await?.into_iter().map(|(item, ())| item).collect())
    }

    pub(super) async fn outbox_done(
        &self,
        item: &OutboxKey,
        end: OutboxEnd,
    ) -> Result<(), StoreError> {
        let n = i32::try_from(item.n).unwrap_or(i32::MAX);
        let place = (part_of(item), item.source.as_str(), big(item.seq), n);
        let there = self
            .cql
            .read(&self.cql.statements.is_pending, place)
            .await?;
        if there.rows_num() == 0 {
            return Ok(());
        }
        let name = [
            CqlValue::Int(part_of(item)),
            text(item.source.as_str()),
            number(item.seq),
            small(item.n),
        ];
        if end == OutboxEnd::Refused {
            // First, so that it never is in neither list.
            let value = OutboxValue { refused: true };
            let row = blob(Kind::Refused, &keys::outbox(item), &value);
            let values = name.iter().cloned();
            let values = values.chain([row, removed_at(item.seq)]).collect();
            let write = Write {
                statement: &self.cql.statements.put_refused,
                partition: String::new(),
                values,
            };
            self.cql.write(vec![write]).await?;
        }
        let values = [removed_at(item.seq)].into_iter().chain(name).collect();
        let write = Write {
            statement: &self.cql.statements.drop_outbox,
            partition: String::new(),
            values,
        };
        self.cql.write(vec![write]).await
    }
}

fn outbox_rows(
    answer: &scylla::response::query_result::QueryRowsResult,
    refused: bool,
) -> Result<Vec<OutboxKey>, StoreError> {
    let wrong = || somewhere("an outbox row has another shape");
    let rows = answer.rows::<(String, i64, i32, Option<Bytes>)>();
    let kind = if refused { Kind::Refused } else { Kind::Outbox };
    let mut items = Vec::new();
    for row in rows.map_err(|_| wrong())? {
        let (source, seq, n, row) = row.map_err(|_| wrong())?;
        let source = parse(&source)?;
        let item = OutboxKey {
            source,
            seq: unsigned(seq),
            n: n.unsigned_abs(),
        };
        let value: OutboxValue = open(kind, &keys::outbox(&item), &row.unwrap_or_default())
            .map_err(|what| derived(&item.source, what))?;
        if value.refused == refused {
            items.push(item);
        }
    }
    Ok(items)
}

/// Records as their rows hold them.
fn opened(
    ledger: &LedgerId,
    answer: &QueryRowsResult,
) -> Result<Vec<(RecordKey, Record)>, StoreError> {
    let wrong = || derived(ledger, "a record's row has another shape");
    let rows = answer
        .rows::<(String, Option<Bytes>)>()
        .map_err(|_| wrong())?;
    let record = |row: Result<_, _>| open_record(ledger, row.map_err(|_| wrong())?);
    rows.map(record).collect()
}

fn open_record(
    ledger: &LedgerId,
    (key, row): (String, Option<Bytes>),
) -> Result<(RecordKey, Record), StoreError> {
    let sealed_by = keys::record(ledger, &key);
    let value: RecordValue = open(Kind::Record, &sealed_by, &row.unwrap_or_default())
        .map_err(|what| derived(ledger, what))?;
    Ok((RecordKey::from(key), value.read()))
}

fn parse(name: &str) -> Result<LedgerId, StoreError> {
    LedgerId::parse(name).map_err(|_| somewhere("the name of a ledger is unreadable"))
}
