//! What a plan promises: what it shows, whom it refuses, and that nothing else is written.

use std::sync::Arc;

use super::{PERCENT, SOUND, import, planned, town};
use crate::ledger::testing::{Bench, run_local};
use crate::ledger::{Actor, Call, CallError, LedgerId};
use crate::people::import::{Override, PlanDigest, PlanError, RecordKind, Report, apply};
use crate::people::record::{PeopleRecord, Person};
use crate::people::{ChangePeople, Roster, sample};
use crate::store::faulty::{Fault, FaultyStore};
use crate::store::memory::MemoryStore;

fn without(word: &str) -> String {
    SOUND
        .lines()
        .filter(|line| !line.contains(word))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Somebody renames a person meanwhile.
async fn rename(bench: &Bench<Roster>) {
    let person = Person {
        id: "b".parse().expect("a sound id"),
        name: "Andet Barn".to_owned(),
        alias: None,
        protected: false,
        shown_since_ms: 0,
    };
    let ledger = LedgerId::parse("G1").expect("a sound name");
    let job = ChangePeople {
        put: vec![PeopleRecord::Person(person)],
        delete: Vec::new(),
    };
    let call = Call::new("test.change", Actor::default(), job);
    bench.ledgers.call(&ledger, call).await.expect("sound");
}

#[test]
fn a_diff_names_what_ends_by_its_id_and_nobody_by_name() {
    run_local(async {
        let bench = town();
        let first = planned(&bench, SOUND, &Override::Nothing)
            .await
            .expect("readable");
        let mut shown = String::new();
        for unit in first.reports() {
            shown
                .push_str(&String::from_utf8(Report::Unit(unit).to_line()).expect("JSON is UTF-8"));
        }
        for id in [
            "\"G1.p1\"",
            "\"G1.g1\"",
            "\"G1.p1/G1.p2\"",
            "\"G1.g1/G1.p2\"",
            "\"M1\"",
        ] {
            assert!(shown.contains(id), "{id} is not in {shown}");
        }
        for secret in [
            "Voksen", "Barn", "Kommune", "Skole", "2.A", "\"sa\"", "\"a\"", "\"b\"",
        ] {
            assert!(!shown.contains(secret), "{secret} is in {shown}");
        }
        import(&bench, SOUND).await;
        let less = planned(&bench, &without("relation"), &Override::Nothing)
            .await
            .expect("readable");
        let units: Vec<_> = less.reports().collect();
        assert_eq!(units.len(), 2);
        let relation = units[0]
            .records
            .iter()
            .find(|kind| kind.kind == RecordKind::Relation);
        let relation = relation.expect("the school has one");
        assert_eq!(relation.ids.ended, ["G1.p1/G1.p2"]);
        let said = Report::Unit(units[0].clone());
        let back: Report =
            serde_json::from_slice(&said.to_line()).expect("it reads what it writes");
        assert_eq!(back, said);
    });
}

#[test]
fn custody_that_is_lost_counts_as_an_end() {
    run_local(async {
        let bench = town();
        import(&bench, SOUND).await;
        let lost = SOUND.replace("\"custody\":true", "\"custody\":false");
        let diff = planned(&bench, &lost, &Override::Nothing)
            .await
            .expect("readable");
        let total = diff.total(RecordKind::Relation);
        assert_eq!((total.ended, total.changed), (1, 0));
    });
}

#[test]
fn a_digest_stands_for_one_change_of_the_same_people() {
    run_local(async {
        let bench = town();
        import(&bench, SOUND).await;
        let digest = async |file: &str| {
            planned(&bench, file, &Override::Nothing)
                .await
                .expect("readable")
                .digest
        };
        let less = without("relation");
        let shown = digest(&less).await;
        assert_eq!(digest(&less).await, shown, "nothing changed");
        assert_ne!(digest(SOUND).await, shown, "another file");
        rename(&bench).await;
        assert_ne!(digest(&less).await, shown, "somebody was renamed meanwhile");
        assert_eq!(shown.to_string().parse::<PlanDigest>(), Ok(shown));
        for wrong in ["", "12", &"x".repeat(32), &"+1".repeat(16), &"å".repeat(16)] {
            assert!(wrong.parse::<PlanDigest>().is_err(), "{wrong} was taken");
        }
    });
}

#[test]
fn what_changed_since_the_plan_is_not_written_over() {
    run_local(async {
        let bench = town();
        import(&bench, SOUND).await;
        let renamed = SOUND.replace("\"Barn\"", "\"Nyt Barn\"");
        let plan = planned(&bench, &renamed, &Override::Nothing)
            .await
            .expect("readable");
        rename(&bench).await;
        let stopped = apply(&bench.ledgers, plan, Actor::default(), |_| {}).await;
        let stopped = stopped.expect_err("the record is another");
        assert!(
            matches!(&stopped.source, CallError::Refused(refusal) if refusal.key == "import.changed_since"),
            "{stopped:?}"
        );
    });
}

#[test]
fn a_login_that_is_another_persons_in_another_unit_is_refused_with_its_line() {
    run_local(async {
        let bench = town();
        import(&bench, SOUND).await;
        let elsewhere = SOUND.replace("G1", "G2").replace("M1", "M2");
        assert!(
            planned(&bench, &elsewhere, &Override::Nothing)
                .await
                .is_ok(),
            "the same person"
        );
        let other = elsewhere.replace("\"a\"", "\"c\"");
        match planned(&bench, &other, &Override::Nothing).await {
            Err(PlanError::LoginTaken { line: 5, unit }) => assert_eq!(unit, "G1"),
            other => panic!("{other:?}"),
        }
        // In a unit of the file the file decides: the login moves there.
        let moved = SOUND.replace("\"a\"", "\"c\"");
        planned(&bench, &moved, &Override::Nothing)
            .await
            .expect("it is the only one");
    });
}

#[test]
fn a_small_unit_may_lose_a_family_but_not_everybody() {
    run_local(async {
        let bench = town();
        let children = |count: u32| {
            let mut file = SOUND.to_owned();
            for n in 10..10 + count {
                file.push_str(&format!(
                    "{{\"type\":\"person\",\"id\":\"n{n}\",\"name\":\"Barn\"}}\n"
                ));
                file.push_str(&format!(
                    "{{\"type\":\"profile\",\"id\":\"G1.p{n}\",\"person\":\"n{n}\",\"kind\":\"daycare_child\"}}\n"
                ));
            }
            file
        };
        import(&bench, &children(18)).await;
        for (left, refused) in [(17, false), (8, false), (7, true), (0, true)] {
            let plan = planned(&bench, &children(left), &Override::Nothing)
                .await
                .expect("readable");
            assert_eq!(
                plan.check_ends(PERCENT).is_err(),
                refused,
                "{left} of 18 left"
            );
        }
    });
}

#[test]
fn an_import_that_stops_half_way_says_how_far_it_came_and_goes_on_from_there() {
    run_local(async {
        let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
        let bench = Bench::on(store.clone());
        let mut file = Vec::new();
        sample::write(1, &mut file).expect("memory can be written");
        let file = String::from_utf8(file).expect("JSON is UTF-8");
        let first = planned(&bench, &file, &Override::Nothing)
            .await
            .expect("readable");
        let total = first.records();
        let mut steps = Vec::new();
        store.fail([Fault::None; 7].into_iter().chain([Fault::Unavailable]));
        let stopped = apply(&bench.ledgers, first, Actor::default(), |at| steps.push(at)).await;
        let stopped = stopped.expect_err("the store stopped");
        assert_eq!(
            (stopped.total, steps.last().map(|at| at.done)),
            (total, Some(stopped.done))
        );
        assert!((1..total).contains(&stopped.done), "{stopped}");
        // The central body, the municipality, and its institutions only after that.
        let order: Vec<&str> = steps.iter().map(|at| at.unit.as_str()).collect();
        assert_eq!(order[..2], ["C1", "M101"]);
        let rest = planned(&bench, &file, &Override::Nothing)
            .await
            .expect("readable");
        assert_eq!(rest.records(), total - stopped.done);
        let done = apply(&bench.ledgers, rest, Actor::default(), |_| {}).await;
        assert_eq!(done.expect("it can be applied"), total - stopped.done);
        assert_eq!(import(&bench, &file).await, 0, "and nothing is left");
    });
}
