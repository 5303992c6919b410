//! A node's shard threads, from start to end.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::LocalSet;

use super::mailbox::{Inbound, ShardInput, Shards};
use super::shard::Shard;
use super::{Control, Services};
use crate::ledger::{Outlet, Spawner};
use crate::people::Roster;
use crate::telemetry::Telemetry;
use crate::transport::admission::Admission;
use crate::transport::listener::{Listener, Ports};
use crate::transport::quic::QuicPort;

/// After the last connection was told to close, this long for the closes to arrive.
const CLOSE_GRACE: Duration = Duration::from_secs(6);
/// How often a draining node looks whether everybody is gone.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// Queues without shards yet: what ledgers need before there can be anything for shards to run.
pub struct Prepared {
    shards: Arc<Shards>,
    inbound: Vec<Inbound>,
}

impl Prepared {
    /// Queues for `count` shards, at least one.
    #[must_use]
    pub fn new(count: usize, telemetry: &Telemetry) -> Self {
        let (shards, inbound) = Shards::new(count, telemetry.meters());
        Self { shards, inbound }
    }

    /// Where ledger actors run.
    #[must_use]
    pub fn spawner(&self) -> Arc<dyn Spawner> {
        Arc::clone(&self.shards) as _
    }

    /// How commits reach the shards.
    #[must_use]
    pub fn outlet(&self) -> Arc<dyn Outlet<Roster>> {
        Arc::clone(&self.shards) as _
    }

    /// The handle that doors hold; what it is asked waits until the shards run.
    #[must_use]
    pub fn control(&self, services: &Services) -> Control {
        Control {
            shards: Arc::clone(&self.shards),
            services: services.clone(),
        }
    }

    /// Starts the threads.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub fn start(self, services: &Services, admission: Arc<Admission>) -> io::Result<Node> {
        let mut threads = Vec::new();
        for (index, inbound) in self.inbound.into_iter().enumerate() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let (services, shards) = (services.clone(), Arc::clone(&self.shards));
            let thread = std::thread::Builder::new()
                .name(format!("shard-{index}"))
                .spawn(move || {
                    let local = LocalSet::new();
                    local.block_on(&runtime, async {
                        Shard::new(index, services, shards).run(inbound).await;
                    });
                })?;
            threads.push(thread);
        }
        Ok(Node {
            shards: self.shards,
            services: services.clone(),
            admission,
            ports: watch::channel(Ports::Open).0,
            threads,
        })
    }
}

/// A running node.
pub struct Node {
    shards: Arc<Shards>,
    services: Services,
    admission: Arc<Admission>,
    ports: watch::Sender<Ports>,
    threads: Vec<JoinHandle<()>>,
}

impl Node {
    /// Serves an open port, on a thread of its own.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub fn serve(&mut self, listener: Listener) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (admission, shards) = (Arc::clone(&self.admission), Arc::clone(&self.shards));
        let ports = self.ports.subscribe();
        let thread = std::thread::Builder::new()
            .name("accept".to_owned())
            .spawn(move || {
                if let Err(error) = runtime.block_on(listener.run(admission, shards, ports)) {
                    tracing::error!(%error, "a port is no longer served");
                }
            })?;
        self.threads.push(thread);
        Ok(())
    }

    /// Serves an open UDP port, on the shards' threads.
    pub async fn serve_quic(&self, port: QuicPort) {
        let doors = port.split(&self.admission, &self.ports.subscribe());
        let mut doors = doors.into_iter();
        self.shards
            .give_each(|| doors.next().map(|door| ShardInput::Quic(Box::new(door))))
            .await;
    }

    /// Open connections.
    #[must_use]
    pub fn open(&self) -> usize {
        self.admission.open()
    }

    /// Lets in nobody but who looks at health and metrics, closes all connections spread over `over`, and waits until
    /// they are gone (or the grace time is over).
    pub async fn drain(&self, over: Duration) {
        self.ports.send_replace(Ports::LooksOnly);
        let control = Control {
            shards: Arc::clone(&self.shards),
            services: self.services.clone(),
        };
        control.drain(over).await;
        let end = tokio::time::Instant::now() + over + CLOSE_GRACE;
        while self.open() > 0 && tokio::time::Instant::now() < end {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
    }

    /// Ends ledgers and threads. Whoever wants connections closed politely drains first.
    pub async fn stop(self) {
        self.ports.send_replace(Ports::Closed);
        self.services.domain.ledgers().close();
        self.shards.send_all(|| ShardInput::Stop).await;
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().all(|thread| thread.join().is_ok())
        });
        if !matches!(joined.await, Ok(true)) {
            tracing::error!("a shard's thread had failed");
        }
    }
}
