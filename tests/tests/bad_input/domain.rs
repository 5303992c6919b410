//! What operations refuse: no right, too many, nobody, twice with other words, and a level that is too low.

use anyhow::{Context, Result, ensure};
use klokke_tests::{client::Client, server::Settings, token};
use serde_json::{Value, json};

use crate::witness::{SECRET_WORD, Witness};

const REFUSALS: &str = "klokke_operation_refusals_total";
const CROWD: u32 = 401;

/// A school with a leader (p1), a pupil (p2), and more people in one group than a thread may have.
fn school() -> String {
    let mut lines = vec![
        json!({"type": "unit", "code": "M1", "name": SECRET_WORD, "kind": "municipality"}),
        json!({"type": "unit", "code": "G1", "name": SECRET_WORD, "kind": "school", "parent": "M1"}),
        json!({"type": "group", "id": "G1.g1", "name": SECRET_WORD, "kind": "class"}),
    ];
    let mut person = |number: u32, subject: &str, kind: &str| {
        let id = format!("G1.p{number}");
        lines.push(
            json!({"type": "person", "id": subject, "name": format!("{SECRET_WORD} {number}")}),
        );
        lines.push(json!({"type": "account", "subject": subject, "person": subject}));
        lines.push(json!({"type": "profile", "id": id, "person": subject, "kind": kind}));
        lines
            .push(json!({"type": "membership", "group": "G1.g1", "profile": id, "kind": "member"}));
    };
    person(1, "leder", "leader");
    person(2, "elev", "pupil");
    for number in 0..CROWD {
        person(100 + number, &format!("mange-{number}"), "pupil");
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn with_school() -> Result<Witness> {
    let mut server = Settings::new().start()?;
    server.terminate()?;
    let (ok, said) = server.import(&school())?;
    ensure!(ok, "the import failed: {said}");
    server.start_again()?;
    Witness::on(server)
}

fn strong(subject: &str) -> String {
    let now = token::now();
    token::signed(
        &json!({"sub": subject, "exp": now + 600, "loa": "substantial", "auth_time": now}),
    )
}

/// Calls an operation that must be refused with this code, which must be counted.
fn refused(
    witness: &mut Witness,
    who: &str,
    operation: &str,
    input: &Value,
    code: u64,
) -> Result<()> {
    let labels = [
        format!("operation=\"{operation}\""),
        format!("code=\"{code}\""),
    ];
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    witness.sees(REFUSALS, &labels, |server| {
        let mut client = Client::connect(server.address(), who)?;
        let reply = client.call("rpc", &json!({"method": operation, "data": input}))?;
        ensure!(
            reply["error"]["code"] == code,
            "{operation} {input}: {reply}"
        );
        ensure!(
            !reply["error"].to_string().contains(SECRET_WORD),
            "content in an error: {reply}"
        );
        Ok(())
    })
}

fn thread_to(recipient: &Value) -> Value {
    json!({"profile": "G1.p1", "subject": SECRET_WORD, "text": SECRET_WORD, "recipients": [recipient]})
}

#[test]
fn every_refusal_has_its_code_and_is_counted() -> Result<()> {
    let mut witness = with_school()?;
    let leader = token::of("leder");
    let pupil = token::of("elev");
    let crowd = thread_to(&json!({"group": "G1.g1"}));
    refused(&mut witness, &leader, "thread.create", &crowd, 1004)?;
    let nobody = thread_to(&json!({"profile": "G1.p9999"}));
    refused(&mut witness, &leader, "thread.create", &nobody, 1006)?;
    let stranger = json!({"profile": "G1.p1", "group": "G1.g1", "member": "G1.p9999"});
    refused(&mut witness, &leader, "group.add_member", &stranger, 1006)?;
    let post = json!({"profile": "G1.p2", "place": {"unit": "G1"}, "title": SECRET_WORD, "body": SECRET_WORD});
    refused(&mut witness, &pupil, "post.publish", &post, 403)?;
    let not_mine = thread_to(&json!({"profile": "G1.p100"}));
    refused(&mut witness, &pupil, "thread.create", &not_mine, 1007)?;
    let not_fresh = json!({"profile": "G1.p1", "subject": "a", "text": SECRET_WORD, "sensitive": true,
        "recipients": [{"profile": "G1.p2"}]});
    refused(&mut witness, &leader, "thread.create", &not_fresh, 1001)?;
    let misspelt = json!({"profile": "G1.p1", "subjekt": SECRET_WORD});
    refused(&mut witness, &leader, "thread.create", &misspelt, 400)?;
    let gone = json!({"profile": "G1.p1", "thread": "G1.t9999"});
    refused(&mut witness, &leader, "thread.get", &gone, 404)
}

#[test]
fn an_idempotency_key_with_other_words_is_a_conflict() -> Result<()> {
    let mut witness = with_school()?;
    let mut input = thread_to(&json!({"profile": "G1.p2"}));
    input["idempotency_key"] = json!("k1");
    let mut client = Client::connect(witness.server.address(), &token::of("leder"))?;
    let call = json!({"method": "thread.create", "data": input});
    let first = client.must("rpc", &call)?;
    let again = client.must("rpc", &call)?;
    ensure!(first == again, "the retry made {again}");
    input["text"] = json!("noget andet");
    refused(
        &mut witness,
        &token::of("leder"),
        "thread.create",
        &input,
        409,
    )
}

#[test]
fn below_the_level_there_is_a_signal_and_never_the_content() -> Result<()> {
    let mut witness = with_school()?;
    witness.sees("klokke_step_up_required_total", &[], |server| {
        let mut pupil = Client::connect(server.address(), &token::of("elev"))?;
        let mut leader = Client::connect(server.address(), &strong("leder"))?;
        let input = json!({"profile": "G1.p1", "subject": SECRET_WORD, "text": SECRET_WORD, "sensitive": true,
            "recipients": [{"profile": "G1.p2"}]});
        leader.must("rpc", &json!({"method": "thread.create", "data": input}))?;
        let push = pupil.push("person:G1/p2")?;
        ensure!(push["pub"]["data"]["step_up_required"] == true, "{push}");
        ensure!(!push.to_string().contains(SECRET_WORD), "content in a bare signal");
        Ok(())
    })
}

#[test]
fn a_wrong_line_refuses_the_whole_import_with_its_number() -> Result<()> {
    let mut server = Settings::new().start()?;
    server.terminate()?;
    let sound = school();
    for (what, line) in [
        ("not JSON", format!("{{\"{SECRET_WORD}")),
        (
            "an unknown person",
            json!({"type": "account", "subject": "x", "person": "nobody"}).to_string(),
        ),
        (
            "an unknown kind",
            json!({"type": "profile", "id": "G1.p5000", "person": "elev", "kind": "king"})
                .to_string(),
        ),
        (
            "an unknown group",
            json!({"type": "membership", "group": "G1.g9", "profile": "G1.p1", "kind": "member"})
                .to_string(),
        ),
    ] {
        let number = sound.lines().count() + 1;
        let (ok, said) = server.import(&format!("{sound}{line}\n"))?;
        ensure!(!ok, "{what}: the import was not refused");
        ensure!(
            said.contains(&number.to_string()),
            "{what}: no line number in: {said}"
        );
        ensure!(!said.contains(SECRET_WORD), "{what}: content in: {said}");
    }
    server.start_again()?;
    let mut client = Client::connect(server.address(), &token::of("leder"))?;
    let reply = client.call("rpc", &json!({"method": "session.start", "data": {}}))?;
    let screens = reply["rpc"]["data"]["screens"]
        .as_array()
        .map_or(0, Vec::len);
    ensure!(
        screens == 0,
        "a part of a refused import was applied: {reply}"
    );
    Ok(())
}

#[test]
fn the_same_holds_over_rest() -> Result<()> {
    let mut witness = with_school()?;
    let address = witness.server.address();
    let bearer = format!("Bearer {}", token::of("leder"));
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/json"),
        ("Idempotency-Key", "rest-1"),
    ];
    let post = |body: &Value| {
        klokke_tests::http::request(address, "POST", "/v1/threads", &headers, &body.to_string())
    };
    let crowd = post(&thread_to(&json!({"group": "G1.g1"})))?;
    ensure!(
        crowd.status == 409,
        "answered {}: {}",
        crowd.status,
        crowd.body
    );
    let problem = crowd.json()?;
    ensure!(problem["code"] == 1004, "{problem}");
    ensure!(
        !crowd.body.contains(SECRET_WORD),
        "content in a problem: {}",
        crowd.body
    );
    let good = thread_to(&json!({"profile": "G1.p2"}));
    let first = post(&good)?;
    ensure!(
        (200..300).contains(&first.status),
        "answered {}: {}",
        first.status,
        first.body
    );
    let again = post(&good)?;
    ensure!(
        again.body == first.body,
        "the retry answered {}",
        again.body
    );
    let mut other = good;
    other["text"] = json!("noget andet");
    let conflict = post(&other)?;
    ensure!(
        conflict.status == 409,
        "answered {}: {}",
        conflict.status,
        conflict.body
    );
    witness.is_well().context("after REST")
}
