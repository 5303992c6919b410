//! The connection to the cluster: bounded, with deadlines, on a thread of its own.
//!
//! Requests are routed by token (and on ScyllaDB by shard) to a replica of what they are about: that is what the driver's
//! default policy does for prepared statements.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use hashbrown::HashMap;
use scylla::client::session::{Session, TlsContext};
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError, TranslationError};
use scylla::policies::address_translator::{AddressTranslator, UntranslatedPeer};
use scylla::response::query_result::QueryRowsResult;
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlValue, Row};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use super::open::{OpenError, Options};
use super::statements::Statements;
use super::{schema, tls};
use crate::store::StoreError;
use crate::telemetry::{Level, catalogue};

/// How long the first connection to a node may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Requests of one call under way at once: enough to keep a cluster busy, too few to push everybody else aside.
const ABREAST: usize = 64;

/// Statements and bytes of a batch to one partition. Databases warn of larger ones from 5 KiB on.
const GROUP_STATEMENTS: usize = 64;
const GROUP_BYTES: usize = 4 << 10;

/// How often writes that are safe to repeat are tried, and the pause before.
const WRITE_TRIES: u32 = 3;
const WRITE_PAUSE: Duration = Duration::from_millis(50);

/// The connection with its prepared statements.
pub(super) struct Cql {
    pub(super) statements: Statements,
    /// Which store this is.
    pub(super) identity: uuid::Uuid,
    session: Arc<Session>,
    permits: Semaphore,
    permits_max: u32,
    in_flight: Level,
    pub(super) deadline: Duration,
    #[cfg(test)]
    pub(super) faults: super::faults::Faults,
    /// Keeps the thread that the session lives on.
    _thread: Thread,
}

/// How a lightweight transaction ended.
#[derive(Debug)]
pub(super) enum Swapped {
    /// It was done.
    Done,
    /// It was not done, because the head was not the one expected; it is this.
    Not,
    /// Nobody knows.
    Unclear(Arc<str>),
    /// It was certainly not begun.
    NotBegun(StoreError),
}

/// One row to write or delete.
pub(super) struct Write<'a> {
    pub(super) statement: &'a PreparedStatement,
    /// The partition, told apart from all others that one call writes to.
    pub(super) partition: String,
    pub(super) values: Vec<CqlValue>,
}

impl Cql {
    /// Connects, checks the schema and prepares everything.
    pub(super) async fn open(options: &Options) -> Result<Self, OpenError> {
        let thread = Thread::start()?;
        let settings = options.clone();
        let ready = async move {
            let session = connect(&settings, Some(&settings.keyspace)).await?;
            schema::check(&session, &settings).await?;
            let identity = schema::identity(&session, &settings).await?;
            let statements = Statements::prepare(&session, &settings).await?;
            Ok::<_, OpenError>((session, identity, statements))
        };
        let (session, identity, statements) = thread
            .handle
            .spawn(ready)
            .await
            .map_err(|_| OpenError::Cluster("connecting failed".to_owned()))??;
        let permits = options.in_flight_max.clamp(1, Semaphore::MAX_PERMITS >> 1);
        Ok(Self {
            statements,
            identity,
            session: Arc::new(session),
            permits: Semaphore::new(permits),
            permits_max: u32::try_from(permits).unwrap_or(u32::MAX),
            in_flight: options.meters.gauge(catalogue::STORE_IN_FLIGHT, &[]),
            deadline: options.deadline,
            #[cfg(test)]
            faults: super::faults::Faults::default(),
            _thread: thread,
        })
    }

    /// Runs a read.
    pub(super) async fn read(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<QueryRowsResult, StoreError> {
        let _turn = self.turn().await?;
        // In a box: the driver's futures are large, and shards hold many.
        let answer = Box::pin(self.session.execute_unpaged(statement, &values)).await;
        let answer = answer.map_err(|error| unavailable(&error))?;
        answer
            .into_rows_result()
            .map_err(|error| unavailable(&error))
    }

    /// Runs a lightweight transaction, once.
    pub(super) async fn swap(
        &self,
        statement: &PreparedStatement,
        values: Vec<Option<CqlValue>>,
    ) -> Swapped {
        let turn = match self.turn().await {
            Ok(turn) => turn,
            Err(error) => return Swapped::NotBegun(error),
        };
        #[cfg(test)]
        if let Some(ended) = self.faults.on_swap(&self.session, statement, &values).await {
            return ended;
        }
        let answer = Box::pin(self.session.execute_unpaged(statement, &values)).await;
        drop(turn);
        match answer {
            Ok(answer) => match answer.into_rows_result() {
                Ok(rows) => was_applied(&rows),
                Err(error) => Swapped::Unclear(error.to_string().into()),
            },
            Err(error) if was_not_begun(&error) => Swapped::NotBegun(unavailable(&error)),
            Err(error) => Swapped::Unclear(error.to_string().into()),
        }
    }

    /// Writes rows that are the same however often they are written. Rows of one partition go together.
    pub(super) async fn write(&self, writes: Vec<Write<'_>>) -> Result<(), StoreError> {
        #[cfg(test)]
        self.faults.on_write()?;
        let mut partitions: HashMap<String, Vec<Write<'_>>> = HashMap::new();
        for write in writes {
            let partition = write.partition.clone();
            partitions.entry(partition).or_default().push(write);
        }
        let groups = partitions.into_values().flat_map(groups_of);
        stream::iter(groups.map(Ok))
            .try_for_each_concurrent(ABREAST, |group| self.write_group(group))
            .await
    }

    async fn write_group(&self, mut group: Vec<Write<'_>>) -> Result<(), StoreError> {
        let mut tries = 0;
        loop {
            let turn = self.turn().await?;
            let answer = match &mut group[..] {
                [] => return Ok(()),
                [only] => {
                    let values = &only.values;
                    Box::pin(self.session.execute_unpaged(only.statement, values)).await
                }
                several => {
                    let mut batch = Batch::new(BatchType::Unlogged);
                    batch.set_is_idempotent(true);
                    for write in several.iter() {
                        batch.append_statement(write.statement.clone());
                    }
                    if let Some(consistency) = several[0].statement.get_consistency() {
                        batch.set_consistency(consistency);
                    }
                    batch.set_request_timeout(several[0].statement.get_request_timeout());
                    let values: Vec<&Vec<CqlValue>> = several.iter().map(|it| &it.values).collect();
                    Box::pin(self.session.batch(&batch, values)).await
                }
            };
            drop(turn);
            let Err(error) = answer else { return Ok(()) };
            tries += 1;
            if tries >= WRITE_TRIES {
                return Err(unavailable(&error));
            }
            tokio::time::sleep(WRITE_PAUSE * tries).await;
        }
    }

    /// Lets several reads run abreast and gives their answers in any order.
    pub(super) async fn abreast<T>(
        &self,
        reads: impl IntoIterator<Item = impl Future<Output = Result<T, StoreError>>>,
    ) -> Result<Vec<T>, StoreError> {
        stream::iter(reads)
            .buffer_unordered(ABREAST)
            .try_collect()
            .await
    }

    /// Waits for every request under way and lets no further one begin.
    pub(super) async fn finish(&self) {
        let all = self.permits.acquire_many(self.permits_max);
        // What does not end by then is cut off, which no promise depends on.
        let _ = tokio::time::timeout(self.deadline, all).await;
        self.permits.close();
    }

    async fn turn(&self) -> Result<Turn<'_>, StoreError> {
        let closed = |_| StoreError::Unavailable("the store is closed".into());
        let permit = self.permits.acquire().await.map_err(closed)?;
        self.in_flight.add(1);
        Ok(Turn {
            shown: &self.in_flight,
            _permit: permit,
        })
    }
}

/// A place among the requests under way.
struct Turn<'a> {
    shown: &'a Level,
    _permit: SemaphorePermit<'a>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.shown.add(-1);
    }
}

fn groups_of(writes: Vec<Write<'_>>) -> Vec<Vec<Write<'_>>> {
    let mut groups: Vec<Vec<Write<'_>>> = Vec::new();
    let mut bytes = 0;
    for write in writes {
        let size: usize = write.values.iter().map(size_of).sum();
        let fits = groups
            .last()
            .is_some_and(|group| group.len() < GROUP_STATEMENTS && bytes + size <= GROUP_BYTES);
        match groups.last_mut() {
            Some(group) if fits => group.push(write),
            _ => {
                groups.push(vec![write]);
                bytes = 0;
            }
        }
        bytes += size;
    }
    groups
}

fn size_of(value: &CqlValue) -> usize {
    match value {
        CqlValue::Blob(bytes) => bytes.len(),
        CqlValue::Text(text) => text.len(),
        _ => 8,
    }
}

/// Cassandra answers a transaction that was done with `[applied]` alone, ScyllaDB with all columns; when it was not done,
/// the one gives the columns of the condition and the other all. The first column is the same on both.
pub(super) fn was_applied(rows: &QueryRowsResult) -> Swapped {
    let unclear = || Swapped::Unclear("the answer to a lightweight transaction was not one".into());
    let Some((applied, _)) = rows.column_specs().get_by_name("[applied]") else {
        return unclear();
    };
    let Ok(row) = rows.first_row::<Row>() else {
        return unclear();
    };
    match row.columns.get(applied) {
        Some(Some(CqlValue::Boolean(true))) => Swapped::Done,
        Some(Some(CqlValue::Boolean(false))) => Swapped::Not,
        _ => unclear(),
    }
}

/// Errors after which it is certain that no node began. Everything else may have been done, `Unavailable` too: a
/// transaction can find too few nodes after it was accepted.
fn was_not_begun(error: &ExecutionError) -> bool {
    use RequestAttemptError as Attempt;
    match error {
        ExecutionError::BadQuery(_)
        | ExecutionError::EmptyPlan
        | ExecutionError::PrepareError(_)
        | ExecutionError::ConnectionPoolError(_) => true,
        ExecutionError::LastAttemptError(attempt) => match attempt {
            Attempt::SerializationError(_)
            | Attempt::CqlRequestSerialization(_)
            | Attempt::UnableToAllocStreamId => true,
            Attempt::DbError(error, _) => matches!(
                error,
                DbError::SyntaxError
                    | DbError::Invalid
                    | DbError::Unauthorized
                    | DbError::AuthenticationError
                    | DbError::ConfigError
                    | DbError::IsBootstrapping
            ),
            _ => false,
        },
        _ => false,
    }
}

/// What the driver or the cluster says, for people. It never holds values.
pub(super) fn unavailable(error: &dyn std::error::Error) -> StoreError {
    StoreError::Unavailable(error.to_string().into())
}

/// Connects to the cluster.
pub(super) async fn connect(
    options: &Options,
    keyspace: Option<&str>,
) -> Result<Session, OpenError> {
    if options.nodes.is_empty() {
        return Err(OpenError::Setting(
            "no node of the cluster is named".to_owned(),
        ));
    }
    let mut builder = SessionBuilder::new()
        .known_nodes(&options.nodes)
        .connection_timeout(CONNECT_MAX)
        .keyspaces_to_fetch([options.keyspace.as_str()]);
    if !options.address_translation.is_empty() {
        let rules = options.address_translation.iter().copied().collect();
        builder = builder.address_translator(Arc::new(Translation(rules)));
    }
    if !options.datacenter.is_empty() {
        builder = builder.prefer_datacenter(options.datacenter.clone());
    }
    if let Some((user, password)) = &options.login {
        builder = builder.user(user, password);
    }
    if let Some(tls) = &options.tls {
        builder = builder.tls_context(Some(TlsContext::from(tls::client(tls)?)));
    }
    let session = builder.build().await;
    let session = session.map_err(|error| OpenError::Cluster(error.to_string()))?;
    if let Some(keyspace) = keyspace {
        let used = session.use_keyspace(keyspace, true).await;
        used.map_err(|error| OpenError::Keyspace(keyspace.to_owned(), error.to_string()))?;
    }
    Ok(session)
}

/// Own address of a node, and where it is reached; others are reached where they say.
struct Translation(HashMap<SocketAddr, SocketAddr>);

#[expect(
    elided_lifetimes_in_paths,
    reason = "async_trait makes another signature of a named lifetime than the trait has"
)]
#[async_trait]
impl AddressTranslator for Translation {
    async fn translate_address(
        &self,
        peer: &UntranslatedPeer,
    ) -> Result<SocketAddr, TranslationError> {
        let own = peer.untranslated_address();
        Ok(self.0.get(&own).copied().unwrap_or(own))
    }
}

/// A keyspace's name as CQL writes it.
pub(super) fn quoted(name: &str) -> Result<String, OpenError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.is_empty() || name.len() > 48 || !name.bytes().all(allowed) {
        let what = format!("`{name}` is no name of a keyspace: 1 to 48 of a-z, A-Z, 0-9, `_`");
        return Err(OpenError::Setting(what));
    }
    Ok(format!("\"{name}\""))
}

/// The thread whose runtime drives the connections: shard threads are busy with sockets, and end before the store.
struct Thread {
    handle: tokio::runtime::Handle,
    /// Dropped to end it.
    _stop: oneshot::Sender<()>,
}

impl Thread {
    fn start() -> Result<Self, OpenError> {
        let failed = |error| OpenError::Io(Arc::new(error));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("store-cql".to_owned());
        // Ended by the sender's being dropped, which is no error.
        let drive = move || drop(runtime.block_on(stopped));
        thread.spawn(drive).map_err(failed)?;
        Ok(Self {
            handle,
            _stop: stop,
        })
    }
}
