//! The import, from lines to ledgers.

use std::sync::Arc;

use jiff::civil::{Date, date};

use super::{Counts, LineError, PlanError, ReadError, RecordKind, apply, plan, read};
use crate::ledger::testing::{Bench, run_local};
use crate::ledger::{Actor, LedgerId};
use crate::people::{Assurance, Roster, Scope, SubjectId, entitlements, sample};
use crate::store::memory::MemoryStore;

const TODAY: Date = date(2027, 1, 15);

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

async fn import(bench: &Bench<Roster>, file: &str) -> usize {
    let wanted = read(file.as_bytes(), |_| {}).expect("the file is sound");
    let plan = plan(&bench.ledgers, wanted, TODAY)
        .await
        .expect("the ledgers can be read");
    plan.check_removals().expect("not too much ends");
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
fn what_the_file_no_longer_says_ends_and_stays_as_a_trail() {
    run_local(async {
        let bench = town();
        import(&bench, SOUND).await;
        let without: String = SOUND
            .lines()
            .filter(|line| !line.contains("relation"))
            .map(|line| format!("{line}\n"))
            .collect();
        let wanted = read(without.as_bytes(), |_| {}).expect("sound");
        let diff = plan(&bench.ledgers, wanted, TODAY).await.expect("readable");
        let ended = Counts {
            ended: 1,
            ..Counts::default()
        };
        assert_eq!(diff.total(RecordKind::Relation), ended);
        assert_eq!(
            diff.total(RecordKind::Profile),
            Counts {
                unchanged: 2,
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
fn a_wrong_line_refuses_the_file_with_number_and_reason() {
    let cases: [(&str, LineError); 12] = [
        (r#"{"type":"person","id":"x","name":" "}"#, LineError::Name),
        (
            r#"{"type":"person","id":"a","name":"Igen"}"#,
            LineError::Twice,
        ),
        (
            r#"{"type":"account","subject":"sx","person":"nobody"}"#,
            LineError::Unknown,
        ),
        (
            r#"{"type":"profile","id":"G9.p1","person":"a","kind":"guardian"}"#,
            LineError::Unknown,
        ),
        (
            r#"{"type":"profile","id":"G1.p1","person":"a","kind":"guardian"}"#,
            LineError::Twice,
        ),
        (
            r#"{"type":"profile","id":"G1.p3","person":"a","kind":"system_administrator"}"#,
            LineError::Scope,
        ),
        (
            r#"{"type":"profile","id":"G1.p3","person":"a","kind":"daycare_child"}"#,
            LineError::DaycareLogin,
        ),
        (
            r#"{"type":"relation","adult":"G1.p2","child":"G1.p1","kind":"guardian"}"#,
            LineError::Kinds,
        ),
        (
            r#"{"type":"relation","adult":"G1.p1","child":"M1.p1","kind":"guardian"}"#,
            LineError::Units,
        ),
        (
            r#"{"type":"membership","group":"G1.g1","profile":"G1.p1","kind":"member","from":"2027-02-02","until":"2027-02-01"}"#,
            LineError::Dates,
        ),
        (
            r#"{"type":"unit","code":"G2","name":"Skole","kind":"school","parent":"G1"}"#,
            LineError::Parent,
        ),
        (
            r#"{"type":"membership","group":"G1.g7","profile":"G1.p1","kind":"member"}"#,
            LineError::Unknown,
        ),
    ];
    for (line, wanted) in cases {
        match read(format!("{SOUND}{line}\n").as_bytes(), |_| {}) {
            Err(ReadError::Line { line: 11, error }) => assert_eq!(error, wanted, "{line}"),
            other => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn a_line_that_is_no_line_is_refused_without_quoting_it() {
    for wrong in [
        "hemmeligt",
        r#"{"type":"secret"}"#,
        r#"{"type":"person","id":"x","name":"Hemmelig","extra":1}"#,
        "[]",
        "{",
    ] {
        let fault = read(wrong.as_bytes(), |_| {})
            .expect_err("no line of ours")
            .to_string();
        assert!(
            fault.starts_with("line 1: ") && !fault.to_lowercase().contains("hemmelig"),
            "{fault}"
        );
    }
    let fault = read([0xff, b'\n'].as_slice(), |_| {}).expect_err("not UTF-8");
    assert!(matches!(
        fault,
        ReadError::Line {
            line: 1,
            error: LineError::Encoding
        }
    ));
    let long = vec![b' '; 70_000];
    let fault = read(long.as_slice(), |_| {}).expect_err("too long");
    assert!(matches!(
        fault,
        ReadError::Line {
            line: 1,
            error: LineError::TooLong
        }
    ));
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
        let wanted = read(cut.as_bytes(), |_| {}).expect("sound in itself");
        let plan = plan(&bench.ledgers, wanted, TODAY).await.expect("readable");
        let refused = plan.check_removals().expect_err("far too much would end");
        assert!(matches!(
            refused,
            PlanError::Removals {
                kind: RecordKind::Relation,
                ..
            }
        ));
        assert_eq!(import(&bench, &whole).await, 0, "and nothing has happened");
    });
}
