//! The gate with real connects, and work that is put off: what clients get, and who gets in all the same.

use futures_util::future::join_all;
use tokio::sync::Notify;

use super::rights::{commit, put_people};
use super::*;
use crate::admission::{Level, Rules};
use crate::domain::testing::ledger;
use crate::ledger::{Actor, Call, Job, Refusal, View};

/// Keeps a ledger from answering anybody until it is told to go on.
pub(super) struct Held(pub(super) Arc<Notify>);

#[async_trait::async_trait(?Send)]
impl Job<Roster> for Held {
    async fn run(&mut self, _: &mut View<'_, Roster>) -> Result<Bytes, Refusal> {
        self.0.notified().await;
        Ok(Bytes::new())
    }
}

fn start_narrow(wait_max_ms: u64) -> Server {
    let rules = Rules {
        slots_max: 1,
        wait_max_ms,
        ..Rules::default()
    };
    start_gated(rules)
}

/// The reply to a connect command.
async fn try_to_connect(server: &Server, user: &str) -> (Client, Value) {
    let mut client = Client::open(server).await;
    let reply = client.ask("connect", json!({"token": token(user)})).await;
    (client, reply)
}

fn counted(server: &Server, series: &str) -> i64 {
    let text = server.telemetry.exposition();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn in_a_flood_staff_get_in_and_others_are_told_to_come_again() {
    let server = start_narrow(300);
    commit(&server, put_people()).await;
    let guardians: Vec<String> = (41..=56).map(|number| format!("s{number}")).collect();
    let everybody = guardians.iter().map(String::as_str).chain(["s1"]);
    for user in everybody.clone() {
        // Known from now on; and gone again.
        Client::connect(&server, user).await;
    }
    let held = Arc::new(Notify::new());
    let ledgers = server.ledgers.clone();
    let job = Held(Arc::clone(&held));
    let holding = async move {
        let call = Call::new("test", Actor::default(), job);
        ledgers.call(&ledger(), call).await.unwrap();
    };
    let holding = tokio::spawn(holding);
    tokio::task::yield_now().await;

    let flood = join_all(guardians.iter().map(|user| try_to_connect(&server, user)));
    let staff = try_to_connect(&server, "s1");
    let released = async {
        // Three shards have a slot for guardians each; all others wait, and are refused in time.
        while counted(
            &server,
            r#"klokke_admission_refused_total{class="guardian",reason="wait"}"#,
        ) + counted(
            &server,
            r#"klokke_admission_refused_total{class="guardian",reason="queue"}"#,
        ) < 13
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        held.notify_one();
    };
    let (flood, (staff, staff_reply), ()) = tokio::join!(flood, staff, released);
    holding.await.unwrap();
    assert!(staff_reply["connect"].is_object(), "{staff_reply}");
    let (refused, let_in): (Vec<_>, Vec<_>) = flood
        .into_iter()
        .partition(|(_, reply)| reply["error"].is_object());
    assert_eq!((refused.len(), let_in.len()), (13, 3));
    for (_, reply) in &refused {
        assert_eq!(
            reply["error"],
            json!({"code": 111, "message": "too many requests", "temporary": true})
        );
    }
    // Whoever comes again gets in, and nobody was sent away for it.
    for user in &guardians {
        let (_, reply) = try_to_connect(&server, user).await;
        assert!(reply["connect"].is_object(), "{reply}");
    }
    for (mut client, _) in let_in.into_iter().chain([(staff, staff_reply)]) {
        let live = json!({"channel": "live:x"});
        assert!(client.ask("subscribe", live).await["error"].is_null());
    }
    let waiting = r#"klokke_admission_waiting{class="guardian"}"#;
    assert_eq!(counted(&server, waiting), 0);
    let admitted = r#"klokke_admission_admitted_total{class="staff"}"#;
    assert_eq!(counted(&server, admitted), 2);
    server.node.stop().await;
}

#[tokio::test]
async fn who_leaves_the_queue_takes_no_slot() {
    let server = start_narrow(60_000);
    commit(&server, put_people()).await;
    Client::connect(&server, "s41").await;
    let held = Arc::new(Notify::new());
    let call = Call::new("test", Actor::default(), Held(Arc::clone(&held)));
    let unit = ledger();
    let holding = server.ledgers.call(&unit, call);
    let waiting = r#"klokke_admission_waiting{class="guardian"}"#;
    let come_and_go = async {
        let mut gone = Vec::new();
        for _ in 0..12 {
            let mut client = Client::open(&server).await;
            let connect = json!({"id": 1, "connect": {"token": token("s41")}}).to_string();
            client.socket.send(Message::text(connect)).await.unwrap();
            gone.push(client);
        }
        while counted(&server, waiting) < 9 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(gone);
        while server.control.counts().await.unwrap().connections > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        held.notify_one();
    };
    let (done, ()) = tokio::join!(holding, come_and_go);
    done.unwrap();
    for _ in 0..6 {
        Client::connect(&server, "s41").await;
    }
    server.node.stop().await;
}

fn rpc(method: &str, data: &Value) -> Value {
    json!({"method": method, "data": data})
}

#[tokio::test]
async fn work_is_put_off_in_its_order_and_everybody_is_told() {
    let server = start();
    commit(&server, put_people()).await;
    let mut staff = Client::connect(&server, "s1").await;
    let mut guardian = Client::connect(&server, "s41").await;
    server.load.set_level(Level::of(1));
    for client in [&mut staff, &mut guardian] {
        let push = client.push().await;
        let status = &push["message"]["data"];
        assert_eq!(
            (&status["type"], &status["level"]),
            (&json!("status"), &json!(1))
        );
    }
    let (mut late, _) = try_to_connect(&server, "s42").await;
    assert_eq!(late.push().await["message"]["data"]["level"], 1);

    let notify = json!({"profile": "G10001.p1", "recipients": ["G10001.p11"], "event": "garden",
        "text": "Vi er gået på legepladsen"});
    let rows = [
        ("thread.list", json!({"profile": "G10001.p41"}), 1, 1),
        (
            "post.see",
            json!({"profile": "G10001.p41", "post": "G10001.o1"}),
            2,
            2,
        ),
        ("session.start", json!({}), 4, 3),
        ("notification.create", notify, 5, 2),
    ];
    for number in 1..=4 {
        server.load.set_level(Level::of(number));
        for (method, data, staff_from, others_from) in &rows {
            for (client, from) in [(&mut staff, staff_from), (&mut guardian, others_from)] {
                let reply = client.ask("rpc", rpc(method, data)).await;
                let is_put_off = reply["error"]["code"] == 1104;
                assert_eq!(is_put_off, number >= *from, "{method} at {number}: {reply}");
                if is_put_off {
                    assert_eq!(reply["error"]["message"], "error.put_off");
                    assert_eq!(reply["error"]["temporary"], true);
                }
            }
        }
    }
    server.load.set_level(Level::of(2));
    let screen = guardian.ask("rpc", rpc("session.start", &json!({}))).await;
    let service = &screen["rpc"]["data"]["service"];
    assert_eq!(service["key"], "status.reduced", "{screen}");
    assert_eq!(service["put_off"], json!(["posts", "lists"]));
    server.load.set_level(Level::NORMAL);
    loop {
        let push = guardian.push().await;
        if push["message"]["data"]["key"] == "status.normal" {
            break;
        }
    }
    let screen = guardian.ask("rpc", rpc("session.start", &json!({}))).await;
    assert!(screen["rpc"]["data"]["service"].is_null(), "{screen}");
    let put_off = r#"klokke_admission_refused_total{class="lists",reason="level"}"#;
    assert_eq!(counted(&server, put_off), 8);
    server.node.stop().await;
}

#[tokio::test]
async fn who_asks_faster_than_is_answered_waits_and_loses_nothing() {
    const COMMANDS: usize = 8_000;
    let server = start();
    commit(&server, put_people()).await;
    let mut client = Client::connect(&server, "s1").await;
    let held = Arc::new(Notify::new());
    let unit = ledger();
    let call = Call::new("test", Actor::default(), Held(Arc::clone(&held)));
    let holding = server.ledgers.call(&unit, call);
    let asking = async {
        // Far more bytes, and far more frames, than may wait in the session.
        let slow = json!({"id": 2, "rpc": rpc("badge.get", &json!({"profile": "G10001.p1"}))});
        client
            .socket
            .feed(Message::text(slow.to_string()))
            .await
            .unwrap();
        let stats = json!({"presence_stats": {"channel": "live:x"}});
        for id in 3..COMMANDS {
            let mut stats = stats.clone();
            stats["id"] = json!(id);
            client
                .socket
                .feed(Message::text(stats.to_string()))
                .await
                .unwrap();
            if id == COMMANDS / 4 {
                client.socket.flush().await.unwrap();
                held.notify_one();
            }
        }
        client.socket.flush().await.unwrap();
        let mut next = 2;
        while next < COMMANDS {
            for document in client.frame().await {
                assert_eq!(document["id"], next, "{document}");
                next += 1;
            }
        }
    };
    let (done, ()) = tokio::join!(holding, asking);
    done.unwrap();
    server.node.stop().await;
}
