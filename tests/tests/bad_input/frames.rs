//! Frames that are no commands, commands that do not fit, and too much of either.

use anyhow::{Result, ensure};
use klokke_tests::{
    client::Client,
    http,
    raw::{Frame, Raw, opcode},
    server::Settings,
    token,
};
use serde_json::json;

use crate::witness::{SECRET_WORD, Witness, usual};

const DISCONNECTS: &str = "centrifugo_client_num_server_disconnects";
const REPLY_ERRORS: &str = "centrifugo_client_num_reply_errors";
const FRAMES_REFUSED: &str = "klokke_transport_frames_refused_total";

/// Sends one message on a new connection and expects this close code.
fn closed_by(witness: &mut Witness, path: &str, frame: &Frame, code: u16) -> Result<()> {
    let label = format!("code=\"{code}\"");
    witness.sees(DISCONNECTS, &[&label], |server| {
        let mut raw = Raw::open_with(server.address(), path, &[])?;
        raw.send(frame)?;
        let seen = Client::over(raw).close_code()?;
        ensure!(seen == code, "closed with {seen} instead of {code}");
        Ok(())
    })
}

#[test]
fn an_undecodable_frame_ends_its_connection_alone() -> Result<()> {
    const JSON: &str = "/connection/websocket";
    const PROTOBUF: &str = "/connection/websocket?format=protobuf";
    let mut witness = usual()?;
    for text in [
        format!("not json, {SECRET_WORD}"),
        format!("{{\"id\":1,\"connect\":{{\"token\":\"{SECRET_WORD}"),
        "[]".to_owned(),
        "\n\n".to_owned(),
        format!("{{\"id\":-1,\"{SECRET_WORD}\":{{}}}}"),
        "[".repeat(60_000),
    ] {
        closed_by(&mut witness, JSON, &Frame::text(text), 3501)?;
    }
    for bytes in [
        vec![0xFF; 20],
        vec![200, 1, 2, 3],
        vec![5, 0x22, 0xFF, 0xFF, 0xFF, 0xFF],
    ] {
        closed_by(
            &mut witness,
            PROTOBUF,
            &Frame::new(opcode::BINARY, bytes),
            3501,
        )?;
    }
    Ok(())
}

#[test]
fn a_command_before_connect_ends_the_connection() -> Result<()> {
    let mut witness = usual()?;
    for command in [
        json!({"id": 1, "subscribe": {"channel": "open:a"}}),
        json!({"id": 1, "rpc": {"method": "session.start"}}),
        json!({"send": {"data": SECRET_WORD}}),
        json!({}),
    ] {
        let frame = Frame::text(command.to_string());
        closed_by(&mut witness, "/connection/websocket", &frame, 3501)?;
    }
    Ok(())
}

#[test]
fn a_second_connect_and_a_command_of_no_kind_end_the_connection() -> Result<()> {
    let mut witness = usual()?;
    for command in [
        json!({"id": 9, "connect": {}}),
        json!({"id": 9, SECRET_WORD: {}}),
    ] {
        witness.sees(DISCONNECTS, &["code=\"3501\""], |server| {
            let mut client = Client::connect(server.address(), &token::of("anna"))?;
            client.raw().send(&Frame::text(command.to_string()))?;
            let code = client.close_code()?;
            ensure!(code == 3501, "closed with {code}");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn an_unknown_method_is_refused_and_the_connection_goes_on() -> Result<()> {
    let mut witness = usual()?;
    witness.sees(
        REPLY_ERRORS,
        &["method=\"rpc\"", "code=\"104\""],
        |server| {
            let mut client = Client::connect(server.address(), &token::of("anna"))?;
            let code = client.refused("rpc", &json!({"method": SECRET_WORD, "data": {}}))?;
            ensure!(code == 104, "refused with {code}");
            client.must("subscribe", &json!({"channel": "open:after"}))?;
            Ok(())
        },
    )
}

#[test]
fn a_message_that_nobody_handles_ends_the_connection() -> Result<()> {
    let mut witness = usual()?;
    witness.sees(DISCONNECTS, &["code=\"3508\""], |server| {
        let mut client = Client::connect(server.address(), &token::of("anna"))?;
        client.raw().send(&Frame::text(
            json!({"send": {"data": SECRET_WORD}}).to_string(),
        ))?;
        let code = client.close_code()?;
        ensure!(code == 3508, "closed with {code}");
        Ok(())
    })
}

#[test]
fn an_oversized_frame_is_refused_as_such() -> Result<()> {
    let mut witness = usual()?;
    witness.sees(FRAMES_REFUSED, &["reason=\"too_large\""], |server| {
        let mut raw = Raw::open(server.address())?;
        // The server may close while the rest is still being sent.
        let _ = raw.send(&Frame::text(SECRET_WORD.repeat(10_000)));
        let code = Client::over(raw).close_code()?;
        ensure!(code == 1009, "closed with {code}");
        Ok(())
    })
}

#[test]
fn text_that_is_not_utf8_is_refused_as_such() -> Result<()> {
    let mut witness = usual()?;
    witness.sees(FRAMES_REFUSED, &["reason=\"utf8\""], |server| {
        let mut raw = Raw::open(server.address())?;
        raw.send(&Frame::text(
            [SECRET_WORD.as_bytes(), &[0xC3, 0x28]].concat(),
        ))?;
        let code = Client::over(raw).close_code()?;
        ensure!(code == 1007, "closed with {code}");
        Ok(())
    })
}

#[test]
fn too_many_commands_in_a_frame_end_the_connection() -> Result<()> {
    let mut witness = usual()?;
    witness.sees(DISCONNECTS, &["code=\"3501\""], |server| {
        let mut client = Client::connect(server.address(), &token::of("anna"))?;
        let frame = (10..1000).map(|id| json!({"id": id, "rpc": {}}).to_string());
        client
            .raw()
            .send(&Frame::text(frame.collect::<Vec<_>>().join("\n")))?;
        let code = client.close_code()?;
        ensure!(code == 3501, "closed with {code}");
        Ok(())
    })
}

#[test]
fn a_body_that_is_too_large_is_refused_at_every_http_door() -> Result<()> {
    let mut witness = Witness::start(Settings::new().set("api.body_limit_bytes", "65536"))?;
    let refused = "klokke_http_requests_refused_total";
    witness.sees(refused, &["reason=\"too_large\""], |server| {
        let body = json!({"channel": "open:a", "data": SECRET_WORD.repeat(10_000)}).to_string();
        let headers = [("X-API-Key", http::API_KEY)];
        let answer = http::request(server.address(), "POST", "/api/publish", &headers, &body)?;
        ensure!(answer.status == 413, "/api answered {}", answer.status);
        let answer = http::request(server.address(), "POST", "/emulation", &[], &body)?;
        ensure!(
            answer.status == 413,
            "/emulation answered {}",
            answer.status
        );
        Ok(())
    })
}

#[test]
fn the_server_api_refuses_wrong_keys_bodies_and_verbs() -> Result<()> {
    let mut witness = usual()?;
    let keyed = [("X-API-Key", http::API_KEY)];
    let wrong = [("X-API-Key", SECRET_WORD)];
    let refused = "klokke_http_requests_refused_total";
    witness.sees(refused, &["reason=\"unauthorised\""], |server| {
        for headers in [&wrong[..], &[]] {
            let answer = http::request(server.address(), "POST", "/api/info", headers, "{}")?;
            ensure!(answer.status == 401, "answered {}", answer.status);
        }
        Ok(())
    })?;
    witness.sees(refused, &["reason=\"malformed\""], |server| {
        let body = format!("{{\"{SECRET_WORD}");
        let answer = http::request(server.address(), "POST", "/api/publish", &keyed, &body)?;
        ensure!(answer.status == 400, "answered {}", answer.status);
        Ok(())
    })?;
    let address = witness.server.address();
    let answer = http::request(address, "GET", "/api/publish", &keyed, "")?;
    ensure!(answer.status == 405, "GET answered {}", answer.status);
    let answer = http::request(address, "POST", "/api/dance", &keyed, "{}")?;
    ensure!(
        answer.status == 404,
        "an unknown method answered {}",
        answer.status
    );
    witness.is_well()
}
