//! The end of a node: told by a signal or through the API, it tells the others, sends everybody to them, finishes what it has in
//! hand, and says that it is gone.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::serve::Server;
use crate::config::Config;

/// How long the last word to the other nodes may take; without it they notice after `cluster.gone_after`.
const LAST_WORD_MAX: Duration = Duration::from_secs(2);

/// Whether the node is to end, and who waits to hear of it.
#[derive(Debug, Default)]
pub(super) struct Leave {
    is_begun: AtomicBool,
    asked: Notify,
}

impl Leave {
    /// Begins the end, once.
    pub(super) fn begin(&self) {
        if !self.is_begun.swap(true, Ordering::Relaxed) {
            self.asked.notify_one();
        }
    }

    /// Whether it has begun.
    pub(super) fn is_begun(&self) -> bool {
        self.is_begun.load(Ordering::Relaxed)
    }

    /// Waits until somebody asked for it.
    async fn asked(&self) {
        self.asked.notified().await;
    }
}

/// Serves until SIGTERM, SIGINT or `klokke drain`, then stops in order; told so by a signal once more, it ends at once.
pub(super) async fn until_told_to_stop(server: Server, config: &Config) -> Result<ExitCode> {
    let mut told = ToldToStop::listen()?;
    tokio::select! {
        () = told.next() => {}
        () = server.leave.asked() => tracing::info!("told to stop through the API"),
    }
    tokio::select! {
        stopped = server.stop(config) => stopped.map(|()| ExitCode::SUCCESS),
        () = told.next() => {
            tracing::warn!("told to stop once more: ends at once, without waiting for connections");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// What tells a server to stop.
struct ToldToStop {
    terminate: Signal,
    interrupt: Signal,
}

impl ToldToStop {
    fn listen() -> Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
        Ok(Self {
            terminate,
            interrupt,
        })
    }

    /// Waits for SIGTERM or SIGINT.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Server {
    /// Hands over, sends connections away, lets ledgers finish, says that it is gone, and closes the store.
    pub(super) async fn stop(self, config: &Config) -> Result<()> {
        self.leave.begin();
        // From here on other nodes are preferred, and load what this one has.
        self.members.leave();
        let (times, begun) = (&config.drain, Instant::now());
        tracing::info!(
            connections = self.node.open(),
            notice_ms = times.notice.as_ms(),
            spread_ms = times.spread.as_ms(),
            timeout_ms = times.timeout.as_ms(),
            "the drain begins"
        );
        tokio::time::sleep(times.notice.get()).await;
        self.tasks.iter().for_each(JoinHandle::abort);
        let drain = self.node.drain(times.spread.get());
        if tokio::time::timeout(times.timeout.get(), drain)
            .await
            .is_err()
        {
            tracing::warn!("connections were still open when the time to drain was over");
        }
        tracing::info!(
            left = self.node.open(),
            seconds = begun.elapsed().as_secs(),
            "the drain ends"
        );
        self.node.stop().await;
        // Only now: nothing is written here any more, and all that was is told.
        self.members.go();
        if let Some(mut follower) = self.follower
            && tokio::time::timeout(LAST_WORD_MAX, &mut follower)
                .await
                .is_err()
        {
            follower.abort();
        }
        self.store.close().await.context("cannot close the store")
    }
}
