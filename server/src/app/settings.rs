//! From the configuration, which is what an operator wrote, to what each room wants to know.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use regex::Regex;

use crate::admission;
use crate::auth::jwks::{KeySet, KeySetSource};
use crate::auth::{ClaimRules, JwtVerifier, KeyMaterial, KeyRing, Revocations, VerificationKey};
use crate::config::{self, Config};
use crate::ledger::retention::{Marks, Rule, Rules};
use crate::ledger::{ChannelName, LedgerId};
use crate::session::{
    ChannelOptions, ChannelRules, DataFormat, Namespaces, PersonalChannel, RecoveryMode, Settings,
};
use crate::telemetry::Meters;
use crate::transport::admission::{Admission, Limits};
use crate::transport::{self, Origins};

/// What sessions share.
pub(super) fn session(config: &Config, node: &str) -> Result<Settings> {
    let (client, personal) = (&config.client, &config.personal_channel);
    Ok(Settings {
        node: node.into(),
        ping_interval_ms: client.ping_interval.as_ms(),
        pong_timeout_ms: client.pong_timeout.as_ms(),
        stale_close_delay_ms: client.stale_close_delay.as_ms(),
        expired_close_delay_ms: client.expired_close_delay.as_ms(),
        expired_sub_close_delay_ms: client.expired_sub_close_delay.as_ms(),
        channel_limit: client.channel_limit as usize,
        user_connection_limit: client.user_connection_limit,
        position_check_delay_ms: client.channel_position_check_delay.as_ms(),
        personal_channel: personal.enabled.then(|| PersonalChannel {
            namespace: personal.personal_channel_namespace.as_str().into(),
        }),
        history_max_publication_limit: client.history_max_publication_limit,
        recovery_max_publication_limit: client.recovery_max_publication_limit,
        insecure: client.insecure,
        allow_anonymous_connect_without_token: client.allow_anonymous_connect_without_token,
        frame_max_bytes: config.transport.message_size_limit_bytes,
        admission: true,
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
    let without = options(&config.without_namespace)?;
    let named: Vec<(Box<str>, ChannelOptions)> = config
        .namespaces
        .iter()
        .map(|(name, it)| Ok((name.as_str().into(), options(it)?)))
        .collect::<Result<_>>()?;
    Ok(Namespaces::new(rules, Some(without), named)?)
}

fn options(it: &config::Namespace) -> Result<ChannelOptions> {
    let channel_regex = match it.channel_regex.as_str() {
        "" => None,
        pattern => Some(Regex::new(pattern).context("channel_regex")?),
    };
    Ok(ChannelOptions {
        history_size: it.history_size,
        history_ttl_ms: it.history_ttl.as_ms(),
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
        body_timeout: config.transport.body_timeout.get(),
        origins: origins(config)?,
        http_stream: config.transport.http_stream,
        sse: config.transport.sse,
    })
}

/// From which pages browsers may come.
pub(super) fn origins(config: &Config) -> Result<Origins> {
    Ok(Origins::new(config.transport.allowed_origins.clone())?)
}

/// How many connections are let in, and behind which proxies.
pub(super) fn admission(config: &Config) -> Arc<Admission> {
    let limits = Limits {
        connections: config.admission.connection_limit,
        connections_per_address: config.admission.connections_per_address,
        rate_per_address: config.admission.rate_per_address,
    };
    Admission::behind(config.admission.trusted_proxies.clone(), limits)
}

/// How connects are let in when there are too many.
pub(super) fn gate(config: &Config) -> admission::Rules {
    let it = &config.admission;
    admission::Rules {
        enabled: it.by_role,
        shares: admission::Shares {
            staff: it.staff_share_percent,
            guardian: it.guardian_share_percent,
            other: it.other_share_percent,
        },
        slots_max: it.connects_at_once_max,
        wait_max_ms: it.wait_max.as_ms(),
        lag_target_ms: it.lag_target.as_ms(),
    }
}

/// What is kept how long.
pub(super) fn retention(config: &Config) -> Result<Rules> {
    let bounds = |size: u32, ttl: config::Period| Rule {
        history_size: (size > 0).then_some(u64::from(size)),
        history_ttl_ms: (ttl.as_ms() > 0).then_some(ttl.as_ms()),
    };
    let rule = |it: &config::Namespace| bounds(it.history_size, it.history_ttl);
    let kept = &config.retention;
    let domain = [
        ("person", kept.person_history_size, kept.person_history_ttl),
        ("group", kept.group_history_size, kept.group_history_ttl),
        ("unit", kept.unit_history_size, kept.unit_history_ttl),
    ];
    let domain = domain.map(|(name, size, ttl)| (name.to_owned(), bounds(size, ttl)));
    let units = kept
        .held_units
        .iter()
        .map(|unit| LedgerId::parse(unit).with_context(|| format!("retention.held_units: {unit}")));
    let channels = kept.held_channels.iter().map(|channel| {
        ChannelName::parse(channel).with_context(|| format!("retention.held_channels: {channel}"))
    });
    let named = config
        .namespaces
        .iter()
        .map(|(name, it)| (name.clone(), rule(it)));
    let without = (String::new(), rule(&config.without_namespace));
    Ok(Rules {
        namespaces: named.chain([without]).chain(domain).collect(),
        marks: Marks {
            private_prefix: config.channel.private_prefix.clone(),
            namespace_boundary: config.channel.namespace_boundary.clone(),
        },
        idempotency_ttl_ms: kept.idempotency_ttl.as_ms(),
        held_ledgers: units.collect::<Result<_>>()?,
        held_channels: channels.collect::<Result<_>>()?,
    })
}

/// The verifiers of tokens, their key sets where they have one, and the list of what was revoked.
pub(super) struct Verification {
    pub(super) connections: Arc<JwtVerifier>,
    pub(super) subscriptions: Arc<JwtVerifier>,
    pub(super) key_sets: Vec<Arc<KeySet>>,
    pub(super) revocations: Arc<Revocations>,
}

/// One of the two token sections, whose fields have the same names.
struct Tokens<'a> {
    path: &'static str,
    hmac: [&'a config::Secret; 2],
    hmac_until: Option<jiff::Timestamp>,
    rsa: &'a config::Secret,
    ecdsa: &'a config::Secret,
    ed25519: &'a config::Secret,
    previous: &'a config::Secret,
    previous_until: Option<jiff::Timestamp>,
    jwks_file: &'a Option<PathBuf>,
    jwks_endpoint: &'a str,
    audience: [&'a str; 2],
    issuer: [&'a str; 2],
    user_claim: &'a str,
    leeway_ms: u64,
}

macro_rules! tokens_of {
    ($path:literal, $section:expr) => {
        Tokens {
            path: $path,
            hmac: [
                &$section.hmac_secret_key,
                &$section.hmac_previous_secret_key,
            ],
            hmac_until: $section.hmac_previous_secret_key_valid_until,
            rsa: &$section.rsa_public_key,
            ecdsa: &$section.ecdsa_public_key,
            ed25519: &$section.ed25519_public_key,
            previous: &$section.previous_public_key,
            previous_until: $section.previous_public_key_valid_until,
            jwks_file: &$section.jwks_file,
            jwks_endpoint: &$section.jwks_public_endpoint,
            audience: [&$section.audience, &$section.audience_regex],
            issuer: [&$section.issuer, &$section.issuer_regex],
            user_claim: &$section.user_id_claim,
            leeway_ms: $section.leeway.as_ms(),
        }
    };
}

/// Makes the verifiers of connection and subscription tokens: one for both unless the latter have keys of
/// their own.
pub(super) fn verification(config: &Config, meters: &Meters) -> Result<Verification> {
    let revocations = Arc::new(Revocations::default());
    let mut key_sets = Vec::new();
    let tokens = tokens_of!("client.token", config.token);
    let connections = verifier(&tokens, &revocations, &mut key_sets, meters)?;
    let subscriptions = if config.subscription_token.enabled {
        let tokens = tokens_of!("client.subscription_token", config.subscription_token);
        verifier(&tokens, &revocations, &mut key_sets, meters)?
    } else {
        Arc::clone(&connections)
    };
    Ok(Verification {
        connections,
        subscriptions,
        key_sets,
        revocations,
    })
}

fn verifier(
    tokens: &Tokens<'_>,
    revocations: &Arc<Revocations>,
    key_sets: &mut Vec<Arc<KeySet>>,
    meters: &Meters,
) -> Result<Arc<JwtVerifier>> {
    let key_set = key_set(tokens, meters)?;
    key_sets.extend(key_set.clone());
    let keys = KeyRing::new(keys(tokens)?).context(tokens.path)?;
    let revocations = Arc::clone(revocations);
    let verifier = JwtVerifier::new(keys, key_set, rules(tokens)?, revocations);
    Ok(Arc::new(verifier.counted(meters)))
}

/// How a key's text is read.
type Material<'a> = &'a dyn Fn(&str) -> KeyMaterial;

/// The keys that stand in the configuration itself.
fn keys(tokens: &Tokens<'_>) -> Result<Vec<VerificationKey>> {
    let hmac = |text: &str| KeyMaterial::Hmac(text.into());
    let rsa = |text: &str| KeyMaterial::RsaPem(text.to_owned());
    let ecdsa = |text: &str| KeyMaterial::EcPem(text.to_owned());
    let ed25519 = |text: &str| KeyMaterial::EdPem(text.to_owned());
    let kinds: [Material<'_>; 3] = [&rsa, &ecdsa, &ed25519];
    let [secret, previous_secret] = tokens.hmac;
    let given: [(&str, &config::Secret, &[Material<'_>], _); 6] = [
        ("hmac_secret_key", secret, &[&hmac], None),
        (
            "hmac_previous_secret_key",
            previous_secret,
            &[&hmac],
            tokens.hmac_until,
        ),
        ("rsa_public_key", tokens.rsa, &[&rsa], None),
        ("ecdsa_public_key", tokens.ecdsa, &[&ecdsa], None),
        ("ed25519_public_key", tokens.ed25519, &[&ed25519], None),
        (
            "previous_public_key",
            tokens.previous,
            &kinds,
            tokens.previous_until,
        ),
    ];
    let mut keys = Vec::new();
    for (name, text, materials, until) in given {
        if text.is_empty() {
            continue;
        }
        let read = materials
            .iter()
            .map(|material| VerificationKey::new(&material(text.expose())));
        let key = read.reduce(|found, next| found.or(next));
        let Some(key) = key else { continue };
        let mut key = key.with_context(|| format!("{}.{name}", tokens.path))?;
        if let Some(until) = until {
            key = key.with_valid_until(u64::try_from(until.as_millisecond()).unwrap_or(0));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn key_set(tokens: &Tokens<'_>, meters: &Meters) -> Result<Option<Arc<KeySet>>> {
    let source = match (tokens.jwks_file, tokens.jwks_endpoint) {
        (Some(file), _) => KeySetSource::File(file.clone()),
        (None, "") => return Ok(None),
        (None, url) => {
            let url = url.parse();
            KeySetSource::Url(url.with_context(|| format!("{}.jwks_public_endpoint", tokens.path))?)
        }
    };
    Ok(Some(Arc::new(KeySet::new(source).counted(meters))))
}

fn rules(tokens: &Tokens<'_>) -> Result<ClaimRules> {
    let mut rules = ClaimRules::default().leeway_ms(tokens.leeway_ms);
    let [audience, audience_pattern] = tokens.audience;
    if !audience.is_empty() {
        rules = rules.audience(audience);
    }
    if !audience_pattern.is_empty() {
        rules = rules.audience_pattern(audience_pattern)?;
    }
    let [issuer, issuer_pattern] = tokens.issuer;
    if !issuer.is_empty() {
        rules = rules.issuer(issuer);
    }
    if !issuer_pattern.is_empty() {
        rules = rules.issuer_pattern(issuer_pattern)?;
    }
    if !tokens.user_claim.is_empty() {
        rules = rules.user_claim(tokens.user_claim);
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
    use crate::auth::TokenVerifier as _;
    use crate::auth::mint::{Claims, SigningKey};

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
        let rules = retention(&config).expect("good rules");
        assert_eq!(rules.namespaces["chat"].history_size, Some(5));
        assert_eq!(rules.namespaces["person"], Rule::default(), "kept for good");
    }

    #[test]
    fn what_is_kept_of_the_domain_and_what_is_held_can_be_said() {
        let text = "[retention]\nperson_history_ttl = \"400d\"\ngroup_history_size = 1000\n\
            held_units = [\"G10001\"]\nheld_channels = [\"group:G10002/g1\"]\nidempotency_ttl = \"1d\"\n";
        let config = Config::parse(text).expect("a good file");
        let rules = retention(&config).expect("good rules");
        let ttl = rules.namespaces["person"].history_ttl_ms;
        assert_eq!(ttl, Some(400 * 24 * 3600 * 1000));
        assert_eq!(rules.namespaces["group"].history_size, Some(1000));
        assert_eq!(rules.namespaces["unit"], Rule::default());
        assert_eq!(rules.held_ledgers.len() + rules.held_channels.len(), 2);
        assert_eq!(rules.idempotency_ttl_ms, 24 * 3600 * 1000);
        let wrong = Config::parse("[retention]\nheld_units = [\"no unit\"]\n");
        assert!(retention(&wrong.expect("well formed")).is_err());
    }

    #[test]
    fn a_key_that_cannot_be_read_is_named() {
        let config = Config::parse("[client.token]\nrsa_public_key = \"no key\"\n");
        let config = config.expect("well formed");
        let error = verification(&config, &Meters::default())
            .err()
            .expect("no such key");
        assert_eq!(error.to_string(), "client.token.rsa_public_key");
        let text = "[client.subscription_token]\nenabled = true\nprevious_public_key = \"no key\"\n\
            previous_public_key_valid_until = \"2030-01-01T00:00:00Z\"\n";
        let error = verification(
            &Config::parse(text).expect("well formed"),
            &Meters::default(),
        )
        .err();
        let error = error.expect("no such key").to_string();
        assert_eq!(error, "client.subscription_token.previous_public_key");
    }

    #[tokio::test]
    async fn subscription_tokens_have_rules_of_their_own() {
        let (own, shared) = ("a secret for subscriptions", "a secret for connections");
        let text = format!(
            "[client.token]\nhmac_secret_key = \"{shared}\"\n[client.subscription_token]\nenabled = true\n\
             hmac_previous_secret_key = \"{own}\"\n\
             hmac_previous_secret_key_valid_until = \"2100-01-01T00:00:00Z\"\n\
             audience_regex = \"^chat\"\nleeway = \"10s\"\n"
        );
        let config = Config::parse(&text).expect("a good file");
        let verifiers = verification(&config, &Meters::default()).expect("good keys");
        const NOW: u64 = 1_800_000_000;
        let claims = |audience: &str| Claims {
            channel: Some("chat:a".to_owned()),
            aud: Some(audience.to_owned()),
            exp: Some(NOW - 5),
            ..Claims::default()
        };
        for (secret, audience, is_good) in [
            (own, "chat-1", true),
            (own, "other", false),
            (shared, "chat-1", false),
        ] {
            let token = SigningKey::hmac(secret.as_bytes()).mint(&claims(audience));
            let token = token.expect("signed");
            let verdict = verifiers
                .subscriptions
                .subscription(&token, NOW * 1000)
                .await;
            assert_eq!(verdict.is_ok(), is_good, "{audience}: {verdict:?}");
        }
    }
}
