//! From the configuration, which is what an operator wrote, to what each room wants to know.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use regex::Regex;

use crate::auth::jwks::{KeySet, KeySetSource};
use crate::auth::{
    ClaimRules, JwtVerifier, KeyMaterial, KeyRing, Revocations, TokenVerifier, VerificationKey,
};
use crate::config::{self, Config};
use crate::ledger::retention::{Rule, Rules};
use crate::session::{
    ChannelOptions, ChannelRules, DataFormat, Namespaces, RecoveryMode, Settings,
};
use crate::transport::{self, Origins, admission};

/// How long a caller's idempotency key is remembered: a phone that lost its network in the morning and finds it again
/// the next day still sends nothing twice.
const IDEMPOTENCY_TTL_MS: u64 = 7 * 24 * 3600 * 1000;

/// What sessions share.
pub(super) fn session(config: &Config, node: &str) -> Result<Settings> {
    let client = &config.client;
    Ok(Settings {
        node: node.into(),
        ping_interval_ms: client.ping_interval.as_ms(),
        pong_timeout_ms: client.pong_timeout.as_ms(),
        stale_close_delay_ms: client.stale_close_delay.as_ms(),
        expired_close_delay_ms: client.expired_close_delay.as_ms(),
        expired_sub_close_delay_ms: client.expired_sub_close_delay.as_ms(),
        channel_limit: client.channel_limit as usize,
        history_max_publication_limit: client.history_max_publication_limit,
        recovery_max_publication_limit: client.recovery_max_publication_limit,
        insecure: client.insecure,
        allow_anonymous_connect_without_token: client.allow_anonymous_connect_without_token,
        frame_max_bytes: config.transport.message_size_limit_bytes,
        domain: true,
        rpc: true,
        namespaces: namespaces(config)?,
        ..Settings::default()
    })
}

fn namespaces(config: &Config) -> Result<Namespaces> {
    let channel = &config.channel;
    let rules = ChannelRules {
        private_prefix: channel.private_prefix.as_str().into(),
        namespace_boundary: channel.namespace_boundary.as_str().into(),
        user_boundary: channel.user_boundary.as_str().into(),
        user_separator: channel.user_separator.as_str().into(),
        max_length: usize::from(channel.max_length),
    };
    let meta_ttl_ms = channel.history_meta_ttl.as_ms();
    let without = options(&config.without_namespace, meta_ttl_ms)?;
    let named: Vec<(Box<str>, ChannelOptions)> = config
        .namespaces
        .iter()
        .map(|(name, it)| Ok((name.as_str().into(), options(it, meta_ttl_ms)?)))
        .collect::<Result<_>>()?;
    Ok(Namespaces::new(rules, Some(without), named)?)
}

fn options(it: &config::Namespace, history_meta_ttl_ms: u64) -> Result<ChannelOptions> {
    let channel_regex = match it.channel_regex.as_str() {
        "" => None,
        pattern => Some(Regex::new(pattern).context("channel_regex")?),
    };
    Ok(ChannelOptions {
        history_size: it.history_size,
        history_ttl_ms: it.history_ttl.as_ms(),
        history_meta_ttl_ms,
        force_positioning: it.force_positioning,
        allow_positioning: it.allow_positioning,
        force_recovery: it.force_recovery,
        allow_recovery: it.allow_recovery,
        recovery_mode: match it.force_recovery_mode {
            config::RecoveryMode::Stream => RecoveryMode::Stream,
            config::RecoveryMode::Cache => RecoveryMode::Cache,
        },
        auto_cache_recover: it.auto_cache_recover,
        presence: it.presence,
        join_leave: it.join_leave,
        force_push_join_leave: it.force_push_join_leave,
        allow_subscribe_for_client: it.allow_subscribe_for_client,
        allow_subscribe_for_anonymous: it.allow_subscribe_for_anonymous,
        allow_publish_for_subscriber: it.allow_publish_for_subscriber,
        allow_publish_for_client: it.allow_publish_for_client,
        allow_publish_for_anonymous: it.allow_publish_for_anonymous,
        allow_presence_for_subscriber: it.allow_presence_for_subscriber,
        allow_presence_for_client: it.allow_presence_for_client,
        allow_presence_for_anonymous: it.allow_presence_for_anonymous,
        allow_history_for_subscriber: it.allow_history_for_subscriber,
        allow_history_for_client: it.allow_history_for_client,
        allow_history_for_anonymous: it.allow_history_for_anonymous,
        allow_user_limited_channels: it.allow_user_limited_channels,
        channel_regex,
        publication_data_format: match it.publication_data_format {
            config::DataFormat::NotEmpty => DataFormat::NotEmpty,
            config::DataFormat::Json => DataFormat::Json,
            config::DataFormat::JsonObject => DataFormat::JsonObject,
            config::DataFormat::Binary => DataFormat::Binary,
        },
        allow_delta: it.allowed_delta_types.iter().any(|kind| kind == "fossil"),
        delta_publish: it.delta_publish,
        allow_tags_filter: it.allow_tags_filter,
    })
}

/// What sockets are served with.
pub(super) fn sockets(config: &Config) -> Result<transport::Settings> {
    Ok(transport::Settings {
        frame_max_bytes: config.transport.message_size_limit_bytes,
        queue_max_bytes: config.client.queue_max_size_bytes,
        handshake_timeout: config.transport.handshake_timeout.get(),
        origins: origins(config)?,
        http_stream: config.transport.http_stream,
        sse: config.transport.sse,
    })
}

/// From which pages browsers may come.
pub(super) fn origins(config: &Config) -> Result<Origins> {
    Ok(Origins::new(config.transport.allowed_origins.clone())?)
}

/// How many connections are let in.
pub(super) fn admission(config: &Config) -> admission::Limits {
    admission::Limits {
        connections: config.admission.connection_limit,
        connections_per_address: config.admission.connections_per_address,
        rate_per_address: config.admission.rate_per_address,
    }
}

/// What is kept how long.
pub(super) fn retention(config: &Config) -> Rules {
    let rule = |it: &config::Namespace| Rule {
        history_size: (it.history_size > 0).then_some(u64::from(it.history_size)),
        history_ttl_ms: (it.history_ttl.as_ms() > 0).then_some(it.history_ttl.as_ms()),
    };
    let named = config
        .namespaces
        .iter()
        .map(|(name, it)| (name.clone(), rule(it)));
    let without = (String::new(), rule(&config.without_namespace));
    Rules {
        namespaces: named.chain([without]).collect(),
        idempotency_ttl_ms: IDEMPOTENCY_TTL_MS,
        ..Rules::default()
    }
}

/// The verifier of tokens, its key set when it has one, and the list of what was revoked.
pub(super) struct Verification {
    pub(super) verifier: Arc<JwtVerifier>,
    pub(super) key_set: Option<Arc<KeySet>>,
    pub(super) revocations: Arc<Revocations>,
}

/// Makes the verifier of connection and subscription tokens.
pub(super) fn verification(config: &Config) -> Result<Verification> {
    let token = &config.token;
    let mut keys = Vec::new();
    add_key(
        &mut keys,
        "hmac_secret_key",
        token.hmac_secret_key.expose(),
        |it| KeyMaterial::Hmac(it.into()),
    )?;
    add_key(
        &mut keys,
        "rsa_public_key",
        token.rsa_public_key.expose(),
        KeyMaterial::RsaPem,
    )?;
    add_key(
        &mut keys,
        "ecdsa_public_key",
        token.ecdsa_public_key.expose(),
        KeyMaterial::EcPem,
    )?;
    add_key(
        &mut keys,
        "ed25519_public_key",
        token.ed25519_public_key.expose(),
        KeyMaterial::EdPem,
    )?;
    if !token.hmac_previous_secret_key.is_empty() {
        let secret = token.hmac_previous_secret_key.expose();
        let mut key = VerificationKey::new(&KeyMaterial::Hmac(secret.into()))
            .context("client.token.hmac_previous_secret_key")?;
        if let Some(until) = token.hmac_previous_secret_key_valid_until {
            key = key.with_valid_until(u64::try_from(until.as_millisecond()).unwrap_or(0));
        }
        keys.push(key);
    }
    let key_set = key_set(token)?;
    let revocations = Arc::new(Revocations::default());
    let verifier = JwtVerifier::new(
        KeyRing::new(keys)?,
        key_set.clone(),
        rules(token)?,
        Arc::clone(&revocations),
    );
    Ok(Verification {
        verifier: Arc::new(verifier),
        key_set,
        revocations,
    })
}

/// The verifier of subscription tokens: the same as for connections unless it has keys of its own.
pub(super) fn subscription_verifier(
    config: &Config,
    shared: &Verification,
) -> Result<Arc<dyn TokenVerifier>> {
    let token = &config.subscription_token;
    if !token.enabled {
        return Ok(Arc::clone(&shared.verifier) as _);
    }
    let mut keys = Vec::new();
    add_key(
        &mut keys,
        "hmac_secret_key",
        token.hmac_secret_key.expose(),
        |it| KeyMaterial::Hmac(it.into()),
    )?;
    add_key(
        &mut keys,
        "rsa_public_key",
        token.rsa_public_key.expose(),
        KeyMaterial::RsaPem,
    )?;
    add_key(
        &mut keys,
        "ecdsa_public_key",
        token.ecdsa_public_key.expose(),
        KeyMaterial::EcPem,
    )?;
    add_key(
        &mut keys,
        "ed25519_public_key",
        token.ed25519_public_key.expose(),
        KeyMaterial::EdPem,
    )?;
    let mut rules = ClaimRules::default();
    if !token.audience.is_empty() {
        rules = rules.audience(token.audience.as_str());
    }
    if !token.issuer.is_empty() {
        rules = rules.issuer(token.issuer.as_str());
    }
    let revocations = Arc::clone(&shared.revocations);
    Ok(Arc::new(JwtVerifier::new(
        KeyRing::new(keys)?,
        None,
        rules,
        revocations,
    )))
}

fn add_key(
    keys: &mut Vec<VerificationKey>,
    name: &str,
    text: &str,
    material: impl FnOnce(String) -> KeyMaterial,
) -> Result<()> {
    if !text.is_empty() {
        let key = VerificationKey::new(&material(text.to_owned()));
        keys.push(key.with_context(|| format!("client.token.{name}"))?);
    }
    Ok(())
}

fn key_set(token: &config::Token) -> Result<Option<Arc<KeySet>>> {
    let source = match (&token.jwks_file, token.jwks_public_endpoint.as_str()) {
        (Some(file), _) => KeySetSource::File(file.clone()),
        (None, "") => return Ok(None),
        (None, url) => KeySetSource::Url(url.parse().context("client.token.jwks_public_endpoint")?),
    };
    Ok(Some(Arc::new(KeySet::new(source))))
}

fn rules(token: &config::Token) -> Result<ClaimRules> {
    let mut rules = ClaimRules::default().leeway_ms(token.leeway.as_ms());
    if !token.audience.is_empty() {
        rules = rules.audience(token.audience.as_str());
    }
    if !token.audience_regex.is_empty() {
        rules = rules.audience_pattern(&token.audience_regex)?;
    }
    if !token.issuer.is_empty() {
        rules = rules.issuer(token.issuer.as_str());
    }
    if !token.issuer_regex.is_empty() {
        rules = rules.issuer_pattern(&token.issuer_regex)?;
    }
    if !token.user_id_claim.is_empty() {
        rules = rules.user_claim(token.user_id_claim.as_str());
    }
    Ok(rules)
}

/// Reads the configuration from a file (when there is one), the environment and the command line.
pub(super) fn read(file: Option<&Path>, overrides: &[String]) -> Result<Config> {
    let file = match file {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the configuration {}", path.display()))?;
            Some((path.display().to_string(), text))
        }
    };
    let sources = config::Sources {
        file,
        environment: std::env::vars()
            .collect::<BTreeMap<_, _>>()
            .into_iter()
            .collect(),
        overrides: overrides.to_vec(),
    };
    Ok(sources.read()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_of_a_namespace_arrives() {
        let text = "[namespace.chat]\nhistory_size = 5\nhistory_ttl = \"1m\"\npresence = true\n\
            allowed_delta_types = [\"fossil\"]\nforce_recovery = true\nforce_recovery_mode = \"cache\"\n";
        let config = Config::parse(text).expect("a good file");
        let settings = session(&config, "n1").expect("good options");
        let channel = "chat:x".parse().expect("a name");
        let options = settings.namespaces.options(&channel).expect("a namespace");
        assert_eq!((options.history_size, options.history_ttl_ms), (5, 60_000));
        assert!(options.presence && options.allow_delta && options.force_recovery);
        assert_eq!(options.recovery_mode, RecoveryMode::Cache);
        assert_eq!(retention(&config).namespaces["chat"].history_size, Some(5));
    }

    #[test]
    fn a_key_that_cannot_be_read_is_named() {
        let config = Config::parse("[client.token]\nrsa_public_key = \"no key\"\n");
        let config = config.expect("well formed");
        let error = verification(&config).err().expect("no such key");
        assert_eq!(error.to_string(), "client.token.rsa_public_key");
    }
}
