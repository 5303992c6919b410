//! A way for TCP that can be cut: between two programs that believe they talk to each other directly.
//!
//! While it is cut nothing gets through and nobody is told, as when a cable is pulled: what was sent comes late, or the connection ends by
//! somebody's timeout. Threads, not a runtime: it carries a few connections.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use anyhow::Result;

/// Carried at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// A way that can be cut.
pub(super) struct Way {
    /// Where it begins.
    pub(super) address: SocketAddr,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    is_cut: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    /// Waits until the way is whole.
    fn pass(&self) {
        let mut is_cut = self.is_cut.lock().unwrap_or_else(PoisonError::into_inner);
        while *is_cut {
            is_cut = self
                .changed
                .wait(is_cut)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Way {
    /// Opens one to an address. It lives as long as the program.
    pub(super) fn to(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, gate) = (listener.local_addr()?, Arc::<Gate>::default());
        let at_door = Arc::clone(&gate);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let gate = Arc::clone(&at_door);
                thread::spawn(move || carry(&client, target, &gate));
            }
        });
        Ok(Self { address, gate })
    }

    /// Cuts it, or makes it whole.
    pub(super) fn cut(&self, is_cut: bool) {
        *self
            .gate
            .is_cut
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = is_cut;
        self.gate.changed.notify_all();
    }
}

fn carry(client: &TcpStream, target: SocketAddr, gate: &Arc<Gate>) {
    gate.pass();
    let Ok(server) = TcpStream::connect(target) else {
        return;
    };
    let (Ok(from), Ok(into)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    for stream in [client, &server] {
        let _ = stream.set_nodelay(true); // Slower, but right without.
    }
    let back = Arc::clone(gate);
    let backward = thread::spawn(move || pump(into, from, &back));
    if let (Ok(from), Ok(into)) = (client.try_clone(), server.try_clone()) {
        pump(from, into, gate);
    }
    let _ = backward.join(); // It ends when either side does.
}

fn pump(mut from: TcpStream, mut into: TcpStream, gate: &Gate) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = from.read(&mut chunk).unwrap_or(0);
        gate.pass();
        if count == 0 || into.write_all(&chunk[..count]).is_err() {
            // The end of one is the end of both; it may have ended already.
            let _ = into.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_sent_over_a_cut_way_comes_when_it_is_whole() {
        let echo = TcpListener::bind("127.0.0.1:0").expect("a port");
        let way = Way::to(echo.local_addr().expect("bound")).expect("a way");
        thread::spawn(move || {
            for mut stream in echo.incoming().flatten() {
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() {
                    stream.write_all(&byte).expect("answered");
                }
            }
        });
        let mut client = TcpStream::connect(way.address).expect("connected");
        let mut byte = [0];
        client.write_all(b"a").expect("sent");
        client.read_exact(&mut byte).expect("echoed");
        way.cut(true);
        client.write_all(b"b").expect("sent");
        let wait = Duration::from_millis(100);
        client.set_read_timeout(Some(wait)).expect("a timeout");
        assert!(
            client.read_exact(&mut byte).is_err(),
            "nothing gets through"
        );
        way.cut(false);
        client.set_read_timeout(None).expect("no timeout");
        client.read_exact(&mut byte).expect("it comes");
        assert_eq!(byte, *b"b");
    }
}
