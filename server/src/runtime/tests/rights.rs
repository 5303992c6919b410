//! Rights on open connections: they change in the order of the ledger, by all units together, and with the day.

use std::sync::atomic::AtomicU32;

use super::*;
use crate::domain::testing::{ledger, member, people};
use crate::ledger::{
    Actor, Append, Call, ChannelName, Content, Job, LedgerId, RecordKey, Refusal, View,
};
use crate::people::record::PeopleRecord;
use crate::people::{ChangePeople, day};
use crate::store::faulty::Passage;
use crate::store::{Batch, CommitError, Store, StoreError};

/// A second school of the same municipality.
const OTHER: &str = "G10002";

async fn commit_in(server: &Server, unit: &LedgerId, job: impl Job<Roster> + 'static) {
    let call = Call::new("test", Actor::default(), job);
    server.ledgers.call(unit, call).await.unwrap();
}

pub(super) async fn commit(server: &Server, job: impl Job<Roster> + 'static) {
    commit_in(server, &ledger(), job).await;
}

fn said_in(channel: &str, text: &str) -> Append {
    let content = Content {
        full: Bytes::from(json!({"said": text}).to_string()),
        ..Content::default()
    };
    Append {
        channels: vec![ChannelName::parse(channel).unwrap()],
        content,
    }
}

pub(super) fn said(text: &str) -> Append {
    said_in("group:G10001/g1", text)
}

fn put(put: Vec<PeopleRecord>) -> ChangePeople {
    ChangePeople {
        put,
        delete: Vec::new(),
    }
}

pub(super) fn put_people() -> ChangePeople {
    put(people())
}

/// The same people at the other school.
fn people_elsewhere() -> Vec<PeopleRecord> {
    let records = people().into_iter().map(|record| {
        let key = record.key().as_str().to_owned();
        let json = String::from_utf8(record.to_json())
            .unwrap()
            .replace("G10001", OTHER);
        let read = PeopleRecord::from_json(&key.replace("G10001", OTHER).into(), json.as_bytes());
        read.unwrap().unwrap()
    });
    records.collect()
}

/// The membership of staff member 2 in the class, in force or long over.
fn membership(in_force: bool) -> ChangePeople {
    let PeopleRecord::Membership(mut record) = member(1, 2) else {
        panic!("a membership");
    };
    record.until = (!in_force).then(|| jiff::civil::date(2020, 1, 1));
    put(vec![PeopleRecord::Membership(record)])
}

#[tokio::test]
async fn nothing_is_seen_after_the_right_to_it_is_lost() {
    const ROUNDS: usize = 30;
    let server = start();
    commit(&server, put(people())).await;
    let mut staying = Client::connect(&server, "s1").await;
    // On every shard one, since each holds entries back for itself.
    let mut leaving = Vec::new();
    for _ in 0..SHARDS {
        leaving.push(Client::connect(&server, "s2").await);
    }
    commit(&server, said("among us")).await;
    for client in [&mut staying].into_iter().chain(&mut leaving) {
        assert_eq!(client.publication().await["data"]["said"], "among us");
    }
    for round in 0..ROUNDS {
        commit(&server, said("among us")).await;
        commit(&server, membership(false)).await;
        commit(&server, said("without you")).await;
        if round + 1 < ROUNDS {
            commit(&server, membership(true)).await;
        }
    }
    for _ in 0..ROUNDS {
        assert_eq!(staying.publication().await["data"]["said"], "among us");
        assert_eq!(staying.publication().await["data"]["said"], "without you");
    }
    for mut client in leaving {
        // The reply comes after everything that was written before.
        client
            .ask("presence_stats", json!({"channel": "live:x"}))
            .await;
        let pushes: Vec<_> = client.pushes.iter().map(|it| it["push"].clone()).collect();
        let group = |push: &&Value| push["channel"] == "group:G10001/g1";
        let seen: Vec<_> = pushes.iter().filter(group).collect();
        assert!(seen.iter().any(|push| !push["unsubscribe"].is_null()));
        let leaked = seen
            .iter()
            .filter(|push| push["pub"]["data"]["said"] == "without you");
        assert_eq!(leaked.count(), 0);
    }
    server.node.stop().await;
}

/// The profile of staff member 2 as of a unit, ended long ago or not.
fn profile_of(records: Vec<PeopleRecord>, in_force: bool) -> ChangePeople {
    let mut found = records.into_iter().filter_map(|record| match record {
        PeopleRecord::Profile(profile) if profile.person.as_str() == "person-2" => Some(profile),
        _ => None,
    });
    let mut profile = found.next().unwrap();
    profile.until = (!in_force).then(|| jiff::civil::date(2020, 1, 1));
    put(vec![PeopleRecord::Profile(profile)])
}

#[tokio::test]
async fn what_two_units_open_is_lost_when_both_say_so() {
    let server = start();
    let other = LedgerId::parse(OTHER).unwrap();
    let town = LedgerId::parse("M101").unwrap();
    commit(&server, put(people())).await;
    commit_in(&server, &other, put(people_elsewhere())).await;
    let (mut client, told) = Client::connect_with(&server, &token("s2")).await;
    let channels: Vec<_> = told["subs"].as_object().unwrap().keys().cloned().collect();
    let expected = [
        "group:G10001/g1",
        "group:G10002/g1",
        "person:G10001/p2",
        "person:G10002/p2",
        "unit:C1",
        "unit:G10001",
        "unit:G10002",
        "unit:M101",
    ];
    assert_eq!(channels, expected);
    commit_in(&server, &town, said_in("unit:M101", "one")).await;
    assert_eq!(client.publication().await["data"]["said"], "one");

    commit(&server, profile_of(people(), false)).await;
    commit_in(&server, &town, said_in("unit:M101", "two")).await;
    assert_eq!(client.publication().await["data"]["said"], "two");

    commit_in(&server, &other, profile_of(people_elsewhere(), false)).await;
    commit_in(&server, &town, said_in("unit:M101", "three")).await;
    let asked = json!({"channel": "live:x"});
    client.ask("presence_stats", asked).await;
    let pushes: Vec<_> = client.pushes.iter().map(|it| it["push"].clone()).collect();
    let gone = pushes.iter().filter(|push| push["unsubscribe"].is_object());
    // Those of the first school are told before "two", and passed over above.
    assert_eq!(gone.count(), expected.len() - 3, "{pushes:?}");
    assert!(
        pushes.iter().all(|push| push["pub"].is_null()),
        "{pushes:?}"
    );
    server.node.stop().await;
}

#[tokio::test]
async fn a_token_holds_its_session_to_the_profiles_it_names() {
    let server = start();
    let other = LedgerId::parse(OTHER).unwrap();
    commit(&server, put(people())).await;
    commit_in(&server, &other, put(people_elsewhere())).await;
    let told_with = async |profiles: &[&str]| {
        let claims = Claims {
            sub: Some("s2".to_owned()),
            profiles: profiles.iter().map(|&it| it.to_owned()).collect(),
            ..Claims::default()
        };
        let token = SigningKey::hmac(SECRET).mint(&claims).unwrap();
        Client::connect_with(&server, &token).await
    };
    let (mut client, told) = told_with(&["G10002.p2"]).await;
    let channels = told["subs"].as_object().unwrap().keys();
    assert!(channels.clone().all(|it| !it.contains("G10001")), "{told}");
    assert_eq!(channels.len(), 5);
    let as_profile = |profile: &str| json!({"method": "thread.list", "data": {"profile": profile}});
    let own = client.ask("rpc", as_profile("G10002.p2")).await;
    assert!(own["rpc"].is_object(), "{own}");
    let foreign = client.ask("rpc", as_profile("G10001.p2")).await;
    assert!(foreign["error"].is_object(), "{foreign}");
    let (_, told) = told_with(&["no profile at all"]).await;
    assert!(told["subs"].is_null(), "{told}");
    server.node.stop().await;
}

#[tokio::test]
async fn at_midnight_what_ended_yesterday_is_over_before_the_first_entry() {
    let server = start();
    commit(&server, put(people())).await;
    let now = server.clock.now_ms();
    let PeopleRecord::Membership(mut record) = member(1, 2) else {
        panic!("a membership");
    };
    record.until = Some(day::day_at(now));
    commit(&server, put(vec![PeopleRecord::Membership(record)])).await;
    let mut staying = Client::connect(&server, "s1").await;
    let mut leaving = Vec::new();
    for _ in 0..SHARDS {
        leaving.push(Client::connect(&server, "s2").await);
    }
    commit(&server, said("today")).await;
    for client in [&mut staying].into_iter().chain(&mut leaving) {
        assert_eq!(client.publication().await["data"]["said"], "today");
    }
    let to_midnight = day::next_midnight_ms(now) - now;
    server.clock.by_ms.store(to_midnight, Ordering::SeqCst);
    commit(&server, said("tomorrow")).await;
    assert_eq!(staying.publication().await["data"]["said"], "tomorrow");
    for mut client in leaving {
        let asked = json!({"channel": "live:x"});
        client.ask("presence_stats", asked).await;
        let pushes: Vec<_> = client.pushes.iter().map(|it| it["push"].clone()).collect();
        assert!(pushes.iter().any(|push| push["unsubscribe"].is_object()));
        assert!(
            pushes.iter().all(|push| push["pub"].is_null()),
            "{pushes:?}"
        );
    }
    server.node.stop().await;
}

/// Leaves a record in the ledger that no server can read.
struct Garbage;

#[async_trait::async_trait(?Send)]
impl Job<Roster> for Garbage {
    async fn run(&mut self, view: &mut View<'_, Roster>) -> Result<Bytes, Refusal> {
        view.put_raw(&RecordKey::from("person/x".to_owned()), Bytes::from("{"));
        Ok(Bytes::new())
    }
}

#[tokio::test]
async fn a_unit_that_cannot_be_read_takes_nothing_from_the_others() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let other = LedgerId::parse(OTHER).unwrap();
    let server = start_on(Arc::clone(&store), transport::Settings::default());
    commit(&server, put(people())).await;
    commit_in(&server, &other, put(people_elsewhere())).await;
    commit_in(&server, &other, Garbage).await;
    server.node.stop().await;
    let server = start_on(store, transport::Settings::default());
    let (mut client, told) = Client::connect_with(&server, &token("s2")).await;
    let channels = told["subs"].as_object().unwrap().keys();
    assert!(channels.clone().all(|it| !it.contains(OTHER)), "{told}");
    assert_eq!(channels.len(), 5);
    commit(&server, said("all the same")).await;
    assert_eq!(client.publication().await["data"]["said"], "all the same");
    server.node.stop().await;
}

/// A store that is away from some request on.
struct Leaving {
    behind: Arc<dyn Store>,
    left: AtomicU32,
}

#[async_trait::async_trait]
impl Passage for Leaving {
    fn behind(&self) -> &dyn Store {
        &*self.behind
    }

    async fn reach(&self) -> Result<&dyn Store, StoreError> {
        let one_less = |left: u32| left.checked_sub(1);
        let left = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        let away = |_| StoreError::Unavailable("it went away".into());
        left.map(|_| self.behind()).map_err(away)
    }

    async fn pass(&self, batch: Batch) -> Result<(), CommitError> {
        self.reach().await?.commit(batch).await
    }
}

#[tokio::test]
async fn who_comes_while_the_store_goes_away_is_told_to_come_again_and_not_let_in_with_less() {
    let behind: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let server = start_on(Arc::clone(&behind), transport::Settings::default());
    commit(&server, put(people())).await;
    let other = LedgerId::parse(OTHER).unwrap();
    commit_in(&server, &other, put(people_elsewhere())).await;
    server.node.stop().await;
    let (mut refused, mut let_in) = (0, 0);
    for left in 0.. {
        let store = Leaving {
            behind: Arc::clone(&behind),
            left: AtomicU32::new(left),
        };
        let server = start_on(Arc::new(store), transport::Settings::default());
        let mut client = Client::open(&server).await;
        let reply = client.ask("connect", json!({"token": token("s2")})).await;
        server.node.stop().await;
        if reply["error"].is_object() {
            assert_eq!(reply["error"]["code"], 100, "{reply}");
            assert_eq!(reply["error"]["temporary"], true, "{reply}");
            refused += 1;
        } else {
            let channels = reply["connect"]["subs"].as_object().unwrap();
            assert_eq!(channels.len(), 8, "after {left} requests: {reply}");
            let_in += 1;
        }
        if let_in == 3 {
            break;
        }
    }
    assert!(refused > 3, "the store was needed {refused} times");
}
