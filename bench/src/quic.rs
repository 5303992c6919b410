//! The same clients over raw QUIC, and a hundred thousand of them at rest.
//!
//! Many share a UDP socket, so that one process can have them all. Their side is kept as small as the library allows.

use std::{cell::Cell, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use quinn::{
    ClientConfig, Connection, Endpoint, IdleTimeout, RecvStream, SendStream, TransportConfig,
    VarInt, crypto::rustls::QuicClientConfig,
};
use rustls::{RootCertStore, client::Resumption, pki_types::pem::PemObject};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    connect, process,
    servers::{self, Programs, Running, Server},
    wire::{STEP_TIMEOUT, Stretch, token},
};

/// Sockets that connections share.
const SOCKETS: usize = 16;
/// Handshakes under way at once.
const AT_ONCE: usize = 48;
/// Bytes the server may send ahead: a few publications, which are read as they come.
const WINDOW: u32 = 64 * 1024;
/// Longer than any measurement, so that only the server's pings keep a connection.
const IDLE_MAX: Duration = Duration::from_secs(120);

/// A client's connection.
pub(crate) struct Client {
    pub(crate) recv: RecvStream,
    send: SendStream,
    _connection: Connection,
}

/// Sockets with what clients need to connect from them.
pub(crate) struct Clients {
    endpoints: Vec<Endpoint>,
    config: ClientConfig,
    server: SocketAddr,
}

impl Clients {
    /// Of a server that is reached over QUIC.
    pub(crate) fn of(server: &Running) -> Result<Self> {
        let certificate = server.certificate.as_ref().context("no certificate")?;
        let mut roots = RootCertStore::empty();
        roots.add(rustls::pki_types::CertificateDer::from_pem_file(
            certificate,
        )?)?;
        let mut tls = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Whether a handshake went on with a session cannot be asked of the library, so none does.
        tls.resumption = Resumption::disabled();
        tls.alpn_protocols = vec![b"klokke".to_vec()];
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
        let mut transport = TransportConfig::default();
        transport
            .stream_receive_window(VarInt::from_u32(WINDOW))
            .receive_window(VarInt::from_u32(WINDOW))
            .send_window(16 * 1024)
            .datagram_receive_buffer_size(None)
            .max_concurrent_bidi_streams(VarInt::from_u32(0))
            .max_idle_timeout(Some(IdleTimeout::try_from(IDLE_MAX)?));
        config.transport_config(Arc::new(transport));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let endpoints = (0..SOCKETS).map(|_| Endpoint::client(any));
        Ok(Self {
            endpoints: endpoints.collect::<Result<_, _>>()?,
            config,
            server: server.quic.context("it is not reached over QUIC")?,
        })
    }

    /// Connects as the `n`-th client, and subscribes when a channel is given.
    async fn open(
        endpoint: Endpoint,
        config: ClientConfig,
        server: SocketAddr,
        n: usize,
        channel: Option<Rc<str>>,
    ) -> Result<Client> {
        let connection = endpoint.connect_with(config, server, "localhost")?.await?;
        let (mut send, mut recv) = connection.open_bi().await?;
        let mut commands = command(1, CONNECT, &token(n)?);
        if let Some(channel) = &channel {
            commands.extend(command(2, SUBSCRIBE, channel));
        }
        send.write_all(&commands).await?;
        let awaited = 1 + usize::from(channel.is_some());
        let mut heard = Vec::new();
        while !answered(&heard, awaited)? {
            let chunk = recv.read_chunk(4_096, true).await?;
            heard.extend_from_slice(&chunk.context("the server hung up")?.bytes);
        }
        Ok(Client {
            recv,
            send,
            _connection: connection,
        })
    }

    /// Opens this many, a bounded number at a time.
    pub(crate) async fn open_many(
        &self,
        size: usize,
        channel: Option<&str>,
    ) -> Result<Vec<Client>> {
        let channel: Option<Rc<str>> = channel.map(Into::into);
        let (mut clients, mut next) = (Vec::with_capacity(size), 0);
        let mut under_way = JoinSet::new();
        while clients.len() < size {
            while next < size && under_way.len() < AT_ONCE {
                let endpoint = self.endpoints[next % SOCKETS].clone();
                let (config, server) = (self.config.clone(), self.server);
                let opening = Self::open(endpoint, config, server, next, channel.clone());
                under_way.spawn_local(timeout(STEP_TIMEOUT, opening));
                next += 1;
            }
            let opened = under_way
                .join_next()
                .await
                .context("no connect under way")?;
            let opened = opened?.context("connect timed out")?;
            clients.push(opened.with_context(|| format!("connection {}", clients.len()))?);
        }
        Ok(clients)
    }
}

/// Fields of a command that hold what is asked (`protocol/`), whose first field is a text in both.
const CONNECT: u8 = 4;
const SUBSCRIBE: u8 = 5;

/// An empty command, which answers a ping.
const PONG: [u8; 1] = [0];

/// A command led by its length, as Protobuf has it.
fn command(id: u8, asks: u8, text: &str) -> Vec<u8> {
    let asked = field(1, text.as_bytes());
    let mut command = vec![0x08, id];
    command.extend(field(asks, &asked));
    let mut led = Vec::new();
    put_length(&mut led, command.len());
    led.extend(command);
    led
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    put_length(&mut field, bytes.len());
    field.extend_from_slice(bytes);
    field
}

fn put_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap_or_default());
}

/// Whether so many answers are there, none of which refuses: an answer begins with its id, and an error would come next.
fn answered(mut heard: &[u8], awaited: usize) -> Result<bool> {
    for _ in 0..awaited {
        let Some(end) = heard.iter().position(|byte| byte & 0x80 == 0) else {
            return Ok(false);
        };
        let parts = heard[..=end].iter().enumerate();
        let length: usize = parts
            .map(|(n, byte)| usize::from(byte & 0x7f) << (7 * n))
            .sum();
        let Some(answer) = heard.get(end + 1..end + 1 + length) else {
            return Ok(false);
        };
        ensure!(answer.first() == Some(&0x08), "no answer");
        ensure!(answer.get(2) != Some(&0x12), "refused");
        heard = &heard[end + 1 + length..];
    }
    Ok(true)
}

/// What `klokke-bench quic` is told.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The klokke program to measure.
    #[arg(long)]
    klokke: std::path::PathBuf,
    /// Connections at rest.
    #[arg(long, default_value_t = 100_000)]
    sockets: usize,
    /// How long they rest.
    #[arg(long, default_value_t = 300)]
    seconds: u64,
}

/// Opened together, before the next are.
const GATHERED: usize = 1_000;

/// Answers pings, which are all that is said, for as long as there are any.
async fn answer(mut client: Client, lost: Rc<Cell<usize>>) {
    while let Ok(Some(_)) = client.recv.read_chunk(4_096, true).await {
        if client.send.write_all(&PONG).await.is_err() {
            break;
        }
    }
    lost.set(lost.get() + 1);
}

/// Lets them connect, then rest, and says what both took.
#[allow(clippy::cast_precision_loss)] // Counts and bytes far below 2^52.
pub(crate) async fn rest(arguments: &Arguments) -> Result<()> {
    let programs = Programs {
        klokke: arguments.klokke.clone(),
        centrifuge: None,
        nats: None,
    };
    let running = servers::start(&programs, Server::KlokkeQuic)?.context("no program")?;
    let clients = Clients::of(&running)?;
    let _warm = clients.open_many(50, None).await?;
    let before = process::resident_bytes(running.pid)?;
    let connecting = Stretch::begin(&running)?;
    let lost = Rc::new(Cell::new(0));
    let mut listening = JoinSet::new();
    while listening.len() < arguments.sockets {
        let more = GATHERED.min(arguments.sockets - listening.len());
        // Each answers its pings from the beginning.
        for client in clients.open_many(more, None).await? {
            listening.spawn_local(answer(client, Rc::clone(&lost)));
        }
        if listening.len() % 10_000 == 0 {
            eprint!("{} ", listening.len());
        }
    }
    let (took, cpu) = connecting.end()?;
    let after = connect::settled_bytes(&running).await?;
    let count = arguments.sockets as f64;
    println!(
        "\n{} connections in {:.0} s: {:.0} handshakes a second, {:.0} µs of CPU each; {:.1} KiB resident each",
        arguments.sockets,
        took.as_secs_f64(),
        count / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / count,
        after.saturating_sub(before) as f64 / count / 1024.0,
    );
    let stretch = Stretch::begin(&running)?;
    tokio::time::sleep(Duration::from_secs(arguments.seconds)).await;
    let (passed, cpu) = stretch.end()?;
    let resident = process::resident_bytes(running.pid)?;
    println!(
        "at rest for {:.0} s: {} lost; {:.2} cores, {:.1} µs of CPU a second each; {:.1} KiB resident each",
        passed.as_secs_f64(),
        lost.get(),
        cpu.as_secs_f64() / passed.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / passed.as_secs_f64() / count,
        resident.saturating_sub(before) as f64 / count / 1024.0,
    );
    ensure!(lost.get() == 0, "connections were lost");
    Ok(())
}
