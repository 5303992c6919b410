//! `klokke ledger verify | show | export`.

use std::io::{BufWriter, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::cli::{LedgerVerb, Verify, Walk};
use super::{DAMAGED, settings, stores};
use crate::ledger::inspect::{self, Report, Shown, WalkError};
use crate::ledger::{LedgerId, SealedCommit};
use crate::store::fjall::OpenError;
use crate::store::{Damaged, Store, StoreError};
use crate::telemetry::Meters;

/// Ledgers listed at once.
const PAGE: usize = 256;

/// Commits between two lines of progress.
const PROGRESS_COMMITS: u64 = 10_000;

pub(super) async fn run(verb: LedgerVerb) -> Result<ExitCode> {
    let (given, ledger) = match &verb {
        LedgerVerb::Verify(it) => (&it.settings, &it.ledger),
        LedgerVerb::Show(it) => (&it.walk.settings, &it.walk.ledger),
        LedgerVerb::Export(it) => (&it.settings, &it.ledger),
    };
    let config = settings::read(given.config.as_deref(), &given.set)?;
    let ledger = ledger.as_deref().map(LedgerId::parse).transpose();
    let ledger = ledger.context("the ledger's name is wrong")?;
    let store = match stores::open(&config, stores::Missing::Refuse, Meters::default()).await {
        Ok(store) => store,
        Err(error) => return unopened(&verb, error),
    };
    let code = look(&store, &verb, ledger.as_ref()).await;
    let closed = store.close().await.context("cannot close the store");
    match code {
        // Whoever read the output has seen enough.
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        code => closed.and(code),
    }
}

async fn look(
    store: &Arc<dyn Store>,
    verb: &LedgerVerb,
    ledger: Option<&LedgerId>,
) -> Result<ExitCode> {
    if let Some(id) = ledger
        && findings(store, ledger).is_empty()
        && store.head(id).await?.is_none()
    {
        bail!("there is no ledger {id} in this store");
    }
    match (verb, ledger) {
        (LedgerVerb::Verify(it), _) => verify(store, ledger, it).await,
        (LedgerVerb::Show(it), Some(ledger)) => show(store, ledger, &it.walk, it.json).await,
        (LedgerVerb::Show(it), None) => list(store, it.json).await,
        (LedgerVerb::Export(it), _) => export(store, ledger, it).await,
    }
}

/// A store that is so damaged that it does not open is a finding like others.
fn unopened(verb: &LedgerVerb, error: anyhow::Error) -> Result<ExitCode> {
    let damage = error.downcast_ref::<OpenError>();
    if let Some(damage) = damage.filter(|error| error.is_damage())
        && let LedgerVerb::Verify(Verify { json: true, .. }) = verb
    {
        let finding =
            json!({"ledger": "*", "place": "the store's files", "what": damage.to_string()});
        say_report(&Report::default(), &[finding])?;
    }
    Err(error)
}

async fn verify(
    store: &Arc<dyn Store>,
    only: Option<&LedgerId>,
    arguments: &Verify,
) -> Result<ExitCode> {
    let mut next = PROGRESS_COMMITS;
    let mut progress = |at: &inspect::Progress| {
        if at.commits >= next {
            next = at.commits + PROGRESS_COMMITS;
            let (ledger, seq, head) = (&at.ledger, at.seq, at.head);
            let mut err = std::io::stderr();
            // Progress that nobody can see changes nothing.
            let _ = writeln!(
                err,
                "{} commits checked; {ledger}: {seq} of {head}",
                at.commits
            );
        }
    };
    let report = inspect::verify(store, only, &mut progress).await;
    if arguments.json {
        let findings: Vec<Value> = report.findings.iter().map(finding).collect();
        say_report(&report, &findings)?;
    } else {
        let mut out = std::io::stdout().lock();
        for finding in &report.findings {
            writeln!(out, "damaged: {finding}")?;
        }
        writeln!(
            out,
            "{} ledgers, {} commits checked: {} damaged; {} items refused by another ledger",
            report.ledgers,
            report.commits,
            report.findings.len(),
            report.refused_items
        )?;
    }
    Ok(code(report.findings.is_empty()))
}

fn finding(damaged: &Damaged) -> Value {
    let place = damaged.place.to_string();
    json!({"ledger": &*damaged.ledger, "place": place, "what": &*damaged.what})
}

fn say_report(report: &Report, findings: &[Value]) -> Result<()> {
    let value = json!({"ledgers": report.ledgers, "commits": report.commits,
        "refused_items": report.refused_items, "findings": findings});
    Ok(writeln!(std::io::stdout(), "{value}")?)
}

async fn list(store: &Arc<dyn Store>, json: bool) -> Result<ExitCode> {
    let mut out = BufWriter::new(std::io::stdout());
    let mut after = None;
    loop {
        let page = store.ledgers(after.as_ref(), PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (ledger, head) in page {
            if json {
                let line = json!({"ledger": ledger.as_str(), "seq": head.seq, "epoch": head.epoch.as_str(), "hash": head.hash.to_string()});
                writeln!(out, "{line}")?;
            } else {
                writeln!(out, "{ledger:<24} {:>10} commits", head.seq)?;
            }
        }
    }
    out.flush()?;
    Ok(warn(&findings(store, None)))
}

async fn show(
    store: &Arc<dyn Store>,
    ledger: &LedgerId,
    arguments: &Walk,
    json: bool,
) -> Result<ExitCode> {
    let mut out = BufWriter::new(std::io::stdout());
    if !json {
        writeln!(out, "{}", Shown::HEADING)?;
    }
    let mut each = |sealed: &SealedCommit| {
        let shown = Shown::of(sealed);
        if json {
            let line = serde_json::to_string(&shown).map_err(std::io::Error::other)?;
            writeln!(out, "{line}")
        } else {
            writeln!(out, "{shown}")
        }
    };
    let met = walk(store, ledger, arguments, &mut each).await?;
    out.flush()?;
    let mut found = findings(store, Some(ledger));
    add(&mut found, met);
    Ok(warn(&found))
}

async fn export(
    store: &Arc<dyn Store>,
    only: Option<&LedgerId>,
    arguments: &Walk,
) -> Result<ExitCode> {
    let mut out = BufWriter::new(std::io::stdout());
    let mut each = |sealed: &SealedCommit| writeln!(out, "{}", inspect::export_line(sealed));
    let mut found = Vec::new();
    if let Some(ledger) = only {
        add(&mut found, walk(store, ledger, arguments, &mut each).await?);
    } else {
        let mut after = None;
        loop {
            let page = store.ledgers(after.as_ref(), PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (ledger, _) in page {
                // What can be had of the others is had.
                add(
                    &mut found,
                    walk(store, &ledger, arguments, &mut each).await?,
                );
            }
        }
    }
    out.flush()?;
    for finding in findings(store, only) {
        add(&mut found, Some(finding));
    }
    Ok(warn(&found))
}

/// Walks over a ledger until its end or its damage.
async fn walk(
    store: &Arc<dyn Store>,
    ledger: &LedgerId,
    arguments: &Walk,
    each: &mut (dyn FnMut(&SealedCommit) -> std::io::Result<()> + Send),
) -> Result<Option<Damaged>> {
    match inspect::walk(store, ledger, arguments.after, arguments.limit, each).await {
        Ok(_) => Ok(None),
        Err(WalkError::Store(StoreError::Damaged(damaged))) => Ok(Some(damaged)),
        Err(error) => Err(error.into()),
    }
}

/// What the store knows to be damaged, of one ledger or of all.
fn findings(store: &Arc<dyn Store>, only: Option<&LedgerId>) -> Vec<Damaged> {
    let concerns = |damaged: &Damaged| {
        only.is_none_or(|only| *damaged.ledger == *only.as_str() || &*damaged.ledger == "*")
    };
    let mut all = store.damage();
    all.retain(concerns);
    all
}

fn add(found: &mut Vec<Damaged>, damaged: Option<Damaged>) {
    found.extend(damaged.filter(|damaged| !found.contains(damaged)));
}

/// Says beside the output what is damaged.
fn warn(found: &[Damaged]) -> ExitCode {
    let mut err = std::io::stderr().lock();
    for damaged in found {
        // With nowhere to say it, the exit code says enough.
        let _ = writeln!(err, "damaged: {damaged}");
    }
    code(found.is_empty())
}

fn code(whole: bool) -> ExitCode {
    match whole {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(DAMAGED),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref());
    causes.any(|error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
