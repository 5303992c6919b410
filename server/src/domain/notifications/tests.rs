//! The rules of notifications.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::record::NOTIFICATIONS_MAX;
use crate::domain::testing::{SCHOOL, World, p};
use crate::ledger::testing::run_local;

fn pick_up(tag: &str) -> Value {
    json!({ "profile": p(1), "recipients": [p(41), p(42)], "event": "presence.picked_up", "tag": tag, "child": p(11) })
}

async fn list(world: &World, who: u32) -> Vec<Value> {
    let output = world
        .ok(who, "notification.list", json!({ "profile": p(who) }))
        .await;
    output["notifications"].as_array().expect("a list").clone()
}

#[test]
fn a_notification_reaches_the_named_and_nobody_else() {
    run_local(async {
        let mut world = World::new().await;
        assert_eq!(
            world
                .refused(
                    41,
                    "notification.create",
                    json!({ "profile": p(41), "recipients": [p(1)], "event": "e" })
                )
                .await,
            "error.not_allowed"
        );
        world.ok(1, "notification.create", pick_up("a")).await;
        assert_eq!(
            world.who_heard("notification").await,
            BTreeSet::from([41, 42])
        );
        assert_eq!(list(&world, 41).await[0]["child"], json!(p(11)));
        assert_eq!(world.check_badge(41).await["notifications"], 1);
    });
}

#[test]
fn what_comes_again_takes_the_place_of_what_was() {
    run_local(async {
        let world = World::new().await;
        world.ok(1, "notification.create", pick_up("a")).await;
        world.ok(1, "notification.create", pick_up("a")).await;
        world.ok(1, "notification.create", pick_up("b")).await;
        let all = list(&world, 41).await;
        assert_eq!(all.len(), 2);
        let again = all
            .iter()
            .find(|notification| notification["tag"] == "a")
            .expect("it stands there");
        assert_eq!(again["times"], 2);
        assert_eq!(world.check_badge(41).await["notifications"], 2);
    });
}

#[test]
fn dismissing_on_one_device_clears_the_others_once() {
    run_local(async {
        let mut world = World::new().await;
        world.ok(1, "notification.create", pick_up("a")).await;
        world.forget();
        let dismiss = json!({ "profile": p(41), "tag": "a" });
        world.ok(41, "notification.dismiss", dismiss.clone()).await;
        world.ok(41, "notification.dismiss", dismiss).await;
        let heard = world.heard(41).await;
        assert_eq!(
            heard.len(),
            1,
            "told once, though both devices dismissed it"
        );
        assert_eq!(
            (&heard[0]["type"], &heard[0]["badge"]["notifications"]),
            (&json!("notification.gone"), &json!(0))
        );
        assert!(world.heard(42).await.is_empty());
        assert_eq!(world.check_badge(41).await["notifications"], 0);
        assert_eq!(world.check_badge(42).await["notifications"], 1);
    });
}

#[test]
fn an_expired_notification_goes_by_itself_and_a_renewed_one_stays() {
    run_local(async {
        let world = World::new().await;
        let until = |tag: &str, seconds: u64| {
            let mut input = pick_up(tag);
            input["expires_ms"] = json!(world.now_ms() + seconds * 1_000);
            input
        };
        world.ok(1, "notification.create", until("a", 60)).await;
        world.ok(1, "notification.create", until("b", 60)).await;
        world.ok(1, "notification.create", until("b", 600)).await;
        world.pass(61);
        world
            .server("post.publish_due", json!({ "unit": SCHOOL }))
            .await;
        let left: Vec<_> = list(&world, 41)
            .await
            .iter()
            .map(|n| n["tag"].clone())
            .collect();
        assert_eq!(left, ["b"]);
        assert_eq!(world.check_badge(41).await["notifications"], 1);
        let mut past = pick_up("c");
        past["expires_ms"] = json!(1);
        assert_eq!(
            world.refused(1, "notification.create", past).await,
            "error.dates_out_of_order"
        );
    });
}

#[test]
fn the_oldest_makes_room() {
    run_local(async {
        let world = World::new().await;
        for n in 0..=NOTIFICATIONS_MAX {
            world
                .ok(1, "notification.create", pick_up(&format!("t{n}")))
                .await;
            world.pass(1);
        }
        let all = list(&world, 41).await;
        assert_eq!(all.len(), NOTIFICATIONS_MAX);
        assert!(all.iter().all(|notification| notification["tag"] != "t0"));
        assert_eq!(
            world.check_badge(41).await["notifications"],
            NOTIFICATIONS_MAX
        );
    });
}

#[test]
fn a_push_says_how_often_and_what_waits() {
    run_local(async {
        let mut world = World::new().await;
        world.ok(1, "notification.create", pick_up("a")).await;
        world
            .ok(
                1,
                "notification.create",
                json!({ "profile": p(1), "recipients": [p(42)], "event": "e" }),
            )
            .await;
        world.forget();
        world.ok(1, "notification.create", pick_up("a")).await;
        for (who, waiting) in [(41, 1), (42, 2)] {
            let heard = world.heard(who).await;
            assert_eq!(heard.len(), 1);
            assert_eq!(heard[0]["notification"]["times"], 2, "{who}");
            assert_eq!(heard[0]["badge"]["notifications"], waiting, "{who}");
        }
    });
}

#[test]
fn a_notification_that_made_room_is_gone_from_the_devices() {
    run_local(async {
        let mut world = World::new().await;
        for n in 0..NOTIFICATIONS_MAX {
            let tag = format!("t{n}");
            world.ok(1, "notification.create", pick_up(&tag)).await;
            world.pass(1);
        }
        world.forget();
        world.ok(1, "notification.create", pick_up("last")).await;
        let heard = world.heard(41).await;
        let gone = heard
            .iter()
            .find(|payload| payload["type"] == "notification.gone");
        assert_eq!(gone.expect("devices are told")["tag"], "t0");
    });
}

#[test]
fn a_tag_of_the_servers_making_never_meets_one_of_the_callers() {
    run_local(async {
        let world = World::new().await;
        for n in 1..=3 {
            let tag = format!("n{n}");
            world.ok(1, "notification.create", pick_up(&tag)).await;
        }
        let untagged = json!({ "profile": p(1), "recipients": [p(41)], "event": "e" });
        world.ok(1, "notification.create", untagged).await;
        let all = list(&world, 41).await;
        assert_eq!(all.len(), 4, "it stands alone");
        let own = all
            .iter()
            .find(|it| it["event"] == "e")
            .expect("it is there");
        let dismiss = json!({ "profile": p(41), "tag": own["tag"] });
        world.ok(41, "notification.dismiss", dismiss).await;
        assert_eq!(list(&world, 41).await.len(), 3);
        let forged = pick_up(own["tag"].as_str().expect("a tag"));
        assert_eq!(
            world.refused(1, "notification.create", forged).await,
            "error.invalid_input"
        );
    });
}

#[test]
fn a_blocked_kind_puts_out_no_text_by_a_notification() {
    run_local(async {
        let world = World::new().await;
        let block = json!({ "profile": p(4), "unit": SCHOOL, "kind": "pedagogical_staff" });
        world.ok(4, "communication.block", block).await;
        assert_eq!(
            world.refused(1, "notification.create", pick_up("a")).await,
            "error.communication_blocked"
        );
    });
}
