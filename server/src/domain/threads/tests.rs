//! The rules of threads, each with what must arrive and what must never arrive.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::domain::testing::{World, class, g, member, p, people, person, relation};
use crate::ledger::testing::run_local;
use crate::people::record::{PeopleRecord, Relation};
use crate::people::{Disclosure, UserKind};

fn set<const N: usize>(numbers: [u32; N]) -> BTreeSet<u32> {
    numbers.into_iter().collect()
}

fn to_class() -> Value {
    json!({ "profile": p(1), "subject": "Tur", "text": "Husk madpakke", "recipients": [{ "group": g(1) }] })
}

fn to_persons(from: u32, to: &[u32]) -> Value {
    let recipients: Vec<_> = to.iter().map(|to| json!({ "profile": p(*to) })).collect();
    json!({ "profile": p(from), "subject": "Emne", "text": "Ord", "recipients": recipients })
}

async fn class_thread(world: &mut World) -> Value {
    let thread = world.ok(1, "thread.create", to_class()).await["thread"]["id"].clone();
    world.forget();
    thread
}

async fn send(world: &World, who: u32, thread: &Value, text: &str) -> Value {
    world
        .ok(
            who,
            "message.send",
            json!({ "profile": p(who), "thread": thread, "text": text }),
        )
        .await
}

#[test]
fn a_message_to_the_class_reaches_the_class_and_nobody_else() {
    run_local(async {
        let mut world = World::new().await;
        let output = world.ok(1, "thread.create", to_class()).await;
        assert_eq!(output["recipients"], 68); // 2 staff, 24 children, 42 guardians
        assert_eq!(world.who_heard("message").await, class());
        let heard = world.heard(41).await;
        assert_eq!(heard.len(), 1, "shown once");
        assert_eq!(heard[0]["message"]["text"], "Husk madpakke");
        assert_eq!(heard[0]["message"]["by"]["name"], "Navn 1");
        for who in [1, 11, 41, 82, 92] {
            let badge = world.check_badge(who).await;
            assert_eq!(
                badge["messages"],
                u32::from(class().contains(&who) && who != 1),
                "{who}"
            );
        }
    });
}

#[test]
fn one_commit_holds_the_message_and_all_that_follows_from_it() {
    run_local(async {
        let world = World::new().await;
        let answer = world
            .call_with_key(1, "thread.create", to_class(), None)
            .await
            .expect("the teacher may");
        let commit = answer.commit.expect("it changed something");
        assert_eq!(commit.entries.len(), 1, "one entry");
        assert_eq!(
            commit.entries[0].channels.len(),
            69,
            "in every personal channel"
        );
    });
}

#[test]
fn a_retry_with_the_same_key_says_it_once() {
    run_local(async {
        let mut world = World::new().await;
        let thread = class_thread(&mut world).await;
        let input = json!({ "profile": p(1), "thread": thread, "text": "Hej" });
        let first = world
            .call_with_key(1, "message.send", input.clone(), Some("k1"))
            .await
            .expect("sent");
        let again = world
            .call_with_key(1, "message.send", input, Some("k1"))
            .await
            .expect("sent before");
        assert!(again.replayed && !first.replayed);
        assert_eq!(first.output, again.output);
        assert_eq!(world.heard(41).await.len(), 1);
        let other = json!({ "profile": p(1), "thread": thread, "text": "Noget andet" });
        let conflict = world
            .call_with_key(1, "message.send", other, Some("k1"))
            .await
            .expect_err("another body");
        assert_eq!(conflict.key, "error.idempotency_conflict");
        assert_eq!(world.heard(41).await.len(), 1);
    });
}

#[test]
fn who_may_write_to_whom() {
    run_local(async {
        let world = World::new().await;
        let group = |from: u32, group: u32| json!({ "profile": p(from), "subject": "E", "text": "O", "recipients": [{ "group": g(group) }] });
        let inbox = |from: u32| json!({ "profile": p(from), "subject": "E", "text": "O", "recipients": [{ "inbox": "G10001.i1" }] });
        let cases = [
            (1, to_persons(1, &[92]), None),
            (41, to_persons(41, &[1, 42, 43, 4]), None),
            (41, to_persons(41, &[92]), Some("error.unknown_recipient")),
            (41, to_persons(41, &[90]), None),
            (41, to_persons(41, &[999]), Some("error.unknown_recipient")),
            (41, to_persons(41, &[41]), Some("error.no_recipients")),
            (41, to_persons(42, &[1]), Some("error.profile_not_yours")),
            (11, to_persons(11, &[12]), None),
            (11, to_persons(11, &[91]), Some("error.unknown_recipient")),
            (41, group(41, 1), None),
            (41, group(41, 2), Some("error.unknown_recipient")),
            (1, group(1, 2), None),
            (1, group(1, 9), Some("error.unknown_recipient")),
            (6, group(6, 1), Some("error.not_allowed")),
            (7, to_persons(7, &[1]), None),
            (8, to_persons(8, &[1]), Some("error.outside_municipality")),
            (9, to_persons(9, &[1]), None),
            (8, inbox(8), Some("error.outside_municipality")),
            (41, inbox(41), None),
        ];
        for (i, (who, input, refused)) in cases.into_iter().enumerate() {
            match refused {
                None => drop(world.ok(who, "thread.create", input).await),
                Some(key) => assert_eq!(
                    world.refused(who, "thread.create", input).await,
                    key,
                    "case {i}"
                ),
            }
        }
    });
}

#[test]
fn at_most_400_recipients() {
    run_local(async {
        let mut world = World::new().await;
        let crowd: Vec<_> = (1001..=1334)
            .flat_map(|number| {
                let mut records = person(number, UserKind::Pupil);
                records.push(member(1, number));
                records
            })
            .collect();
        world.change("G10001", crowd).await; // 334 + 68 others in the class = 402
        assert_eq!(
            world.refused(1, "thread.create", to_class()).await,
            "error.too_many_recipients"
        );
        let mut fewer = to_class();
        fewer["recipients"] = json!([{ "group_portal": { "group": g(1), "portal": "child" } }]);
        assert_eq!(world.ok(1, "thread.create", fewer).await["recipients"], 358);
    });
}

#[test]
fn an_answer_to_a_group_goes_to_its_sender_alone() {
    run_local(async {
        let mut world = World::new().await;
        let thread = class_thread(&mut world).await;
        let send = json!({ "profile": p(41), "thread": thread, "text": "Til alle?" });
        assert_eq!(
            world.refused(41, "message.send", send).await,
            "error.reply_to_sender"
        );
        world.pass(1);
        let reply = json!({ "profile": p(41), "thread": thread, "text": "Vi kommer" });
        let first = world.ok(41, "message.reply", reply.clone()).await;
        let again = world.ok(41, "message.reply", reply).await;
        assert_eq!(first["thread"], again["thread"], "one secondary thread");
        assert_ne!(first["thread"], thread);
        assert_eq!(world.who_heard("message").await, set([1, 41]));
        let list = world.ok(1, "thread.list", json!({ "profile": p(1) })).await;
        assert_eq!(list["threads"][0]["bundle"], thread);
        // The sender answers in the secondary thread: to that guardian alone.
        world.forget();
        let back = json!({ "profile": p(1), "thread": first["thread"], "text": "Godt" });
        world.ok(1, "message.reply", back).await;
        assert_eq!(world.who_heard("message").await, set([1, 41]));
    });
}

#[test]
fn an_answer_to_persons_goes_to_everyone() {
    run_local(async {
        let mut world = World::new().await;
        let thread =
            world.ok(1, "thread.create", to_persons(1, &[41, 42])).await["thread"]["id"].clone();
        world.forget();
        world
            .ok(
                42,
                "message.reply",
                json!({ "profile": p(42), "thread": thread, "text": "Ja" }),
            )
            .await;
        assert_eq!(world.who_heard("message").await, set([1, 41, 42]));
    });
}

#[test]
fn a_new_participant_sees_the_whole_thread() {
    run_local(async {
        let mut world = World::new().await;
        let thread =
            world.ok(1, "thread.create", to_persons(1, &[41])).await["thread"]["id"].clone();
        send(&world, 41, &thread, "Andet").await;
        let list = json!({ "profile": p(2), "thread": thread });
        assert_eq!(
            world.refused(2, "message.list", list.clone()).await,
            "error.not_found"
        );
        world.forget();
        let add = json!({ "profile": p(1), "thread": thread, "recipients": [{ "profile": p(2) }] });
        world.ok(1, "thread.add_participants", add.clone()).await;
        assert_eq!(
            world.who_heard("message").await,
            set([1, 2, 41]),
            "a membership change is an entry"
        );
        let seen = world.ok(2, "message.list", list).await;
        let texts: Vec<_> = seen["messages"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|m| m["text"].clone())
            .collect();
        assert_eq!(texts, [Value::Null, json!("Andet"), json!("Ord")]);
        assert_eq!(world.check_badge(2).await["messages"], 1);
        assert_eq!(
            world.refused(1, "thread.add_participants", add).await,
            "error.no_recipients"
        );
    });
}

#[test]
fn who_left_hears_nothing_more() {
    run_local(async {
        let mut world = World::new().await;
        let thread =
            world.ok(1, "thread.create", to_persons(1, &[41, 42])).await["thread"]["id"].clone();
        world
            .ok(
                41,
                "thread.leave",
                json!({ "profile": p(41), "thread": thread }),
            )
            .await;
        assert_eq!(world.check_badge(41).await["messages"], 0);
        world.forget();
        send(&world, 1, &thread, "Uden 41").await;
        assert_eq!(world.who_heard("message").await, set([1, 42]));
        for operation in ["thread.get", "message.list"] {
            let input = json!({ "profile": p(41), "thread": thread });
            assert_eq!(world.refused(41, operation, input).await, "error.not_found");
        }
        let list = world
            .ok(41, "thread.list", json!({ "profile": p(41) }))
            .await;
        assert_eq!(list["threads"], json!([]));
    });
}

#[test]
fn an_edit_reaches_all_and_takes_the_place_of_the_old_words_everywhere() {
    run_local(async {
        let mut world = World::new().await;
        let thread = class_thread(&mut world).await;
        let message = send(&world, 1, &thread, "Klokken 8").await["id"].clone();
        let edit = |who: u32| json!({ "profile": p(who), "thread": thread, "message": message, "text": "Klokken 9" });
        assert_eq!(
            world.refused(2, "message.edit", edit(2)).await,
            "error.not_allowed"
        );
        world.pass(1);
        world.forget();
        world.ok(1, "message.edit", edit(1)).await;
        assert_eq!(world.who_heard("message").await, class());
        let recovered = texts(&world.recovered(41).await);
        assert!(
            !recovered.contains("Klokken 8"),
            "the old words came back by recovery"
        );
        assert!(recovered.contains("Klokken 9"));
        world.version = Some(1);
        assert_eq!(
            world.refused(1, "message.edit", edit(1)).await,
            "error.version_changed"
        );
    });
}

#[test]
fn withdrawn_words_come_back_by_no_way() {
    run_local(async {
        let mut world = World::new().await;
        let thread = class_thread(&mut world).await;
        let message = send(&world, 1, &thread, "Fortrolig fejl").await["id"].clone();
        let input = |who: u32| json!({ "profile": p(who), "thread": thread, "message": message });
        assert_eq!(
            world.refused(41, "message.withdraw", input(41)).await,
            "error.not_allowed"
        );
        world.pass(1);
        world.forget();
        world.ok(1, "message.withdraw", input(1)).await;
        assert_eq!(world.who_heard("message").await, class());
        assert!(!texts(&world.recovered(41).await).contains("Fortrolig"));
        let list = world
            .ok(
                41,
                "message.list",
                json!({ "profile": p(41), "thread": thread }),
            )
            .await;
        assert!(!list.to_string().contains("Fortrolig"));
        assert!(list["messages"][0]["withdrawn_ms"].is_u64());
        assert_eq!(
            world.refused(1, "message.withdraw", input(1)).await,
            "error.withdrawn"
        );
    });
}

#[test]
fn a_leader_may_withdraw_what_others_wrote_where_they_take_part() {
    run_local(async {
        let world = World::new().await;
        let created = world.ok(1, "thread.create", to_persons(1, &[4, 41])).await;
        let input = json!({ "profile": p(4), "thread": created["thread"]["id"], "message": created["message"]["id"] });
        world.ok(4, "message.withdraw", input).await;
    });
}

fn texts(shown: &[Disclosure]) -> String {
    let payloads = shown.iter().cloned().filter_map(Disclosure::into_payload);
    payloads
        .map(|payload| String::from_utf8_lossy(&payload).into_owned())
        .collect()
}

/// The words of a sensitive thread, by every way out.
async fn every_way_out(world: &mut World, who: u32, thread: &Value) -> String {
    let mut out = String::new();
    for heard in world.heard(who).await {
        out.push_str(&heard.to_string());
    }
    out.push_str(&texts(&world.recovered(who).await));
    let own = json!({ "profile": p(who), "thread": thread });
    for (operation, input) in [
        ("thread.list", json!({ "profile": p(who) })),
        ("thread.get", own.clone()),
        ("message.list", own),
        ("session.start", json!({})),
    ] {
        out.push_str(&world.ok(who, operation, input).await.to_string());
    }
    out
}

#[test]
fn sensitive_words_are_a_bare_signal_below_the_level_by_every_way_out() {
    run_local(async {
        let mut world = World::new().await;
        world.step_up(1);
        world.step_up(42);
        let mut input = to_persons(1, &[41, 42]);
        (input["subject"], input["text"], input["sensitive"]) =
            (json!("Diagnose"), json!("Hemmelige ord"), json!(true));
        let thread = world.ok(1, "thread.create", input).await["thread"]["id"].clone();
        let low = every_way_out(&mut world, 41, &thread).await;
        assert!(
            !low.contains("Hemmelige") && !low.contains("Diagnose"),
            "content below the level: {low}"
        );
        assert!(
            low.contains("\"step_up_required\":true"),
            "and never silence"
        );
        assert!(!low.contains("Navn 1"), "nor whose it is");
        let high = every_way_out(&mut world, 42, &thread).await;
        assert!(high.contains("Hemmelige ord") && high.contains("Diagnose"));
        assert_eq!(
            world.check_badge(41).await["messages"],
            1,
            "the signal counts"
        );
    });
}

#[test]
fn a_step_up_lapses() {
    run_local(async {
        let mut world = World::new().await;
        world.step_up(1);
        let thread = class_thread(&mut world).await;
        let mark = json!({ "profile": p(1), "thread": thread, "sensitive": true });
        world.ok(1, "thread.set_sensitivity", mark.clone()).await;
        world.step_down(1);
        assert_eq!(
            world.refused(1, "thread.set_sensitivity", mark).await,
            "error.step_up_required"
        );
        let list = world
            .ok(
                1,
                "message.list",
                json!({ "profile": p(1), "thread": thread }),
            )
            .await;
        assert_eq!(list["step_up_required"], true);
    });
}

#[test]
fn marking_a_thread_sensitive_covers_what_was_said_before() {
    run_local(async {
        let mut world = World::new().await;
        let thread = class_thread(&mut world).await;
        send(&world, 1, &thread, "Åbne ord").await;
        let mark = json!({ "profile": p(1), "thread": thread, "sensitive": true });
        assert_eq!(
            world
                .refused(1, "thread.set_sensitivity", mark.clone())
                .await,
            "error.step_up_required"
        );
        world.step_up(1);
        world.pass(1);
        world.ok(1, "thread.set_sensitivity", mark).await;
        world.forget();
        let low = every_way_out(&mut world, 41, &thread).await;
        assert!(!low.contains("Åbne ord"), "covered in recovery too");
        world.step_up(41);
        assert!(
            every_way_out(&mut world, 41, &thread)
                .await
                .contains("Åbne ord")
        );
    });
}

#[test]
fn only_a_stepped_up_session_writes_and_reads_on_in_a_sensitive_thread() {
    run_local(async {
        let mut world = World::new().await;
        world.step_up(1);
        let mut input = to_persons(1, &[41]);
        input["sensitive"] = json!(true);
        let created = world.ok(1, "thread.create", input).await;
        let (thread, message) = (
            created["thread"]["id"].clone(),
            created["message"]["id"].clone(),
        );
        let say = json!({ "profile": p(41), "thread": thread, "text": "Svar" });
        let read = json!({ "profile": p(41), "thread": thread, "message": message });
        assert_eq!(
            world.refused(41, "message.send", say).await,
            "error.step_up_required"
        );
        assert_eq!(
            world.refused(41, "thread.read", read).await,
            "error.step_up_required"
        );
    });
}

#[test]
fn who_saw_sensitive_words_is_written_down() {
    run_local(async {
        let mut world = World::new().await;
        for who in [1, 4, 41] {
            world.step_up(who);
        }
        let mut input = to_persons(1, &[41]);
        input["sensitive"] = json!(true);
        let thread = world.ok(1, "thread.create", input).await["thread"]["id"].clone();
        world
            .ok(
                41,
                "message.list",
                json!({ "profile": p(41), "thread": thread }),
            )
            .await;
        let log = world
            .ok(
                4,
                "access.list",
                json!({ "profile": p(4), "thread": thread }),
            )
            .await;
        assert_eq!(log["accesses"][0]["profile"], json!(p(41)));
        assert_eq!(log["accesses"][0]["subject"], "s41");
        assert_eq!(
            world
                .refused(
                    41,
                    "access.list",
                    json!({ "profile": p(41), "thread": thread })
                )
                .await,
            "error.not_allowed"
        );
    });
}

#[test]
fn a_relation_that_ends_stops_what_is_new_the_same_day_and_keeps_the_trail() {
    run_local(async {
        let mut world = World::new().await;
        let thread = class_thread(&mut world).await;
        let ended = Relation {
            custody: false,
            ..relation(41, 11)
        };
        world
            .change("G10001", vec![PeopleRecord::Relation(ended)])
            .await;
        assert_eq!(
            world.touched(),
            BTreeSet::from(["s41".to_owned()]),
            "and nobody else's rights"
        );
        world.forget();
        world.pass(1);
        send(&world, 1, &thread, "Ikke for 41").await;
        assert!(!world.who_heard("message").await.contains(&41));
        let list = world
            .ok(
                41,
                "message.list",
                json!({ "profile": p(41), "thread": thread }),
            )
            .await;
        assert!(
            list.to_string().contains("Husk madpakke"),
            "what was theirs stays"
        );
        assert!(!list.to_string().contains("Ikke for 41"));
        let write = json!({ "profile": p(41), "thread": thread, "text": "Jeg er her endnu" });
        assert_eq!(
            world.refused(41, "message.reply", write).await,
            "error.not_allowed"
        );
        world.check_badge(41).await;
        // And when it is given back, the thread goes on where it was.
        world
            .change("G10001", vec![PeopleRecord::Relation(relation(41, 11))])
            .await;
        world.pass(1);
        send(&world, 1, &thread, "Velkommen igen").await;
        assert!(world.who_heard("message").await.contains(&41));
        world.check_badge(41).await;
        let threads = world
            .ok(41, "thread.list", json!({ "profile": p(41) }))
            .await;
        assert_eq!(
            threads["threads"].as_array().map(Vec::len),
            Some(1),
            "one box, not two"
        );
    });
}

#[test]
fn defect_1_reading_on_one_device_clears_the_others_and_the_badge_equals_a_recount() {
    run_local(async {
        let mut world = World::new().await;
        let thread = class_thread(&mut world).await;
        let first = send(&world, 1, &thread, "Et").await["id"].clone();
        let last = send(&world, 1, &thread, "To").await["id"].clone();
        assert_eq!(
            world.check_badge(41).await["messages"],
            1,
            "one thread waits, however many words"
        );
        world.forget();
        world
            .ok(
                41,
                "thread.read",
                json!({ "profile": p(41), "thread": thread, "message": last }),
            )
            .await;
        let heard = world.heard(41).await;
        assert_eq!(heard.len(), 1, "told once");
        assert_eq!(heard[0]["type"], "thread.state");
        assert_eq!(
            (&heard[0]["unread"], &heard[0]["badge"]["messages"]),
            (&json!(0), &json!(0))
        );
        assert_eq!(
            world.who_heard("thread.state").await,
            set([41]),
            "and nobody else's devices"
        );
        assert_eq!(world.check_badge(41).await["messages"], 0);
        // A slow device reports an older position: nothing comes back.
        world.forget();
        world
            .ok(
                41,
                "thread.read",
                json!({ "profile": p(41), "thread": thread, "message": first }),
            )
            .await;
        assert!(world.heard(41).await.is_empty());
        assert_eq!(world.check_badge(41).await["messages"], 0);
        // Muting takes out of the badge, and unmuting puts back.
        send(&world, 1, &thread, "Tre").await;
        let mute = |muted: bool| json!({ "profile": p(41), "thread": thread, "muted": muted });
        world.ok(41, "thread.mute", mute(true)).await;
        assert_eq!(world.check_badge(41).await["messages"], 0);
        world.ok(41, "thread.mute", mute(false)).await;
        assert_eq!(world.check_badge(41).await["messages"], 1);
    });
}

#[test]
fn defect_3_one_sensitive_unread_message_never_breaks_a_client() {
    run_local(async {
        let mut world = World::new().await;
        class_thread(&mut world).await;
        world.pass(1);
        world.step_up(1);
        let mut input = to_persons(1, &[41]);
        input["sensitive"] = json!(true);
        let thread = world.ok(1, "thread.create", input).await["thread"]["id"].clone();
        let list = world
            .ok(41, "thread.list", json!({ "profile": p(41) }))
            .await;
        let threads = list["threads"].as_array().expect("a list");
        assert_eq!(threads.len(), 2, "nothing vanishes");
        assert_eq!(
            (&threads[0]["step_up_required"], &threads[0]["unread"]),
            (&json!(true), &json!(1))
        );
        assert_eq!(threads[1]["subject"], "Tur", "and the rest is whole");
        let get = world
            .ok(
                41,
                "thread.get",
                json!({ "profile": p(41), "thread": thread }),
            )
            .await;
        assert_eq!(
            (&get["thread"]["step_up_required"], &get["participants"]),
            (&json!(true), &json!([]))
        );
    });
}

#[test]
fn a_shared_inbox_reaches_whoever_looks_after_it_at_the_time() {
    run_local(async {
        let mut world = World::new().await;
        let input = json!({ "profile": p(41), "subject": "Fri", "text": "Må vi få fri?", "recipients": [{ "inbox": "G10001.i1" }] });
        let thread = world.ok(41, "thread.create", input).await["thread"]["id"].clone();
        assert_eq!(world.who_heard("message").await, set([5, 41]));
        let set_members =
            json!({ "profile": p(4), "inbox": "G10001.i1", "name": "Kontoret", "members": [p(3)] });
        world.ok(4, "inbox.set", set_members).await;
        world.forget();
        world.pass(1);
        send(&world, 41, &thread, "Hallo?").await;
        assert_eq!(
            world.who_heard("message").await,
            set([3, 41]),
            "the new one, no longer the old one"
        );
        let seen = world
            .ok(
                3,
                "message.list",
                json!({ "profile": p(3), "thread": thread }),
            )
            .await;
        assert!(
            seen.to_string().contains("Må vi få fri?"),
            "the whole thread"
        );
        for who in [3, 5, 41] {
            world.check_badge(who).await;
        }
    });
}

#[test]
fn a_protected_name_is_an_alias_by_every_way_out_at_once() {
    run_local(async {
        let mut world = World::new().await;
        let thread =
            world.ok(41, "thread.create", to_persons(41, &[1])).await["thread"]["id"].clone();
        let mut records = people();
        let hidden = records.iter_mut().find_map(|record| match record {
            PeopleRecord::Person(person) if person.name == "Navn 41" => Some(person),
            _ => None,
        });
        let hidden = hidden.expect("the school has them");
        (hidden.protected, hidden.alias) = (true, Some("Forælder".to_owned()));
        let record = PeopleRecord::Person(hidden.clone());
        world.pass(1);
        world.forget();
        world.change("G10001", vec![record]).await;
        assert!(
            world.who_heard("person.renamed").await.contains(&10),
            "open screens are told"
        );
        let own = json!({ "profile": p(1), "thread": thread });
        let mut out = texts(&world.recovered(1).await);
        for operation in ["thread.get", "message.list"] {
            out.push_str(&world.ok(1, operation, own.clone()).await.to_string());
        }
        assert!(
            !out.contains("Navn 41") && out.contains("Forælder"),
            "{out}"
        );
    });
}

#[test]
fn pages_of_threads_and_messages_join_without_gap_or_double() {
    run_local(async {
        let world = World::new().await;
        for _ in 0..7 {
            world.ok(1, "thread.create", to_persons(1, &[41])).await;
            world.pass(1);
        }
        let mut seen = Vec::new();
        let mut cursor = Value::Null;
        loop {
            let mut input = json!({ "profile": p(41), "limit": 3 });
            if !cursor.is_null() {
                input["cursor"] = cursor.clone();
            }
            let page = world.ok(41, "thread.list", input).await;
            let threads = page["threads"].as_array().expect("a list").clone();
            seen.extend(
                threads
                    .iter()
                    .map(|thread| thread["id"].as_str().expect("an id").to_owned()),
            );
            cursor = page["cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        let newest_first: Vec<_> = (1..=7).rev().map(|n| format!("G10001.t{n}")).collect();
        assert_eq!(seen, newest_first);
    });
}

#[test]
fn wrong_input_is_refused_without_quoting_it() {
    run_local(async {
        let world = World::new().await;
        let mut blank = to_class();
        blank["text"] = json!("   ");
        let mut unknown = to_class();
        unknown["secret"] = json!("hemmeligt");
        for input in [
            json!([]),
            json!({}),
            blank,
            unknown,
            json!({ "profile": "17" }),
        ] {
            let fault = world
                .call_with_key(1, "thread.create", input, None)
                .await
                .expect_err("wrong input");
            assert_eq!(fault.key, "error.invalid_input");
            assert!(!fault.detail.contains("hemmeligt"));
        }
        let unknown = world
            .call_with_key(1, "thread.burn", json!({}), None)
            .await
            .expect_err("no such thing");
        assert_eq!(unknown.key, "error.unknown_operation");
        let internal = world
            .call_with_key(1, "badge.recount", json!({ "profile": p(1) }), None)
            .await;
        assert_eq!(
            internal.expect_err("not at a public door").key,
            "error.unknown_operation"
        );
    });
}
