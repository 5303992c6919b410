//! A small school on a store in memory, for the tests of operations: call as somebody, and see who hears what.
//!
//! | profile | who |
//! |---|---|
//! | 1, 2, 3 | teacher and two more staff of class 2.A (group 1) |
//! | 4, 5 | leader, administrative staff (shared inbox 1) |
//! | 6 | external actor of the municipality |
//! | 7, 8, 9 | town hall: own municipality, another one, another one with a grant |
//! | 10 | administrator of the institution |
//! | 11 to 34 | the 24 children of 2.A |
//! | 41 to 82 | their 42 guardians: the first 18 children have two, the others one |
//! | 90, 91, 92 | teacher, child and guardian of 2.B (group 2) |
//!
//! The login of profile n is `sn`. Everything happens on a Tuesday in January 2027.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::{Caller, Domain, Door, OperationError, OutboxDoor, Request, registry};
use crate::ledger::testing::{Bench, Got};
use crate::ledger::{Actor, Call, ChannelName, Clock, Delivery, Inbox as _, LedgerId};
use crate::people::record::{
    Account, Group, Inbox, Membership, PeopleRecord, Person, Profile, Relation, Unit,
};
use crate::people::{
    AdministratorScope, Assurance, AssuranceLevel, Change, ChangePeople, Disclosure, GroupId,
    GroupKind, InboxId, Lens, MembershipKind, ObjectId, ProfileId, RelationKind, Roster, Scope,
    SubjectId, UnitCode, UnitKind, UserKind, Viewer, channel, day, disclose, entitlements, recall,
};
use crate::store::memory::MemoryStore;
use crate::store::{EntryRange, Order};

/// The school's code.
pub(crate) const SCHOOL: &str = "G10001";

/// Turns of the event loop that an outbox delivery gets; it needs a few dozen.
const TURNS_MAX: usize = 10_000;

/// The class: all who see group 1.
pub(crate) fn class() -> BTreeSet<u32> {
    [1, 2, 3]
        .into_iter()
        .chain(11..=34)
        .chain(41..=82)
        .collect()
}

/// The child of a guardian, by number.
pub(crate) fn child_of(guardian: u32) -> u32 {
    let nth = guardian - 41;
    if nth < 36 {
        11 + nth / 2
    } else {
        29 + nth - 36
    }
}

pub(crate) fn school() -> UnitCode {
    SCHOOL.parse().expect("a sound code")
}

pub(crate) fn p(number: u32) -> ProfileId {
    ProfileId::new(school(), number)
}

pub(crate) fn g(number: u32) -> GroupId {
    GroupId::new(school(), number)
}

pub(crate) fn ledger() -> LedgerId {
    LedgerId::parse(SCHOOL).expect("a sound name")
}

fn subject(number: u32) -> SubjectId {
    format!("s{number}").parse().expect("a sound subject")
}

/// A running school.
pub(crate) struct World {
    pub(crate) bench: Bench<Roster>,
    pub(crate) domain: Domain,
    heard: Vec<Arc<Delivery<Change>>>,
    stepped_up: BTreeSet<u32>,
    pub(crate) version: Option<u64>,
}

impl World {
    /// Opens the school. Must run inside a `LocalSet`, see `ledger::testing::run_local`.
    pub(crate) async fn new() -> Self {
        let bench = Bench::with_inbox(Arc::new(MemoryStore::new()), Arc::new(OutboxDoor));
        let clock: Arc<dyn Clock> = bench.clock.clone();
        let domain = Domain::new(bench.ledgers.clone(), clock, bench.telemetry.meters());
        let mut world = Self {
            bench,
            domain,
            heard: Vec::new(),
            stepped_up: BTreeSet::new(),
            version: None,
        };
        world.change(SCHOOL, people()).await;
        world.forget();
        world
    }

    /// Changes records of people, as an import would.
    pub(crate) async fn change(&mut self, unit: &str, put: Vec<PeopleRecord>) {
        let ledger = LedgerId::parse(unit).expect("a sound name");
        let job = ChangePeople {
            put,
            delete: Vec::new(),
        };
        let call = Call::new("test.change", Actor::default(), job);
        self.bench
            .ledgers
            .call(&ledger, call)
            .await
            .expect("the records are sound");
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.bench.clock.now_ms()
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, seconds: u64) {
        self.bench.clock.advance(Duration::from_secs(seconds));
    }

    /// From now on this person's session is stepped up (again).
    pub(crate) fn step_up(&mut self, who: u32) {
        self.stepped_up.insert(who);
    }

    /// From now on it is not.
    pub(crate) fn step_down(&mut self, who: u32) {
        self.stepped_up.remove(&who);
    }

    fn assurance(&self, who: u32) -> Assurance {
        let level = if self.stepped_up.contains(&who) {
            AssuranceLevel::Substantial
        } else {
            AssuranceLevel::Low
        };
        Assurance {
            level,
            authenticated_ms: self.now_ms(),
        }
    }

    /// Calls an operation as somebody, with an idempotency key.
    pub(crate) async fn call_with_key(
        &self,
        who: u32,
        operation: &str,
        input: Value,
        key: Option<&str>,
    ) -> Result<super::Answer, OperationError> {
        let mut caller = Caller::person(subject(who), self.assurance(who), Door::Rpc);
        caller.version = self.version;
        let idempotency = key.map(ToOwned::to_owned);
        let input = Bytes::from(input.to_string());
        self.domain
            .call(Request {
                operation: operation.to_owned(),
                input,
                idempotency,
                caller,
                arrived_us: 0,
            })
            .await
    }

    /// Calls an operation that must work.
    pub(crate) async fn ok(&self, who: u32, operation: &str, input: Value) -> Value {
        let answer = self.call_with_key(who, operation, input, None).await;
        let answer = answer.unwrap_or_else(|fault| panic!("{operation} as {who}: {fault}"));
        serde_json::from_slice(&answer.output).expect("outputs are JSON")
    }

    /// Calls an operation that must be refused, and gives the message key.
    pub(crate) async fn refused(&self, who: u32, operation: &str, input: Value) -> &'static str {
        match self.call_with_key(who, operation, input, None).await {
            Ok(_) => panic!("{operation} as {who} was not refused"),
            Err(fault) => {
                let declared = registry::find(operation).expect("a known operation");
                assert!(
                    declared.declaration.may_give(fault.code),
                    "{operation} gives {fault}, and does not declare it"
                );
                fault.key
            }
        }
    }

    /// Runs an internal operation, as the server.
    pub(crate) async fn server(&self, operation: &str, input: Value) -> Value {
        let caller = Caller::server(Door::Server);
        let input = Bytes::from(input.to_string());
        let request = Request {
            operation: operation.to_owned(),
            input,
            idempotency: None,
            caller,
            arrived_us: 0,
        };
        let answer = self.domain.call(request).await;
        let answer = answer.unwrap_or_else(|fault| panic!("{operation}: {fault}"));
        serde_json::from_slice(&answer.output).expect("outputs are JSON")
    }

    /// Opens the municipality above the school, with the town hall's profile 7 as its leader.
    pub(crate) async fn found_municipality(&mut self) {
        let code: UnitCode = "M101".parse().expect("a sound code");
        let unit = Unit {
            code: code.clone(),
            name: "Lillebæk Kommune".to_owned(),
            kind: UnitKind::Municipality,
            parent: None,
            ancestors: Vec::new(),
            municipality: Some(code.clone()),
            children: vec![school()],
        };
        let mut records = vec![PeopleRecord::Unit(unit)];
        records.extend(
            person(7, UserKind::Leader)
                .into_iter()
                .map(|record| match record {
                    PeopleRecord::Profile(profile) => {
                        let id = ProfileId::new(code.clone(), 1);
                        PeopleRecord::Profile(Profile {
                            id,
                            home: None,
                            home_municipality: None,
                            ..profile
                        })
                    }
                    record => record,
                }),
        );
        self.change("M101", records).await;
        self.forget();
    }

    /// Lets the other tasks run until the school's roster is as wanted, as it becomes once an outbox was delivered.
    pub(crate) async fn until(&self, wanted: impl Fn(&Roster) -> bool + Copy + Send + 'static) {
        for _ in 0..TURNS_MAX {
            let seen = self.bench.ledgers.inspect(&ledger(), wanted).await;
            if seen.expect("the school is open") {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("the roster did not become as wanted");
    }

    /// Hands a unit what a unit above it decided, as its outbox does.
    pub(crate) async fn inherit(&self, unit: &str, input: Value) {
        let ledger = LedgerId::parse(unit).expect("a sound name");
        let input = Bytes::from(input.to_string());
        let job = OutboxDoor
            .job(&ledger, "communication.inherit", &input)
            .expect("it is an internal operation");
        let call = Call {
            job,
            actor: Actor::default(),
            operation: "communication.inherit".into(),
            idempotency: None,
            arrived_us: 0,
            leaves_free_percent: 0,
        };
        self.bench
            .ledgers
            .call(&ledger, call)
            .await
            .expect("it is the server");
    }

    fn collect(&mut self) {
        for got in self.bench.recorder.take() {
            if let Got::Delivery(delivery) = got {
                self.heard.push(delivery);
            }
        }
    }

    /// Forgets what was heard so far.
    pub(crate) fn forget(&mut self) {
        self.collect();
        self.heard.clear();
    }

    /// The logins whose rights the deliveries so far have touched.
    pub(crate) fn touched(&mut self) -> BTreeSet<String> {
        self.collect();
        let changes = self.heard.iter().flat_map(|delivery| &delivery.changes);
        changes
            .map(|Change::Entitlements { subject, .. }| subject.to_string())
            .collect()
    }

    /// What somebody's devices were sent since the last [`World::forget`], measured as live fan-out does.
    pub(crate) async fn heard(&mut self, who: u32) -> Vec<Value> {
        self.collect();
        let (assurance, now_ms) = (self.assurance(who), self.now_ms());
        let deliveries = self.heard.clone();
        let hear = move |roster: &Roster| {
            let subject = subject(who);
            let seen = entitlements(
                roster,
                &subject,
                &Scope::ALL,
                assurance,
                day::day_at(now_ms),
            );
            let mut out = Vec::new();
            for (name, _, entry) in deliveries
                .iter()
                .flat_map(|delivery| delivery.publications())
            {
                let Some(entitlement) =
                    seen.iter().find(|entitlement| entitlement.channel == *name)
                else {
                    continue;
                };
                let viewer = Viewer::new(subject.clone(), entitlement.lens, now_ms);
                if let Some(payload) =
                    disclose(&viewer, roster, &entry.content, None, None).into_payload()
                {
                    out.push(serde_json::from_slice(&payload).expect("payloads are JSON"));
                }
            }
            out
        };
        self.bench
            .ledgers
            .inspect(&ledger(), hear)
            .await
            .expect("the school is open")
    }

    /// Who of the whole school heard anything of a type since the last [`World::forget`].
    pub(crate) async fn who_heard(&mut self, kind: &str) -> BTreeSet<u32> {
        let mut who = BTreeSet::new();
        for number in 1..=92 {
            let heard = self.heard(number).await;
            if heard.iter().any(|payload| payload["type"] == kind) {
                who.insert(number);
            }
        }
        who
    }

    /// The history of somebody's personal channel, as a device that was away recovers it.
    pub(crate) async fn recovered(&self, who: u32) -> Vec<Disclosure> {
        self.recovered_in(who, channel::person(&p(who))).await
    }

    /// The history of a channel of the school, as somebody may read it now.
    pub(crate) async fn recovered_in(&self, who: u32, name: ChannelName) -> Vec<Disclosure> {
        let assurance = self.assurance(who);
        let now_ms = self.now_ms();
        let look = move |roster: &Roster| {
            entitlements(
                roster,
                &subject(who),
                &Scope::ALL,
                assurance,
                day::day_at(now_ms),
            )
        };
        let seen = self
            .bench
            .ledgers
            .inspect(&ledger(), look)
            .await
            .expect("the school is open");
        let Some(own) = seen
            .into_iter()
            .find(|entitlement| entitlement.channel == name)
        else {
            return Vec::new();
        };
        self.recalled(who, name, own.lens).await
    }

    /// What a session that looks through a lens, rightly or no longer, gets of a channel's history.
    pub(crate) async fn recalled(
        &self,
        who: u32,
        name: ChannelName,
        lens: Lens,
    ) -> Vec<Disclosure> {
        let viewer = Viewer::new(subject(who), lens, self.now_ms());
        let range = EntryRange {
            from: 1,
            to: u64::MAX,
            limit: 300,
            order: Order::Ascending,
        };
        let recalled = recall(&self.bench.ledgers, &ledger(), &name, range, viewer)
            .await
            .expect("the school is open");
        recalled
            .entries
            .into_iter()
            .map(|shown| shown.disclosure)
            .collect()
    }

    /// Asserts that the badge of a profile equals a recount.
    pub(crate) async fn check_badge(&self, who: u32) -> Value {
        let badge = self
            .ok(who, "badge.get", serde_json::json!({ "profile": p(who) }))
            .await;
        let recount = self
            .server("badge.recount", serde_json::json!({ "profile": p(who) }))
            .await;
        assert_eq!(badge["badge"], recount, "badge and recount of {who}");
        recount
    }
}

/// The whole school as records.
pub(crate) fn people() -> Vec<PeopleRecord> {
    let mut out = vec![PeopleRecord::Unit(unit())];
    let kinds = [
        (1, UserKind::PedagogicalStaff),
        (2, UserKind::PedagogicalStaff),
        (3, UserKind::PedagogicalStaff),
        (4, UserKind::Leader),
        (5, UserKind::AdministrativeStaff),
        (6, UserKind::ExternalActor),
        (7, UserKind::MunicipalAdministration),
        (8, UserKind::MunicipalAdministration),
        (9, UserKind::MunicipalAdministration),
        (10, UserKind::SystemAdministrator),
        (90, UserKind::PedagogicalStaff),
        (91, UserKind::Pupil),
        (92, UserKind::Guardian),
    ];
    let children = (11..=34).map(|number| (number, UserKind::Pupil));
    let guardians = (41..=82).map(|number| (number, UserKind::Guardian));
    for (number, kind) in kinds.into_iter().chain(children).chain(guardians) {
        out.extend(person(number, kind));
    }
    for (number, name) in [(1, "2.A"), (2, "2.B")] {
        out.push(PeopleRecord::Group(group(number, name)));
    }
    out.extend((1..=3).chain(11..=34).map(|number| member(1, number)));
    out.extend([90, 91].map(|number| member(2, number)));
    out.extend((41..=82).map(|number| PeopleRecord::Relation(relation(number, child_of(number)))));
    out.push(PeopleRecord::Relation(relation(92, 91)));
    let inbox = Inbox {
        id: InboxId::new(school(), 1),
        name: "Kontoret".to_owned(),
        members: vec![p(5)],
        local: None,
    };
    out.push(PeopleRecord::Inbox(inbox));
    out
}

pub(crate) fn unit() -> Unit {
    let municipality: UnitCode = "M101".parse().expect("a sound code");
    Unit {
        code: school(),
        name: "Bakkeskolen".to_owned(),
        kind: UnitKind::School,
        parent: Some(municipality.clone()),
        ancestors: vec![municipality.clone(), "C1".parse().expect("a sound code")],
        municipality: Some(municipality),
        children: Vec::new(),
    }
}

/// A person, their login and their profile, all of one number.
pub(crate) fn person(number: u32, kind: UserKind) -> Vec<PeopleRecord> {
    let id = format!("person-{number}")
        .parse::<crate::people::PersonId>()
        .expect("a sound id");
    let home = match number {
        6 | 7 => Some("M101"),
        8 | 9 => Some("M202"),
        _ => None,
    };
    let home: Option<UnitCode> = home.map(|code| code.parse().expect("a sound code"));
    let profile = Profile {
        id: p(number),
        person: id.clone(),
        kind,
        scope: (kind == UserKind::SystemAdministrator).then_some(AdministratorScope::Institution),
        title: None,
        duties: Vec::new(),
        home: home.clone(),
        home_municipality: home,
        granted: number == 9,
        from: None,
        until: None,
    };
    let name = format!("Navn {number}");
    let person = Person {
        id: id.clone(),
        name,
        alias: None,
        protected: false,
        shown_since_ms: 0,
    };
    let account = Account {
        subject: subject(number),
        person: id,
    };
    vec![
        PeopleRecord::Person(person),
        PeopleRecord::Account(account),
        PeopleRecord::Profile(profile),
    ]
}

pub(crate) fn group(number: u32, name: &str) -> Group {
    Group {
        id: g(number),
        name: name.to_owned(),
        kind: GroupKind::Class,
        main: true,
        from: None,
        until: None,
    }
}

pub(crate) fn member(group: u32, profile: u32) -> PeopleRecord {
    let kind = MembershipKind::Member;
    PeopleRecord::Membership(Membership {
        group: g(group),
        profile: p(profile),
        kind,
        from: None,
        until: None,
        local: None,
    })
}

pub(crate) fn relation(adult: u32, child: u32) -> Relation {
    let kind = RelationKind::Guardian;
    Relation {
        adult: p(adult),
        child: p(child),
        kind,
        custody: true,
        access: false,
        ended: None,
        from: None,
        until: None,
        local: None,
    }
}
