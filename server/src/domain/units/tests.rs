//! The rules of units: who may change them, and that a change acts before the next entry goes out.

use std::collections::BTreeSet;

use serde_json::json;

use crate::domain::testing::{SCHOOL, World, class, g, p, relation};
use crate::ledger::testing::run_local;
use crate::people::record::{Membership, PeopleRecord, Relation};
use crate::people::{MembershipKind, UserKind};

fn to_group(group: u32) -> serde_json::Value {
    json!({ "profile": p(1), "subject": "E", "text": "O", "recipients": [{ "group": g(group) }] })
}

#[test]
fn who_joins_a_group_sees_it_and_who_is_removed_does_not() {
    run_local(async {
        let mut world = World::new().await;
        let member = json!({ "profile": p(4), "group": g(1), "member": p(91) });
        world.ok(4, "group.add_member", member.clone()).await;
        assert_eq!(
            world.touched(),
            BTreeSet::from(["s91".to_owned(), "s92".to_owned()]),
            "the child and its guardian"
        );
        world.forget();
        world
            .ok(
                1,
                "post.publish",
                json!({ "profile": p(1), "place": { "group": g(1) }, "title": "T", "body": "B" }),
            )
            .await;
        let mut with = class();
        with.extend([91, 92]);
        assert_eq!(world.who_heard("post").await, with);
        world.ok(4, "group.remove_member", member).await;
        world.forget();
        world
            .ok(
                1,
                "post.publish",
                json!({ "profile": p(1), "place": { "group": g(1) }, "title": "T", "body": "B" }),
            )
            .await;
        assert_eq!(world.who_heard("post").await, class());
    });
}

#[test]
fn who_may_manage_groups_and_relations() {
    run_local(async {
        let world = World::new().await;
        let add =
            |who: u32, group: u32| json!({ "profile": p(who), "group": g(group), "member": p(91) });
        world.ok(1, "group.add_member", add(1, 1)).await;
        assert_eq!(
            world.refused(1, "group.add_member", add(1, 2)).await,
            "error.not_allowed"
        );
        assert_eq!(
            world.refused(41, "group.add_member", add(41, 1)).await,
            "error.not_allowed"
        );
        assert_eq!(
            world.refused(4, "group.add_member", add(4, 7)).await,
            "error.not_found"
        );
        let nobody = json!({ "profile": p(4), "group": g(1), "member": p(999) });
        assert_eq!(
            world.refused(4, "group.add_member", nobody).await,
            "error.unknown_recipient"
        );
        let backwards = json!({ "profile": p(4), "group": g(1), "member": p(91), "from": "2027-03-02", "until": "2027-03-01" });
        assert_eq!(
            world.refused(4, "group.add_member", backwards).await,
            "error.dates_out_of_order"
        );
        let end = |who: u32| json!({ "profile": p(who), "adult": p(41), "child": p(11) });
        assert_eq!(
            world.refused(1, "relation.end", end(1)).await,
            "error.not_allowed"
        );
        assert_eq!(
            world.refused(42, "relation.end", end(42)).await,
            "error.not_allowed"
        );
    });
}

#[test]
fn ending_a_relation_acts_before_the_next_entry() {
    run_local(async {
        let mut world = World::new().await;
        world
            .ok(
                5,
                "relation.end",
                json!({ "profile": p(5), "adult": p(41), "child": p(11) }),
            )
            .await;
        assert_eq!(world.touched(), BTreeSet::from(["s41".to_owned()]));
        world.forget();
        world.ok(1, "thread.create", to_group(1)).await;
        let heard = world.who_heard("message").await;
        assert!(!heard.contains(&41) && heard.contains(&42) && heard.contains(&11));
    });
}

#[test]
fn a_membership_begins_and_ends_with_its_days() {
    run_local(async {
        let mut world = World::new().await;
        // The school's clock stands at 15 January 2027.
        let later = json!({ "profile": p(4), "group": g(1), "member": p(91), "from": "2027-01-16", "until": "2027-01-16" });
        world.ok(4, "group.add_member", later).await;
        for (day, sees) in [(15, false), (16, true), (17, false)] {
            world.forget();
            world.ok(1, "thread.create", to_group(1)).await;
            assert_eq!(
                world.who_heard("message").await.contains(&92),
                sees,
                "{day} January"
            );
            world.pass(24 * 60 * 60);
        }
    });
}

#[test]
fn blocked_communication_is_refused_until_it_is_lifted() {
    run_local(async {
        let world = World::new().await;
        let block = |who: u32| json!({ "profile": p(who), "unit": SCHOOL, "kind": "guardian" });
        assert_eq!(
            world.refused(1, "communication.block", block(1)).await,
            "error.not_allowed"
        );
        world.ok(4, "communication.block", block(4)).await;
        let to_teacher = json!({ "profile": p(41), "subject": "E", "text": "O", "recipients": [{ "profile": p(1) }] });
        assert_eq!(
            world.refused(41, "thread.create", to_teacher.clone()).await,
            "error.communication_blocked"
        );
        world.ok(1, "thread.create", to_group(1)).await;
        world.ok(4, "communication.unblock", block(4)).await;
        world.ok(41, "thread.create", to_teacher).await;
    });
}

#[test]
fn a_block_from_above_reaches_the_units_below_and_is_not_theirs_to_lift() {
    run_local(async {
        let world = World::new().await;
        let inherited = json!({ "kind": "guardian", "set_by": "M101", "blocked": true });
        world.inherit(SCHOOL, inherited).await;
        let to_teacher = json!({ "profile": p(41), "subject": "E", "text": "O", "recipients": [{ "profile": p(1) }] });
        assert_eq!(
            world.refused(41, "thread.create", to_teacher.clone()).await,
            "error.communication_blocked"
        );
        let lift = json!({ "profile": p(4), "unit": SCHOOL, "kind": "guardian" });
        world.ok(4, "communication.unblock", lift).await;
        assert_eq!(
            world.refused(41, "thread.create", to_teacher.clone()).await,
            "error.communication_blocked"
        );
        world
            .inherit(
                SCHOOL,
                json!({ "kind": "guardian", "set_by": "M101", "blocked": false }),
            )
            .await;
        world.ok(41, "thread.create", to_teacher).await;
    });
}

#[test]
fn a_municipality_stops_and_lets_write_in_its_institutions_through_the_outbox() {
    run_local(async {
        let mut world = World::new().await;
        world.found_municipality().await;
        let block = json!({ "profile": "M101.p1", "unit": "M101", "kind": "guardian" });
        for (operation, blocked) in [
            ("communication.block", true),
            ("communication.unblock", false),
        ] {
            world.ok(7, operation, block.clone()).await;
            world
                .until(move |roster| roster.is_blocked(UserKind::Guardian) == blocked)
                .await;
        }
    });
}

#[test]
fn an_end_that_was_set_is_not_moved_by_ending_it_again() {
    run_local(async {
        let mut world = World::new().await;
        // The school's clock stands at 15 January 2027.
        let date = |day: i8| Some(jiff::civil::date(2027, 1, day));
        let ended = Relation {
            from: date(1),
            until: date(10),
            ..relation(41, 11)
        };
        let ahead = Relation {
            from: date(20),
            ..relation(42, 11)
        };
        let begun = Relation {
            from: date(15),
            ..relation(43, 12)
        };
        let membership = |number: u32, from: i8, until: Option<jiff::civil::Date>| {
            PeopleRecord::Membership(Membership {
                group: g(1),
                profile: p(number),
                kind: MembershipKind::Member,
                from: date(from),
                until,
            })
        };
        let records = vec![
            PeopleRecord::Relation(ended),
            PeopleRecord::Relation(ahead),
            PeopleRecord::Relation(begun),
            membership(90, 1, date(10)),
            membership(91, 20, None),
        ];
        world.change(SCHOOL, records).await;
        for (adult, child) in [(41, 11), (42, 11), (43, 12)] {
            let end = json!({ "profile": p(4), "adult": p(adult), "child": p(child) });
            world.ok(4, "relation.end", end).await;
        }
        for member in [90, 91] {
            let remove = json!({ "profile": p(4), "group": g(1), "member": p(member) });
            world.ok(4, "group.remove_member", remove).await;
        }
        world
            .until(move |roster| {
                let relations = [(41, 11), (42, 11), (43, 12)];
                let relations = relations.map(|(adult, child)| {
                    roster.relation(&p(adult), &p(child)).expect("it is there")
                });
                let days = (1..=31).map(|day| jiff::civil::date(2027, 1, day));
                let open = |it: &Relation| days.clone().filter(|day| it.opens(*day)).count();
                assert_eq!(relations[0].until, date(10), "the earlier end stays");
                // The trail says that it held until the day it was ended, and it opens nothing from that day on.
                assert_eq!(open(relations[0]), 10);
                assert_eq!(open(relations[1]), 0, "what had not begun never begins");
                assert_eq!(open(relations[2]), 0, "and what began today ends today");
                let members = [90, 91].map(|it| roster.membership(&g(1), &p(it)).expect("a trail"));
                assert_eq!(members[0].until, date(10));
                assert!(days.clone().all(|day| !members[1].sees(day)));
                let spans = relations.map(|it| (it.from, it.until));
                let spans = spans
                    .into_iter()
                    .chain(members.map(|it| (it.from, it.until)));
                for (from, until) in spans {
                    assert!(from <= until, "{from:?} to {until:?}");
                }
                true
            })
            .await;
    });
}

#[test]
fn a_new_name_is_not_told_to_the_whole_unit() {
    run_local(async {
        let mut world = World::new().await;
        let mut records = crate::domain::testing::person(41, UserKind::Guardian);
        let PeopleRecord::Person(person) = &mut records[0] else {
            panic!("the person comes first");
        };
        (person.protected, person.alias) = (true, Some("Forælder".to_owned()));
        let mut open = person.clone();
        open.protected = false;
        for record in [person.clone(), open] {
            world.forget();
            world
                .change(SCHOOL, vec![PeopleRecord::Person(record)])
                .await;
            let heard = world.heard(92).await;
            assert_eq!(heard.len(), 1, "open screens are told");
            assert_eq!(heard[0]["type"], "person.renamed");
            assert_eq!(heard[0]["profiles"], json!([p(41)]));
            let said = heard[0].to_string();
            assert!(
                !said.contains("Navn 41") && !said.contains("Forælder"),
                "{said}"
            );
        }
    });
}
