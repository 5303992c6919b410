//! `klokke store migrate | copy`.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

use super::cli::{self, Copy, Kind, StoreVerb};
use super::{settings, stores};
use crate::config::Backend;
use crate::ledger::copy::{self, CopyError};
use crate::ledger::{LedgerId, RecordKey};
use crate::people::record::Unit;
use crate::store::{Store, StoreError, scylla};
use crate::telemetry::Meters;

/// Ledgers listed at once.
const PAGE: usize = 256;

pub(super) async fn run(verb: StoreVerb) -> Result<ExitCode> {
    match verb {
        StoreVerb::Migrate(given) => migrate(&given).await,
        StoreVerb::Copy(arguments) => copy(&arguments).await,
    }
}

async fn migrate(given: &cli::Settings) -> Result<ExitCode> {
    let config = settings::read(given.config.as_deref(), &given.set)?;
    let options = stores::cluster(&config, Meters::default());
    let done = scylla::migrate(&options).await;
    let done = done.context("cannot migrate the schema")?;
    let mut out = std::io::stdout().lock();
    let keyspace = &options.keyspace;
    match (done.from, done.to) {
        (from, to) if from == to => writeln!(out, "{keyspace} has version {to} already")?,
        (0, to) => writeln!(out, "{keyspace} was made, with version {to}")?,
        (from, to) => writeln!(out, "{keyspace} went from version {from} to {to}")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What a run of copying came to.
#[derive(Debug, Default)]
struct Sum {
    ledgers: u64,
    commits: u64,
    verified: u64,
    left: u64,
}

async fn copy(arguments: &Copy) -> Result<ExitCode> {
    let given = &arguments.settings;
    let config = settings::read(given.config.as_deref(), &given.set)?;
    ensure!(
        arguments.from != arguments.to,
        "--from and --to must be different kinds of store"
    );
    let open = async |kind, missing| {
        let backend = match kind {
            Kind::Embedded => Backend::Embedded,
            Kind::Scylla => Backend::Scylla,
        };
        stores::open_as(&config, backend, missing, Meters::default()).await
    };
    let from = open(arguments.from, stores::Missing::Refuse).await?;
    let to = open(arguments.to, stores::Missing::Make).await?;
    let only = arguments.municipality.as_deref();
    let copied = copy_all(&*from, &*to, only).await;
    let closed = to.close().await.context("cannot close the copy");
    from.close().await.context("cannot close the store")?;
    let sum = copied?;
    closed?;
    ensure!(
        sum.ledgers + sum.left > 0 || only.is_none(),
        "no unit of this store belongs to that municipality"
    );
    writeln!(
        std::io::stdout(),
        "{} ledgers, {} commits copied, {} read back and equal; {} ledgers not copied",
        sum.ledgers,
        sum.commits,
        sum.verified,
        sum.left
    )?;
    Ok(match sum.left {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

async fn copy_all(from: &dyn Store, to: &dyn Store, only: Option<&str>) -> Result<Sum> {
    let mut sum = Sum::default();
    let mut after: Option<LedgerId> = None;
    loop {
        let page = from.ledgers(after.as_ref(), PAGE).await?;
        let Some((last, _)) = page.last() else {
            return Ok(sum);
        };
        after = Some(last.clone());
        for (ledger, _) in page {
            if let Some(only) = only
                && !belongs_to(from, &ledger, only).await?
            {
                continue;
            }
            match copy::copy(from, to, &ledger).await {
                Ok(copied) => {
                    sum.ledgers += 1;
                    sum.commits += copied.commits;
                    sum.verified += copied.verified;
                }
                // The others can be had nevertheless.
                Err(CopyError::Store(StoreError::Unavailable(why))) => {
                    return Err(StoreError::Unavailable(why).into());
                }
                Err(error) => {
                    sum.left += 1;
                    writeln!(std::io::stderr(), "{ledger} is not copied: {error}")?;
                }
            }
        }
    }
}

/// Whether a ledger is that of a unit of the municipality.
async fn belongs_to(store: &dyn Store, ledger: &LedgerId, municipality: &str) -> Result<bool> {
    let record = store.get(ledger, &RecordKey::from("unit")).await?;
    let Some(record) = record else {
        return Ok(false);
    };
    let unit: Unit = serde_json::from_slice(&record.value)
        .with_context(|| format!("the record of the unit {ledger} cannot be read"))?;
    Ok(unit
        .municipality
        .is_some_and(|it| it.as_str() == municipality))
}
