//! Every statement there is, prepared once. Within what ScyllaDB and Cassandra both speak: no views, no secondary
//! indexes, no counters, no batches across partitions.

use scylla::client::session::Session;
use scylla::policies::retry::FallthroughRetryPolicy;
use scylla::statement::prepared::PreparedStatement;

use super::open::{OpenError, Options};

/// What a statement is for, which decides consistency and whether it may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Reads at a majority.
    Read,
    /// Reads what lightweight transactions wrote, finishing those that are under way.
    Serial,
    /// Writes at a majority; doing it again changes nothing.
    Write,
    /// A lightweight transaction, never repeated by the driver.
    Swap,
}

macro_rules! statements {
    ($( $(#[$doc:meta])* $name:ident: $use:ident = $text:literal; )*) => {
        /// All prepared statements.
        #[derive(Debug)]
        pub(super) struct Statements { $( $(#[$doc])* pub(super) $name: PreparedStatement ),* }

        impl Statements {
            pub(super) async fn prepare(session: &Session, options: &Options) -> Result<Self, OpenError> {
                Ok(Self { $( $name: prepare(session, options, Use::$use, $text).await? ),* })
            }
        }
    };
}

statements! {
    /// Writes a batch if the head of its bucket is the one given.
    swap: Swap = "UPDATE commits SET head = ?, last = ?, data = ? WHERE ledger = ? AND bucket = ? AND first = ? IF head = ?";
    /// Changes the head of a bucket alone, so that nothing that expects the old one can be written any more.
    fence: Swap = "UPDATE commits SET head = ? WHERE ledger = ? AND bucket = ? IF head = ?";
    bucket_head: Serial = "SELECT DISTINCT ledger, bucket, head FROM commits WHERE ledger = ? AND bucket = ?";
    commits_from: Read = "SELECT first, last, data FROM commits WHERE ledger = ? AND bucket = ? AND first >= ? LIMIT ?";
    commits_at: Read = "SELECT first, last, data FROM commits WHERE ledger = ? AND bucket = ? AND first <= ? ORDER BY first DESC LIMIT 1";
    /// Of rows that nobody will ever write again, so that its time does not matter.
    drop_commits: Write = "DELETE FROM commits WHERE ledger = ? AND bucket = ? AND first < ?";

    ledger: Read = "SELECT state, anchor, forgotten, forgot_to FROM ledgers WHERE part = ? AND ledger = ?";
    ledgers: Read = "SELECT ledger, state FROM ledgers WHERE part = ? AND ledger > ? LIMIT ?";
    put_state: Write = "UPDATE ledgers USING TIMESTAMP ? SET state = ? WHERE part = ? AND ledger = ?";
    put_anchor: Write = "UPDATE ledgers USING TIMESTAMP ? SET anchor = ? WHERE part = ? AND ledger = ?";
    put_forgotten: Write = "UPDATE ledgers USING TIMESTAMP ? SET forgotten = ? WHERE part = ? AND ledger = ?";
    put_forgot_to: Write = "UPDATE ledgers USING TIMESTAMP ? SET forgot_to = ? WHERE part = ? AND ledger = ?";

    put_entry: Write = "INSERT INTO entry_rows (ledger, channel, span, at, row) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?";
    entries_up: Read = "SELECT at, row FROM entry_rows WHERE ledger = ? AND channel = ? AND span = ? AND at >= ? AND at <= ? LIMIT ?";
    entries_down: Read = "SELECT at, row FROM entry_rows WHERE ledger = ? AND channel = ? AND span = ? AND at >= ? AND at <= ? ORDER BY at DESC LIMIT ?";
    drop_entries: Write = "DELETE FROM entry_rows USING TIMESTAMP ? WHERE ledger = ? AND channel = ? AND span = ? AND at <= ?";

    put_top: Write = "UPDATE channels USING TIMESTAMP ? SET top = ? WHERE ledger = ? AND part = ? AND channel = ?";
    put_trimmed: Write = "UPDATE channels USING TIMESTAMP ? SET trimmed = ? WHERE ledger = ? AND part = ? AND channel = ?";
    channel: Read = "SELECT channel, top, trimmed FROM channels WHERE ledger = ? AND part = ? AND channel IN ?";
    channels: Read = "SELECT channel, top FROM channels WHERE ledger = ? AND part = ? AND channel > ? LIMIT ?";

    put_record: Write = "INSERT INTO records (ledger, part, key, row) VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
    drop_record: Write = "DELETE FROM records USING TIMESTAMP ? WHERE ledger = ? AND part = ? AND key = ?";
    records: Read = "SELECT key, row FROM records WHERE ledger = ? AND part = ? AND key IN ?";
    scan: Read = "SELECT key, row FROM records WHERE ledger = ? AND part = ? AND key >= ? AND key < ? LIMIT ?";

    put_index: Write = "INSERT INTO index_rows (key, ledger, record, row) VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
    drop_index: Write = "DELETE FROM index_rows USING TIMESTAMP ? WHERE key = ? AND ledger = ? AND record = ?";
    lookup: Read = "SELECT ledger, record, row FROM index_rows WHERE key = ? AND (ledger, record) > (?, ?) LIMIT ?";

    put_key: Write = "INSERT INTO idempotency (ledger, subject, key, row) VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
    drop_key: Write = "DELETE FROM idempotency USING TIMESTAMP ? WHERE ledger = ? AND subject = ? AND key = ?";
    key: Read = "SELECT row FROM idempotency WHERE ledger = ? AND subject = ? AND key = ?";

    put_outbox: Write = "INSERT INTO outbox (part, ledger, seq, n, row) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?";
    drop_outbox: Write = "DELETE FROM outbox USING TIMESTAMP ? WHERE part = ? AND ledger = ? AND seq = ? AND n = ?";
    is_pending: Read = "SELECT row FROM outbox WHERE part = ? AND ledger = ? AND seq = ? AND n = ?";
    pending: Read = "SELECT ledger, seq, n, row FROM outbox WHERE part = ? AND (ledger, seq, n) > (?, ?, ?) LIMIT ?";
    pending_of: Read = "SELECT ledger, seq, n, row FROM outbox WHERE part = ? AND ledger = ? AND (seq, n) > (?, ?) LIMIT ?";
    put_refused: Write = "INSERT INTO refused (part, ledger, seq, n, row) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?";
    refused: Read = "SELECT ledger, seq, n, row FROM refused WHERE part = ? AND (ledger, seq, n) > (?, ?, ?) LIMIT ?";
}

async fn prepare(
    session: &Session,
    options: &Options,
    used: Use,
    text: &str,
) -> Result<PreparedStatement, OpenError> {
    let prepared = session.prepare(text).await;
    let mut prepared = prepared.map_err(|error| OpenError::Cluster(error.to_string()))?;
    prepared.set_request_timeout(Some(options.request_timeout));
    prepared.set_consistency(match used {
        Use::Serial => options.serial_read(),
        _ => options.quorum(),
    });
    prepared.set_is_idempotent(used != Use::Swap);
    if used == Use::Swap {
        prepared.set_serial_consistency(Some(options.serial()));
        // Whether an attempt that failed was carried out is found out by `commit`, and by nobody else.
        prepared.set_retry_policy(Some(std::sync::Arc::new(FallthroughRetryPolicy)));
    }
    Ok(prepared)
}
