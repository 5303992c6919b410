//! What somebody of a unit set is kept: no import opens it again, or ends it, without being told to.

use super::{SOUND, TODAY, channels, import, import_over, planned, town};
use crate::ledger::testing::{Bench, run_local};
use crate::ledger::{Actor, Call, LedgerId};
use crate::people::import::{Counts, Override, RecordKind};
use crate::people::record::{Local, Membership, PeopleRecord, Relation};
use crate::people::{ChangePeople, MembershipKind, RelationKind, Roster};

fn local() -> Option<Local> {
    Some(Local {
        by: "G1.p9".parse().expect("a sound id"),
        at_ms: 1,
    })
}

/// The relation of the file, ended by the school.
fn ended_relation() -> PeopleRecord {
    PeopleRecord::Relation(Relation {
        adult: "G1.p1".parse().expect("a sound id"),
        child: "G1.p2".parse().expect("a sound id"),
        kind: RelationKind::Guardian,
        custody: true,
        access: false,
        from: None,
        until: Some(TODAY),
        ended: Some(TODAY),
        local: local(),
    })
}

fn membership(profile: &str, kind: MembershipKind) -> PeopleRecord {
    PeopleRecord::Membership(Membership {
        group: "G1.g1".parse().expect("a sound id"),
        profile: profile.parse().expect("a sound id"),
        kind,
        from: Some(TODAY),
        until: None,
        local: local(),
    })
}

async fn change(bench: &Bench<Roster>, put: Vec<PeopleRecord>) {
    let ledger = LedgerId::parse("G1").expect("a sound name");
    let delete = Vec::new();
    let call = Call::new(
        "test.change",
        Actor::default(),
        ChangePeople { put, delete },
    );
    bench.ledgers.call(&ledger, call).await.expect("sound");
}

#[test]
fn a_relation_that_the_school_ended_stays_ended() {
    run_local(async {
        let bench = town();
        import(&bench, SOUND).await;
        change(&bench, vec![ended_relation()]).await;
        assert_eq!(channels(&bench).await, ["person:G1/p1"]);
        let diff = planned(&bench, SOUND, &Override::Nothing)
            .await
            .expect("readable");
        let kept = Counts {
            kept_local: 1,
            ..Counts::default()
        };
        assert_eq!(diff.total(RecordKind::Relation), kept);
        let report = diff.reports().find(|unit| unit.unit.as_str() == "G1");
        let report = report.expect("the school is in the file").records;
        let relation = report.iter().find(|kind| kind.kind == RecordKind::Relation);
        assert_eq!(
            relation.expect("there is one").ids.kept_local,
            ["G1.p1/G1.p2"]
        );
        assert_eq!(import(&bench, SOUND).await, 0);
        assert_eq!(channels(&bench).await, ["person:G1/p1"]);
        for agrees in [
            SOUND.replace(
                "\"custody\":true",
                "\"custody\":true,\"until\":\"2027-01-10\"",
            ),
            SOUND
                .lines()
                .filter(|line| !line.contains("relation"))
                .map(|line| format!("{line}\n"))
                .collect(),
        ] {
            let diff = planned(&bench, &agrees, &Override::Nothing)
                .await
                .expect("readable");
            assert_eq!(
                diff.total(RecordKind::Relation).kept_local,
                0,
                "the source says so too"
            );
            assert!(diff.is_empty());
        }
        let other = Override::of(["G1.p1/G1.p9".to_owned()]);
        assert_eq!(import_over(&bench, SOUND, &other).await, 0, "another's id");
        let this = Override::of(["G1.p1/G1.p2".to_owned()]);
        assert_eq!(import_over(&bench, SOUND, &this).await, 1);
        assert_eq!(channels(&bench).await.len(), 4, "opened in so many words");
        assert_eq!(import(&bench, SOUND).await, 0, "and the source's again");
    });
}

#[test]
fn who_the_school_put_into_a_group_or_took_out_of_it_stays_so() {
    run_local(async {
        let bench = town();
        let third = "{\"type\":\"profile\",\"id\":\"G1.p3\",\"person\":\"b\",\"kind\":\"pupil\"}\n";
        let file = format!("{SOUND}{third}");
        import(&bench, &file).await;
        let put_in = membership("G1.p3", MembershipKind::Member);
        let taken_out = membership("G1.p2", MembershipKind::Removed);
        change(&bench, vec![put_in, taken_out]).await;
        for (over, counts) in [
            (Override::Nothing, (0, 0, 2)),
            // The one taken out is a member again, the one put in is not.
            (Override::All, (1, 1, 0)),
        ] {
            let diff = planned(&bench, &file, &over).await.expect("readable");
            let total = diff.total(RecordKind::Membership);
            assert_eq!(
                (total.changed, total.ended, total.kept_local),
                counts,
                "{over:?}"
            );
        }
        assert_eq!(import(&bench, &file).await, 0);
        // The source comes to say what the school did: nothing to show any more, and nothing changes.
        let caught_up: String = file
            .lines()
            .filter(|line| !line.contains("membership"))
            .map(|line| format!("{line}\n"))
            .collect();
        let member = "{\"type\":\"membership\",\"group\":\"G1.g1\",\"profile\":\"G1.p3\",\"kind\":\"member\"}\n";
        let caught_up = format!("{caught_up}{member}");
        let diff = planned(&bench, &caught_up, &Override::Nothing)
            .await
            .expect("readable");
        let total = diff.total(RecordKind::Membership);
        assert_eq!((total.unchanged, total.kept_local), (1, 1), "{total:?}");
    });
}
