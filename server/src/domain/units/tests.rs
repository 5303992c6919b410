//! The rules of units: who may change them, and that a change acts before the next entry goes out.

use std::collections::BTreeSet;

use jiff::civil::{Date, date};
use serde_json::json;

use crate::domain::testing::{SCHOOL, World, class, g, ledger, p, relation};
use crate::ledger::testing::run_local;
use crate::ledger::{Actor, LedgerId};
use crate::people::import::{self, Override};
use crate::people::record::{Membership, PeopleRecord, Relation};
use crate::people::{MembershipKind, Roster, UserKind};

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
fn a_unit_that_comes_under_a_municipality_falls_under_its_stops() {
    run_local(async {
        let mut world = World::new().await;
        world.found_municipality().await;
        let block = json!({ "profile": "M101.p1", "unit": "M101", "kind": "guardian" });
        world.ok(7, "communication.block", block).await;
        let file = r#"{"type":"unit","code":"M101","name":"Lillebæk Kommune","kind":"municipality"}
{"type":"unit","code":"G10009","name":"Ny skole","kind":"school","parent":"M101"}
{"type":"unit","code":"G30009","name":"Ny SFO","kind":"leisure_centre","parent":"G10009"}
"#;
        import(&world, file).await;
        for unit in ["G10009", "G30009"] {
            let ledger = LedgerId::parse(unit).expect("a sound name");
            let mut turns = 0;
            let blocked = |roster: &Roster| roster.is_blocked(UserKind::Guardian);
            while !world
                .bench
                .ledgers
                .inspect(&ledger, blocked)
                .await
                .expect("it opens")
            {
                turns += 1;
                assert!(turns < 10_000, "{unit} was not reached");
                tokio::task::yield_now().await;
            }
        }
    });
}

#[test]
fn what_the_school_changed_is_kept_by_the_next_import() {
    run_local(async {
        let world = World::new().await;
        let end = json!({ "profile": p(5), "adult": p(41), "child": p(11) });
        world.ok(5, "relation.end", end).await;
        let leave = json!({ "profile": p(4), "group": g(1), "member": p(12) });
        world.ok(4, "group.remove_member", leave).await;
        let join = json!({ "profile": p(4), "group": g(1), "member": p(91) });
        world.ok(4, "group.add_member", join).await;
        let inbox = json!({ "profile": p(4), "inbox": "G10001.i1", "name": "Sekretariat", "members": [p(4)] });
        world.ok(4, "inbox.set", inbox).await;
        // What the source says of them has not changed.
        let file = r#"{"type":"unit","code":"M101","name":"Lillebæk Kommune","kind":"municipality"}
{"type":"unit","code":"G10001","name":"Bakkeskolen","kind":"school","parent":"M101"}
{"type":"person","id":"person-5","name":"Navn 5"}
{"type":"person","id":"person-41","name":"Navn 41"}
{"type":"person","id":"person-11","name":"Navn 11"}
{"type":"person","id":"person-12","name":"Navn 12"}
{"type":"profile","id":"G10001.p5","person":"person-5","kind":"administrative_staff"}
{"type":"profile","id":"G10001.p41","person":"person-41","kind":"guardian"}
{"type":"profile","id":"G10001.p11","person":"person-11","kind":"pupil"}
{"type":"profile","id":"G10001.p12","person":"person-12","kind":"pupil"}
{"type":"group","id":"G10001.g1","name":"2.A","kind":"class","main":true}
{"type":"relation","adult":"G10001.p41","child":"G10001.p11","kind":"guardian","custody":true}
{"type":"membership","group":"G10001.g1","profile":"G10001.p12","kind":"member"}
{"type":"inbox","id":"G10001.i1","name":"Kontoret","members":["G10001.p5"]}
"#;
        let kept = import(&world, file).await;
        assert_eq!(
            kept,
            [
                "G10001.g1/G10001.p12",
                "G10001.g1/G10001.p91",
                "G10001.i1",
                "G10001.p41/G10001.p11"
            ]
        );
        let look = |roster: &Roster| {
            let opens = roster
                .relation(&p(41), &p(11))
                .is_some_and(|relation| relation.opens(TODAY));
            let sees = |who| {
                roster
                    .membership(&g(1), &p(who))
                    .is_some_and(|member| member.sees(TODAY))
            };
            let inbox = roster.inboxes().next().map(|inbox| inbox.name.clone());
            (opens, sees(12), sees(91), inbox)
        };
        let now = world
            .bench
            .ledgers
            .inspect(&ledger(), look)
            .await
            .expect("it is open");
        assert_eq!(now, (false, false, true, Some("Sekretariat".to_owned())));
    });
}

/// The day on which the school's clock stands.
const TODAY: Date = date(2027, 1, 15);

/// Imports a file, whatever it ends, and gives what it kept.
async fn import(world: &World, file: &str) -> Vec<String> {
    let ledgers = &world.bench.ledgers;
    let wanted = import::read(file.as_bytes(), |_| {}).expect("the file is sound");
    let plan = import::plan(ledgers, wanted, TODAY, &Override::Nothing).await;
    let plan = plan.expect("the ledgers can be read");
    let kinds = plan.reports().flat_map(|unit| unit.records);
    let mut kept: Vec<String> = kinds.flat_map(|kind| kind.ids.kept_local).collect();
    kept.sort();
    let done = import::apply(ledgers, plan, Actor::default(), |_| {}).await;
    done.expect("nobody else changes anything");
    kept
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
                local: None,
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
