//! The people of a run: a small school below a municipality, by the domain's own records.
//!
//! Staff 1, 2 and 3 and the children 11 and 12 are in the class; guardians 41 and 42 see it through them. Leader 4 gives rights and
//! takes them away. Profile 1 of the municipality stops and lets go who writes, which reaches the school by its outbox.

use serde_json::{Value, json};

use super::node::Life;
use crate::domain::testing::{group, ledger as school, member, person, relation, unit};
use crate::domain::{Caller, Door, OperationError, Request};
use crate::ledger::{Actor, Call, CallError, ChannelName, LedgerId};
use crate::people::record::{PeopleRecord, Profile, Unit};
use crate::people::{
    Assurance, ChangePeople, ObjectId as _, ProfileId, SubjectId, UnitKind, UserKind,
};

/// Who has a device: their numbers. One has two.
pub(super) const DEVICES: [u32; 7] = [1, 2, 3, 4, 41, 41, 42];

/// The kind of people that the municipality stops.
pub(super) const STOPPED: UserKind = UserKind::ExternalActor;

pub(super) fn town() -> LedgerId {
    LedgerId::parse("M101").expect("valid")
}

pub(super) fn class() -> ChannelName {
    ChannelName::parse("group:G10001/g1").expect("valid")
}

pub(super) fn chat() -> ChannelName {
    ChannelName::parse("chat:a").expect("valid")
}

pub(super) fn subject(number: u32) -> SubjectId {
    format!("s{number}").parse().expect("a sound subject")
}

/// Channels of which all is said in this run; of what others a person sees nothing is simulated.
pub(super) fn is_followed(channel: &ChannelName) -> bool {
    *channel == class() || channel.as_str() == "unit:G10001"
}

fn people() -> Vec<PeopleRecord> {
    let mut all = vec![PeopleRecord::Unit(unit())];
    let kinds = [
        (1, UserKind::PedagogicalStaff),
        (2, UserKind::PedagogicalStaff),
        (3, UserKind::PedagogicalStaff),
        (4, UserKind::Leader),
        (11, UserKind::Pupil),
        (12, UserKind::Pupil),
        (41, UserKind::Guardian),
        (42, UserKind::Guardian),
    ];
    for (number, kind) in kinds {
        all.extend(person(number, kind));
    }
    all.push(PeopleRecord::Group(group(1, "2.A")));
    all.extend([1, 2, 3, 11, 12].map(|number| member(1, number)));
    all.push(PeopleRecord::Relation(relation(41, 11)));
    all.push(PeopleRecord::Relation(relation(42, 12)));
    all
}

fn townspeople() -> Vec<PeopleRecord> {
    let code = "M101".parse::<crate::people::UnitCode>().expect("valid");
    let unit = Unit {
        code: code.clone(),
        name: "Lillebæk Kommune".to_owned(),
        kind: UnitKind::Municipality,
        parent: None,
        ancestors: Vec::new(),
        municipality: Some(code.clone()),
        children: vec![crate::domain::testing::school()],
    };
    let mayor = person(7, UserKind::Leader).into_iter();
    let mayor = mayor.map(|record| match record {
        PeopleRecord::Profile(profile) => PeopleRecord::Profile(Profile {
            id: ProfileId::new(code.clone(), 1),
            home: None,
            home_municipality: None,
            ..profile
        }),
        record => record,
    });
    [PeopleRecord::Unit(unit)]
        .into_iter()
        .chain(mayor)
        .collect()
}

/// Opens school and town hall, before anything breaks.
pub(super) async fn open(life: &Life) -> Result<(), CallError> {
    for (ledger, put) in [(school(), people()), (town(), townspeople())] {
        let job = ChangePeople {
            put,
            delete: Vec::new(),
        };
        let call = Call::new("people.import", Actor::default(), job);
        life.ledgers.call(&ledger, call).await?;
    }
    Ok(())
}

/// Calls an operation as somebody.
pub(super) async fn call(
    life: &Life,
    who: u32,
    operation: &str,
    input: &Value,
    key: Option<String>,
) -> Result<Value, OperationError> {
    let answer = life.domain.call(Request {
        operation: operation.to_owned(),
        input: input.to_string().into(),
        idempotency: key,
        caller: Caller::person(subject(who), Assurance::default(), Door::Rpc),
        arrived_us: 0,
    });
    let output = answer.await?.output;
    Ok(serde_json::from_slice(&output).expect("outputs are JSON"))
}

/// What the leader does, each at most once, in the order that chance gives.
pub(super) fn decisions() -> Vec<(&'static str, Value)> {
    let own = |number: u32| format!("G10001.p{number}");
    let class = "G10001.g1";
    let remove = |number| json!({"profile": own(4), "group": class, "member": own(number)});
    vec![
        ("group.remove_member", remove(2)),
        ("group.remove_member", remove(3)),
        ("group.add_member", remove(3)),
        (
            "relation.end",
            json!({"profile": own(4), "adult": own(42), "child": own(12)}),
        ),
        ("group.add_member", remove(4)),
        ("group.remove_member", remove(3)),
    ]
}
