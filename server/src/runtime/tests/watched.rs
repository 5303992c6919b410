//! Who hears what is sensitive in full, live, stands in the access log: after a connect and after a step-up.

use super::*;
use crate::domain::testing::{ledger, people};
use crate::ledger::{Actor, Call};
use crate::people::ChangePeople;

/// A login with two factors, of now.
fn strong(server: &Server, user: &str) -> String {
    let now_ms = server.clock.now_ms();
    let claims = Claims {
        sub: Some(user.to_owned()),
        loa: Some(3),
        auth_time: Some(now_ms / 1000),
        ..Claims::default()
    };
    SigningKey::hmac(SECRET).mint(&claims).unwrap()
}

async fn call(client: &mut Client, method: &str, data: Value) -> Value {
    let reply = client
        .ask("rpc", json!({"method": method, "data": data}))
        .await;
    assert!(reply["error"].is_null(), "{method}: {reply}");
    reply["rpc"]["data"].clone()
}

#[tokio::test]
async fn who_is_sent_sensitive_words_live_stands_in_the_access_log() {
    let server = start();
    let put = people();
    let change = ChangePeople {
        put,
        delete: Vec::new(),
    };
    let commit = Call::new("test", Actor::default(), change);
    server.ledgers.call(&ledger(), commit).await.unwrap();
    let mut teacher = Client::connect_with(&server, &strong(&server, "s1"))
        .await
        .0;
    let mut leader = Client::connect_with(&server, &strong(&server, "s4"))
        .await
        .0;
    let mut connected = Client::connect_with(&server, &strong(&server, "s41"))
        .await
        .0;
    let mut raised = Client::connect(&server, "s42").await;
    let mut low = Client::connect(&server, "s43").await;
    let token = strong(&server, "s42");
    call(&mut raised, "session.step_up", json!({"token": token})).await;
    let recipients = [41, 42, 43].map(|n| json!({"profile": format!("G10001.p{n}")}));
    let letter = json!({"profile": "G10001.p1", "subject": "E", "text": "Hemmeligt",
        "recipients": recipients, "sensitive": true});
    let created = call(&mut teacher, "thread.create", letter).await;
    for client in [&mut connected, &mut raised] {
        let heard = client.publication().await["data"].clone();
        assert_eq!(heard["message"]["text"], "Hemmeligt", "{heard}");
    }
    let heard = low.publication().await["data"].clone();
    assert_eq!(heard["step_up_required"], true, "{heard}");
    let asked = json!({"profile": "G10001.p4", "thread": created["thread"]["id"]});
    let log = call(&mut leader, "access.list", asked).await;
    let looks = log["accesses"].as_array().unwrap().iter();
    let named = |it: &Value| (it["door"] == "live").then(|| it["profile"].clone());
    let mut live: Vec<_> = looks.filter_map(named).collect();
    live.sort_by_key(ToString::to_string);
    let expected = ["G10001.p1", "G10001.p41", "G10001.p42"];
    assert_eq!(live, expected, "{log}");
}
