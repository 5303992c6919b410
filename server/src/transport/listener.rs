//! Open ports: accepting, admitting, and handing sockets to shards.
//!
//! One thread accepts for the whole node. It never reads from a socket it hands over, and a socket
//! it refuses gets a short answer and a short time, both bounded.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::admission::{Admission, Place, Refused, Reserve};
use super::serve::Incoming;
use super::tls::{CERTIFICATE_INTERVAL, Certificate};
use crate::telemetry::now_us;

/// Connections the kernel may hold ready for us. A reconnecting city comes faster than one thread
/// accepts; the kernel cuts this to its own `somaxconn`.
const BACKLOG: i32 = 8192;
/// Pause when the process is out of file handles: closing connections give some back.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// Refused connections being told so at once; above that they are just closed.
const REFUSALS_MAX: usize = 256;
/// Time a refused connection has to send its request and read our answer.
const REFUSAL_GRACE: Duration = Duration::from_secs(1);

/// Whom a node's ports let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// Everybody there is room for.
    Open,
    /// Who only looks, as a node that is being drained does.
    LooksOnly,
    /// Nobody: the port is closed.
    Closed,
}

/// Where accepted sockets go: the shards.
pub trait Intake: Send + Sync + 'static {
    /// Takes a socket over, or gives it back when no shard can.
    ///
    /// # Errors
    /// The socket, to be refused as on a full server.
    fn take(&self, incoming: Incoming) -> Result<(), Incoming>;

    /// A socket was accepted, on a port with TLS or without; nothing is decided yet.
    fn accepted(&self, tls: bool);

    /// A connection was refused.
    fn refused(&self, why: Refused);

    /// Accepting failed; file handles or memory are short.
    fn exhausted(&self);
}

/// An open port.
pub struct Listener {
    socket: std::net::TcpListener,
    certificate: Option<Arc<Certificate>>,
}

impl Listener {
    /// Opens a port.
    ///
    /// # Errors
    /// What the system says: address in use, no right, no such address.
    pub fn bind(address: SocketAddr, certificate: Option<Arc<Certificate>>) -> io::Result<Self> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if let SocketAddr::V6(v6) = address {
            socket.set_only_v6(!v6.ip().is_unspecified())?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: socket.into(),
            certificate,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts whom `ports` lets in until they are closed, then closes the port.
    ///
    /// # Errors
    /// When the port cannot be waited on.
    pub async fn run(
        self,
        admission: Arc<Admission>,
        intake: Arc<dyn Intake>,
        mut ports: watch::Receiver<Ports>,
    ) -> io::Result<()> {
        let socket = TcpListener::from_std(self.socket)?;
        let door = Door {
            admission,
            intake,
            certificate: self.certificate,
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
        };
        let letting_in = ports.clone();
        let mut look = tokio::time::interval(CERTIFICATE_INTERVAL);
        loop {
            tokio::select! {
                accepted = socket.accept() => {
                    let now = *letting_in.borrow();
                    door.receive(accepted, now).await;
                }
                _ = look.tick() => {
                    if let Some(certificate) = &door.certificate {
                        certificate.look();
                    }
                }
                _ = ports.wait_for(|ports| *ports == Ports::Closed) => return Ok(()),
            }
        }
    }
}

/// What accepting needs.
struct Door {
    admission: Arc<Admission>,
    intake: Arc<dyn Intake>,
    certificate: Option<Arc<Certificate>>,
    refusals: Arc<Semaphore>,
}

impl Door {
    async fn receive(&self, accepted: io::Result<(TcpStream, SocketAddr)>, ports: Ports) {
        match accepted {
            Ok((stream, peer)) => self.admit(stream, peer, ports),
            // The client gave up before we came to it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if let Some(times) = self.admission.failing().note(Instant::now()) {
                    tracing::warn!(%error, times, "cannot accept connections");
                }
                self.intake.exhausted();
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }

    /// Room for a connection, or to look where there is none.
    fn place(&self, peer: SocketAddr, ports: Ports) -> Result<Place, Refused> {
        let (peer, now) = (peer.ip(), Instant::now());
        if ports == Ports::Open {
            match self.admission.admit(peer, now) {
                Err(Refused::Full) => {}
                decided => return decided.map(Place::Connection),
            }
        }
        let reserve = match self.certificate {
            Some(_) => Reserve::Tls,
            None => Reserve::Plain,
        };
        self.admission
            .admit_look(peer, reserve, now)
            .map(Place::Look)
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr, ports: Ports) {
        self.intake.accepted(self.certificate.is_some());
        let place = match self.place(peer, ports) {
            Ok(place) => place,
            Err(why) => return self.refuse(stream, why),
        };
        // Fails only on a socket that is gone already, as its shard will find out.
        let _ = stream.set_nodelay(true);
        let Ok(stream) = stream.into_std() else {
            return;
        };
        let incoming = Incoming {
            stream,
            peer,
            place,
            tls: self.certificate.as_ref().map(|it| it.config()),
            since_us: now_us(),
        };
        if let Err(incoming) = self.intake.take(incoming)
            && let Ok(stream) = TcpStream::from_std(incoming.stream)
        {
            self.refuse(stream, Refused::Full);
        }
    }

    fn refuse(&self, stream: TcpStream, why: Refused) {
        self.intake.refused(why);
        if self.certificate.is_some() {
            // Telling why would take the handshake that a full server cannot afford.
            return;
        }
        let Ok(place) = Arc::clone(&self.refusals).try_acquire_owned() else {
            return;
        };
        tokio::spawn(async move {
            // Whether the refusal is read is up to the client.
            let _ = tokio::time::timeout(REFUSAL_GRACE, say_why(stream, why)).await;
            drop(place);
        });
    }
}

/// Answers a request that nobody will read. Reading it first keeps the kernel from resetting the
/// connection over unread bytes before the answer is seen.
async fn say_why(mut stream: TcpStream, why: Refused) -> io::Result<()> {
    let mut request = [0; 1024];
    if stream.read(&mut request).await? == 0 {
        return Ok(());
    }
    stream.write_all(why.answer()).await?;
    stream.shutdown().await?;
    while stream.read(&mut request).await? > 0 {}
    Ok(())
}
