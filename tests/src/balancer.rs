//! A load balancer as small as it gets: new connections go in turn to the nodes whose `/health` says 200.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Result;

use crate::http;

/// How often the nodes are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// It runs until it is dropped; connections through it end with their ends.
pub struct Balancer {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts, so that it sees it.
        let _ = TcpStream::connect(self.address);
    }
}

impl Balancer {
    /// Before these nodes, on a free port.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(nodes: &[SocketAddr]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let ends = Arc::new(AtomicBool::new(false));
        let well = Arc::new(Mutex::new(nodes.to_vec()));
        let (looking, nodes, ended) = (Arc::clone(&well), nodes.to_vec(), Arc::clone(&ends));
        thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let is_well = |node: &&SocketAddr| {
                    http::request(**node, "GET", "/health", &[], "")
                        .is_ok_and(|it| it.status == 200)
                };
                let found = nodes.iter().filter(is_well).copied().collect();
                if let Ok(mut well) = looking.lock() {
                    *well = found;
                }
                thread::sleep(LOOK_INTERVAL);
            }
        });
        let ended = Arc::clone(&ends);
        thread::spawn(move || {
            for (nth, client) in listener.incoming().enumerate() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let well = well.lock().map_or_else(|_| Vec::new(), |well| well.clone());
                // Nobody is well: closed without a word, as balancers do.
                if let (Ok(client), false) = (client, well.is_empty()) {
                    let node = well[nth % well.len()];
                    thread::spawn(move || join(client, node));
                }
            }
        });
        Ok(Self { address, ends })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Carries bytes both ways until one side ends.
fn join(client: TcpStream, node: SocketAddr) {
    let carried = || -> io::Result<()> {
        let server = TcpStream::connect(node)?;
        let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
        let up = thread::spawn(move || carry(&mut from, &mut to));
        let (mut from, mut to) = (server, client);
        carry(&mut from, &mut to);
        // The other way ends by what was shut.
        let _ = up.join();
        Ok(())
    };
    // Who cannot be reached is seen by the next look.
    let _ = carried();
}

fn carry(from: &mut TcpStream, to: &mut TcpStream) {
    let _ = io::copy(from, to);
    let _ = to.shutdown(Shutdown::Write);
}
