//! The rules of posts.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::domain::testing::{SCHOOL, World, class, g, p};
use crate::ledger::testing::run_local;
use crate::people::Disclosure;

fn to_class(who: u32) -> Value {
    json!({ "profile": p(who), "place": { "group": g(1) }, "title": "Tur", "body": "I skoven", "comments_open": true })
}

async fn listed(world: &World, who: u32) -> Value {
    world
        .ok(
            who,
            "post.list",
            json!({ "profile": p(who), "group": g(1) }),
        )
        .await["posts"]
        .clone()
}

async fn sweep(world: &World) {
    world
        .server("post.publish_due", json!({ "unit": SCHOOL }))
        .await;
}

#[test]
fn a_post_to_a_group_is_said_once_and_reaches_the_group_alone() {
    run_local(async {
        let mut world = World::new().await;
        let answer = world
            .call_with_key(1, "post.publish", to_class(1), None)
            .await
            .expect("the teacher may");
        let commit = answer.commit.expect("it changed something");
        assert_eq!(
            (commit.entries.len(), commit.entries[0].channels.len()),
            (1, 1),
            "written once"
        );
        assert_eq!(world.who_heard("post").await, class());
        assert_eq!(listed(&world, 41).await[0]["unseen"], true);
        let other = json!({ "profile": p(92), "group": g(1) });
        assert_eq!(
            world.refused(92, "post.list", other).await,
            "error.not_found"
        );
    });
}

#[test]
fn a_post_for_guardians_is_not_seen_by_children() {
    run_local(async {
        let mut world = World::new().await;
        let mut input = to_class(1);
        input["portals"] = json!(["guardian"]);
        world.ok(1, "post.publish", input).await;
        let guardians_and_staff: BTreeSet<u32> = class()
            .into_iter()
            .filter(|n| !(11..=34).contains(n))
            .collect();
        assert_eq!(world.who_heard("post").await, guardians_and_staff);
        assert_eq!(listed(&world, 11).await, json!([]));
        assert_eq!(listed(&world, 41).await[0]["title"], "Tur");
    });
}

#[test]
fn a_post_to_the_unit_reaches_everybody_in_it() {
    run_local(async {
        let mut world = World::new().await;
        let input = |who: u32| json!({ "profile": p(who), "place": { "unit": SCHOOL }, "title": "T", "body": "B" });
        assert_eq!(
            world.refused(41, "post.publish", input(41)).await,
            "error.not_allowed"
        );
        world.ok(4, "post.publish", input(4)).await;
        let heard = world.who_heard("post").await;
        assert!(
            [1, 5, 6, 7, 11, 41, 92]
                .iter()
                .all(|who| heard.contains(who))
        );
    });
}

#[test]
fn who_may_publish_where() {
    run_local(async {
        let world = World::new().await;
        let to = |who: u32, group: u32| json!({ "profile": p(who), "place": { "group": g(group) }, "title": "T", "body": "B" });
        world.ok(41, "post.publish", to(41, 1)).await;
        assert_eq!(
            world.refused(41, "post.publish", to(41, 2)).await,
            "error.not_found"
        );
        assert_eq!(
            world.refused(11, "post.publish", to(11, 1)).await,
            "error.not_allowed"
        );
        assert_eq!(
            world.refused(8, "post.publish", to(8, 1)).await,
            "error.outside_municipality"
        );
        let mut important = to(41, 1);
        important["important"] = json!({ "from": "2027-01-15", "to": "2027-01-20" });
        assert_eq!(
            world.refused(41, "post.publish", important.clone()).await,
            "error.not_allowed"
        );
        important["profile"] = json!(p(1));
        world.ok(1, "post.publish", important.clone()).await;
        important["important"]["to"] = json!("2027-01-01");
        assert_eq!(
            world.refused(1, "post.publish", important).await,
            "error.dates_out_of_order"
        );
    });
}

#[test]
fn a_post_comes_out_and_goes_at_its_times() {
    run_local(async {
        let mut world = World::new().await;
        let now = world.now_ms();
        let mut input = to_class(1);
        (input["publish_ms"], input["expire_ms"]) = (json!(now + 60_000), json!(now + 120_000));
        let post = world.ok(1, "post.publish", input).await["id"].clone();
        sweep(&world).await;
        assert!(
            world.who_heard("post").await.is_empty(),
            "not before its hour"
        );
        let comment = json!({ "profile": p(41), "post": post, "text": "Hm" });
        assert_eq!(
            world.refused(41, "post.comment", comment).await,
            "error.not_found"
        );
        world.pass(61);
        sweep(&world).await;
        sweep(&world).await;
        assert_eq!(
            world.heard(41).await.len(),
            1,
            "said once, however often the sweep runs"
        );
        assert_eq!(world.who_heard("post").await, class());
        world.pass(60);
        world.forget();
        sweep(&world).await;
        assert_eq!(listed(&world, 41).await, json!([]));
        assert!(
            world.heard(41).await[0]["post"]["body"].is_null(),
            "gone from open screens too"
        );
    });
}

#[test]
fn an_edit_and_a_withdrawal_reach_the_readers() {
    run_local(async {
        let mut world = World::new().await;
        let post = world.ok(1, "post.publish", to_class(1)).await["id"].clone();
        world.pass(1);
        world.forget();
        let edit = |who: u32| json!({ "profile": p(who), "post": post, "title": "Tur", "body": "Til stranden" });
        assert_eq!(
            world.refused(2, "post.edit", edit(2)).await,
            "error.not_allowed"
        );
        world.ok(1, "post.edit", edit(1)).await;
        assert_eq!(world.who_heard("post").await, class());
        assert_eq!(listed(&world, 41).await[0]["body"], "Til stranden");
        world.version = Some(1);
        assert_eq!(
            world.refused(1, "post.edit", edit(1)).await,
            "error.version_changed"
        );
        world.version = None;
        let withdraw = |who: u32| json!({ "profile": p(who), "post": post });
        assert_eq!(
            world.refused(41, "post.withdraw", withdraw(41)).await,
            "error.not_allowed"
        );
        world.forget();
        world.ok(4, "post.withdraw", withdraw(4)).await;
        assert!(world.heard(41).await[0]["post"]["withdrawn_ms"].is_u64());
        assert_eq!(listed(&world, 41).await, json!([]));
        // Gone for its author and for who withdrew it; nobody else learns that it was there.
        for (who, refusal) in [
            (1, "error.withdrawn"),
            (4, "error.withdrawn"),
            (41, "error.not_found"),
        ] {
            let get = json!({ "profile": p(who), "post": post });
            for operation in ["post.get", "post.see", "post.withdraw"] {
                let refused = world.refused(who, operation, get.clone()).await;
                assert_eq!(refused, refusal, "{operation} by {who}");
            }
        }
    });
}

#[test]
fn comments_reach_those_who_see_the_post_while_they_are_open() {
    run_local(async {
        let mut world = World::new().await;
        let post = world.ok(1, "post.publish", to_class(1)).await["id"].clone();
        world.forget();
        let comment = |who: u32| json!({ "profile": p(who), "post": post, "text": "Vi kommer" });
        world.ok(41, "post.comment", comment(41)).await;
        assert_eq!(world.who_heard("post.comment").await, class());
        let get = |who: u32| json!({ "profile": p(who), "post": post });
        assert_eq!(
            world.ok(42, "post.get", get(42)).await["comments"][0]["text"],
            "Vi kommer"
        );
        assert_eq!(
            world.refused(92, "post.get", get(92)).await,
            "error.not_found"
        );
        assert_eq!(
            world.refused(92, "post.comment", comment(92)).await,
            "error.not_found"
        );
        world
            .ok(
                1,
                "post.edit",
                json!({ "profile": p(1), "post": post, "title": "T", "body": "B" }),
            )
            .await;
        assert_eq!(
            world.refused(41, "post.comment", comment(41)).await,
            "error.comments_closed"
        );
    });
}

#[test]
fn looking_at_a_post_clears_it_on_the_other_devices() {
    run_local(async {
        let mut world = World::new().await;
        let post = world.ok(1, "post.publish", to_class(1)).await["id"].clone();
        let badge = json!({ "profile": p(41) });
        assert_eq!(world.ok(41, "badge.get", badge.clone()).await["posts"], 1);
        world
            .ok(41, "post.see", json!({ "profile": p(41), "post": post }))
            .await;
        assert_eq!(world.who_heard("post.seen").await, BTreeSet::from([41]));
        assert_eq!(world.ok(41, "badge.get", badge).await["posts"], 0);
    });
}

#[test]
fn a_municipality_is_read_from_below_by_the_word_of_ones_own_unit() {
    run_local(async {
        let mut world = World::new().await;
        world.found_municipality().await;
        let input = json!({ "profile": "M101.p1", "place": { "unit": "M101" }, "title": "Lukkedag", "body": "B" });
        world.ok(7, "post.publish", input).await;
        assert!(
            world.who_heard("post").await.is_superset(&class()),
            "written once, heard in the institutions"
        );
        let list = json!({ "profile": p(41), "unit": "M101" });
        assert_eq!(
            world.ok(41, "post.list", list).await["posts"][0]["title"],
            "Lukkedag"
        );
        // Somebody whose relation has ended has no institution that vouches for them.
        world
            .ok(
                4,
                "relation.end",
                json!({ "profile": p(4), "adult": p(41), "child": p(11) }),
            )
            .await;
        let list = json!({ "profile": p(41), "unit": "M101" });
        assert_eq!(
            world.refused(41, "post.list", list).await,
            "error.not_found"
        );
        // And nobody reads another municipality.
        let other = json!({ "profile": p(42), "unit": "M202" });
        assert_eq!(
            world.refused(42, "post.list", other).await,
            "error.not_found"
        );
    });
}

fn texts(shown: &[crate::people::Disclosure]) -> String {
    let payloads = shown
        .iter()
        .cloned()
        .filter_map(crate::people::Disclosure::into_payload);
    payloads
        .map(|payload| String::from_utf8_lossy(&payload).into_owned())
        .collect()
}

#[test]
fn the_comments_of_a_post_go_with_it_from_history_too() {
    run_local(async {
        for expires in [false, true] {
            let world = World::new().await;
            let mut input = to_class(1);
            if expires {
                input["expire_ms"] = json!(world.now_ms() + 60_000);
            }
            let post = world.ok(1, "post.publish", input).await["id"].clone();
            let comment = json!({ "profile": p(42), "post": post, "text": "Fortrolige ord" });
            world.ok(42, "post.comment", comment).await;
            let wall = crate::people::channel::group(&g(1));
            let before = texts(&world.recovered_in(41, wall.clone()).await);
            assert!(before.contains("Fortrolige") && before.contains("skoven"));
            if expires {
                world.pass(61);
                sweep(&world).await;
            } else {
                let own = json!({ "profile": p(1), "post": post });
                world.ok(1, "post.withdraw", own).await;
            }
            let after = texts(&world.recovered_in(41, wall).await);
            assert!(!after.contains("skoven"), "the post: {after}");
            assert!(!after.contains("Fortrolige"), "its comment: {after}");
        }
    });
}

#[test]
fn an_edit_takes_the_right_to_publish() {
    run_local(async {
        let world = World::new().await;
        let post = world.ok(41, "post.publish", to_class(41)).await["id"].clone();
        let edit = json!({ "profile": p(41), "post": post, "title": "T", "body": "B" });
        let block = json!({ "profile": p(4), "unit": SCHOOL, "kind": "guardian" });
        world.ok(4, "communication.block", block.clone()).await;
        assert_eq!(
            world.refused(41, "post.edit", edit.clone()).await,
            "error.communication_blocked"
        );
        // Taking down says nothing, so it stays open.
        let other = world.ok(1, "post.publish", to_class(1)).await["id"].clone();
        let down = json!({ "profile": p(1), "post": other });
        world.ok(1, "post.withdraw", down).await;
        world.ok(4, "communication.unblock", block).await;
        world.ok(41, "post.edit", edit.clone()).await;
        // Who has left the group no longer writes on its wall.
        let end = json!({ "profile": p(4), "adult": p(41), "child": p(11) });
        world.ok(4, "relation.end", end).await;
        assert_eq!(
            world.refused(41, "post.edit", edit).await,
            "error.not_allowed"
        );
    });
}

#[test]
fn a_post_of_the_municipality_is_seen_from_below() {
    run_local(async {
        let mut world = World::new().await;
        world.found_municipality().await;
        let input = json!({ "profile": "M101.p1", "place": { "unit": "M101" }, "title": "Lukkedag", "body": "B", "comments_open": true });
        let post = world.ok(7, "post.publish", input).await["id"].clone();
        let list = json!({ "profile": p(41), "unit": "M101" });
        let unseen = async |world: &World, who: u32| {
            let mut list = list.clone();
            list["profile"] = json!(p(who));
            world.ok(who, "post.list", list).await["posts"][0]["unseen"].clone()
        };
        assert_eq!(unseen(&world, 41).await, true);
        world.forget();
        let see = json!({ "profile": p(41), "post": post });
        world.ok(41, "post.see", see).await;
        assert_eq!(unseen(&world, 41).await, false);
        assert_eq!(unseen(&world, 42).await, true, "and nobody else's");
        for _ in 0..10_000 {
            if !world.who_heard("post.seen").await.is_empty() {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(
            world.who_heard("post.seen").await,
            BTreeSet::from([41]),
            "their other devices are told, by outbox"
        );
        let comment = json!({ "profile": p(41), "post": post, "text": "Hvad med os?" });
        assert_eq!(
            world.refused(41, "post.comment", comment).await,
            "error.not_allowed"
        );
    });
}

#[test]
fn a_session_that_has_not_heard_of_its_lost_right_reads_nothing_more() {
    run_local(async {
        let world = World::new().await;
        world.ok(1, "post.publish", to_class(1)).await;
        let read = async |who| {
            let group = crate::people::channel::group(&g(1));
            world.recalled(who, group, crate::people::Lens::OPEN).await
        };
        let full = |shown: &[Disclosure]| shown.iter().all(|it| matches!(it, Disclosure::Full(_)));
        let hidden = |shown: &[Disclosure]| shown.iter().all(|it| *it == Disclosure::Hidden);
        let before = read(41).await;
        assert!(!before.is_empty() && full(&before));
        let end = json!({ "profile": p(4), "adult": p(41), "child": p(11) });
        world.ok(4, "relation.end", end).await;
        let after = read(41).await;
        assert!(!after.is_empty() && hidden(&after), "{after:?}");
    });
}
