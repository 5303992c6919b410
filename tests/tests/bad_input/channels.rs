//! Channels that do not exist, may not be entered, or are too many; payloads that do not fit.

use anyhow::{Result, ensure};
use klokke_tests::{client::Client, http, server::Settings, token};
use serde_json::{Value, json};

use crate::witness::{SECRET_WORD, Witness, usual};

const REPLY_ERRORS: &str = "centrifugo_client_num_reply_errors";

#[test]
fn every_refusal_has_its_code_and_the_connection_goes_on() -> Result<()> {
    let mut witness = usual()?;
    let long = format!("open:{}", "x".repeat(300));
    let channel = |channel: &str| json!({"channel": channel});
    let said = |channel: &str| json!({"channel": channel, "data": SECRET_WORD});
    let cases: [(&str, Value, u64); 17] = [
        ("subscribe", channel("nowhere:a"), 102),
        ("subscribe", channel("closed:a"), 103),
        ("subscribe", channel("$closed:a"), 103),
        ("subscribe", channel("dialog:x#bent,carl"), 103),
        ("subscribe", channel("kept:æøå"), 107),
        ("subscribe", channel(&long), 107),
        (
            "subscribe",
            json!({"channel": "tags:a", "tf": {"cmp": "like", "key": "a"}}),
            107,
        ),
        (
            "subscribe",
            json!({"channel": "open:a", "tf": {"cmp": "eq", "key": "a", "val": "b"}}),
            107,
        ),
        ("subscribe", json!({"channel": "open:a", "type": 1}), 103),
        ("publish", said("open:a"), 103),
        ("publish", said("nowhere:a"), 102),
        ("publish", said("group:G1/g1"), 103),
        ("presence", channel("kept:a"), 108),
        ("presence_stats", channel("open:a"), 103),
        ("history", channel("open:a"), 108),
        ("history", channel("closed:a"), 103),
        (
            "history",
            json!({"channel": "kept:a", "limit": 1, "reverse": true, "since": {"epoch": ""}}),
            107,
        ),
    ];
    for (method, request, code) in cases {
        let labels = [format!("method=\"{method}\""), format!("code=\"{code}\"")];
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        witness.sees(REPLY_ERRORS, &labels, |server| {
            let mut client = Client::connect(server.address(), &token::of("anna"))?;
            let reply = client.call(method, &request)?;
            let seen = reply["error"]["code"].as_u64();
            ensure!(seen == Some(code), "{method} {request}: {reply}");
            client.must("subscribe", &json!({"channel": "open:still-well"}))?;
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn subscribing_twice_and_to_too_many_is_refused() -> Result<()> {
    let mut witness = Witness::start(Settings::new().set("client.channel_limit", "3"))?;
    witness.sees(REPLY_ERRORS, &["code=\"106\""], |server| {
        let mut client = Client::connect(server.address(), &token::of("anna"))?;
        client.must("subscribe", &json!({"channel": "open:0"}))?;
        let twice = client.refused("subscribe", &json!({"channel": "open:0"}))?;
        ensure!(twice == 105, "refused with {twice}");
        client.must("subscribe", &json!({"channel": "open:1"}))?;
        client.must("subscribe", &json!({"channel": "open:2"}))?;
        let fourth = client.refused("subscribe", &json!({"channel": "open:3"}))?;
        ensure!(fourth == 106, "refused with {fourth}");
        Ok(())
    })
}

#[test]
fn a_payload_that_is_not_json_ends_a_json_connection_only() -> Result<()> {
    let mut witness = usual()?;
    witness.sees(
        "centrifugo_client_num_server_disconnects",
        &["code=\"3506\""],
        |server| {
            let mut client = Client::connect(server.address(), &token::of("anna"))?;
            client.must("subscribe", &json!({"channel": "open:binary"}))?;
            http::api(
                server.address(),
                "publish",
                &json!({"channel": "open:binary", "b64data": "/wABAg=="}),
            )?;
            let code = client.close_code()?;
            ensure!(code == 3506, "closed with {code}");
            Ok(())
        },
    )
}

#[test]
fn a_position_of_another_epoch_is_unrecovered_and_said_so() -> Result<()> {
    let mut witness = usual()?;
    let mut client = Client::connect(witness.server.address(), &token::of("anna"))?;
    client.must(
        "publish",
        &json!({"channel": "kept:epoch", "data": SECRET_WORD}),
    )?;
    let request = json!({"channel": "kept:epoch", "recover": true, "epoch": "other", "offset": 7});
    let result = client.must("subscribe", &request)?;
    ensure!(result["was_recovering"] == true, "{result}");
    ensure!(
        result.get("recovered").is_none() && result.get("publications").is_none(),
        "{result}"
    );
    ensure!(result["offset"] == 1, "{result}");
    client.must("unsubscribe", &json!({"channel": "kept:epoch"}))?;
    let strict =
        json!({"channel": "kept:epoch", "recover": true, "epoch": "other", "offset": 7, "flag": 2});
    let code = client.refused("subscribe", &strict)?;
    ensure!(code == 112, "refused with {code}");
    let since =
        json!({"channel": "kept:epoch", "limit": 1, "since": {"offset": 1, "epoch": "other"}});
    let code = client.refused("history", &since)?;
    ensure!(code == 112, "refused with {code}");
    witness.is_well()
}
