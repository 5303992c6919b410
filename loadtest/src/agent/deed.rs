//! What people do, as calls of the server's operations.

use klokke_protocol::{Codec, Command, RpcRequest};
use serde_json::{Value, json};

use crate::control::{Deed, Target};
use crate::scenario::Action;
use crate::town::Town;
use crate::wire::mark::{Mark, To};

/// Bits of an action's id: agent, kind, number.
const KIND_SHIFT: u32 = 40;
const AGENT_SHIFT: u32 = 44;

/// An action's id.
pub(super) fn id_of(agent: u32, action: Action, number: usize) -> u64 {
    (u64::from(agent) << AGENT_SHIFT) | ((action as u64) << KIND_SHIFT) | number as u64
}

/// The kind in an id.
pub(crate) fn action_of(id: u64) -> Option<Action> {
    Action::ALL
        .get(usize::try_from((id >> KIND_SHIFT) & 0xf).ok()?)
        .copied()
}

/// The agent and the number in an id.
pub(super) fn place_of(id: u64) -> (u64, usize) {
    let number = id & ((1 << KIND_SHIFT) - 1);
    (
        id >> AGENT_SHIFT,
        usize::try_from(number).unwrap_or(usize::MAX),
    )
}

/// What follows the mark, so that texts weigh what people's do. Invented.
const WORDS: &str = "Godmorgen! Husk gymnastiktøj og madpakke i dag. Vi går i skoven efter frokost og er tilbage kl. 13. \
    Skriv gerne, hvis der er spørgsmål.";

/// The call that an action is.
pub(super) fn call(deed: &Deed, due_us: u64, run: u32, town: &Town) -> (&'static str, Value) {
    let id = |profile: u32| &*town.profiles[profile as usize].id;
    let by = id(deed.by);
    let to = match deed.to {
        Target::ThreadOf(group) | Target::Wall(group) => To::Group(&town.groups[group as usize].id),
        Target::Adults { child, .. } => To::AdultsOf(id(child)),
        Target::One(profile) => To::Profile(id(profile)),
        Target::UnitOf(by) => To::Unit(&town.profiles[by as usize].unit),
    };
    let mut text = String::with_capacity(256);
    let mark = Mark {
        run,
        action: deed.id,
        due_us,
        sensitive: deed.sensitive,
        to,
    };
    mark.write(&mut text);
    text.push_str(WORDS);
    let key = format!("klt-{run:x}-{:x}", deed.id);
    let adults = |child: u32| -> Vec<&str> {
        let adults = town.profiles[child as usize].adults.iter();
        adults
            .filter(|it| town.profiles[**it as usize].takes_part)
            .map(|it| id(*it))
            .collect()
    };
    match deed.to {
        Target::ThreadOf(_)
        | Target::One(_)
        | Target::Adults {
            with_sender: true, ..
        } => {
            let recipients: Vec<Value> = match deed.to {
                Target::ThreadOf(group) => vec![json!({ "group": town.groups[group as usize].id })],
                Target::One(profile) => vec![json!({ "profile": id(profile) })],
                Target::Adults { child, .. } => adults(child)
                    .into_iter()
                    .map(|it| json!({ "profile": it }))
                    .collect(),
                Target::Wall(_) | Target::UnitOf(_) => Vec::new(),
            };
            let subject = "Til jer fra skolen";
            let input = json!({
                "profile": by, "subject": subject, "text": text, "recipients": recipients,
                "sensitive": deed.sensitive, "idempotency_key": key,
            });
            ("thread.create", input)
        }
        Target::Adults { child, .. } => {
            let input = json!({
                "profile": by, "recipients": adults(child), "event": "attendance.checked_in", "text": text,
                "child": id(child), "idempotency_key": key,
            });
            ("notification.create", input)
        }
        Target::Wall(group) => {
            let place = json!({ "group": town.groups[group as usize].id });
            ("post.publish", post(by, &place, &text, &key))
        }
        Target::UnitOf(_) => {
            let place = json!({ "unit": town.profiles[deed.by as usize].unit });
            ("post.publish", post(by, &place, &text, &key))
        }
    }
}

fn post(by: &str, place: &Value, text: &str, key: &str) -> Value {
    json!({ "profile": by, "place": place, "title": "Opslag", "body": text, "idempotency_key": key })
}

/// A call as a command.
pub(super) fn rpc(id: u32, method: &str, input: &Value) -> Command {
    Command {
        id,
        rpc: Some(RpcRequest {
            method: method.to_owned(),
            data: input.to_string().into(),
        }),
        ..Command::default()
    }
}

/// The opcode of a codec's frames.
pub(super) const fn opcode(codec: Codec) -> u8 {
    match codec {
        Codec::Json => crate::wire::frame::TEXT,
        Codec::Protobuf => crate::wire::frame::BINARY,
    }
}

/// The number of the message in an answer to a call: `G10001.m17` gives 17; 0 where there is none.
pub(super) fn message_in(answer: &Value) -> u32 {
    let id = answer.pointer("/message/id").and_then(Value::as_str);
    let number = id
        .and_then(|id| id.rsplit_once(".m"))
        .and_then(|(_, number)| number.parse().ok());
    number.unwrap_or(0)
}
