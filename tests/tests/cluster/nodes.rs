//! What nodes tell and ask each other of their connections: channels that keep nothing, who is there, what a back end lets happen, and
//! commands of emulated connections that come in at the wrong node.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use klokke_tests::{client::Client, http, token};
use serde_json::{Value, json};

use super::{Case, PATIENCE, history, publish};

/// Keeps nothing; whoever comes and goes is told of.
const HALL: &str = "open:hall";

/// Asks the server API, again while it says that it cannot know: right after the start, a node may not have heard of all.
fn ask(node: SocketAddr, method: &str, request: &Value) -> Result<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match http::api(node, method, request) {
            Ok(answer) => return Ok(answer),
            Err(error) => ensure!(
                Instant::now() < deadline && is_temporary(&error),
                "{method}: {error:#}"
            ),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn is_temporary(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("\"code\":100,")
}

/// A client in the hall that hears of coming and going.
fn in_the_hall(node: SocketAddr, user: &str) -> Result<Client> {
    let mut client = Client::connect(node, &token::of(user))?;
    client.must("subscribe", &json!({"channel": HALL, "join_leave": true}))?;
    Ok(client)
}

/// The next push of a kind.
fn next(client: &mut Client, channel: &str, kind: &str) -> Result<Value> {
    let fits = |it: &Value| it["push"]["channel"] == channel && it["push"].get(kind).is_some();
    let mut found = client.take(PATIENCE, fits)?;
    let found = found.as_mut().map(|it| it["push"][kind].take());
    found.with_context(|| format!("no {kind} on {channel}"))
}

fn signal(case: &Case, nth: usize, name: &str) -> Result<()> {
    let pid = case.nodes[nth].pid().context("it runs")?.to_string();
    let sent = Command::new("kill").args([name, &pid]).status()?;
    ensure!(sent.success(), "the signal was not sent");
    Ok(())
}

#[test]
fn what_is_kept_nowhere_reaches_listeners_at_all_nodes_in_order() -> Result<()> {
    const COUNT: u64 = 200;
    const BURST: u64 = 2_000;
    let case = Case::start()?;
    let [one, other] = [0, 1].map(|nth| case.nodes[nth].address());
    let mut here = in_the_hall(one, "anna")?;
    let mut there = in_the_hall(other, "bo")?;
    // Who came first hears of itself, then of the other.
    for user in ["anna", "bo"] {
        let came = next(&mut here, HALL, "join")?;
        ensure!(came["info"]["user"] == user, "{came}");
    }
    let is_bos = |it: &Value| it["push"]["join"]["info"]["user"] == "bo";
    ensure!(there.take(PATIENCE, is_bos)?.is_some(), "bo did not come");
    // A client at one, a back end at the other; each sender's order is kept everywhere.
    let by_back_end = thread::spawn(move || {
        (0..COUNT).try_for_each(|n| {
            let request = json!({"channel": HALL, "data": {"b": n}, "tags": {"n": n.to_string()}});
            http::api(other, "publish", &request).map(drop)
        })
    });
    for n in 0..COUNT {
        here.must("publish", &json!({"channel": HALL, "data": {"a": n}}))?;
    }
    by_back_end.join().ok().context("it failed")??;
    for listener in [&mut here, &mut there] {
        let (mut by_client, mut by_back_end) = (0, 0);
        for _ in 0..2 * COUNT {
            let heard = next(listener, HALL, "pub")?;
            ensure!(heard["offset"].is_null(), "it is in no stream: {heard}");
            if heard["data"]["a"] == by_client {
                ensure!(heard["info"]["user"] == "anna", "whose? {heard}");
                by_client += 1;
            } else {
                ensure!(heard["data"]["b"] == by_back_end, "order: {heard}");
                let tag = heard["tags"]["n"].as_str().map(str::parse);
                ensure!(tag == Some(Ok(by_back_end)), "{heard}");
                by_back_end += 1;
            }
        }
    }
    ensure!(
        here.has_nothing()?,
        "something came twice: {:?}",
        here.arrived()
    );
    there.has_nothing()?;
    // That anna came, may have been on its way while bo came.
    let late = there.arrived();
    let is_annas = |it: &Value| it["push"]["join"]["info"]["user"] == "anna";
    ensure!(
        late.len() <= 1 && late.iter().all(is_annas),
        "something came twice: {late:?}"
    );
    // As fast as it can; a healthy bus loses nothing of what is told.
    let ids: Vec<u64> = (0..BURST)
        .map(|n| there.send("publish", &json!({"channel": HALL, "data": n})))
        .collect::<Result<_>>()?;
    for id in ids {
        let reply = there.reply(id)?;
        ensure!(reply.get("error").is_none(), "{reply}");
    }
    for n in 0..BURST {
        let heard = next(&mut here, HALL, "pub")?;
        ensure!(heard["data"] == n, "not {n}: {heard}");
    }
    drop(there);
    let left = next(&mut here, HALL, "leave")?;
    ensure!(left["info"]["user"] == "bo", "{left}");
    // More than nodes tell each other reaches nobody, and whoever sent it is told.
    let large = json!({"channel": HALL, "data": "x".repeat(600_000)});
    let refused = http::api(one, "publish", &large);
    ensure!(
        refused.is_err_and(|it| format!("{it:#}").contains("\"code\":106,")),
        "not refused as too large"
    );
    ensure!(here.has_nothing()?);
    Ok(())
}

/// A subscription without a position in what is kept.
#[test]
fn who_only_listens_hears_what_is_kept_of_other_nodes() -> Result<()> {
    // Of so many channels each node is preferred by some, and writes them alone.
    const BOARDS: u64 = 8;
    let case = Case::start()?;
    let nodes = [0, 1].map(|nth| case.nodes[nth].address());
    let boards: Vec<String> = (0..BOARDS).map(|n| format!("board:{n}")).collect();
    let listen = |node| -> Result<Client> {
        let mut client = Client::connect(node, &token::of("anna"))?;
        for board in &boards {
            let subscribed = client.must("subscribe", &json!({"channel": board}))?;
            ensure!(subscribed.get("epoch").is_none(), "a place: {subscribed}");
        }
        Ok(client)
    };
    let [mut here, mut there] = [listen(nodes[0])?, listen(nodes[1])?];
    for number in 0..5 {
        for board in &boards {
            let key = format!("{board} {number}");
            let request = json!({"channel": board, "data": number, "idempotency_key": key});
            ask(nodes[number % 2], "publish", &request)?;
        }
    }
    for listener in [&mut here, &mut there] {
        for board in &boards {
            for number in 0..5 {
                let heard = next(listener, board, "pub")?;
                ensure!(heard["data"] == number, "{board}, not {number}: {heard}");
            }
        }
        ensure!(listener.has_nothing()?, "something came twice");
    }
    Ok(())
}

#[test]
fn who_is_there_is_asked_of_all_nodes() -> Result<()> {
    let case = Case::start()?;
    let [one, other] = [0, 1].map(|nth| case.nodes[nth].address());
    let mut clients = Vec::new();
    for (node, user) in [
        (one, "anna"),
        (other, "anna"),
        (other, "bo"),
        (one, "carl"),
        (other, "dorte"),
    ] {
        clients.push(in_the_hall(node, user)?);
    }
    let hall = json!({"channel": HALL});
    for node in [one, other] {
        let present = ask(node, "presence", &hall)?["presence"].take();
        let present = present.as_object().cloned().context("no presence")?;
        let users: Vec<&str> = present
            .values()
            .filter_map(|it| it["user"].as_str())
            .collect();
        let distinct: BTreeSet<&str> = users.iter().copied().collect();
        ensure!(users.len() == 5, "{users:?}");
        ensure!(
            distinct == ["anna", "bo", "carl", "dorte"].into(),
            "{distinct:?}"
        );
        let stats = ask(node, "presence_stats", &hall)?;
        ensure!(
            stats == json!({"num_clients": 5, "num_users": 4}),
            "{stats}"
        );
        let channels = ask(node, "channels", &json!({"pattern": "open:*"}))?;
        ensure!(channels["channels"][HALL]["num_clients"] == 5, "{channels}");
        let ids: BTreeSet<String> = present.keys().cloned().collect();
        ensure!(pages(node, &json!({}))? == ids, "pages of all connections");
        let annas = pages(node, &json!({"user": "anna"}))?;
        ensure!(annas.len() == 2 && annas.is_subset(&ids), "{annas:?}");
        let nodes = ask(node, "info", &json!({}))?["nodes"].take();
        let nodes = nodes.as_array().cloned().context("no nodes")?;
        let names: Vec<_> = nodes.iter().filter_map(|it| it["name"].as_str()).collect();
        ensure!(names == ["one", "other"], "{names:?}");
        let clients: Vec<_> = nodes
            .iter()
            .filter_map(|it| it["num_clients"].as_u64())
            .collect();
        ensure!(clients == [2, 3], "{clients:?}");
        ensure!(
            nodes[0]["uid"] != nodes[1]["uid"] && nodes[0]["process"]["rss"].as_u64() > Some(0)
        );
    }
    // By the client's own commands, at either node.
    for client in &mut clients[..2] {
        let present = client.must("presence", &hall)?;
        let count = present["presence"].as_object().map(serde_json::Map::len);
        ensure!(count == Some(5), "{present}");
        let stats = client.must("presence_stats", &hall)?;
        ensure!(
            stats == json!({"num_clients": 5, "num_users": 4}),
            "{stats}"
        );
    }
    ensure!(
        http::metric(
            one,
            "klokke_bus_asked_total",
            &["kind=\"presence\"", "outcome=\"ok\""]
        )? > 0.0
    );
    ensure!(
        http::metric(
            one,
            "klokke_bus_answered_total",
            &["kind=\"info\"", "outcome=\"ok\""]
        )? > 0.0
    );
    Ok(())
}

/// All connections, two a page; each page goes on in the order of ids.
fn pages(node: SocketAddr, which: &Value) -> Result<BTreeSet<String>> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let mut request = which.clone();
        request["limit"] = 2.into();
        request["cursor"] = cursor.into();
        let page = ask(node, "connections", &request)?;
        let found = page["connections"].as_object().context("no connections")?;
        ensure!(found.len() <= 2, "{page}");
        all.extend(found.keys().cloned());
        match page["cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    ensure!(all.is_sorted(), "{all:?}");
    let ids: BTreeSet<String> = all.iter().cloned().collect();
    ensure!(ids.len() == all.len(), "one twice: {all:?}");
    Ok(ids)
}

#[test]
fn what_a_back_end_lets_happen_happens_at_all_nodes() -> Result<()> {
    let case = Case::start()?;
    let [one, other] = [0, 1].map(|nth| case.nodes[nth].address());
    let mut here = Client::connect(one, &token::of("anna"))?;
    let request = json!({"token": token::of("anna")});
    let (mut there, connected) = Client::connect_with(other, &request)?;
    let mut bo = Client::connect(other, &token::of("bo"))?;
    let closed = "closed:staff";
    let request = json!({"user": "anna", "channel": closed, "data": {"room": 7}});
    ask(one, "subscribe", &request)?;
    for client in [&mut here, &mut there] {
        let subscribed = next(client, closed, "subscribe")?;
        ensure!(subscribed["data"]["room"] == 7, "{subscribed}");
    }
    http::api(one, "publish", &json!({"channel": closed, "data": 1}))?;
    for client in [&mut here, &mut there] {
        ensure!(next(client, closed, "pub")?["data"] == 1);
    }
    ask(
        one,
        "unsubscribe",
        &json!({"user": "anna", "channel": closed}),
    )?;
    for client in [&mut here, &mut there] {
        next(client, closed, "unsubscribe")?;
    }
    // At the node that is asked and not at the other, by what is spared; then the other way round.
    let request = json!({
        "user": "anna",
        "whitelist": [connected["client"]],
        "disconnect": {"code": 4567, "reason": "moved"},
    });
    ask(one, "disconnect", &request)?;
    ensure!(here.close_code()? == 4567);
    ensure!(there.has_nothing()?, "it was spared");
    ask(one, "disconnect", &json!({"user": "anna"}))?;
    there.close_code()?;
    ensure!(bo.has_nothing()?, "that was not for bo");
    // A moment that is past ends it.
    ask(
        one,
        "refresh",
        &json!({"user": "bo", "expire_at": token::now() - 1}),
    )?;
    ensure!(bo.close_code()? == 3005, "expired");
    Ok(())
}

/// The down side of an emulated connection.
struct Stream {
    lines: BufReader<TcpStream>,
    /// What the connect was answered.
    connect: Value,
}

impl Stream {
    fn open(node: SocketAddr, user: &str) -> Result<Self> {
        let body = json!({"id": 1, "connect": {"token": token::of(user)}}).to_string();
        let mut socket = TcpStream::connect(node)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        write!(
            socket,
            "POST /connection/http_stream HTTP/1.1\r\nHost: {node}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut stream = Self {
            lines: BufReader::new(socket),
            connect: Value::Null,
        };
        let mut answer = stream.next(|it| it["id"] == 1)?;
        stream.connect = answer["connect"].take();
        Ok(stream)
    }

    /// The next message that fits.
    fn next(&mut self, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        loop {
            let mut line = String::new();
            ensure!(self.lines.read_line(&mut line)? > 0, "it ended");
            // Between them stand the head and the sizes of chunks.
            if let Ok(message) = serde_json::from_str::<Value>(line.trim())
                && fits(&message)
            {
                return Ok(message);
            }
        }
    }

    /// Sends commands by a request of their own; the status.
    fn send(&self, node: SocketAddr, of: &Value, commands: &Value) -> Result<u16> {
        let body = json!({
            "session": self.connect["session"],
            "node": of,
            "data": commands.to_string(),
        });
        let headers = [("Content-Type", "application/json")];
        Ok(http::request(node, "POST", "/emulation", &headers, &body.to_string())?.status)
    }
}

#[test]
fn commands_of_an_emulated_connection_find_it_from_any_node() -> Result<()> {
    let mut case = Case::start()?;
    let [one, other] = [0, 1].map(|nth| case.nodes[nth].address());
    let mut stream = Stream::open(one, "anna")?;
    let home = stream.connect["node"].clone();
    for (id, door) in [(2, one), (3, other), (4, other)] {
        let channel = format!("open:{id}");
        let command = json!({"id": id, "subscribe": {"channel": channel}});
        ensure!(stream.send(door, &home, &command)? == 204, "by {door}");
        let reply = stream.next(|it| it["id"] == id)?;
        ensure!(reply.get("subscribe").is_some(), "{reply}");
    }
    // Many at once, each answered.
    for id in 10..60 {
        let command = json!({"id": id, "publish": {"channel": "open:3", "data": id}});
        ensure!(stream.send(other, &home, &command)? == 204);
    }
    let mut answered = BTreeSet::new();
    while answered.len() < 50 {
        let reply = stream.next(|it| it["id"].as_u64() >= Some(10))?;
        ensure!(reply.get("error").is_none(), "{reply}");
        answered.insert(reply["id"].as_u64());
    }
    // No such session is not told from one there is; no such node is.
    let command = json!({"id": 90, "ping": {}});
    let secret = stream.connect["session"].take();
    stream.connect["session"] = json!("0000nobody");
    ensure!(stream.send(other, &home, &command)? == 204);
    stream.connect["session"] = secret;
    let nobody = json!("7b2d9e0e-9d0c-4a55-8f3e-0d5f4b0c6a11");
    for _ in 0..3 {
        ensure!(stream.send(other, &nobody, &command)? != 204);
        ensure!(stream.send(other, &json!("no id"), &command)? == 404);
    }
    ask(other, "info", &json!({}))?; // By now it knows all others, and that this is none of them.
    ensure!(stream.send(other, &nobody, &command)? == 404);
    // Without the bus there is no way; at home there is.
    case.nats.kill();
    case.until(other, "klokke_bus_up", 0.0)?;
    ensure!(stream.send(other, &home, &command)? == 503);
    let command = json!({"id": 91, "presence_stats": {"channel": "open:3"}});
    ensure!(stream.send(one, &home, &command)? == 204);
    let reply = stream.next(|it| it["id"] == 91)?;
    ensure!(
        reply["error"]["code"] == 100 && reply["error"]["temporary"] == true,
        "{reply}"
    );
    Ok(())
}

#[test]
fn nobody_takes_a_part_for_the_whole() -> Result<()> {
    let mut case = Case::start()?;
    let [one, other] = [0, 1].map(|nth| case.nodes[nth].address());
    let (mut here, _there) = (in_the_hall(one, "anna")?, in_the_hall(other, "bo")?);
    let hall = json!({"channel": HALL});
    let count = |node| anyhow::Ok(ask(node, "presence_stats", &hall)?["num_clients"].clone());
    ensure!(count(one)? == 2);
    // A node that is frozen: an error that says to come again, in seconds; and the truth once it is gone.
    signal(&case, 1, "-STOP")?;
    let asked = Instant::now();
    let refused = here.call("presence", &hall)?;
    ensure!(
        refused["error"]["code"] == 100 && refused["error"]["temporary"] == true,
        "{refused}"
    );
    ensure!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    ensure!(count(one)? == 1, "after it is gone");
    let gone = http::metric(one, "centrifugo_node_num_nodes", &[])?;
    ensure!(gone < 1.5, "it is still there");
    signal(&case, 1, "-CONT")?;
    case.until(one, "centrifugo_node_num_nodes", 2.0)?;
    ensure!(count(one)? == 2, "it is back");
    ensure!(count(other)? == 2, "the one that was frozen");
    // Without the bus: whoever is elsewhere cannot be known, and that is said. What needs no other node goes on.
    case.nats.kill();
    case.until(one, "klokke_bus_up", 0.0)?;
    let refused = here.call("presence", &hall)?;
    ensure!(refused["error"]["code"] == 100, "right away: {refused}");
    case.until(one, "centrifugo_node_num_nodes", 1.0)?;
    for method in [
        "presence",
        "presence_stats",
        "channels",
        "connections",
        "info",
    ] {
        let refused = http::api(one, method, &hall);
        ensure!(refused.is_err_and(|it| is_temporary(&it)), "{method}");
    }
    let away = http::api(one, "disconnect", &json!({"user": "bo"}));
    ensure!(away.is_err_and(|it| is_temporary(&it)), "disconnect");
    publish(one, 7)?;
    ensure!(history(one)? == [7]);
    http::api(one, "publish", &json!({"channel": HALL, "data": "alone"}))?;
    ensure!(next(&mut here, HALL, "pub")?["data"] == "alone");
    case.nats.start_again()?;
    case.until(one, "klokke_bus_up", 1.0)?;
    case.until(other, "klokke_bus_up", 1.0)?;
    ensure!(count(one)? == 2 && count(other)? == 2, "whole again");
    // A node that was killed is no part of the whole.
    case.nodes[1].kill()?;
    ensure!(count(one)? == 1);
    Ok(())
}

#[test]
fn what_takes_away_reaches_everybody_who_can_be_reached() -> Result<()> {
    let case = Case::start_of(
        &["one", "silent", "third"],
        &[("cluster.gone_after", "60s")],
    )?;
    let [one, third] = [0, 2].map(|nth| case.nodes[nth].address());
    let mut there = in_the_hall(third, "bo")?;
    signal(&case, 1, "-STOP")?;
    // Until one has noticed that a node is silent…
    let asked = http::api(one, "presence_stats", &json!({"channel": HALL}));
    ensure!(asked.is_err_and(|it| is_temporary(&it)), "a part of it");
    // …and from then on all the same.
    let told = http::api(one, "disconnect", &json!({"user": "bo"}));
    ensure!(told.is_err_and(|it| is_temporary(&it)), "not everywhere");
    ensure!(there.close_code()? == 3503, "it goes on there");
    signal(&case, 1, "-CONT")
}

/// How long it takes from a publisher's write to each listener's read, as p50 and p99 in milliseconds by node.
fn fan_out(case: &Case, channel: &'static str) -> Result<Vec<(f64, f64)>> {
    const COUNT: usize = 2_000;
    const PACE: Duration = Duration::from_millis(2);
    let listeners: Vec<_> = case
        .nodes
        .iter()
        .map(|node| {
            let mut client = Client::connect(node.address(), &token::of("anna"))?;
            client.must("subscribe", &json!({"channel": channel}))?;
            Ok(thread::spawn(move || {
                (0..COUNT)
                    .map(|_| {
                        let heard = client.push(channel)?;
                        let number = heard["pub"]["data"].as_u64().context("no number")?;
                        anyhow::Ok((number, Instant::now()))
                    })
                    .collect::<Result<Vec<_>>>()
            }))
        })
        .collect::<Result<_>>()?;
    let mut publisher = Client::connect(case.nodes[0].address(), &token::of("bo"))?;
    publisher.must("subscribe", &json!({"channel": channel}))?;
    let mut sent = Vec::with_capacity(COUNT);
    for number in 0..COUNT {
        sent.push(Instant::now());
        publisher.must("publish", &json!({"channel": channel, "data": number}))?;
        thread::sleep(PACE);
    }
    let mut all = Vec::new();
    for listener in listeners {
        let heard = listener.join().ok().context("a listener failed")??;
        ensure!(
            heard.len() == COUNT && heard.is_sorted_by_key(|it| it.0),
            "not each in order"
        );
        let mut took: Vec<f64> = heard
            .iter()
            .map(|(number, at)| Ok((*at - sent[usize::try_from(*number)?]).as_secs_f64() * 1e3))
            .collect::<Result<_>>()?;
        took.sort_unstable_by(f64::total_cmp);
        all.push((took[COUNT / 2], took[COUNT * 99 / 100]));
    }
    Ok(all)
}

#[test]
#[ignore = "measures; alone, with a release build: `--ignored --nocapture measure_`"]
fn measure_fan_out_over_three_nodes() -> Result<()> {
    let case = Case::start_of(&["one", "two", "three"], &[])?;
    for channel in [HALL, "kept:measured"] {
        for (node, (p50, p99)) in ["the publisher's", "the second", "the third"]
            .iter()
            .zip(fan_out(&case, channel)?)
        {
            println!("{channel} at {node} node: p50 {p50:.2} ms, p99 {p99:.2} ms");
        }
    }
    Ok(())
}
