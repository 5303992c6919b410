//! The tables, and how they come to be: versioned, forward only, safe to run twice and from several nodes.
//!
//! Every statement of a version says `IF NOT EXISTS`, so that a migration which was cut off is simply run again. One node
//! migrates at a time: it holds a row of `schema_lock` that it won by a lightweight transaction and that expires by itself,
//! because some clusters end up with two halves of a table that two nodes create at the same moment.

use std::time::{Duration, Instant};

use scylla::client::session::Session;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use scylla::response::query_result::QueryResult;
use scylla::statement::{Consistency, SerialConsistency, Statement};
use scylla::value::CqlValue;
use uuid::Uuid;

use super::open::{OpenError, Options};
use super::session::{connect, quoted};

/// The schema this program reads and writes.
pub const SCHEMA_VERSION: i32 = 3;

/// What each version adds to the one before; the first is version 1. Frozen once released: a change is a new version.
const VERSIONS: &[&[&str]] = &[FIRST, SECOND, THIRD];

const FIRST: &[&str] = &[
    // The truth. `head` says where the ledger stood after the last batch of the bucket: see `commit`.
    "CREATE TABLE IF NOT EXISTS commits (ledger text, bucket bigint, first bigint, head blob static, last bigint, data blob, \
     PRIMARY KEY ((ledger, bucket), first))",
    // Derived from here on. How far that is done, and where remaining commits begin.
    "CREATE TABLE IF NOT EXISTS ledgers (part int, ledger text, state blob, anchor blob, forgotten blob, forgot_to bigint, \
     PRIMARY KEY (part, ledger))",
    "CREATE TABLE IF NOT EXISTS entry_rows (ledger text, channel text, span bigint, at bigint, row blob, \
     PRIMARY KEY ((ledger, channel, span), at))",
    "CREATE TABLE IF NOT EXISTS channels (ledger text, part int, channel text, top blob, trimmed blob, \
     PRIMARY KEY ((ledger, part), channel)) WITH compaction = {'class': 'LeveledCompactionStrategy'}",
    "CREATE TABLE IF NOT EXISTS records (ledger text, part int, key text, row blob, \
     PRIMARY KEY ((ledger, part), key)) WITH compaction = {'class': 'LeveledCompactionStrategy'}",
    "CREATE TABLE IF NOT EXISTS index_rows (key text, ledger text, record text, row blob, \
     PRIMARY KEY (key, ledger, record)) WITH compaction = {'class': 'LeveledCompactionStrategy'}",
    "CREATE TABLE IF NOT EXISTS idempotency (ledger text, subject text, key text, row blob, \
     PRIMARY KEY ((ledger, subject, key)))",
    // Rows here live for moments. A tombstone that goes early costs at worst one delivery more, which changes nothing.
    "CREATE TABLE IF NOT EXISTS outbox (part int, ledger text, seq bigint, n int, row blob, \
     PRIMARY KEY (part, ledger, seq, n)) WITH gc_grace_seconds = 10800",
    "CREATE TABLE IF NOT EXISTS refused (part int, ledger text, seq bigint, n int, row blob, \
     PRIMARY KEY (part, ledger, seq, n))",
];

const SECOND: &[&str] = &[
    // Which store this is.
    "CREATE TABLE IF NOT EXISTS store_identity (name text PRIMARY KEY, id uuid)",
];

/// The tables stay as they are.
const THIRD: &[&str] = &[];

/// The version since which records that are listed together lie together. What was written before lies elsewhere, and is not moved in place:
/// nodes of the version before would go on there, and a move that is cut off would be neither.
const RECORDS_TOGETHER_SINCE: i32 = 3;

/// The version since which a store knows which one it is.
const IDENTITY_SINCE: i32 = 2;

/// Every table that holds ledgers, for tests that empty them.
#[cfg(test)]
pub(super) const TABLES: &[&str] = &[
    "commits",
    "ledgers",
    "entry_rows",
    "channels",
    "records",
    "index_rows",
    "idempotency",
    "outbox",
    "refused",
];

/// Where the version stands. These two come before version 1.
const BEFORE: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS schema_version (name text PRIMARY KEY, version int)",
    "CREATE TABLE IF NOT EXISTS schema_lock (name text PRIMARY KEY, owner uuid)",
];

/// The one row of those tables.
const NAME: &str = "klokke";

/// How long one node may migrate before another may take over: far longer than any version takes.
const LOCK_SECONDS: u32 = 120;

/// How long to wait for another node that migrates.
const WAIT_MAX: Duration = Duration::from_secs(180);

/// How long a keyspace that is listed may take until it can be entered.
const ENTER_MAX: Duration = Duration::from_secs(10);

/// How long a cluster may have too much to do while a node starts.
const BUSY_MAX: Duration = Duration::from_secs(60);

/// Between two looks whether the other is done.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What a migration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The version before; 0 for none.
    pub from: i32,
    /// The version now.
    pub to: i32,
}

/// Brings the schema to [`SCHEMA_VERSION`], keyspace included.
///
/// # Errors
/// See [`OpenError`]. Running it again goes on where it stopped.
pub async fn migrate(options: &Options) -> Result<Migrated, OpenError> {
    let session = connect(options, None).await?;
    let keyspace = quoted(&options.keyspace)?;
    let replication = options.replication();
    // Someone who may not create a keyspace may still migrate one that an operator made.
    if !has_keyspace(&session, &options.keyspace).await? {
        let create = format!(
            "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {replication} AND durable_writes = true"
        );
        run(&session, &create).await?;
    }
    enter(&session, &options.keyspace).await?;
    for statement in BEFORE {
        run(&session, statement).await?;
    }
    let owner = Uuid::new_v4();
    let began = Instant::now();
    loop {
        let from = version(&session, options).await?.unwrap_or(0);
        if from > SCHEMA_VERSION {
            return Err(OpenError::Newer {
                found: from,
                known: SCHEMA_VERSION,
            });
        }
        if from == SCHEMA_VERSION {
            return Ok(Migrated { from, to: from });
        }
        if (1..RECORDS_TOGETHER_SINCE).contains(&from) && has_commits(&session, options).await? {
            return Err(OpenError::Elsewhere { found: from });
        }
        if lock(&session, owner).await? {
            let done = steps(&session, from).await;
            unlock(&session, owner).await?;
            return done.map(|to| Migrated { from, to });
        }
        if began.elapsed() > WAIT_MAX {
            return Err(OpenError::Cluster(
                "another node is migrating the schema and does not finish".to_owned(),
            ));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Enters the keyspace. One that another node has just made is listed a moment before it can be entered.
async fn enter(session: &Session, keyspace: &str) -> Result<(), OpenError> {
    let began = Instant::now();
    loop {
        let Err(error) = session.use_keyspace(keyspace, true).await else {
            return Ok(());
        };
        if began.elapsed() > ENTER_MAX {
            return Err(OpenError::Keyspace(keyspace.to_owned(), error.to_string()));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Refuses a schema that this program does not know.
pub(super) async fn check(session: &Session, options: &Options) -> Result<(), OpenError> {
    match version(session, options).await? {
        Some(SCHEMA_VERSION) => Ok(()),
        Some(found) if found > SCHEMA_VERSION => Err(OpenError::Newer {
            found,
            known: SCHEMA_VERSION,
        }),
        found => Err(OpenError::Older {
            found: found.unwrap_or(0),
            known: SCHEMA_VERSION,
        }),
    }
}

async fn steps(session: &Session, from: i32) -> Result<i32, OpenError> {
    let mut version = from;
    let done = usize::try_from(from).unwrap_or(0);
    for statements in VERSIONS.iter().skip(done) {
        for statement in *statements {
            run(session, statement).await?;
        }
        let next = version + 1;
        if next == IDENTITY_SINCE {
            let insert = "INSERT INTO store_identity (name, id) VALUES (?, ?) IF NOT EXISTS";
            session
                .query_unpaged(serial(insert), (NAME, Uuid::new_v4()))
                .await
                .map_err(cluster)?;
        }
        let expected = (version > 0).then_some(version);
        let update = "UPDATE schema_version SET version = ? WHERE name = ? IF version = ?";
        session
            .query_unpaged(serial(update), (next, NAME, expected))
            .await
            .map_err(cluster)?;
        version = next;
    }
    Ok(version)
}

/// Whether any ledger was ever written.
async fn has_commits(session: &Session, options: &Options) -> Result<bool, OpenError> {
    let mut statement = Statement::new("SELECT ledger FROM commits LIMIT 1");
    statement.set_consistency(options.quorum());
    let rows = session.query_unpaged(statement, ()).await;
    let rows = rows.map_err(cluster)?.into_rows_result().map_err(cluster)?;
    Ok(rows.rows_num() > 0)
}

async fn version(session: &Session, options: &Options) -> Result<Option<i32>, OpenError> {
    let missing = |_| OpenError::Older {
        found: 0,
        known: SCHEMA_VERSION,
    };
    let rows = look(
        session,
        options,
        "SELECT version FROM schema_version WHERE name = ?",
    )
    .await
    .map_err(|error| {
        if error.to_string().contains("schema_version") {
            missing(())
        } else {
            cluster(error)
        }
    })?
    .into_rows_result()
    .map_err(cluster)?;
    let row = rows.maybe_first_row::<(Option<i32>,)>().map_err(cluster)?;
    Ok(row.and_then(|(version,)| version))
}

/// Which store this is.
pub(super) async fn identity(session: &Session, options: &Options) -> Result<Uuid, OpenError> {
    let rows = look(
        session,
        options,
        "SELECT id FROM store_identity WHERE name = ?",
    )
    .await
    .map_err(cluster)?
    .into_rows_result()
    .map_err(cluster)?;
    let row = rows.maybe_first_row::<(Option<Uuid>,)>().map_err(cluster)?;
    row.and_then(|(id,)| id).ok_or_else(|| {
        OpenError::Cluster(
            "the table store_identity has no row, which `klokke store migrate` writes".to_owned(),
        )
    })
}

/// Reads the one row of a table, and again while the cluster has too much to do: nodes that start together ask for the same row at
/// the same moment, and a node that is started beside a busy cluster must come up.
async fn look(
    session: &Session,
    options: &Options,
    query: &str,
) -> Result<QueryResult, ExecutionError> {
    let began = Instant::now();
    let mut tries: u32 = 0;
    loop {
        tries += 1;
        let mut statement = Statement::new(query);
        statement.set_consistency(options.serial_read());
        match session.query_unpaged(statement, (NAME,)).await {
            Err(error) if passes(&error) && began.elapsed() < BUSY_MAX => {
                if tries == 1 {
                    tracing::warn!(%error, "the cluster has too much to do; it is asked again");
                }
                // Not all at once again.
                tokio::time::sleep(
                    LOOK_EVERY.mul_f64(rand::random::<f64>() + f64::from(tries.min(8))),
                )
                .await;
            }
            answer => return answer,
        }
    }
}

/// Whether an error is of the moment.
fn passes(error: &ExecutionError) -> bool {
    use DbError::{Overloaded, RateLimitReached, ReadTimeout, Unavailable, WriteTimeout};
    matches!(error, ExecutionError::RequestTimeout(_))
        || matches!(
            error,
            ExecutionError::LastAttemptError(RequestAttemptError::DbError(
                Overloaded
                    | RateLimitReached { .. }
                    | ReadTimeout { .. }
                    | WriteTimeout { .. }
                    | Unavailable { .. },
                _
            ))
        )
}

async fn has_keyspace(session: &Session, name: &str) -> Result<bool, OpenError> {
    let query = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let rows = session
        .query_unpaged(query, (name,))
        .await
        .map_err(cluster)?
        .into_rows_result()
        .map_err(cluster)?;
    Ok(rows.rows_num() > 0)
}

async fn lock(session: &Session, owner: Uuid) -> Result<bool, OpenError> {
    let insert = format!(
        "INSERT INTO schema_lock (name, owner) VALUES (?, ?) IF NOT EXISTS USING TTL {LOCK_SECONDS}"
    );
    let answer = session
        .query_unpaged(serial(&insert), (NAME, owner))
        .await
        .map_err(cluster)?
        .into_rows_result()
        .map_err(cluster)?;
    let row = answer.first_row::<scylla::value::Row>().map_err(cluster)?;
    // `[applied]` comes first on every database.
    Ok(matches!(
        row.columns.first(),
        Some(Some(CqlValue::Boolean(true)))
    ))
}

async fn unlock(session: &Session, owner: Uuid) -> Result<(), OpenError> {
    let delete = "DELETE FROM schema_lock WHERE name = ? IF owner = ?";
    session
        .query_unpaged(serial(delete), (NAME, owner))
        .await
        .map_err(cluster)?;
    Ok(())
}

/// Runs a change of the schema; the driver waits until all nodes agree on it.
async fn run(session: &Session, statement: &str) -> Result<(), OpenError> {
    session
        .query_unpaged(statement, ())
        .await
        .map_err(cluster)?;
    Ok(())
}

fn serial(text: &str) -> Statement {
    let mut statement = Statement::new(text);
    statement.set_consistency(Consistency::Quorum);
    statement.set_serial_consistency(Some(SerialConsistency::Serial));
    statement
}

#[allow(clippy::needless_pass_by_value)] // It is what `map_err` hands over.
fn cluster(error: impl std::error::Error) -> OpenError {
    OpenError::Cluster(error.to_string())
}
