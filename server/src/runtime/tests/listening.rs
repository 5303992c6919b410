//! Subscriptions without a position beside other nodes: the channel's ledger is loaded first, and nothing comes before the answer.

use tokio::sync::watch;

use super::*;
use crate::ledger::{Herald, LedgerId, SealedCommit};
use crate::store::faulty::Passage;
use crate::store::{Batch, CommitError, StoreError};

/// There are other nodes, which nobody tells anything.
struct Others;

impl Herald for Others {
    fn durable(&self, _: &LedgerId, _: &[SealedCommit]) {}

    fn trimmed(&self, _: &LedgerId) {}

    fn has_others(&self) -> bool {
        true
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    Slow,
    Away,
}

/// A store that can be slow, or away.
struct Door {
    store: MemoryStore,
    way: watch::Receiver<Way>,
}

#[async_trait::async_trait]
impl Passage for Door {
    fn behind(&self) -> &dyn Store {
        &self.store
    }

    async fn reach(&self) -> Result<&dyn Store, StoreError> {
        let mut way = self.way.clone();
        let known = way.wait_for(|way| *way != Way::Slow).await;
        match known.as_deref() {
            Ok(Way::Open) => Ok(&self.store),
            _ => Err(StoreError::Unavailable("away".into())),
        }
    }

    async fn pass(&self, batch: Batch) -> Result<(), CommitError> {
        self.store.commit(batch).await
    }
}

fn start_there() -> (Server, watch::Sender<Way>) {
    let (sender, way) = watch::channel(Way::Open);
    let store = Arc::new(Door {
        store: MemoryStore::new(),
        way,
    });
    let heard = ChannelOptions {
        history_size: 100,
        history_ttl_ms: 60_000,
        ..open_channels()
    };
    let session = session::Settings {
        namespaces: Namespaces::new(ChannelRules::default(), None, [("heard".into(), heard)])
            .unwrap(),
        ..settings()
    };
    let transport = transport::Settings::default();
    let gate = admission::Rules::default();
    let server = start_beside(Arc::new(Others), store, transport, session, gate);
    (server, sender)
}

/// Into no stream, as what another node tells directly.
async fn say(server: &Server, channel: &str, data: &str) {
    let publishing = Publishing {
        data: Bytes::from(data.to_owned()),
        skip_history: true,
        ..Publishing::default()
    };
    let name = ChannelName::parse(channel).unwrap();
    server.control.publish(&name, publishing).await.unwrap();
}

/// A client whose subscription (command 10) is in the hub, and waits for the ledger.
async fn waiting(server: &Server, way: &watch::Sender<Way>) -> Client {
    let mut client = Client::connect(server, "a").await;
    way.send_replace(Way::Slow);
    let command = json!({"id": 10, "subscribe": {"channel": "heard:a"}});
    let message = Message::text(command.to_string());
    client.socket.send(message).await.unwrap();
    while server.control.counts().await.unwrap().channels == 0 {
        tokio::task::yield_now().await;
    }
    client
}

async fn documents(client: &mut Client, count: usize) -> Vec<Value> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(client.frame().await);
    }
    all
}

#[tokio::test]
async fn nothing_comes_before_the_answer_and_nothing_is_left_out() {
    let (server, way) = start_there();
    let mut client = waiting(&server, &way).await;
    for data in ["1", "2"] {
        say(&server, "heard:a", data).await;
    }
    way.send_replace(Way::Open);
    let all = documents(&mut client, 3).await;
    assert_eq!(all[0], json!({"id": 10, "subscribe": {}}));
    let heard: Vec<_> = all[1..]
        .iter()
        .map(|it| &it["push"]["pub"]["data"])
        .collect();
    assert_eq!(heard, [1, 2]);
    say(&server, "heard:a", "3").await;
    assert_eq!(client.publication().await["data"], 3);
    assert!(
        server.ledgers.loaded() >= 1,
        "what others commit would not be heard"
    );
    server.node.stop().await;
}

#[tokio::test]
async fn who_could_not_hear_is_told_to_come_again() {
    let (server, way) = start_there();
    let mut client = Client::connect(&server, "a").await;
    way.send_replace(Way::Away);
    let channel = json!({"channel": "heard:a"});
    let refused = client.ask("subscribe", channel.clone()).await["error"].clone();
    assert_eq!(
        (&refused["code"], &refused["temporary"]),
        (&json!(100), &json!(true))
    );
    say(&server, "heard:a", "1").await;
    way.send_replace(Way::Open);
    let subscribed = client.ask("subscribe", channel).await;
    assert_eq!(subscribed["subscribe"], json!({}));
    say(&server, "heard:a", "2").await;
    assert_eq!(
        client.publication().await["data"],
        2,
        "not what came while it was refused"
    );
    server.node.stop().await;
}

#[tokio::test]
async fn whoever_leaves_while_it_waits_is_gone() {
    let (server, way) = start_there();
    drop(waiting(&server, &way).await);
    while server.control.counts().await.unwrap().channels > 0 {
        tokio::task::yield_now().await;
    }
    way.send_replace(Way::Open);
    let mut again = Client::connect(&server, "a").await;
    let subscribed = again.ask("subscribe", json!({"channel": "heard:a"})).await;
    assert_eq!(subscribed["subscribe"], json!({}));
    let counts = server.control.counts().await.unwrap();
    assert_eq!((counts.connections, counts.channels), (1, 1));
    server.node.stop().await;
}
