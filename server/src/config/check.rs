//! Rules between settings, and rules that a type alone does not say.

use std::net::SocketAddr;

use regex::Regex;

use super::error::{Mistake, Place};
use super::{Backend, Config, Namespace};

/// Namespaces that the domain itself uses; no configuration may open them.
const RESERVED: &[&str] = &["person", "group", "unit"];

/// Most publications in one answer. Some tens of megabytes; more would hold up everybody on the same thread.
const PUBLICATIONS_MAX: u32 = 100_000;

/// Most connects under way at once on a shard; more is as good as no limit.
const CONNECTS_AT_ONCE_MAX: u32 = 100_000;

/// Largest sizes that make sense; more is a slip of units.
const SIZE_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Whether a namespace may be called that.
fn namespace_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.len() < 2 || !name.chars().all(allowed) {
        return Err(format!(
            "`{name}` is no name of a namespace: two or more of a-z, A-Z, 0-9, `-`, `_`, `.`"
        ));
    }
    if RESERVED.contains(&name) {
        return Err(format!(
            "the namespace `{name}` is reserved: the server itself says who sees its channels"
        ));
    }
    Ok(())
}

/// Everything that does not fit together.
pub(super) fn together(config: &Config) -> Vec<Mistake> {
    let mut rules = Rules::default();
    listeners(config, &mut rules);
    clients(config, &mut rules);
    tokens(config, &mut rules);
    let client_sections = [(
        "channel.without_namespace".to_owned(),
        &config.without_namespace,
    )];
    let named = config.namespaces.iter();
    let named = named.map(|(name, namespace)| (format!("namespace.{name}"), namespace));
    for (path, section) in client_sections.into_iter().chain(named) {
        namespace(&path, section, &mut rules);
    }
    for name in config.namespaces.keys() {
        if let Err(what) = namespace_name(name) {
            rules.must(false, || what);
        }
    }
    let sizes = [
        (
            "transport.message_size_limit_bytes",
            config.transport.message_size_limit_bytes,
        ),
        (
            "client.queue_max_size_bytes",
            config.client.queue_max_size_bytes,
        ),
        ("api.body_limit_bytes", config.api.body_limit_bytes),
    ];
    for (path, size) in sizes {
        let fits = (1024..=SIZE_MAX_BYTES).contains(&size);
        rules.must(fits, || {
            format!("`{path}` must be from 1024 to {SIZE_MAX_BYTES} bytes")
        });
    }
    admission(config, &mut rules);
    store(config, &mut rules);
    cluster(config, &mut rules);
    rules.must(config.import.ended_percent_max <= 100, || {
        "`import.ended_percent_max` must be at most 100".to_owned()
    });
    rules.must(config.drain.spread <= config.drain.timeout, || {
        "`drain.spread` must not be longer than `drain.timeout`".to_owned()
    });
    rules.0
}

#[derive(Default)]
struct Rules(Vec<Mistake>);

impl Rules {
    fn must(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(Mistake {
                place: Place::Together,
                what: what(),
            });
        }
    }
}

/// How long a connection over QUIC may rest (`transport::quic`).
const QUIC_REST_MAX_MS: u64 = 60_000;

fn listeners(config: &Config, rules: &mut Rules) {
    let listen = &config.listen;
    rules.must(
        listen.address.is_some() || listen.tls_address.is_some(),
        || "`listen.address` or `listen.tls_address` must say where to listen".to_owned(),
    );
    let files = listen.tls_certificate.is_some() && listen.tls_key.is_some();
    rules.must(listen.tls_address.is_none() || files, || {
        "`listen.tls_address` needs `listen.tls_certificate` and `listen.tls_key`".to_owned()
    });
    let rests = config.client.ping_interval.as_ms() < QUIC_REST_MAX_MS;
    rules.must(listen.quic_address.is_none() || rests, || {
        "`client.ping_interval` must be shorter than 60s with `listen.quic_address`: a connection over QUIC on which nothing comes for that \
         long ends".to_owned()
    });
    rules.must(listen.quic_address.is_none() || files, || {
        "`listen.quic_address` needs `listen.tls_certificate` and `listen.tls_key`".to_owned()
    });
}

fn admission(config: &Config, rules: &mut Rules) {
    let it = &config.admission;
    let shares = [
        it.staff_share_percent,
        it.guardian_share_percent,
        it.other_share_percent,
    ];
    let sum: u32 = shares.into_iter().map(u32::from).sum();
    rules.must(sum == 100 && !shares.contains(&0), || {
        "`admission.staff_share_percent`, `guardian_share_percent` and `other_share_percent` must be 100 together, and \
         none of them 0: nobody is kept out for good"
            .to_owned()
    });
    rules.must(
        (1..=CONNECTS_AT_ONCE_MAX).contains(&it.connects_at_once_max),
        || format!("`admission.connects_at_once_max` must be from 1 to {CONNECTS_AT_ONCE_MAX}"),
    );
    rules.must(it.wait_max < config.client.stale_close_delay, || {
        "`admission.wait_max` must be shorter than `client.stale_close_delay`".to_owned()
    });
    rules.must(!it.lag_target.is_zero(), || {
        "`admission.lag_target` must not be 0: every shard is late now and then".to_owned()
    });
}

fn cluster(config: &Config, rules: &mut Rules) {
    let it = &config.cluster;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let is_name = (1..=48).contains(&it.name.len()) && it.name.bytes().all(allowed);
    rules.must(is_name, || {
        format!(
            "`cluster.name` is `{}`: it has 1 to 48 of a-z, A-Z, 0-9, `_`, `-`",
            it.name
        )
    });
    rules.must(
        it.nats.is_empty() || config.store.backend == Backend::Scylla,
        || "`cluster.nats` needs `store.backend = \"scylla\"`: nodes that share nothing have nothing to tell".to_owned(),
    );
    rules.must(it.password.is_empty() || !it.user.is_empty(), || {
        "`cluster.password` needs `cluster.user`".to_owned()
    });
    rules.must(it.user.is_empty() || it.credentials_file.is_none(), || {
        "`cluster.user` and `cluster.credentials_file` exclude each other: give one of them"
            .to_owned()
    });
    rules.must(it.tls_certificate.is_some() == it.tls_key.is_some(), || {
        "`cluster.tls_certificate` and `tls_key` go together: give both or neither".to_owned()
    });
    let periods = [
        it.hello_interval,
        it.look_interval,
        it.look_interval_without_bus,
    ];
    rules.must(periods.iter().all(|period| !period.is_zero()), || {
        "`cluster.hello_interval`, `look_interval` and `look_interval_without_bus` must not be 0".to_owned()
    });
    rules.must(
        it.gone_after.as_ms() >= 3 * it.hello_interval.as_ms(),
        || "`cluster.gone_after` must be at least three times `cluster.hello_interval`".to_owned(),
    );
}

/// Takes a pair of `store.scylla.address_translation` apart: a node's own address, and where it is reached.
pub(crate) fn translated(rule: &str) -> Option<(SocketAddr, SocketAddr)> {
    let (own, reached) = rule.split_once('=')?;
    Some((own.trim().parse().ok()?, reached.trim().parse().ok()?))
}

fn store(config: &Config, rules: &mut Rules) {
    let (embedded, cluster) = (&config.store, &config.store_scylla);
    match embedded.backend {
        Backend::Embedded => rules.must(embedded.path.is_some(), || {
            "`store.path` must name a folder".to_owned()
        }),
        Backend::Scylla => rules.must(!cluster.nodes.is_empty(), || {
            "`store.scylla.nodes` must name a node of the cluster".to_owned()
        }),
    }
    let translations = &cluster.address_translation;
    let bad = translations.iter().find(|rule| translated(rule).is_none());
    rules.must(bad.is_none(), || {
        "`store.scylla.address_translation` takes pairs of addresses, as in \"10.0.0.1:9042=192.0.2.7:9042\""
            .to_owned()
    });
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let keyspace = cluster.keyspace.as_str();
    let is_name = (1..=48).contains(&keyspace.len()) && keyspace.bytes().all(allowed);
    rules.must(is_name, || {
        format!("`store.scylla.keyspace` is `{keyspace}`: it has 1 to 48 of a-z, A-Z, 0-9, `_`")
    });
    rules.must(cluster.replication_factor > 0, || {
        "`store.scylla.replication_factor` must be at least 1".to_owned()
    });
    rules.must(
        !cluster.local_quorum || !cluster.datacenter.is_empty(),
        || "`store.scylla.local_quorum` needs `store.scylla.datacenter`".to_owned(),
    );
    rules.must(
        cluster.password.is_empty() || !cluster.user.is_empty(),
        || "`store.scylla.password` needs `store.scylla.user`".to_owned(),
    );
    let (chain, key) = (&cluster.tls_certificate, &cluster.tls_key);
    rules.must(chain.is_some() == key.is_some(), || {
        "`store.scylla.tls_certificate` and `tls_key` go together: give both or neither".to_owned()
    });
    let files = chain.is_some() || cluster.tls_authority.is_some();
    rules.must(cluster.tls || !files, || {
        "`store.scylla.tls_authority`, `tls_certificate` and `tls_key` need `store.scylla.tls`"
            .to_owned()
    });
    let ordered =
        !cluster.request_timeout.is_zero() && cluster.request_timeout <= cluster.call_timeout;
    rules.must(ordered, || {
        "`store.scylla.request_timeout` must not be 0, nor longer than `store.scylla.call_timeout`"
            .to_owned()
    });
    rules.must(cluster.requests_in_flight_max > 0, || {
        "`store.scylla.requests_in_flight_max` must be at least 1".to_owned()
    });
}

fn clients(config: &Config, rules: &mut Rules) {
    let client = &config.client;
    rules.must(client.pong_timeout < client.ping_interval, || {
        "`client.pong_timeout` must be shorter than `client.ping_interval`".to_owned()
    });
    rules.must(client.ping_interval.as_secs() >= 1, || {
        "`client.ping_interval` must be at least \"1s\": clients are told whole seconds".to_owned()
    });
    for (name, most) in [
        (
            "history_max_publication_limit",
            client.history_max_publication_limit,
        ),
        (
            "recovery_max_publication_limit",
            client.recovery_max_publication_limit,
        ),
    ] {
        rules.must((1..=PUBLICATIONS_MAX).contains(&most), || {
            format!("`client.{name}` must be from 1 to {PUBLICATIONS_MAX}")
        });
    }
    let personal = &config.personal_channel;
    let namespace = personal.personal_channel_namespace.as_str();
    let is_known = namespace.is_empty() || config.namespaces.contains_key(namespace);
    rules.must(!personal.enabled || is_known, || {
        format!(
            "`client.subscribe_to_user_personal_channel.personal_channel_namespace` is `{namespace}`, \
             which is no namespace here"
        )
    });
    rules.must(client.channel_limit > 0, || {
        "`client.channel_limit` must be at least 1".to_owned()
    });
    for (name, text) in [
        ("namespace_boundary", &config.channel.namespace_boundary),
        ("user_boundary", &config.channel.user_boundary),
        ("user_separator", &config.channel.user_separator),
        ("private_prefix", &config.channel.private_prefix),
    ] {
        rules.must(!text.is_empty(), || {
            format!("`channel.{name}` must not be empty")
        });
    }
    for (nth, key) in config.api.keys.iter().enumerate() {
        rules.must(!key.is_empty(), || {
            format!("`api.keys` item {} is empty", nth + 1)
        });
    }
}

/// The rules of both token sections, whose fields have the same names.
macro_rules! token_rules {
    ($path:literal, $token:expr, $rules:expr) => {
        let (token, rules) = ($token, $rules);
        regular(
            concat!($path, ".audience_regex"),
            &token.audience_regex,
            rules,
        );
        regular(concat!($path, ".issuer_regex"), &token.issuer_regex, rules);
        let ends = token.hmac_previous_secret_key_valid_until.is_some();
        rules.must(token.hmac_previous_secret_key.is_empty() || ends, || {
            concat!(
                "`",
                $path,
                ".hmac_previous_secret_key` needs `hmac_previous_secret_key_valid_until`: ",
                "a rotation must end"
            )
            .to_owned()
        });
        let ends = token.previous_public_key_valid_until.is_some();
        rules.must(token.previous_public_key.is_empty() || ends, || {
            concat!(
                "`",
                $path,
                ".previous_public_key` needs `previous_public_key_valid_until`: ",
                "a rotation must end"
            )
            .to_owned()
        });
        let both = token.jwks_file.is_some() && !token.jwks_public_endpoint.is_empty();
        rules.must(!both, || {
            concat!(
                "give `",
                $path,
                ".jwks_file` or `",
                $path,
                ".jwks_public_endpoint`, not both"
            )
            .to_owned()
        });
    };
}

fn tokens(config: &Config, rules: &mut Rules) {
    token_rules!("client.token", &config.token, &mut *rules);
    token_rules!(
        "client.subscription_token",
        &config.subscription_token,
        &mut *rules
    );
}

fn namespace(path: &str, namespace: &Namespace, rules: &mut Rules) {
    let kept = !namespace.history_ttl.is_zero();
    rules.must((namespace.history_size > 0) == kept, || {
        format!("[{path}]: `history_size` and `history_ttl` go together: give both or neither")
    });
    rules.must(
        !namespace.force_recovery || namespace.history_size > 0,
        || format!("[{path}]: `force_recovery` needs `history_size` and `history_ttl`"),
    );
    rules.must(
        namespace.join_leave || !namespace.force_push_join_leave,
        || format!("[{path}]: `force_push_join_leave` needs `join_leave`"),
    );
    let fossil = namespace
        .allowed_delta_types
        .iter()
        .all(|kind| kind == "fossil");
    rules.must(fossil, || {
        format!("[{path}]: `allowed_delta_types` may hold \"fossil\" only")
    });
    regular(
        &format!("{path}.channel_regex"),
        &namespace.channel_regex,
        rules,
    );
}

fn regular(path: &str, pattern: &str, rules: &mut Rules) {
    if let Err(error) = Regex::new(pattern) {
        let last = error.to_string();
        let last = last.lines().last().unwrap_or_default().to_owned();
        rules.must(false, || {
            format!("`{path}` is no regular expression: {last}")
        });
    }
}
