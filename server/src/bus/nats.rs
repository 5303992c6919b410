//! The bus over NATS core: one subject for a cluster and one for each node of it, no streams, no acknowledgements.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, Subject, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::queue::{self, Sender};
use super::{Bus, Connected, INCOMING_MAX, Incoming, NodeId, mark};

/// Longest pause between attempts to reach NATS again.
pub(super) const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Messages handed on that NATS' client has not written yet: few, for it counts no bytes.
const HANDED_ON_MAX: usize = 32;

/// How the bus is reached.
#[derive(Clone, Default)]
pub struct NatsSettings {
    /// `nats://host:port` or `tls://host:port`; any of them will do.
    pub urls: Vec<String>,
    /// The cluster's name: who has another one is not heard.
    pub cluster: String,
    /// Which store this node's messages are about; what others tell about another one is refused.
    pub store: Option<Uuid>,
    /// This node's name, as NATS shows it.
    pub node: String,
    /// User and password.
    pub login: Option<(String, String)>,
    /// The text of a credentials file (JWT and seed).
    pub credentials: Option<String>,
    /// Certificates to trust, besides the machine's.
    pub authority: Option<PathBuf>,
    /// Certificate and key to show.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl std::fmt::Debug for NatsSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsSettings")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

/// Why there is no bus.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NatsError {
    /// The credentials are none.
    #[error("the credentials for NATS cannot be used: {0}")]
    Credentials(#[source] std::io::Error),
    /// It cannot be begun; an unreachable server is no such error.
    #[error("the bus cannot be begun: {0}")]
    Connect(#[from] async_nats::ConnectError),
    /// The subject cannot be listened to.
    #[error("the bus cannot be listened to: {0}")]
    Subscribe(#[from] async_nats::SubscribeError),
}

struct Nats {
    cluster: String,
    everybody: Subject,
    outgoing: Sender<Outgoing>,
    is_up: Arc<AtomicBool>,
    store: Option<Uuid>,
}

/// What waits to be handed to NATS.
enum Outgoing {
    Message(Subject, Bytes),
    /// Say when all before this went out.
    Flush(oneshot::Sender<()>),
}

impl Outgoing {
    fn bytes(&self) -> usize {
        match self {
            Self::Message(_, message) => message.len(),
            Self::Flush(_) => 0,
        }
    }
}

impl Nats {
    fn hand_on(&self, subject: Subject, message: Bytes) -> bool {
        let message = match self.store {
            Some(store) => mark::mark(&message, store),
            None => message,
        };
        // What waits for a bus that is away would come when it is of no use any more.
        self.is_up.load(Ordering::Relaxed)
            && self.outgoing.try_send(Outgoing::Message(subject, message))
    }
}

#[async_trait]
impl Bus for Nats {
    fn tell(&self, message: Bytes) -> bool {
        self.hand_on(self.everybody.clone(), message)
    }

    fn tell_one(&self, node: NodeId, message: Bytes) -> bool {
        self.hand_on(subject_of(&self.cluster, node), message)
    }

    async fn told(&self) {
        let (done, flushed) = oneshot::channel();
        let is_up = self.is_up.load(Ordering::Relaxed);
        if is_up && self.outgoing.send(Outgoing::Flush(done)).await {
            let _ = flushed.await; // Gone means that nothing more goes out.
        }
    }
}

/// A node's own subject.
fn subject_of(cluster: &str, node: NodeId) -> Subject {
    format!("klokke.{cluster}.node.{node}").into()
}

/// Connects. Whether NATS can be reached now makes no difference: it is tried again and again, and [`Incoming::Up`] tells.
///
/// # Errors
/// When the settings cannot be used.
pub async fn nats(settings: &NatsSettings, own: NodeId) -> Result<Connected, NatsError> {
    let (tell, incoming) = queue::incoming();
    let is_up = Arc::new(AtomicBool::new(false));
    let (heard, up) = (tell.clone(), Arc::clone(&is_up));
    let on_event = move |event: Event| {
        let (heard, up) = (heard.clone(), Arc::clone(&up));
        async move {
            let told = match event {
                Event::Connected => {
                    up.store(true, Ordering::Relaxed);
                    Incoming::Up
                }
                Event::Disconnected | Event::Closed => {
                    up.store(false, Ordering::Relaxed);
                    Incoming::Down
                }
                Event::SlowConsumer(_) => Incoming::Behind,
                Event::LameDuckMode | Event::Draining => return,
                Event::ServerError(error) => {
                    return tracing::warn!(%error, "the bus refuses something");
                }
                Event::ClientError(error) => {
                    return tracing::warn!(%error, "the bus cannot be used");
                }
            };
            // Nobody listens any more when the node stops.
            let _ = heard.send(told).await;
        }
    };
    let options = options(settings)?
        .name(&settings.node)
        .no_echo()
        .retry_on_initial_connect()
        .reconnect_delay_callback(pause)
        .client_capacity(HANDED_ON_MAX)
        .subscription_capacity(INCOMING_MAX)
        .event_callback(on_event);
    let client = options.connect(settings.urls.clone()).await?;
    let everybody = Subject::from(format!("klokke.{}.nodes", settings.cluster));
    for subject in [everybody.clone(), subject_of(&settings.cluster, own)] {
        tokio::spawn(hear(
            client.subscribe(subject).await?,
            tell.clone(),
            settings.store,
        ));
    }
    let (outgoing, waiting) = queue::outgoing(Outgoing::bytes);
    tokio::spawn(publish(client, waiting));
    let nats = Nats {
        cluster: settings.cluster.clone(),
        everybody,
        outgoing,
        is_up,
        store: settings.store,
    };
    Ok((Arc::new(nats), incoming))
}

/// Hands on what comes. Never waits, so that nothing waits where it is not counted; what is too much is told of.
async fn hear(mut subscription: Subscriber, tell: Sender<Incoming>, store: Option<Uuid>) {
    let mut is_behind = false;
    while let Some(message) = subscription.next().await {
        if is_behind {
            is_behind = !tell.try_send(Incoming::Behind);
        }
        let message = message.payload;
        let is_strange = store.is_some_and(|store| mark::is_of_another(&message, store));
        let heard = if is_strange {
            Incoming::Stranger
        } else {
            Incoming::Message(message)
        };
        is_behind |= !tell.try_send(heard);
        if tell.is_closed() {
            return;
        }
    }
}

impl NatsSettings {
    /// Whether they can be used, as far as that shows without a server.
    ///
    /// # Errors
    /// [`NatsError`].
    pub fn check(&self) -> Result<(), NatsError> {
        options(self).map(drop)
    }
}

fn options(settings: &NatsSettings) -> Result<ConnectOptions, NatsError> {
    let mut options = match &settings.credentials {
        Some(text) => ConnectOptions::with_credentials(text).map_err(NatsError::Credentials)?,
        None => ConnectOptions::new(),
    };
    if let Some((user, password)) = &settings.login {
        options = options.user_and_password(user.clone(), password.clone());
    }
    if let Some(authority) = &settings.authority {
        options = options.add_root_certificates(authority.clone());
    }
    if let Some((certificate, key)) = &settings.certificate {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(options)
}

fn pause(attempts: usize) -> Duration {
    let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
    let pause = Duration::from_millis(50).saturating_mul(attempts);
    pause.min(RECONNECT_PAUSE_MAX)
}

/// Hands on what is to be told, in order.
async fn publish(client: Client, mut waiting: queue::Receiver<Outgoing>) {
    while let Some(outgoing) = waiting.recv().await {
        match outgoing {
            Outgoing::Message(subject, message) => {
                if let Err(error) = client.publish(subject, message).await {
                    tracing::debug!(%error, "a message was not told");
                }
            }
            Outgoing::Flush(done) => {
                flush(&client).await;
                let _ = done.send(()); // Who asked may not wait any more.
            }
        }
    }
    // What was handed on last still goes out.
    flush(&client).await;
}

async fn flush(client: &Client) {
    if let Err(error) = client.flush().await {
        tracing::debug!(%error, "what was told last may not have gone out");
    }
}
