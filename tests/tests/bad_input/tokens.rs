//! Tokens that are wrong, expired, foreign or misplaced.

use anyhow::{Context, Result, ensure};
use klokke_tests::{client::Client, http, raw::Raw, token};
use serde_json::{Value, json};

use crate::witness::{SECRET_WORD, usual};

const VERIFIED: &str = "klokke_tokens_verified_total";

#[test]
fn a_wrong_or_foreign_token_ends_the_connection_for_good() -> Result<()> {
    let mut witness = usual()?;
    let valid = token::of("anna");
    let cut = valid.get(..valid.len() - 5).context("a token is long")?;
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm5hIn0.";
    for wrong in [
        SECRET_WORD.to_owned(),
        cut.to_owned(),
        unsigned.to_owned(),
        token::signed_with(
            &json!({"sub": "anna", "exp": token::now() + 60}),
            "another secret",
        ),
        token::for_channel("anna", "closed:a"),
    ] {
        witness.sees(VERIFIED, &["outcome=\"invalid\""], |server| {
            let mut client = Client::over(Raw::open(server.address())?);
            client.send("connect", &json!({"token": wrong}))?;
            let code = client.close_code()?;
            ensure!(code == 3500, "closed with {code}");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn an_expired_token_is_told_so_that_a_new_one_is_fetched() -> Result<()> {
    let mut witness = usual()?;
    for claims in [
        json!({"sub": SECRET_WORD, "exp": token::now() - 10}),
        json!({"sub": SECRET_WORD, "exp": token::now() + 60, "nbf": token::now() + 30}),
    ] {
        witness.sees(VERIFIED, &["outcome=\"expired\""], |server| {
            let mut client = Client::over(Raw::open(server.address())?);
            let code = client.refused("connect", &json!({"token": token::signed(&claims)}))?;
            ensure!(code == 109, "refused with {code}");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn no_token_is_no_way_in() -> Result<()> {
    let mut witness = usual()?;
    witness.sees(
        "centrifugo_client_num_server_disconnects",
        &["code=\"3501\""],
        |server| {
            let mut client = Client::over(Raw::open(server.address())?);
            client.send("connect", &json!({}))?;
            let code = client.close_code()?;
            ensure!(code == 3501, "closed with {code}");
            Ok(())
        },
    )
}

#[test]
fn a_subscription_token_opens_its_own_channel_to_its_own_user() -> Result<()> {
    let mut witness = usual()?;
    let address = witness.server.address();
    let subscribe = |token: String| -> Result<(Client, Value)> {
        let mut client = Client::connect(address, &token::of("anna"))?;
        client.send("subscribe", &json!({"channel": "closed:a", "token": token}))?;
        let reply = client.take(klokke_tests::raw::PATIENCE, |message| message["id"] == 2)?;
        Ok((client, reply.unwrap_or_default()))
    };
    let (_, fitting) = subscribe(token::for_channel("anna", "closed:a"))?;
    ensure!(fitting.get("subscribe").is_some(), "{fitting}");
    for wrong in [
        token::for_channel("bent", "closed:a"),
        token::for_channel("anna", "closed:b"),
    ] {
        let (mut client, reply) = subscribe(wrong)?;
        let code = client
            .close_code()
            .with_context(|| format!("answered {reply}"))?;
        ensure!(code == 3500, "closed with {code}");
    }
    let (_, garbled) = subscribe(SECRET_WORD.to_owned())?;
    ensure!(garbled["error"]["code"] == 103, "{garbled}");
    let expired = json!({"sub": "anna", "channel": "closed:a", "exp": token::now() - 10});
    let (_, expired) = subscribe(token::signed(&expired))?;
    ensure!(expired["error"]["code"] == 109, "{expired}");
    witness.is_well()
}

#[test]
fn rest_needs_a_valid_token_and_says_so_as_a_problem() -> Result<()> {
    let mut witness = usual()?;
    let address = witness.server.address();
    let wrong = format!("Bearer {SECRET_WORD}");
    for headers in [&[][..], &[("Authorization", wrong.as_str())]] {
        let answer = http::request(address, "GET", "/v1/session", headers, "")?;
        ensure!(answer.status == 401, "answered {}", answer.status);
        ensure!(
            answer.head.contains("application/problem+json"),
            "{}",
            answer.head
        );
        ensure!(answer.json()?["code"].is_number(), "{}", answer.body);
        ensure!(!answer.body.contains(SECRET_WORD), "{}", answer.body);
    }
    witness.is_well()
}
