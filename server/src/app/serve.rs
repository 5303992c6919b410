//! `klokke serve`: store, ledgers, shards and doors, put together, run, and taken apart again in order.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use klokke_protocol::DisconnectCode;
use tokio::task::JoinHandle;

use super::answers::Answers;
use super::cluster::Cluster;
use super::edge::RunningNode;
use super::leave::{Leave, until_told_to_stop};
use super::routing::Routes;
use super::vitals::NodeVitals;
use super::{check, cli, settings, stores};
use crate::admission::Load;
use crate::auth::Revocations;
use crate::bus::Shared;
use crate::config::{self, Config};
use crate::domain::routing::Routing;
use crate::domain::{Caller, Domain, Door, OutboxDoor, Request};
use crate::http::api::Access;
use crate::ledger::{Clock, IDLE_UNLOAD, LedgerId, Ledgers, Setup, SystemClock, retention};
use crate::runtime::{Control, Node, Prepared, Services};
use crate::session::{Identity, Login};
use crate::store::Store;
use crate::telemetry::{self, Meters, Telemetry, catalogue, logs};
use crate::transport::listener::Listener;
use crate::transport::quic::QuicPort;
use crate::transport::tls::Certificate;

/// How often what is no longer kept is removed: often enough that a history's time to live is kept to the half minute.
const RETENTION_INTERVAL: Duration = Duration::from_secs(30);

/// How often posts and notifications that fall due are looked for.
const DUE_INTERVAL: Duration = Duration::from_secs(5);

/// How often the file of revoked tokens is looked at.
const REVOCATIONS_INTERVAL: Duration = Duration::from_secs(10);

/// Pause before outboxes are looked through again, when that failed.
const RESUME_PAUSE: Duration = Duration::from_secs(5);

/// Ledgers listed at once.
const PAGE: usize = 256;

pub(super) async fn run(given: &cli::Settings) -> Result<ExitCode> {
    let config = settings::read(given.config.as_deref(), &given.set)?;
    let telemetry = Telemetry::new();
    set_up_logs(&config, &telemetry)?;
    tell_memory_limit(&config, &telemetry);
    check::configuration(&config)?;
    let store = stores::open(&config, stores::Missing::Make, telemetry.meters()).await?;
    let server = start(&config, store, telemetry, None).await?;
    say_ready(&server)?;
    until_told_to_stop(server, &config).await
}

fn say_ready(server: &Server) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let all: Vec<String> = server.addresses.iter().map(ToString::to_string).collect();
    let quic = server.quic.map(|address| format!(", QUIC on {address}"));
    let quic = quic.unwrap_or_default();
    writeln!(out, "klokke is ready on {}{quic}", all.join(" and "))?;
    Ok(out.flush()?)
}

/// What there is to run out of, beside what is used.
fn tell_memory_limit(config: &Config, telemetry: &Telemetry) {
    let limit = match config.node.memory_limit_bytes {
        0 => telemetry::memory_limit_bytes(),
        set => u64::try_from(set).ok(),
    };
    if let Some(bytes) = limit {
        let gauge = telemetry.meters().gauge(catalogue::MEMORY_LIMIT, &[]);
        gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

/// Sets up logs as configured.
pub(super) fn set_up_logs(config: &Config, telemetry: &Telemetry) -> Result<()> {
    let format = match config.log.format {
        config::LogFormat::Json => logs::Format::Json,
        config::LogFormat::Text => logs::Format::Text,
    };
    Ok(logs::set_up(
        format,
        &config.log.level,
        &telemetry.meters(),
    )?)
}

/// What does not change as long as the process runs.
fn say_what_runs(meters: &Meters) {
    let version = [env!("CARGO_PKG_VERSION")];
    meters.gauge(catalogue::NODE_BUILD, &version).set(1);
}

/// A server that runs.
pub(super) struct Server {
    pub(super) node: Node,
    pub(super) store: Arc<dyn Store>,
    /// What is done again and again.
    pub(super) tasks: Vec<JoinHandle<()>>,
    /// Hears of other nodes, as long as anybody is connected.
    pub(super) follower: Option<JoinHandle<()>>,
    /// Its end, for `/health` and whoever asks for it.
    pub(super) leave: Arc<Leave>,
    pub(super) members: Shared,
    /// Where it listens.
    pub(super) addresses: Vec<SocketAddr>,
    /// Where it is reached over QUIC.
    pub(super) quic: Option<SocketAddr>,
}

/// Puts a server together and starts it. `more` are routes besides those of every server.
pub(super) async fn start(
    config: &Config,
    store: Arc<dyn Store>,
    telemetry: Telemetry,
    more: Option<axum::Router>,
) -> Result<Server> {
    #[cfg(feature = "broken")]
    crate::broken::begin()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let id = uuid::Uuid::new_v4();
    let node_id = id.to_string();
    let cluster = Cluster::of(config, id, Arc::clone(&clock), &*store, telemetry.meters()).await?;
    let prepared = Prepared::new(shards(config), &telemetry);
    let ledgers = Ledgers::new(Setup {
        store: Arc::clone(&store),
        spawner: prepared.spawner(),
        outlet: prepared.outlet(),
        inbox: Arc::new(OutboxDoor),
        clock: Arc::clone(&clock),
        herald: cluster.herald(),
        epoch_seed: cluster.epoch_seed(),
        idle_unload: IDLE_UNLOAD,
        meters: telemetry.meters(),
    });
    let load = Arc::new(Load::new(shards(config)));
    let domain = Domain::new(ledgers, Arc::clone(&clock), telemetry.meters());
    let domain = domain.under(Arc::clone(&load));
    let routes = Routes::new(cluster.asks(), config.cluster.routing, &telemetry.meters());
    let domain = domain.routed(Routing::to(routes));
    let verification = settings::verification(config, &telemetry.meters())?;
    let mut services = Services {
        tokens: Arc::clone(&verification.connections) as _,
        subscription_tokens: Arc::clone(&verification.subscriptions) as _,
        domain: domain.clone(),
        session: Arc::new(settings::session(config, &node_id)?),
        gate: settings::gate(config),
        lag_max_ms: config.admission.lag_max.as_ms(),
        load: Arc::clone(&load),
        transport: Arc::new(settings::sockets(config)?),
        edge: axum::Router::new(),
        telemetry: telemetry.clone(),
        meters: telemetry.meters(),
        clock: Arc::clone(&clock),
        asks: cluster.asks(),
    };
    let control = prepared.control(&services);
    let realtime = Arc::new(RunningNode::new(
        control.clone(),
        cluster.asks(),
        telemetry.clone(),
        node_name(config),
    ));
    cluster.asks().answer_with(Arc::new(Answers {
        control: control.clone(),
        domain: domain.clone(),
        node: Arc::clone(&realtime),
    }));
    say_what_runs(&telemetry.meters());
    let leave = Arc::<Leave>::default();
    let admission = settings::admission(config);
    let origins = settings::origins(config)?;
    let edge = crate::http::router(crate::http::Parts {
        domain: domain.clone(),
        verifier: Arc::clone(&verification.connections) as _,
        realtime,
        vitals: Arc::new(NodeVitals {
            store: Arc::clone(&store),
            leave: Arc::clone(&leave),
            cluster: cluster.peers(),
            key_sets: verification.key_sets.clone(),
            load,
            admission: Arc::clone(&admission),
        }),
        clock: Arc::clone(&clock),
        telemetry,
        api: access(config),
        limits: crate::http::Limits {
            api_body_bytes: config.api.body_limit_bytes,
            import_ended_percent: config.import.ended_percent_max,
            ..crate::http::Limits::default()
        },
        origins: Arc::new(move |headers| origins.allow(headers)),
        serve_metrics: config.metrics.enabled,
        folder: config.web.folder.clone(),
    });
    // Routes come before the folder of files, which answers for everything else.
    services.edge = match more {
        Some(more) => more.fallback_service(edge),
        None => edge,
    };
    let mut node = prepared
        .start(&services, admission)
        .context("cannot start the shards")?;
    // Before anybody can make more, so that what waits is counted once.
    let is_resumed = resume_outboxes(domain.ledgers()).await;
    // Before others hear of this node, so that they do not if the port is somebody else's.
    let ports = open_ports(config)?;
    let (members, patience) = (cluster.members(), cluster.patience());
    let mut tasks = background(config, &domain, verification, control, &members)?;
    let follower = cluster.follow(domain.ledgers().clone(), Arc::clone(&clock));
    if let Some(patience) = patience {
        know_the_others(&members, patience).await;
    }
    let (addresses, quic) = serve_at(ports, &mut node).await?;
    if !is_resumed {
        let ledgers = domain.ledgers().clone();
        tasks.push(tokio::spawn(keep_resuming(ledgers)));
    }
    Ok(Server {
        node,
        store,
        tasks,
        follower,
        leave,
        members,
        addresses,
        quic,
    })
}

fn shards(config: &Config) -> usize {
    match config.node.shards {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        count => count,
    }
}

pub(super) fn node_name(config: &Config) -> String {
    if !config.node.name.is_empty() {
        return config.node.name.clone();
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => "klokke".to_owned(),
        host => host.to_owned(),
    }
}

fn access(config: &Config) -> Access {
    let keys = config.api.keys.iter().map(config::Secret::expose);
    let mut access = Access::with_keys(keys, config.api.timeout.get());
    if config.api.insecure {
        access = access.insecure();
    }
    match config.api.error_mode {
        config::ErrorMode::Body => access,
        config::ErrorMode::Transport => access.with_transport_errors(),
    }
}

/// Ports that are open and not served yet.
struct OpenPorts {
    listeners: Vec<Listener>,
    quic: Option<QuicPort>,
}

/// Opens the ports; whoever connects waits until they are served.
fn open_ports(config: &Config) -> Result<OpenPorts> {
    let certificate = check::certificate(config)?.map(Arc::new);
    let open = |address: SocketAddr, certificate: Option<Arc<Certificate>>| {
        Listener::bind(address, certificate).with_context(|| format!("cannot listen on {address}"))
    };
    let mut listeners = Vec::new();
    if let Some(address) = config.listen.address {
        listeners.push(open(address, None)?);
    }
    if let Some(address) = config.listen.tls_address {
        listeners.push(open(address, certificate.clone())?);
    }
    let quic = match (config.listen.quic_address, certificate) {
        (Some(address), Some(certificate)) => {
            let port = QuicPort::bind(address, shards(config), certificate, &node_name(config));
            Some(port.with_context(|| format!("cannot listen on {address} (UDP)"))?)
        }
        _ => None,
    };
    Ok(OpenPorts { listeners, quic })
}

/// Serves the ports, and says where they are: those of TCP, and that of UDP.
async fn serve_at(
    ports: OpenPorts,
    node: &mut Node,
) -> Result<(Vec<SocketAddr>, Option<SocketAddr>)> {
    let mut addresses = Vec::with_capacity(ports.listeners.len());
    for listener in ports.listeners {
        addresses.push(listener.local_addr()?);
        node.serve(listener)?;
    }
    let quic = ports.quic.as_ref().map(QuicPort::local_addr);
    if let Some(port) = ports.quic {
        node.serve_quic(port).await;
    }
    Ok((addresses, quic))
}

/// Waits until the other nodes were heard, so that this one does not take itself for the only one there is: as long as the bus may
/// take to be there, and then as long as the others take to say that they are. Without a bus it serves all the same.
async fn know_the_others(members: &Shared, patience: Duration) {
    let is_up = tokio::time::timeout(patience, members.until_up()).await;
    match is_up {
        Ok(()) => tokio::time::sleep(patience).await,
        Err(_) => tracing::warn!(
            "the bus is not there yet: begins to serve without having heard of other nodes"
        ),
    }
}

/// What has to be done again and again.
fn background(
    config: &Config,
    domain: &Domain,
    verification: settings::Verification,
    control: Control,
    members: &Shared,
) -> Result<Vec<JoinHandle<()>>> {
    let rules = settings::retention(config)?;
    let mut tasks = vec![
        tokio::spawn(retain(domain.ledgers().clone(), rules, members.clone())),
        tokio::spawn(publish_due(domain.clone(), members.clone())),
    ];
    for key_set in verification.key_sets {
        tasks.push(tokio::spawn(async move { key_set.keep_fresh().await }));
    }
    if let Some(file) = config.token.revocations_file.clone() {
        let revocations = verification.revocations;
        tasks.push(tokio::spawn(keep_revocations(file, revocations, control)));
    }
    Ok(tasks)
}

/// Follows the file of revocations. Who has an open connection by a token that is revoked now is closed.
async fn keep_revocations(file: PathBuf, revocations: Arc<Revocations>, control: Control) {
    let mut known = String::new();
    let mut tick = tokio::time::interval(REVOCATIONS_INTERVAL);
    loop {
        tick.tick().await;
        match tokio::fs::read_to_string(&file).await {
            Ok(text) if text != known => {
                match revocations.load(&text, SystemClock.now_ms()) {
                    Ok(count) => tracing::info!(count, "revocations loaded"),
                    Err(error) => {
                        tracing::error!(%error, "revocations are not as written in the file");
                    }
                }
                known = text;
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "cannot read the file of revocations"),
        }
        if !known.is_empty() {
            // Each time, for a token may have been found good just before the list was read.
            let revocations = Arc::clone(&revocations);
            let judgement = move |who: &Identity| judged(&revocations, who);
            control.judge(Arc::new(judgement)).await;
        }
    }
}

/// How a session is to be closed by what is revoked now; `None` lets it go on.
fn judged(revocations: &Revocations, who: &Identity) -> Option<DisconnectCode> {
    let is_revoked =
        |it: &Login| revocations.covers(it.token.as_deref(), &who.subject, it.issued_ms);
    let is_over = who.logins().any(is_revoked);
    is_over.then_some(DisconnectCode::INVALID_TOKEN)
}

/// Delivers what waited in outboxes when the server was last stopped or killed. Whether it is under way.
async fn resume_outboxes(ledgers: &Ledgers<crate::people::Roster>) -> bool {
    match ledgers.resume_outboxes().await {
        Ok(0) => {}
        Ok(ledgers) => tracing::info!(ledgers, "outboxes of the last run are delivered"),
        Err(error) => {
            tracing::error!(%error, "outboxes of the last run are not delivered yet");
            return false;
        }
    }
    true
}

async fn keep_resuming(ledgers: Ledgers<crate::people::Roster>) {
    loop {
        tokio::time::sleep(RESUME_PAUSE).await;
        if resume_outboxes(&ledgers).await {
            return;
        }
    }
}

async fn retain(ledgers: Ledgers<crate::people::Roster>, rules: retention::Rules, members: Shared) {
    let mut tick = tokio::time::interval(RETENTION_INTERVAL);
    loop {
        tick.tick().await;
        if let Err(error) = ledgers
            .retain(SystemClock.now_ms(), &rules, &|ledger| {
                members.prefers(ledger)
            })
            .await
        {
            tracing::error!(%error, "what is no longer kept could not be removed");
        }
    }
}

/// Publishes what falls due in every unit.
async fn publish_due(domain: Domain, members: Shared) {
    let mut tick = tokio::time::interval(DUE_INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let mut after: Option<LedgerId> = None;
        loop {
            let page = domain.ledgers().store().ledgers(after.as_ref(), PAGE).await;
            let Ok(page) = page else { break };
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (ledger, _) in page
                .iter()
                .filter(|(ledger, _)| ledger.namespace().is_none() && members.prefers(ledger))
            {
                publish_due_in(&domain, ledger).await;
            }
        }
    }
}

async fn publish_due_in(domain: &Domain, ledger: &LedgerId) {
    // Ledgers are loaded when something is asked of them; looking whether anything is due must not load all of a
    // country's, so the store is asked first.
    if !crate::domain::posts::may_have_due(domain.ledgers().store(), ledger).await {
        return;
    }
    loop {
        let request = Request {
            operation: "post.publish_due".to_owned(),
            input: serde_json::json!({ "unit": ledger.as_str() })
                .to_string()
                .into(),
            idempotency: None,
            caller: Caller::server(Door::Server),
            arrived_us: 0,
        };
        let more = match domain.call(request).await {
            Ok(answer) => serde_json::from_slice::<serde_json::Value>(&answer.output)
                .is_ok_and(|output| output["more"] == true),
            Err(error) => {
                tracing::warn!(%error, "what is due in a unit could not be published");
                false
            }
        };
        if !more {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::ledger::OutboxItem;
    use crate::store::chain::Chain;
    use crate::store::memory::MemoryStore;

    /// A server on a store, without a port that anybody knows.
    async fn started(store: &Arc<dyn Store>) -> (Config, Server) {
        let text = "[listen]\naddress = \"127.0.0.1:0\"\n[client]\ninsecure = true\n[drain]\nspread = \"0s\"\n";
        let config = Config::parse(text).expect("a good file");
        let server = start(&config, Arc::clone(store), Telemetry::new(), None).await;
        (config, server.expect("started"))
    }

    #[tokio::test]
    async fn what_waited_in_an_outbox_is_delivered_after_a_restart() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        // Of a server that was killed between commit and delivery: no actor ever saw it.
        let mut chain = Chain::new("M101");
        let batch = chain.batch(|_, commit| {
            commit.outbox = vec![OutboxItem {
                to: LedgerId::parse("G10001").expect("a ledger"),
                operation: "unit.inherit_block".into(),
                input: Bytes::from_static(b"{}"),
            }];
        });
        store.commit(batch).await.expect("committed");
        let (config, server) = started(&store).await;
        let delivered = async {
            while !store
                .outbox_pending(None, None, 1)
                .await
                .expect("read")
                .is_empty()
            {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), delivered).await;
        waited.expect("delivered without anybody's call");
        server.stop(&config).await.expect("stopped");
    }
}
