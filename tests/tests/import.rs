//! Master data into the running server: shown first, applied only as shown, and felt by open connections before the next entry
//! goes out.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    process::{Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use klokke_tests::{
    client::Client,
    http::{API_KEY, request},
    server::{Server, Settings, command},
    token,
};
use serde_json::{Value, json};

/// Stands in every name; it must come out nowhere.
const SECRET_WORD: &str = "Hemmelig";
const CLASS: &str = "group:G1/g1";
/// Children of the class besides the one it is about.
const OTHERS: u32 = 120;
/// How long something that must come may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A school: leader p1, guardian p2 of the child p3 in class g1, and other children.
fn school() -> Vec<Value> {
    let mut lines = vec![
        json!({"type": "unit", "code": "M1", "name": SECRET_WORD, "kind": "municipality"}),
        json!({"type": "unit", "code": "G1", "name": SECRET_WORD, "kind": "school", "parent": "M1"}),
        json!({"type": "group", "id": "G1.g1", "name": SECRET_WORD, "kind": "class"}),
    ];
    let mut person = |number: u32, kind: &str| {
        let id = format!("person{number}");
        lines.push(json!({"type": "person", "id": id, "name": format!("{SECRET_WORD} {number}")}));
        lines.push(json!({"type": "account", "subject": format!("login{number}"), "person": id}));
        lines.push(
            json!({"type": "profile", "id": format!("G1.p{number}"), "person": id, "kind": kind}),
        );
    };
    person(1, "leader");
    person(2, "guardian");
    person(3, "pupil");
    (10..10 + OTHERS).for_each(|number| person(number, "pupil"));
    let member = |number| json!({"type": "membership", "group": "G1.g1", "profile": format!("G1.p{number}"), "kind": "member"});
    lines.extend((10..10 + OTHERS).chain([3]).map(member));
    lines.push(json!({"type": "relation", "adult": "G1.p2", "child": "G1.p3", "kind": "guardian", "custody": true}));
    lines
}

/// The same without what a line may say.
fn without(word: &str) -> Vec<Value> {
    let says = |line: &Value| line.to_string().contains(word);
    school().into_iter().filter(|line| !says(line)).collect()
}

fn text(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The command that imports a file into the running server.
fn importing(server: &Server, file: &str, arguments: &[&str]) -> Result<std::process::Command> {
    let people = server.config().with_file_name("people.jsonl");
    let key = server.config().with_file_name("api.key");
    fs::write(&people, file)?;
    fs::write(&key, format!("{API_KEY}\n"))?;
    let mut command = command()?;
    command
        .arg("import")
        .arg("--server")
        .arg(format!("http://{}", server.address()))
        .arg("--api-key-file")
        .arg(key)
        .args(arguments)
        .arg(people);
    Ok(command)
}

fn import(server: &Server, file: &str, arguments: &[&str]) -> Result<Output> {
    Ok(importing(server, file, arguments)?.output()?)
}

/// Everything it said, which must not hold a name.
fn said(output: &Output) -> Result<String> {
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let said = String::from_utf8(said)?;
    ensure!(!said.contains(SECRET_WORD), "a name in: {said}");
    ensure!(
        !said.contains("login") || said.contains("the login belongs"),
        "a login in: {said}"
    );
    Ok(said)
}

fn must_import(server: &Server, lines: &[Value]) -> Result<String> {
    let output = import(server, &text(lines), &["--apply"])?;
    let said = said(&output)?;
    ensure!(output.status.success(), "{said}");
    Ok(said)
}

fn with_school() -> Result<Server> {
    let server = Settings::new().start()?;
    must_import(&server, &school())?;
    Ok(server)
}

fn publish(leader: &mut Client, number: u32) -> Result<()> {
    let place = json!({"group": "G1.g1"});
    let post =
        json!({"profile": "G1.p1", "place": place, "title": format!("post {number}"), "body": "B"});
    let reply = leader.call("rpc", &json!({"method": "post.publish", "data": post}))?;
    ensure!(reply.get("error").is_none(), "{reply}");
    Ok(())
}

#[test]
fn a_guardian_loses_the_class_before_the_next_entry_while_the_server_runs() -> Result<()> {
    let server = with_school()?;
    let mut leader = Client::connect(server.address(), &token::of("login1"))?;
    let (mut guardian, connected) =
        Client::connect_with(server.address(), &json!({"token": token::of("login2")}))?;
    ensure!(
        !connected["subs"][CLASS].is_null(),
        "not in the class: {connected}"
    );
    publish(&mut leader, 0)?;
    let first = guardian.push(CLASS)?;
    ensure!(first["pub"]["data"]["type"] == "post", "{first}");
    // The import goes on while the leader writes.
    let mut child = importing(&server, &text(&without("relation")), &["--apply"])?
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut number = 1;
    while child.try_wait()?.is_none() {
        publish(&mut leader, number)?;
        number += 1;
    }
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{}", said(&output)?);
    let during = number;
    while number < during + 20 {
        publish(&mut leader, number)?;
        number += 1;
    }
    let unsubscribed = |message: &Value| {
        message["push"]["channel"] == CLASS && !message["push"]["unsubscribe"].is_null()
    };
    let mut seen = Vec::new();
    let ended = loop {
        let push = guardian.take(PATIENCE, |message| message["push"]["channel"] == CLASS)?;
        let push = push.context("the class did not end")?;
        if unsubscribed(&push) {
            break push;
        }
        seen.push(push);
    };
    ensure!(
        ended["push"]["unsubscribe"]["code"].as_u64().is_some(),
        "{ended}"
    );
    let (seen, before) = (seen.len(), usize::try_from(during)? - 1);
    ensure!(
        seen <= before,
        "{seen} posts seen, {before} were written before the import was done"
    );
    // The reply comes after everything that was on its way.
    guardian.call("rpc", &json!({"method": "session.start", "data": {}}))?;
    let late: Vec<Value> = guardian.arrived();
    let of_class = |message: &&Value| message["push"]["channel"] == CLASS;
    ensure!(
        late.iter().filter(of_class).count() == 0,
        "seen after the end: {late:?}"
    );
    let (_, again) =
        Client::connect_with(server.address(), &json!({"token": token::of("login2")}))?;
    ensure!(again["subs"][CLASS].is_null(), "back in the class: {again}");
    ensure!(!server.log().contains(SECRET_WORD), "a name in the log");
    Ok(())
}

#[test]
fn what_would_change_is_shown_by_unit_and_id_and_nothing_happens() -> Result<()> {
    let server = with_school()?;
    let less = text(&without("relation"));
    let shown = import(&server, &less, &[])?;
    let shown = said(&shown)?;
    for words in [
        "G1 ",
        "ended: G1.p2/G1.p3",
        "all units",
        "\nplan ",
        "nothing was changed",
    ] {
        ensure!(shown.contains(words), "no `{words}` in:\n{shown}");
    }
    let output = import(&server, &less, &["--json"])?;
    let lines: Vec<Value> = String::from_utf8(output.stdout)?
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    ensure!(lines.len() == 3, "{lines:?}");
    let records = lines[0]["unit"]["records"]
        .as_array()
        .context("no records")?;
    let relation = records
        .iter()
        .find(|kind| kind["kind"] == "relation")
        .context("no relation")?;
    ensure!(
        relation["ended"] == 1 && relation["ids"]["ended"] == json!(["G1.p2/G1.p3"]),
        "{relation}"
    );
    let (_, connected) =
        Client::connect_with(server.address(), &json!({"token": token::of("login2")}))?;
    ensure!(
        !connected["subs"][CLASS].is_null(),
        "it was changed: {connected}"
    );
    Ok(())
}

#[test]
fn a_plan_is_applied_only_as_it_was_shown() -> Result<()> {
    let server = with_school()?;
    let file = text(&without("relation"));
    let digest = |arguments: &[&str]| -> Result<String> {
        let output = import(&server, &file, &[&["--json"], arguments].concat())?;
        let last = String::from_utf8(output.stdout)?;
        let last: Value = serde_json::from_str(last.lines().last().context("nothing said")?)?;
        Ok(last["plan"]["plan"].as_str().context("no plan")?.to_owned())
    };
    let shown = digest(&[])?;
    let mut leader = Client::connect(server.address(), &token::of("login1"))?;
    let join = json!({"profile": "G1.p1", "group": "G1.g1", "member": "G1.p1"});
    let reply = leader.call("rpc", &json!({"method": "group.add_member", "data": join}))?;
    ensure!(reply.get("error").is_none(), "{reply}");
    let late = import(&server, &file, &["--apply", "--plan", &shown])?;
    ensure!(
        !late.status.success() && said(&late)?.contains("changed since"),
        "{}",
        said(&late)?
    );
    // Another file under the plan of this one.
    let shown = digest(&[])?;
    let other = import(&server, &text(&school()), &["--apply", "--plan", &shown])?;
    ensure!(
        !other.status.success(),
        "another file was taken: {}",
        said(&other)?
    );
    let now = import(&server, &file, &["--apply", "--plan", &shown])?;
    ensure!(now.status.success(), "{}", said(&now)?);
    let again = said(&import(&server, &file, &[])?)?;
    ensure!(again.contains("kept local: G1.g1/G1.p1"), "{again}");
    Ok(())
}

#[test]
fn half_a_school_is_not_ended_without_saying_so() -> Result<()> {
    let server = with_school()?;
    let few = text(&without("membership"));
    let refused = import(&server, &few, &["--apply"])?;
    let words = said(&refused)?;
    ensure!(!refused.status.success(), "{words}");
    ensure!(
        words.contains("G1 would lose 121 of 121 records of kind membership"),
        "{words}"
    );
    let meant = import(&server, &few, &["--apply", "--allow-mass-end"])?;
    ensure!(meant.status.success(), "{}", said(&meant)?);
    Ok(())
}

fn post(server: &Server, key: &str, query: &str, body: &str) -> Result<klokke_tests::http::Answer> {
    let path = format!("/api/import{query}");
    request(server.address(), "POST", &path, &[("X-API-Key", key)], body)
}

#[test]
fn a_wrong_file_is_refused_whole_with_its_line() -> Result<()> {
    let server = Settings::new().start()?;
    let sound = text(&school());
    let number = school().len() + 1;
    for line in [
        format!("{{\"{SECRET_WORD}"),
        json!({"type": "person", "id": "x", "name": 17, "extra": SECRET_WORD}).to_string(),
        json!({"type": "account", "subject": "login1", "person": "person2"}).to_string(),
        "{\"type\":\"person\",\"id\":\"x\",\"name\":\"\u{0}\"}".to_owned(),
        "x".repeat(1 << 20),
    ] {
        // What stands behind a wrong line is read to its end, or the client would not see the answer.
        let answer = post(
            &server,
            API_KEY,
            "",
            &format!("{sound}{line}\n{}", sound.repeat(20)),
        )?;
        ensure!(
            answer.status == 400,
            "answered {}: {}",
            answer.status,
            answer.body
        );
        let error = &answer.json()?["error"];
        ensure!(error["line"] == number && error["code"] == 107, "{error}");
        ensure!(!answer.body.contains(SECRET_WORD), "{}", answer.body);
    }
    let output = import(
        &server,
        &format!("{sound}{{\"type\":\"person\",\"id\":\"x\"}}\n"),
        &["--apply"],
    )?;
    let words = said(&output)?;
    ensure!(
        words.contains(&format!("line {number}: the field `name` is missing")),
        "{words}"
    );
    for query in ["?plan=1", "?allow_mass_end=maybe", "?aply=true"] {
        ensure!(
            post(&server, API_KEY, query, &sound)?.status == 400,
            "{query}"
        );
    }
    ensure!(
        post(&server, "another key", "", &sound)?.status == 401,
        "a wrong key was taken"
    );
    // Nothing of any of them was applied.
    let diff = said(&import(&server, &sound, &[])?)?;
    ensure!(
        diff.contains(&format!("  person               {}", OTHERS + 3)),
        "{diff}"
    );
    ensure!(!server.log().contains(SECRET_WORD), "a name in the log");
    Ok(())
}

/// An upload that says it is longer than what was sent of it.
fn begin(server: &Server, body: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(server.address())?;
    let length = body.len() + 1_000;
    let head = format!(
        "POST /api/import HTTP/1.1\r\nHost: klokke\r\nX-API-Key: {API_KEY}\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    Ok(stream)
}

#[test]
fn one_import_at_a_time_and_never_a_part_of_one() -> Result<()> {
    let server = with_school()?;
    let sound = text(&school());
    let few = text(&without("membership"));
    // Either may be taken up first. When it was the second one, the first was turned away: begun anew.
    let deadline = Instant::now() + PATIENCE;
    let (mut first, busy) = loop {
        let first = begin(&server, &few)?;
        let second = post(&server, API_KEY, "", &sound)?;
        if second.status != 200 || Instant::now() > deadline {
            break (first, second);
        }
    };
    ensure!(
        busy.status == 429,
        "answered {}: {}",
        busy.status,
        busy.body
    );
    first.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    first.read_to_string(&mut answer)?;
    ensure!(
        !answer.starts_with("HTTP/1.1 200"),
        "a part was taken for a whole: {answer}"
    );
    // Its place is free again, and nothing was changed.
    let deadline = Instant::now() + PATIENCE;
    let after = loop {
        let after = post(&server, API_KEY, "", &sound)?;
        if after.status != 429 || Instant::now() > deadline {
            break after;
        }
        thread::yield_now();
    };
    ensure!(
        after.status == 200,
        "answered {}: {}",
        after.status,
        after.body
    );
    ensure!(after.body.contains("\"records\":0"), "{}", after.body);
    Ok(())
}

#[test]
fn several_files_are_taken_in_turn_until_one_is_wrong() -> Result<()> {
    let server = Settings::new().start()?;
    let folder = server.config().with_file_name("several");
    fs::create_dir_all(&folder)?;
    let town = |number: u32| json!({"type": "unit", "code": format!("M{number}"), "name": SECRET_WORD, "kind": "municipality"});
    let mut files = Vec::new();
    for (number, line) in [
        (1, town(1)),
        (2, town(2)),
        (3, json!({"type": "unit"})),
        (4, town(4)),
    ] {
        let file = folder.join(format!("{number}.jsonl"));
        fs::write(&file, text(&[line]))?;
        files.push(file);
    }
    let key = server.config().with_file_name("api.key");
    fs::write(&key, format!("{API_KEY}\n"))?;
    let import = |files: &[std::path::PathBuf]| -> Result<Output> {
        let mut command = command()?;
        command.args(["import", "--apply", "--server"]);
        command.arg(format!("http://{}", server.address()));
        command.arg("--api-key-file").arg(&key).args(files);
        Ok(command.output()?)
    };
    let stopped = import(&files)?;
    let told = said(&stopped)?;
    ensure!(!stopped.status.success(), "{told}");
    ensure!(
        told.contains("3.jsonl (the files before it are done)"),
        "{told}"
    );
    ensure!(told.contains("line 1"), "{told}");
    // The second is there, the fourth is not.
    files.remove(2);
    let output = import(&files)?;
    let told = said(&output)?;
    ensure!(output.status.success(), "{told}");
    let changed = [
        "0 records changed",
        "0 records changed",
        "1 records changed",
    ];
    let lines: Vec<&str> = told
        .lines()
        .filter(|line| line.ends_with("records changed"))
        .collect();
    ensure!(lines == changed, "{told}");
    Ok(())
}
