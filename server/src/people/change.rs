//! How records of people are changed: always through here, so that index keys and notices go with them.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::record::{Account, Block, PeopleRecord, Person, Unit, account_index};
use super::{Roster, UnitCode, UserKind, channel};
use crate::ledger::{Content, IndexKey, Job, LedgerId, RecordKey, Refusal, View};

/// Stages one record of people in the unit's ledger.
///
/// A login is found from every unit through its index key. That a person's shown name changes is announced to the whole
/// unit in the same commit, so that open screens stop showing the old one. The name itself is not: the unit is more
/// than those who may see it, and who shows that person reads them anew.
///
/// # Errors
/// When the store fails.
pub async fn stage(view: &mut View<'_, Roster>, record: PeopleRecord) -> Result<(), Refusal> {
    let key = record.key();
    match record {
        PeopleRecord::Account(account) => put_account(view, &key, &account).await,
        PeopleRecord::Person(person) => {
            put_person(view, &key, person);
            Ok(())
        }
        PeopleRecord::Unit(unit) => {
            hand_down_blocks(view, &unit);
            view.put_raw(&key, PeopleRecord::Unit(unit).to_json().into());
            Ok(())
        }
        record => {
            view.put_raw(&key, record.to_json().into());
            Ok(())
        }
    }
}

async fn put_account(
    view: &mut View<'_, Roster>,
    key: &RecordKey,
    account: &Account,
) -> Result<(), Refusal> {
    let index = IndexKey::new(&account_index(&account.subject));
    view.put_indexed(key, account, vec![index]).await
}

fn put_person(view: &mut View<'_, Roster>, key: &RecordKey, mut person: Person) {
    let known = view.state().person(&person.id);
    let renamed = known.is_some_and(|known| known.shown_name() != person.shown_name());
    person.shown_since_ms = known.map_or(0, |known| known.shown_since_ms);
    if renamed {
        person.shown_since_ms = view.now_ms();
        announce(view, &person);
    }
    view.put_raw(key, PeopleRecord::Person(person).to_json().into());
}

fn announce(view: &mut View<'_, Roster>, person: &Person) {
    let Some(unit) = view.state().unit() else {
        return;
    };
    let unit = channel::unit(&unit.code);
    let profiles = view
        .state()
        .profiles()
        .filter(|profile| profile.person == person.id);
    let profiles: Vec<_> = profiles.map(|profile| &profile.id).collect();
    if !profiles.is_empty() {
        let payload = json!({ "type": "person.renamed", "profiles": profiles });
        view.append(
            [unit],
            Content {
                full: Bytes::from(payload.to_string()),
                ..Content::default()
            },
        );
    }
}

/// The operation by which a unit takes over a stop on writing from a unit above.
pub const INHERIT_BLOCK: &str = "communication.inherit";

/// A stop on writing, or its lifting, on its way to a unit below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InheritedBlock {
    /// The kind of people.
    pub kind: UserKind,
    /// The unit that set it.
    pub set_by: UnitCode,
    /// Whether it stands or is lifted.
    pub blocked: bool,
}

/// Hands a stop on writing to units below, by outbox: each takes it over exactly once in effect.
pub fn hand_down<'u>(
    view: &mut View<'_, Roster>,
    block: &InheritedBlock,
    children: impl IntoIterator<Item = &'u UnitCode>,
) {
    let body = serde_json::to_vec(block).expect("two words and a truth always encode");
    for child in children {
        let ledger = LedgerId::parse(child.as_str()).expect("unit codes are ledger names");
        view.outbox(&ledger, INHERIT_BLOCK, body.clone().into());
    }
}

/// A unit that comes under this one falls under the stops that stand here. In the commit that makes it a child: what is
/// stopped or lifted afterwards reaches it like all the others.
fn hand_down_blocks(view: &mut View<'_, Roster>, unit: &Unit) {
    let known = view.state().unit().map(|unit| unit.children.as_slice());
    let known = known.unwrap_or_default();
    let new: Vec<UnitCode> = unit
        .children
        .iter()
        .filter(|child| !known.contains(child))
        .cloned()
        .collect();
    let blocks: Vec<_> = view.state().blocks().cloned().collect();
    for Block { kind, set_by } in blocks {
        let block = InheritedBlock {
            kind,
            set_by,
            blocked: true,
        };
        hand_down(view, &block, &new);
    }
}

/// A job that stages records of people and takes others away.
#[derive(Debug, Clone, Default)]
pub struct ChangePeople {
    /// Records to put.
    pub put: Vec<PeopleRecord>,
    /// Records to delete: logins, blocks and inboxes only; all else ends by its dates.
    pub delete: Vec<RecordKey>,
}

#[async_trait::async_trait(?Send)]
impl Job<Roster> for ChangePeople {
    async fn run(&mut self, view: &mut View<'_, Roster>) -> Result<Bytes, Refusal> {
        for key in &self.delete {
            view.delete(key).await?;
        }
        for record in &self.put {
            stage(view, record.clone()).await?;
        }
        Ok(Bytes::new())
    }
}
