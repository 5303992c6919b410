//! `klokke ledger verify | show | export`.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::cli::{LedgerArguments, LedgerVerb};
use super::{offline, settings};
use crate::ledger::LedgerId;
use crate::ledger::inspect::{self, Shown};
use crate::store::Store;

/// Ledgers listed at once.
const PAGE: usize = 256;

/// Exit code for a store that is not as it was written.
const DAMAGED: u8 = 3;

/// Commits between two lines of progress.
const PROGRESS_COMMITS: u64 = 10_000;

pub(super) async fn run(verb: LedgerVerb) -> Result<ExitCode> {
    let (LedgerVerb::Verify(arguments)
    | LedgerVerb::Show(arguments)
    | LedgerVerb::Export(arguments)) = &verb;
    let given = &arguments.settings;
    let config = settings::read(given.config.as_deref(), &given.set)?;
    let ledger = arguments.ledger.as_deref().map(LedgerId::parse).transpose();
    let ledger = ledger.context("the ledger's name is wrong")?;
    let store = offline::open_store(&config)?;
    let code = match &verb {
        LedgerVerb::Verify(it) => verify(&store, ledger.as_ref(), it.json).await,
        LedgerVerb::Show(it) => match &ledger {
            Some(ledger) => show(&store, ledger, it).await,
            None => list(&store, it.json).await,
        },
        LedgerVerb::Export(it) => export(&store, ledger.as_ref(), it).await,
    }?;
    store.close().await.context("cannot close the store")?;
    Ok(code)
}

async fn verify(store: &Arc<dyn Store>, only: Option<&LedgerId>, json: bool) -> Result<ExitCode> {
    let mut progress = |at: &inspect::Progress| {
        if at.seq.is_multiple_of(PROGRESS_COMMITS) {
            let mut err = std::io::stderr();
            // Progress that nobody can see changes nothing.
            let _ = writeln!(err, "{}: {} of {} commits", at.ledger, at.seq, at.head);
        }
    };
    let report = inspect::verify(store, only, &mut progress).await;
    let mut out = std::io::stdout().lock();
    if json {
        let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        let value = json!({"ledgers": report.ledgers, "commits": report.commits,
            "refused_items": report.refused_items, "findings": findings});
        writeln!(out, "{value}")?;
    } else {
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
    let whole = report.findings.is_empty();
    Ok(if whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(DAMAGED)
    })
}

async fn list(store: &Arc<dyn Store>, json: bool) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let mut after = None;
    loop {
        let page = store.ledgers(after.as_ref(), PAGE).await?;
        let Some((last, _)) = page.last() else {
            return Ok(ExitCode::SUCCESS);
        };
        after = Some(last.clone());
        for (ledger, head) in page {
            if json {
                let line = json!({"ledger": ledger.as_str(), "seq": head.seq, "epoch": head.epoch.as_str()});
                writeln!(out, "{line}")?;
            } else {
                writeln!(out, "{ledger:<24} {:>10} commits", head.seq)?;
            }
        }
    }
}

async fn show(
    store: &Arc<dyn Store>,
    ledger: &LedgerId,
    arguments: &LedgerArguments,
) -> Result<ExitCode> {
    let mut out = std::io::stdout();
    if !arguments.json {
        writeln!(out, "{}", Shown::HEADING)?;
    }
    let json = arguments.json;
    let mut each = |sealed: &crate::ledger::SealedCommit| {
        let shown = Shown::of(sealed);
        if json {
            let line = serde_json::to_string(&shown).map_err(std::io::Error::other)?;
            writeln!(out, "{line}")
        } else {
            writeln!(out, "{shown}")
        }
    };
    inspect::walk(store, ledger, arguments.after, arguments.limit, &mut each).await?;
    Ok(ExitCode::SUCCESS)
}

async fn export(
    store: &Arc<dyn Store>,
    only: Option<&LedgerId>,
    arguments: &LedgerArguments,
) -> Result<ExitCode> {
    let mut out = std::io::stdout();
    let mut each =
        |sealed: &crate::ledger::SealedCommit| writeln!(out, "{}", inspect::export_line(sealed));
    if let Some(ledger) = only {
        inspect::walk(store, ledger, arguments.after, arguments.limit, &mut each).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut after = None;
    loop {
        let page = store.ledgers(after.as_ref(), PAGE).await?;
        let Some((last, _)) = page.last() else {
            return Ok(ExitCode::SUCCESS);
        };
        after = Some(last.clone());
        for (ledger, _) in page {
            inspect::walk(store, &ledger, 0, arguments.limit, &mut each).await?;
        }
    }
}
