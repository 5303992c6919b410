//! The first screen and stepping up.

use std::sync::Arc;

use serde_json::json;

use super::{StepUp, StepUpOutput};
use crate::domain::testing::{World, g, p};
use crate::ledger::testing::{Bench, run_local};
use crate::ledger::{Actor, Call, Job, LedgerId, Refusal, View};
use crate::people::record::{Account, PeopleRecord};
use crate::people::{Assurance, AssuranceLevel, Roster, STEP_UP_MS, SubjectId, stage};

/// What a phone's first screen may weigh: it comes in one round trip on a poor line.
const FIRST_SCREEN_BYTES_MAX: usize = 16 * 1024;

#[test]
fn defect_2_the_first_screen_is_one_bounded_round_trip_whatever_was_missed() {
    run_local(async {
        let world = World::new().await;
        let write = |n: u32| json!({ "profile": p(1), "subject": format!("Emne {n}"), "text": "x".repeat(2_000), "recipients": [{ "profile": p(41) }] });
        let body = "Husk regntøj. ".repeat(1_000);
        let publish =
            json!({ "profile": p(1), "place": { "group": g(1) }, "title": "T", "body": body });
        for n in 0..15 {
            world.ok(1, "thread.create", write(n)).await;
            world.ok(1, "post.publish", publish.clone()).await;
            world.pass(60);
        }
        let small = world
            .ok(41, "session.start", json!({}))
            .await
            .to_string()
            .len();
        for n in 15..150 {
            world.ok(1, "thread.create", write(n)).await;
            world.ok(1, "post.publish", publish.clone()).await;
            world.pass(60);
        }
        let start = world.ok(41, "session.start", json!({})).await;
        let large = start.to_string().len();
        assert!(large < FIRST_SCREEN_BYTES_MAX, "{large} bytes");
        assert!(
            large < small + 200,
            "ten times as much missed, {small} bytes became {large}"
        );
        let screen = &start["screens"][0];
        assert_eq!(screen["threads"].as_array().map(Vec::len), Some(10));
        assert_eq!(screen["posts"].as_array().map(Vec::len), Some(10));
        assert_eq!(screen["threads"][0]["subject"], "Emne 149", "the newest");
        let post = &screen["posts"][0];
        assert_eq!(post["more"], true, "said, not cut in silence");
        let whole = json!({ "profile": p(41), "post": post["id"] });
        let whole = world.ok(41, "post.get", whole).await;
        assert_eq!(whole["post"]["body"], body.as_str());
        assert_eq!(screen["badge"]["messages"], 150, "and how much there is");
        // The rest comes on demand, from where the screen ends.
        let next = json!({ "profile": p(41), "cursor": screen["threads_cursor"] });
        assert_eq!(
            world.ok(41, "thread.list", next).await["threads"][0]["subject"],
            "Emne 139"
        );
    });
}

#[test]
fn the_first_screen_shows_ones_own_profiles_only() {
    run_local(async {
        let world = World::new().await;
        let start = world.ok(41, "session.start", json!({})).await;
        assert_eq!(start["screens"].as_array().map(Vec::len), Some(1));
        assert_eq!(start["screens"][0]["person"]["profile"], json!(p(41)));
        assert_eq!(start["screens"][0]["groups"][0]["name"], "2.A");
        let another = world
            .ok(41, "session.start", json!({ "profiles": [p(42)] }))
            .await;
        assert_eq!(another["screens"], json!([]));
    });
}

#[test]
fn stepping_up_is_the_connections_affair() {
    run_local(async {
        let world = World::new().await;
        let refused = world
            .refused(41, "session.step_up", json!({ "token": "t" }))
            .await;
        assert_eq!(refused, "error.needs_connection");
    });
}

#[test]
fn only_a_newer_login_that_opens_something_steps_a_session_up() {
    use AssuranceLevel::{High, Low, Substantial};
    let now = 100 * STEP_UP_MS;
    let at = |level, authenticated_ms| Assurance {
        level,
        authenticated_ms,
    };
    let lapsed = now - STEP_UP_MS;
    let rows = [
        // Present, newer, and whether it raises.
        (at(Low, 0), at(Substantial, now), true),
        (at(Low, now), at(Substantial, now), true),
        (at(Substantial, lapsed), at(Substantial, lapsed + 1), true),
        (at(High, lapsed), at(Substantial, now), true),
        (at(Low, 0), at(Low, now), false),
        (at(Low, 0), at(Substantial, 0), false),
        (at(Low, 0), at(High, lapsed), false),
        (at(Low, now), at(Substantial, now - 1), false),
        (at(Substantial, now), at(Substantial, now), false),
        (at(High, now), at(Substantial, now), false),
    ];
    for (present, newer, raises) in rows {
        let outcome = StepUp::raise(present, newer, now);
        match outcome {
            Ok(output) => {
                let output: StepUpOutput = serde_json::from_slice(&output).expect("an output");
                assert!(
                    raises && output.level == newer.level,
                    "{present:?} {newer:?}"
                );
                assert!(output.full_until_ms > now, "{present:?} {newer:?}");
            }
            Err(refused) => {
                assert!(!raises, "{present:?} {newer:?}");
                assert_eq!(refused.key, "error.step_up_refused");
            }
        }
    }
}

#[test]
fn nobody_reads_anothers_badge() {
    run_local(async {
        let world = World::new().await;
        let refused = world
            .refused(41, "badge.get", json!({ "profile": p(42) }))
            .await;
        assert_eq!(refused, "error.profile_not_yours");
    });
}

/// A login record of somebody in another unit, and in it, when asked, a record that does not decode.
struct Found {
    subject: SubjectId,
    damaged: bool,
}

#[async_trait::async_trait(?Send)]
impl Job<Roster> for Found {
    async fn run(&mut self, view: &mut View<'_, Roster>) -> Result<bytes::Bytes, Refusal> {
        let account = Account {
            subject: self.subject.clone(),
            person: "person-41".parse().expect("a sound id"),
        };
        stage(view, PeopleRecord::Account(account)).await?;
        if self.damaged {
            view.put_raw(
                &"relation/1/2".into(),
                bytes::Bytes::from_static(b"no record"),
            );
        }
        Ok(bytes::Bytes::new())
    }
}

/// Puts a login into a unit through ledgers of its own, so that the world has not loaded that unit.
async fn found(world: &World, unit: &str, damaged: bool) {
    let ledger = LedgerId::parse(unit).expect("a sound name");
    let subject = "s41".parse().expect("a sound subject");
    let other = Bench::<Roster>::on(Arc::clone(world.bench.ledgers.store()));
    let call = Call::new("test.found", Actor::default(), Found { subject, damaged });
    other.ledgers.call(&ledger, call).await.expect("found");
    other.ledgers.drain().await;
}

#[test]
fn defect_3_a_unit_that_cannot_be_read_is_named_and_spoils_nothing() {
    run_local(async {
        let world = World::new().await;
        found(&world, "G10002", true).await;
        let start = world.ok(41, "session.start", json!({})).await;
        assert_eq!(start["screens"].as_array().map(Vec::len), Some(1));
        assert_eq!(start["degraded"][0]["unit"], "G10002");
        assert_eq!(start["degraded"][0]["key"], "error.damaged");
        assert_eq!(start["degraded"].as_array().map(Vec::len), Some(1));
        let healthy = world.ok(42, "session.start", json!({})).await;
        assert_eq!(healthy["degraded"], json!([]));
    });
}

#[test]
fn a_login_in_many_units_is_found_in_all_of_them() {
    run_local(async {
        let world = World::new().await;
        for n in 0..40 {
            found(&world, &format!("G{}", 20_000 + n), false).await;
        }
        let subject: SubjectId = "s41".parse().expect("a sound subject");
        let units = world.domain.units_of(&subject);
        assert_eq!(units.await.expect("the store answers").len(), 41);
        let start = world.ok(41, "session.start", json!({})).await;
        let asked = start["further"].as_array().expect("a list").len();
        assert_eq!(asked, 41 - 32, "what the first screen leaves out is named");
        // And asked for by a profile, it is read.
        let one = json!({ "profiles": ["G20039.p1"] });
        let start = world.ok(41, "session.start", one).await;
        assert_eq!(start["further"], json!([]));
    });
}

#[test]
fn a_key_against_doing_it_twice_has_1_to_128_visible_characters() {
    run_local(async {
        let world = World::new().await;
        let letter = json!({ "profile": p(1), "subject": "E", "text": "O", "recipients": [{ "profile": p(41) }] });
        let long = "k".repeat(129);
        for key in ["", " ", "a b", "æ", long.as_str()] {
            let call = world.call_with_key(1, "thread.create", letter.clone(), Some(key));
            let fault = call.await.expect_err("no sound key");
            assert_eq!(fault.key, "error.invalid_input", "{key:?}");
        }
        let long = "k".repeat(128);
        for key in ["k", "8a6e0804-2bd0-4672-b79d-d97027f9071a", long.as_str()] {
            let call = world.call_with_key(1, "thread.create", letter.clone(), Some(key));
            call.await.expect("a sound key");
        }
    });
}
