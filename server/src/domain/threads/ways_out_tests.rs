//! What was changed, taken back or marked must not come back, and who saw what is sensitive is written down: by every way
//! out, in the same millisecond too.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::domain::testing::{World, g, p, relation};
use crate::ledger::testing::run_local;
use crate::people::Disclosure;
use crate::people::record::{PeopleRecord, Relation};

fn texts(shown: &[Disclosure]) -> String {
    let payloads = shown.iter().cloned().filter_map(Disclosure::into_payload);
    payloads
        .map(|payload| String::from_utf8_lossy(&payload).into_owned())
        .collect()
}

fn letter(from: u32, to: &[u32], sensitive: bool) -> Value {
    let recipients: Vec<_> = to.iter().map(|to| json!({ "profile": p(*to) })).collect();
    json!({ "profile": p(from), "subject": "Emne", "text": "Gamle ord", "recipients": recipients, "sensitive": sensitive })
}

/// A letter's thread and message.
async fn written(world: &World, from: u32, to: &[u32], sensitive: bool) -> (Value, Value) {
    let created = world
        .ok(from, "thread.create", letter(from, to, sensitive))
        .await;
    (
        created["thread"]["id"].clone(),
        created["message"]["id"].clone(),
    )
}

/// Who stands in the access log of a thread, as the leader reads it.
async fn seen_by(world: &mut World, thread: &Value) -> BTreeSet<String> {
    world.step_up(4);
    let input = json!({ "profile": p(4), "thread": thread });
    let log = world.ok(4, "access.list", input).await;
    let looks = log["accesses"].as_array().expect("a list").iter();
    looks
        .map(|look| look["profile"].as_str().expect("an id").to_owned())
        .collect()
}

#[test]
fn what_is_changed_in_the_millisecond_it_was_said_is_changed_everywhere() {
    run_local(async {
        let mut world = World::new().await;
        world.step_up(1);
        let (thread, message) = written(&world, 1, &[41], false).await;
        let one = json!({ "profile": p(1), "thread": thread, "message": message });
        let mut edit = one.clone();
        edit["text"] = json!("Nye ord");
        world.ok(1, "message.edit", edit).await;
        let recovered = texts(&world.recovered(41).await);
        assert!(!recovered.contains("Gamle"), "edited: {recovered}");
        assert!(recovered.contains("Nye ord"));
        let mark = json!({ "profile": p(1), "thread": thread, "sensitive": true });
        world.ok(1, "thread.set_sensitivity", mark).await;
        let recovered = texts(&world.recovered(41).await);
        assert!(!recovered.contains("ord"), "marked: {recovered}");
        world.ok(1, "message.withdraw", one).await;
        world.step_up(41);
        let recovered = texts(&world.recovered(41).await);
        assert!(!recovered.contains("Nye ord"), "withdrawn: {recovered}");
        assert!(recovered.contains("withdrawn_ms"), "and that is said");
    });
}

#[test]
fn what_is_withdrawn_stays_so_when_the_clock_was_set_back() {
    run_local(async {
        let world = World::new().await;
        world.pass(10);
        let (thread, message) = written(&world, 1, &[41], false).await;
        world
            .bench
            .clock
            .set_back(std::time::Duration::from_secs(5));
        let one = json!({ "profile": p(1), "thread": thread, "message": message });
        world.ok(1, "message.withdraw", one).await;
        let recovered = texts(&world.recovered(41).await);
        assert!(!recovered.contains("Gamle"), "{recovered}");
    });
}

#[test]
fn every_way_to_read_a_sensitive_thread_is_written_down() {
    run_local(async {
        for way in [
            "thread.get",
            "thread.list",
            "message.list",
            "session.start",
            "recovery",
        ] {
            let mut world = World::new().await;
            world.step_up(1);
            let (thread, _) = written(&world, 1, &[41, 42], true).await;
            let read = async |world: &World, who: u32| {
                let own = json!({ "profile": p(who), "thread": thread });
                let words = match way {
                    "recovery" => texts(&world.recovered(who).await),
                    "thread.list" => world
                        .ok(who, way, json!({ "profile": p(who) }))
                        .await
                        .to_string(),
                    "session.start" => world.ok(who, way, json!({})).await.to_string(),
                    _ => world.ok(who, way, own).await.to_string(),
                };
                assert!(words.contains("G10001.t1"), "{way}: it stands there");
            };
            read(&world, 41).await;
            let log = seen_by(&mut world, &thread).await;
            assert!(
                !log.contains(&p(41).to_string()),
                "{way}: a bare signal is no look"
            );
            world.step_up(42);
            read(&world, 42).await;
            let log = seen_by(&mut world, &thread).await;
            assert!(log.contains(&p(42).to_string()), "{way} left no trace");
        }
    });
}

#[test]
fn a_look_is_written_once_a_step_up_however_often_somebody_looks() {
    run_local(async {
        let mut world = World::new().await;
        world.step_up(1);
        world.step_up(41);
        let (thread, _) = written(&world, 1, &[41], true).await;
        let own = json!({ "profile": p(41), "thread": thread });
        for _ in 0..5 {
            world.ok(41, "message.list", own.clone()).await;
            world.ok(41, "thread.get", own.clone()).await;
        }
        world.step_up(4);
        let input = json!({ "profile": p(4), "thread": thread });
        let log = world.ok(4, "access.list", input.clone()).await;
        let of_41 = |log: &Value| {
            let looks = log["accesses"].as_array().expect("a list").iter();
            looks
                .filter(|look| look["profile"] == json!(p(41)))
                .cloned()
                .collect::<Vec<_>>()
        };
        let looks = of_41(&log);
        assert_eq!(looks.len(), 1, "{looks:?}");
        assert_eq!(
            looks[0]["until_ms"],
            json!(world.now_ms() + crate::people::STEP_UP_MS),
            "and it says until when they could read on"
        );
        world.pass(30 * 60);
        world.ok(41, "message.list", own).await;
        assert_eq!(of_41(&world.ok(4, "access.list", input).await).len(), 2);
    });
}

#[test]
fn what_is_sent_live_in_full_is_written_down_in_the_commit_that_says_it() {
    run_local(async {
        let mut world = World::new().await;
        world.step_up(1);
        for who in [41, 42] {
            world.step_up(who);
        }
        // 41 has an open session that is stepped up, 42 none, 43 one that is not.
        let until_ms = world.now_ms() + crate::people::STEP_UP_MS;
        let watch = |who: u32| json!({ "unit": "G10001", "subject": format!("s{who}"), "until_ms": until_ms });
        world.server("access.watch", watch(41)).await;
        let (thread, _) = written(&world, 1, &[41, 42, 43], true).await;
        assert!(world.heard(41).await[0].to_string().contains("Gamle ord"));
        let log = seen_by(&mut world, &thread).await;
        assert!(log.contains(&p(41).to_string()), "{log:?}");
        assert!(!log.contains(&p(42).to_string()) && !log.contains(&p(43).to_string()));
        // What the step-up no longer covers is not named.
        world.pass(21 * 60);
        world.step_up(2);
        let (later, _) = written(&world, 1, &[41], true).await;
        assert!(
            !seen_by(&mut world, &later)
                .await
                .contains(&p(41).to_string())
        );
    });
}

#[test]
fn what_a_person_saw_is_found_by_the_person_and_in_pages() {
    run_local(async {
        let mut world = World::new().await;
        for who in [1, 4, 41] {
            world.step_up(who);
        }
        let mut threads = Vec::new();
        for _ in 0..5 {
            let (thread, _) = written(&world, 1, &[41], true).await;
            let own = json!({ "profile": p(41), "thread": thread });
            world.ok(41, "message.list", own).await;
            world.pass(1);
            threads.push(thread);
        }
        let mut found = Vec::new();
        let mut input = json!({ "profile": p(4), "person": p(41), "limit": 2 });
        loop {
            let page = world.ok(4, "access.of_person", input.clone()).await;
            let looks = page["accesses"].as_array().expect("a list");
            assert!(looks.len() <= 2);
            found.extend(looks.iter().map(|look| look["thread"].clone()));
            if page["cursor"].is_null() {
                break;
            }
            input["cursor"] = page["cursor"].clone();
        }
        assert_eq!(found, threads);
        let spy = json!({ "profile": p(1), "person": p(41) });
        assert_eq!(
            world.refused(1, "access.of_person", spy).await,
            "error.not_allowed"
        );
        // And the log of one thread comes in pages too.
        for who in [42, 43, 44] {
            world.step_up(who);
        }
        let (thread, _) = written(&world, 1, &[42, 43, 44], true).await;
        for who in [42, 43, 44] {
            let own = json!({ "profile": p(who), "thread": thread });
            world.ok(who, "message.list", own).await;
        }
        let mut seen = Vec::new();
        let mut input = json!({ "profile": p(4), "thread": thread, "limit": 1 });
        loop {
            let page = world.ok(4, "access.list", input.clone()).await;
            let looks = page["accesses"].as_array().expect("a list");
            seen.extend(looks.iter().map(|look| look["profile"].clone()));
            if page["cursor"].is_null() {
                break;
            }
            input["cursor"] = page["cursor"].clone();
        }
        seen.retain(|who| *who != json!(p(1)));
        assert_eq!(seen, [json!(p(42)), json!(p(43)), json!(p(44))]);
    });
}

#[test]
fn a_retry_is_measured_for_the_session_that_retries() {
    run_local(async {
        let mut world = World::new().await;
        world.step_up(1);
        let letter = letter(1, &[41], true);
        let first = world
            .call_with_key(1, "thread.create", letter.clone(), Some("k1"))
            .await
            .expect("created");
        let created: Value = serde_json::from_slice(&first.output).expect("JSON");
        let say =
            json!({ "profile": p(1), "thread": created["thread"]["id"], "text": "Flere ord" });
        world
            .call_with_key(1, "message.send", say.clone(), Some("k2"))
            .await
            .expect("sent");
        world
            .call_with_key(1, "message.reply", say.clone(), Some("k3"))
            .await
            .expect("sent");
        world.step_down(1);
        for (operation, input, key) in [
            ("thread.create", &letter, "k1"),
            ("message.send", &say, "k2"),
            ("message.reply", &say, "k3"),
        ] {
            let again = world
                .call_with_key(1, operation, input.clone(), Some(key))
                .await
                .expect("it was done");
            let output = String::from_utf8_lossy(&again.output).into_owned();
            assert!(again.replayed);
            assert!(
                !output.contains("ord") && !output.contains("Emne"),
                "{operation}: {output}"
            );
            assert!(output.contains("\"step_up_required\":true"), "{operation}");
        }
    });
}

#[test]
fn a_retry_never_brings_withdrawn_words_back() {
    run_local(async {
        let world = World::new().await;
        let (thread, _) = written(&world, 1, &[41], false).await;
        let say = json!({ "profile": p(1), "thread": thread, "text": "Fortrolige ord" });
        let sent = world
            .call_with_key(1, "message.send", say.clone(), Some("k"))
            .await
            .expect("sent");
        let sent: Value = serde_json::from_slice(&sent.output).expect("JSON");
        let one = json!({ "profile": p(1), "thread": thread, "message": sent["id"] });
        world.ok(1, "message.withdraw", one).await;
        let again = world
            .call_with_key(1, "message.send", say, Some("k"))
            .await
            .expect("it was done");
        let output = String::from_utf8_lossy(&again.output).into_owned();
        assert!(!output.contains("Fortrolige"), "{output}");
    });
}

#[test]
fn who_lost_access_does_not_get_what_was_edited_since() {
    run_local(async {
        let mut world = World::new().await;
        let to_class = json!({ "profile": p(1), "subject": "Tur", "text": "Gamle ord", "recipients": [{ "group": g(1) }] });
        let created = world.ok(1, "thread.create", to_class).await;
        let (thread, message) = (
            created["thread"]["id"].clone(),
            created["message"]["id"].clone(),
        );
        let ended = Relation {
            custody: false,
            ..relation(41, 11)
        };
        world
            .change("G10001", vec![PeopleRecord::Relation(ended)])
            .await;
        world.pass(1);
        let edit =
            json!({ "profile": p(1), "thread": thread, "message": message, "text": "Nye ord" });
        world.ok(1, "message.edit", edit).await;
        let own = json!({ "profile": p(41), "thread": thread });
        let list = world.ok(41, "message.list", own).await.to_string();
        let recovered = texts(&world.recovered(41).await);
        for words in [&list, &recovered] {
            assert!(
                !words.contains("Nye ord"),
                "what is new is not theirs: {words}"
            );
            assert!(
                !words.contains("Gamle ord"),
                "and what was replaced is nobody's"
            );
            assert!(words.contains("edited_ms"), "but it is said");
        }
        let own = json!({ "profile": p(42), "thread": thread });
        let list = world.ok(42, "message.list", own).await.to_string();
        assert!(list.contains("Nye ord"));
        assert!(texts(&world.recovered(42).await).contains("Nye ord"));
    });
}
