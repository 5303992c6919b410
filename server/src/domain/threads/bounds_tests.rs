//! Where a thread ends: nobody left to hear, no room left, children nobody here knows.

use serde_json::{Value, json};

use super::record::{Thread, thread_key};
use super::{THREAD_MESSAGES_MAX, ThreadId};
use crate::domain::testing::{World, p, relation};
use crate::ledger::testing::run_local;
use crate::ledger::{Actor, Call, Job, Refusal, View};
use crate::people::Roster;
use crate::people::record::{PeopleRecord, Relation};

fn letter(from: u32, to: &[u32]) -> Value {
    let recipients: Vec<_> = to.iter().map(|to| json!({ "profile": p(*to) })).collect();
    json!({ "profile": p(from), "subject": "Emne", "text": "Ord", "recipients": recipients })
}

async fn thread_of(world: &World, from: u32, to: &[u32]) -> Value {
    world.ok(from, "thread.create", letter(from, to)).await["thread"]["id"].clone()
}

#[test]
fn saying_something_to_nobody_is_refused() {
    run_local(async {
        let mut world = World::new().await;
        let thread = thread_of(&world, 1, &[41]).await;
        let leave = json!({ "profile": p(41), "thread": thread });
        world.ok(41, "thread.leave", leave).await;
        let say = json!({ "profile": p(1), "thread": thread, "text": "Er du der?" });
        for operation in ["message.send", "message.reply"] {
            assert_eq!(
                world.refused(1, operation, say.clone()).await,
                "error.no_recipients"
            );
        }
        // A reply whose receiver no longer takes part.
        let thread = thread_of(&world, 41, &[1]).await;
        let ended = Relation {
            custody: false,
            ..relation(41, 11)
        };
        world
            .change("G10001", vec![PeopleRecord::Relation(ended)])
            .await;
        let say = json!({ "profile": p(1), "thread": thread, "text": "Svar" });
        assert_eq!(
            world.refused(1, "message.reply", say).await,
            "error.no_recipients"
        );
        // An inbox that nobody looks after.
        let empty =
            json!({ "profile": p(4), "inbox": "G10001.i1", "name": "Kontoret", "members": [] });
        world.ok(4, "inbox.set", empty).await;
        let mut input = letter(42, &[]);
        input["recipients"] = json!([{ "inbox": "G10001.i1" }]);
        assert_eq!(
            world.refused(42, "thread.create", input).await,
            "error.no_recipients"
        );
    });
}

/// Fills a thread up to a number of messages, as if they had been said.
struct Fill(ThreadId, u32);

#[async_trait::async_trait(?Send)]
impl Job<Roster> for Fill {
    async fn run(&mut self, view: &mut View<'_, Roster>) -> Result<bytes::Bytes, Refusal> {
        let key = thread_key(&self.0);
        let mut thread: Thread = view.get(&key).await?.expect("there is such a thread");
        thread.messages = self.1;
        view.put(&key, &thread)?;
        Ok(bytes::Bytes::new())
    }
}

async fn fill(world: &World, thread: &Value, messages: u32) {
    let id: ThreadId = thread.as_str().expect("an id").parse().expect("a sound id");
    let call = Call::new("test.fill", Actor::default(), Fill(id, messages));
    let school = crate::domain::testing::ledger();
    let done = world.bench.ledgers.call(&school, call);
    done.await.expect("the thread is filled");
}

#[test]
fn a_full_thread_can_be_left_and_marked_sensitive() {
    run_local(async {
        let mut world = World::new().await;
        world.step_up(1);
        for messages in [THREAD_MESSAGES_MAX, THREAD_MESSAGES_MAX * 10] {
            let thread = thread_of(&world, 1, &[41, 42]).await;
            fill(&world, &thread, messages).await;
            let say = json!({ "profile": p(42), "thread": thread, "text": "Mere" });
            assert_eq!(
                world.refused(42, "message.send", say).await,
                "error.thread_full"
            );
            let leave = json!({ "profile": p(41), "thread": thread });
            world.ok(41, "thread.leave", leave.clone()).await;
            assert_eq!(
                world.refused(41, "thread.get", leave).await,
                "error.not_found"
            );
            let mark = json!({ "profile": p(1), "thread": thread, "sensitive": true });
            let marked = world.ok(1, "thread.set_sensitivity", mark).await;
            assert_eq!(marked["sensitive"], true);
            let own = json!({ "profile": p(42), "thread": thread });
            let list = world.ok(42, "message.list", own).await;
            assert_eq!(list["step_up_required"], true);
            world.check_badge(41).await;
            world.check_badge(42).await;
        }
    });
}

#[test]
fn a_thread_is_about_children_that_the_sender_reaches_and_says_so() {
    run_local(async {
        let world = World::new().await;
        let about = |from: u32, children: Value| {
            let mut input = letter(from, &[41]);
            if from == 41 {
                input["recipients"] = json!([{ "profile": p(1) }]);
            }
            input["regarding"] = children;
            input
        };
        let created = world.ok(1, "thread.create", about(1, json!([p(11)]))).await;
        assert_eq!(created["thread"]["regarding"][0]["profile"], json!(p(11)));
        let own = json!({ "profile": p(41), "thread": created["thread"]["id"] });
        let got = world.ok(41, "thread.get", own).await;
        assert_eq!(got["thread"]["regarding"][0]["name"], "Navn 11");
        for (from, children) in [
            (1, json!(["G99999.p1"])),
            (1, json!([p(999)])),
            (1, json!([p(2)])),
            (41, json!([p(91)])),
        ] {
            assert_eq!(
                world
                    .refused(from, "thread.create", about(from, children.clone()))
                    .await,
                "error.unknown_recipient",
                "{from} {children}"
            );
        }
        let note =
            json!({ "profile": p(1), "recipients": [p(41)], "event": "e", "child": "G99999.p1" });
        assert_eq!(
            world.refused(1, "notification.create", note).await,
            "error.unknown_recipient"
        );
    });
}

#[test]
fn who_may_not_write_is_told_so_by_a_declared_error() {
    run_local(async {
        let mut world = World::new().await;
        // From another municipality with a grant, which is then taken back.
        let created = world.ok(9, "thread.create", letter(9, &[1])).await;
        let mut records =
            crate::domain::testing::person(9, crate::people::UserKind::MunicipalAdministration);
        if let Some(PeopleRecord::Profile(profile)) = records.last_mut() {
            profile.granted = false;
        }
        world.change("G10001", records).await;
        let edit = json!({ "profile": p(9), "thread": created["thread"]["id"], "message": created["message"]["id"], "text": "Nyt" });
        assert_eq!(
            world.refused(9, "message.edit", edit).await,
            "error.outside_municipality"
        );
        let thread = thread_of(&world, 41, &[1]).await;
        let block = json!({ "profile": p(4), "unit": "G10001", "kind": "guardian" });
        world.ok(4, "communication.block", block).await;
        let add =
            json!({ "profile": p(41), "thread": thread, "recipients": [{ "inbox": "G10001.i1" }] });
        assert_eq!(
            world.refused(41, "thread.add_participants", add).await,
            "error.communication_blocked"
        );
    });
}
