//! The import, from lines to ledgers.

use std::sync::Arc;

use jiff::civil::{Date, date};

mod lines;
mod local;
mod plans;

use super::{Counts, Override, Plan, PlanError, RecordKind, apply, plan, read};
use crate::ledger::testing::{Bench, run_local};
use crate::ledger::{Actor, LedgerId};
use crate::people::{Assurance, Roster, Scope, SubjectId, entitlements, sample};
use crate::store::memory::MemoryStore;

const TODAY: Date = date(2027, 1, 15);

/// The share of a unit that may end, in per cent.
const PERCENT: u8 = 10;

/// A school with one child, its guardian and a class.
const SOUND: &str = r#"{"type":"unit","code":"M1","name":"Kommune","kind":"municipality"}
{"type":"unit","code":"G1","name":"Skole","kind":"school","parent":"M1"}
{"type":"person","id":"a","name":"Voksen"}
{"type":"person","id":"b","name":"Barn"}
{"type":"account","subject":"sa","person":"a"}
{"type":"profile","id":"G1.p1","person":"a","kind":"guardian"}
{"type":"profile","id":"G1.p2","person":"b","kind":"pupil"}
{"type":"group","id":"G1.g1","name":"2.A","kind":"class","main":true}
{"type":"relation","adult":"G1.p1","child":"G1.p2","kind":"guardian","custody":true}
{"type":"membership","group":"G1.g1","profile":"G1.p2","kind":"member"}
"#;

async fn planned(bench: &Bench<Roster>, file: &str, over: &Override) -> Result<Plan, PlanError> {
    let wanted = read(file.as_bytes(), |_| {}).expect("the file is sound");
    plan(&bench.ledgers, wanted, TODAY, over).await
}

async fn import(bench: &Bench<Roster>, file: &str) -> usize {
    import_over(bench, file, &Override::Nothing).await
}

async fn import_over(bench: &Bench<Roster>, file: &str, over: &Override) -> usize {
    let plan = planned(bench, file, over)
        .await
        .expect("the ledgers can be read");
    plan.check_ends(PERCENT).expect("not too much ends");
    apply(&bench.ledgers, plan, Actor::default(), |_| {})
        .await
        .expect("it can be applied")
}

fn town() -> Bench<Roster> {
    Bench::on(Arc::new(MemoryStore::new()))
}

async fn channels(bench: &Bench<Roster>) -> Vec<String> {
    let ledger = LedgerId::parse("G1").expect("a sound name");
    let look = |roster: &Roster| {
        let subject: SubjectId = "sa".parse().expect("a sound subject");
        let all = entitlements(roster, &subject, &Scope::ALL, Assurance::default(), TODAY);
        all.into_iter()
            .map(|entitlement| entitlement.channel.as_str().to_owned())
            .collect()
    };
    bench
        .ledgers
        .inspect(&ledger, look)
        .await
        .expect("it is open")
}

#[test]
fn a_file_becomes_rights_and_again_changes_nothing() {
    run_local(async {
        let bench = town();
        assert_eq!(import(&bench, SOUND).await, 10);
        assert_eq!(
            channels(&bench).await,
            ["group:G1/g1", "person:G1/p1", "unit:G1", "unit:M1"]
        );
        assert_eq!(import(&bench, SOUND).await, 0, "the same file again");
    });
}

#[test]
fn units_in_any_order_are_the_same_file_again() {
    run_local(async {
        let bench = town();
        let file = r#"{"type":"unit","code":"M1","name":"Kommune","kind":"municipality"}
{"type":"unit","code":"S1","name":"Skole","kind":"school","parent":"M1"}
{"type":"unit","code":"D1","name":"Børnehus","kind":"daycare","parent":"M1"}
"#;
        assert_eq!(import(&bench, file).await, 3);
        assert_eq!(import(&bench, file).await, 0, "the same file again");
    });
}

#[test]
fn what_the_file_no_longer_says_ends_and_stays_as_a_trail() {
    run_local(async {
        let bench = town();
        import(&bench, SOUND).await;
        let without: String = SOUND
            .lines()
            .filter(|line| !line.contains("relation"))
            .map(|line| format!("{line}\n"))
            .collect();
        let diff = planned(&bench, &without, &Override::Nothing)
            .await
            .expect("readable");
        let ended = Counts {
            ended: 1,
            in_force: 1,
            ..Counts::default()
        };
        assert_eq!(diff.total(RecordKind::Relation), ended);
        assert_eq!(
            diff.total(RecordKind::Profile),
            Counts {
                unchanged: 2,
                in_force: 2,
                ..Counts::default()
            }
        );
        assert_eq!(channels(&bench).await.len(), 4, "planning changes nothing");
        import(&bench, &without).await;
        assert_eq!(channels(&bench).await, ["person:G1/p1"]);
        let ledger = LedgerId::parse("G1").expect("a sound name");
        let kept = bench
            .ledgers
            .inspect(&ledger, |roster: &Roster| roster.relations().count())
            .await;
        assert_eq!(kept.expect("it is open"), 1, "the trail");
        assert_eq!(import(&bench, &without).await, 0, "and ends once");
        import(&bench, SOUND).await;
        assert_eq!(channels(&bench).await.len(), 4, "what comes back is back");
    });
}

#[test]
fn half_a_school_is_not_ended_by_mistake() {
    run_local(async {
        let bench = town();
        let mut file = Vec::new();
        sample::write(1, &mut file).expect("memory can be written");
        let whole = String::from_utf8(file).expect("JSON is UTF-8");
        import(&bench, &whole).await;
        let cut: String = whole
            .lines()
            .filter(|line| !line.contains("\"relation\""))
            .map(|line| format!("{line}\n"))
            .collect();
        let plan = planned(&bench, &cut, &Override::Nothing)
            .await
            .expect("readable");
        let refused = plan
            .check_ends(PERCENT)
            .expect_err("far too much would end");
        let PlanError::MassEnd(end) = refused else {
            panic!("{refused}");
        };
        assert_eq!(end.kind, RecordKind::Relation);
        assert!(plan.mass_ends(PERCENT).len() > 5, "every institution");
        plan.check_ends(100).expect("all may end if it is said");
        assert_eq!(import(&bench, &whole).await, 0, "and nothing has happened");
    });
}
