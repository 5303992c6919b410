//! `klokke token`: a connection or subscription token signed with the configured shared secret, to try things with.

use std::process::ExitCode;

use anyhow::{Result, ensure};

use super::cli::Token;
use super::settings;
use crate::auth::mint::{Claims, SigningKey};
use crate::ledger::{Clock as _, SystemClock};

#[allow(clippy::print_stdout)] // The token is what was asked for.
pub(super) fn run(arguments: &Token) -> Result<ExitCode> {
    let given = &arguments.settings;
    let config = settings::read(given.config.as_deref(), &given.set)?;
    let own = &config.subscription_token;
    let (section, secret) = if arguments.channel.is_some() && own.enabled {
        ("client.subscription_token", own.hmac_secret_key.expose())
    } else {
        ("client.token", config.token.hmac_secret_key.expose())
    };
    ensure!(
        !secret.is_empty(),
        "{section}.hmac_secret_key is not set: tokens for other keys are made by whoever holds the private key"
    );
    let claims = Claims {
        channel: arguments.channel.clone(),
        ..claims(&arguments.user, arguments.ttl, arguments.loa)
    };
    println!("{}", SigningKey::hmac(secret.as_bytes()).mint(&claims)?);
    Ok(ExitCode::SUCCESS)
}

/// Claims of a login that happened just now.
pub(super) fn claims(user: &str, ttl_seconds: u64, loa: Option<u8>) -> Claims {
    let now = SystemClock.now_ms() / 1000;
    Claims {
        sub: Some(user.to_owned()),
        iat: Some(now),
        exp: (ttl_seconds > 0).then(|| now.saturating_add(ttl_seconds)),
        loa,
        auth_time: loa.map(|_| now),
        ..Claims::default()
    }
}
