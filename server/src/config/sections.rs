//! Every setting there is. The documentation comments are the help that users read.
//!
//! Keys are those that operators of servers of this protocol know, where they mean the same
//! (docs/protocol.md, section 9).

use std::net::SocketAddr;
use std::path::PathBuf;

use super::section::section;
use super::setting::{Network, Period, Secret, choice};

section! {
    /// This node.
    Node {
        /// Its name in figures and logs; empty: the host's name.
        name: String = String::new(),
        /// Shard threads; 0: one a processor core.
        shards: usize = 0,
        /// Memory the server may have, for the alert that it is running out; 0: the lesser of the machine's and the
        /// control group's limit. It limits nothing itself.
        memory_limit_bytes: usize = 0,
    }
}

section! {
    /// Where to listen. Everything is served on each address.
    Listen {
        /// Plain HTTP and WebSocket.
        address: Option<SocketAddr> = Some(SocketAddr::from(([127, 0, 0, 1], 8000))),
        /// HTTP and WebSocket over TLS.
        tls_address: Option<SocketAddr> = None,
        /// QUIC (UDP): WebTransport for browsers, and raw for native apps (docs/protocol-quic.md). It may have the port of
        /// `tls_address`.
        quic_address: Option<SocketAddr> = None,
        /// Certificate chain in PEM for both; read again when the file changes.
        tls_certificate: Option<PathBuf> = None,
        /// Private key in PEM.
        tls_key: Option<PathBuf> = None,
    }
}

section! {
    /// How clients may connect.
    Transport {
        /// Pages from which browsers may connect, as `scheme://host[:port]`; `*` stands for any
        /// characters. Empty: only pages of the same host.
        allowed_origins: Vec<String> = Vec::new(),
        /// Serve `/connection/http_stream`, for networks that break WebSocket.
        http_stream: bool = true,
        /// Serve `/connection/sse`, for the same.
        sse: bool = true,
        /// Largest frame or body a client may send.
        message_size_limit_bytes: usize = 65_536,
        /// From accept to the first whole request.
        handshake_timeout: Period = Period::from_secs(10),
        /// From a request's head to the end of its body, and a second for each 32 KiB of it.
        body_timeout: Period = Period::from_secs(30),
    }
}

section! {
    /// Who gets in, and who comes first when more is asked than the node can do (docs/overload.md). Connections from the
    /// machine itself count only towards the total.
    Admission {
        /// Proxies in front of the server, as addresses or networks (`10.0.0.0/8`, `::1`). Who comes through one is counted
        /// by the rightmost address in `X-Forwarded-For` that is no such proxy.
        trusted_proxies: Vec<Network> = Vec::new(),
        /// Connections in all; 0: no limit.
        connection_limit: usize = 0,
        /// Connections of one address; 0: no limit. A school's devices may share one.
        connections_per_address: u32 = 8_192,
        /// New connections of one address a second; 0: no limit.
        rate_per_address: u32 = 200,
        /// When connects come faster than they can be done, let them in by role, each in its share. When off, all at once.
        by_role: bool = true,
        /// Part of the connects under way that is kept free for staff, in per cent. The three shares are 100 together;
        /// what one does not use is lent.
        staff_share_percent: u8 = 50,
        /// The same for guardians and the other adults around a child.
        guardian_share_percent: u8 = 35,
        /// The same for pupils, external actors and whoever has no profile.
        other_share_percent: u8 = 15,
        /// Most connects under way at once on a shard. How many really, the node finds out by how late it is.
        connects_at_once_max: u32 = 512,
        /// Longest wait of a connect before the client is told to come again; 0: nobody waits. SDKs give up a connect after
        /// five seconds.
        wait_max: Period = Period::from_secs(3),
        /// How late a shard may be before it takes fewer connects at once.
        lag_target: Period = Period::from_millis(20),
        /// How late every turn of a shard must be, for a second, before less important operations are put off; 0: never.
        lag_max: Period = Period::from_millis(250),
    }
}

section! {
    /// What connected clients may do, and how long things may take.
    Client {
        /// How often the server pings.
        ping_interval: Period = Period::from_secs(25),
        /// How long it waits for the pong; shorter than `ping_interval`.
        pong_timeout: Period = Period::from_secs(8),
        /// A connection that does not authenticate in this time is closed.
        stale_close_delay: Period = Period::from_secs(10),
        /// Time to refresh a connection's token after it expired.
        expired_close_delay: Period = Period::from_secs(25),
        /// Time to refresh a subscription's token after it expired.
        expired_sub_close_delay: Period = Period::from_secs(25),
        /// Subscriptions of one connection.
        channel_limit: u32 = 128,
        /// Connections of one user on this node; 0: no limit.
        user_connection_limit: u32 = 0,
        /// Bytes that may wait for a client that reads slowly before it is disconnected.
        queue_max_size_bytes: usize = 1_048_576,
        /// How often a position is compared with its channel when nothing arrives.
        channel_position_check_delay: Period = Period::from_secs(40),
        /// Publications a client may ask of a history at once.
        history_max_publication_limit: u32 = 300,
        /// Publications sent when a subscription recovers; further behind is no recovery.
        recovery_max_publication_limit: u32 = 300,
        /// Let in clients without a token, as nobody.
        allow_anonymous_connect_without_token: bool = false,
        /// No tokens, everything allowed in every known namespace. For trying things out.
        insecure: bool = false,
    }
}

section! {
    /// A channel of their own for every user, subscribed by the server: `#USER`, or `NAMESPACE:#USER`.
    PersonalChannel {
        /// Whether there is one.
        enabled: bool = false,
        /// Its namespace; empty: `channel.without_namespace`.
        personal_channel_namespace: String = String::new(),
    }
}

section! {
    /// How connection tokens (JWT) are verified. At least one key is needed unless clients may
    /// connect without. A secret may be given as `file:PATH`.
    Token {
        /// Shared secret for HS256, HS384, HS512.
        hmac_secret_key: Secret = Secret::default(),
        /// The secret used before, still accepted while it is rotated.
        hmac_previous_secret_key: Secret = Secret::default(),
        /// Until when.
        hmac_previous_secret_key_valid_until: Option<jiff::Timestamp> = None,
        /// Public key in PEM for RS256 and its kin.
        rsa_public_key: Secret = Secret::default(),
        /// Public key in PEM for ES256, ES384.
        ecdsa_public_key: Secret = Secret::default(),
        /// Public key in PEM for EdDSA.
        ed25519_public_key: Secret = Secret::default(),
        /// The public key in PEM used before, of any kind, still accepted while it is rotated.
        previous_public_key: Secret = Secret::default(),
        /// Until when.
        previous_public_key_valid_until: Option<jiff::Timestamp> = None,
        /// Address of a key set (JWKS), fetched and cached.
        jwks_public_endpoint: String = String::new(),
        /// File with a key set.
        jwks_file: Option<PathBuf> = None,
        /// Value that `aud` must hold.
        audience: String = String::new(),
        /// Regular expression that `aud` must match.
        audience_regex: String = String::new(),
        /// Value that `iss` must be.
        issuer: String = String::new(),
        /// Regular expression that `iss` must match.
        issuer_regex: String = String::new(),
        /// Claim with the user; empty: `sub`.
        user_id_claim: String = String::new(),
        /// Difference of clocks that is forgiven.
        leeway: Period = Period::from_secs(0),
        /// File with revoked tokens and users, one a line; read again when it changes.
        revocations_file: Option<PathBuf> = None,
    }
}

section! {
    /// Own keys and rules for subscription tokens. When not enabled, those of `client.token` are used. What
    /// `client.token.revocations_file` revokes is revoked here too.
    SubscriptionToken {
        /// Use the keys of this section.
        enabled: bool = false,
        /// Shared secret for HS256, HS384, HS512.
        hmac_secret_key: Secret = Secret::default(),
        /// The secret used before, still accepted while it is rotated.
        hmac_previous_secret_key: Secret = Secret::default(),
        /// Until when.
        hmac_previous_secret_key_valid_until: Option<jiff::Timestamp> = None,
        /// Public key in PEM for RS256 and its kin.
        rsa_public_key: Secret = Secret::default(),
        /// Public key in PEM for ES256, ES384.
        ecdsa_public_key: Secret = Secret::default(),
        /// Public key in PEM for EdDSA.
        ed25519_public_key: Secret = Secret::default(),
        /// The public key in PEM used before, of any kind, still accepted while it is rotated.
        previous_public_key: Secret = Secret::default(),
        /// Until when.
        previous_public_key_valid_until: Option<jiff::Timestamp> = None,
        /// Address of a key set (JWKS), fetched and cached.
        jwks_public_endpoint: String = String::new(),
        /// File with a key set.
        jwks_file: Option<PathBuf> = None,
        /// Value that `aud` must hold.
        audience: String = String::new(),
        /// Regular expression that `aud` must match.
        audience_regex: String = String::new(),
        /// Value that `iss` must be.
        issuer: String = String::new(),
        /// Regular expression that `iss` must match.
        issuer_regex: String = String::new(),
        /// Claim with the user; empty: `sub`.
        user_id_claim: String = String::new(),
        /// Difference of clocks that is forgiven.
        leeway: Period = Period::from_secs(0),
    }
}

section! {
    /// Names of channels.
    Channel {
        /// Longest name in bytes.
        max_length: u16 = 255,
        /// A channel that begins with this needs a subscription token.
        private_prefix: String = "$".to_owned(),
        /// What stands before this in a channel's name is its namespace.
        namespace_boundary: String = ":".to_owned(),
        /// What stands after this are the users who may subscribe.
        user_boundary: String = "#".to_owned(),
        /// Between those users.
        user_separator: String = ",".to_owned(),
    }
}

choice! {
    /// How a subscription recovers.
    RecoveryMode {
        /// Everything missed is sent.
        Stream = "stream",
        /// Only the latest publication is sent.
        Cache = "cache",
    }
}

choice! {
    /// What a publication's data must be.
    DataFormat {
        /// Anything but nothing.
        NotEmpty = "",
        /// JSON.
        Json = "json",
        /// A JSON object.
        JsonObject = "json_object",
        /// Any bytes.
        Binary = "binary",
    }
}

section! {
    /// What channels of a namespace can do. Nothing is allowed unless it is said here.
    Namespace {
        /// Publications kept for each channel; goes together with `history_ttl`.
        history_size: u32 = 0,
        /// How long they are kept.
        history_ttl: Period = Period::from_secs(0),
        /// Every subscription keeps its position and notices a gap.
        force_positioning: bool = false,
        /// Clients may ask for that.
        allow_positioning: bool = false,
        /// Every subscription recovers what it missed; needs history.
        force_recovery: bool = false,
        /// Clients may ask for that.
        allow_recovery: bool = false,
        /// How it recovers.
        force_recovery_mode: RecoveryMode = RecoveryMode::Stream,
        /// Send the latest publication to every new subscriber (mode `cache`).
        auto_cache_recover: bool = false,
        /// Keep who is subscribed.
        presence: bool = false,
        /// Tell when somebody comes or goes.
        join_leave: bool = false,
        /// Tell it to every subscriber, not only to those that ask.
        force_push_join_leave: bool = false,
        /// Every client with a token may subscribe.
        allow_subscribe_for_client: bool = false,
        /// Clients without a user too.
        allow_subscribe_for_anonymous: bool = false,
        /// Subscribers may publish.
        allow_publish_for_subscriber: bool = false,
        /// Every client may publish.
        allow_publish_for_client: bool = false,
        /// Clients without a user too.
        allow_publish_for_anonymous: bool = false,
        /// Subscribers may ask who is there.
        allow_presence_for_subscriber: bool = false,
        /// Every client may ask who is there.
        allow_presence_for_client: bool = false,
        /// Clients without a user too.
        allow_presence_for_anonymous: bool = false,
        /// Subscribers may read the history.
        allow_history_for_subscriber: bool = false,
        /// Every client may read the history.
        allow_history_for_client: bool = false,
        /// Clients without a user too.
        allow_history_for_anonymous: bool = false,
        /// Channels that name their users (`dialog#42,43`) are open to them.
        allow_user_limited_channels: bool = false,
        /// Regular expression that the name after the namespace must match; empty: ASCII only.
        channel_regex: String = String::new(),
        /// What a publication's data must be: "" (anything but nothing), "json", "json_object" or
        /// "binary".
        publication_data_format: DataFormat = DataFormat::NotEmpty,
        /// Kinds of delta that clients may ask for: "fossil".
        allowed_delta_types: Vec<String> = Vec::new(),
        /// Make deltas of every publication for those that asked.
        delta_publish: bool = false,
        /// Clients may filter publications by their tags.
        allow_tags_filter: bool = false,
    }
}

section! {
    /// How long the channels of persons, groups and units are kept. The commits behind them, which are the record
    /// of what happened, stay. A history's position is never forgotten. 0 keeps for good.
    Retention {
        /// Entries of each person's channel.
        person_history_size: u32 = 0,
        /// How long they are kept.
        person_history_ttl: Period = Period::from_secs(0),
        /// Entries of each group's channel.
        group_history_size: u32 = 0,
        /// How long they are kept.
        group_history_ttl: Period = Period::from_secs(0),
        /// Entries of each unit's channel.
        unit_history_size: u32 = 0,
        /// How long they are kept.
        unit_history_ttl: Period = Period::from_secs(0),
        /// How long a caller's idempotency key is remembered: a phone that lost its network in the morning and finds
        /// it again days later still sends nothing twice.
        idempotency_ttl: Period = Period::from_secs(7 * 24 * 3_600),
        /// Legal hold: units of which nothing is removed, whatever the rules say.
        held_units: Vec<String> = Vec::new(),
        /// Legal hold: channels of which nothing is removed.
        held_channels: Vec<String> = Vec::new(),
    }
}

choice! {
    /// How the server API reports errors.
    ErrorMode {
        /// Status 200 with an `error` in the body.
        Body = "",
        /// The HTTP status says it.
        Transport = "transport",
    }
}

section! {
    /// The server API (`/api`), by which back ends publish.
    Api {
        /// Keys, any of which opens it; each may be `file:PATH`. Without a key it is closed.
        keys: Vec<Secret> = Vec::new(),
        /// Open it without a key. For trying things out.
        insecure: bool = false,
        /// How errors are reported: "" (status 200 with `error`) or "transport" (HTTP status).
        error_mode: ErrorMode = ErrorMode::Body,
        /// Largest body of a request.
        body_limit_bytes: usize = 4_194_304,
        /// How long a call may take before it is answered with an error.
        timeout: Period = Period::from_secs(20),
    }
}

section! {
    /// The import of master data.
    Import {
        /// A file that would end more than so many per cent of a unit's records of a kind is refused,
        /// unless a mass end is allowed in so many words. A few records may always end.
        ended_percent_max: u8 = 10,
    }
}

choice! {
    /// Which store.
    Backend {
        /// A folder on this machine.
        Embedded = "embedded",
        /// A cluster.
        Scylla = "scylla",
    }
}

section! {
    /// Where ledgers are kept.
    Store {
        /// "embedded" (a folder on this machine) or "scylla" (a cluster of ScyllaDB or Apache Cassandra, docs/cluster.md).
        backend: Backend = Backend::Embedded,
        /// The embedded store's folder; made when it is not there.
        path: Option<PathBuf> = Some(PathBuf::from("data")),
        /// Memory for its caches.
        cache_size_bytes: usize = 134_217_728,
    }
}

section! {
    /// The cluster, for `store.backend = "scylla"`. `klokke store migrate` makes its tables.
    StoreScylla {
        /// Some of its nodes as `host:port`; the others are found through them.
        nodes: Vec<String> = Vec::new(),
        /// Where nodes are reached whose own address leads nowhere from here (behind address translation, or a proxy), as
        /// `own:port=reached:port`.
        address_translation: Vec<String> = Vec::new(),
        /// The keyspace that holds the tables.
        keyspace: String = "klokke".to_owned(),
        /// Copies of everything, when `klokke store migrate` makes the keyspace.
        replication_factor: u8 = 3,
        /// The datacenter this node talks to; empty: all of them.
        datacenter: String = String::new(),
        /// A majority of that datacenter is enough. Only when no node of Klokke writes in another one: two of them would
        /// not see each other's commits.
        local_quorum: bool = false,
        /// User; empty: the cluster asks for none.
        user: String = String::new(),
        /// Password; may be `file:PATH`.
        password: Secret = Secret::default(),
        /// Talk to the nodes over TLS.
        tls: bool = false,
        /// Certificates in PEM that sign the nodes'; none: those the system trusts.
        tls_authority: Option<PathBuf> = None,
        /// Certificate chain in PEM by which this node proves who it is, where the cluster asks for that.
        tls_certificate: Option<PathBuf> = None,
        /// Its private key in PEM.
        tls_key: Option<PathBuf> = None,
        /// Longest time for one request to the cluster; longer than the cluster's own timeouts, which know more.
        request_timeout: Period = Period::from_secs(5),
        /// Longest time for one call of the store with all its requests.
        call_timeout: Period = Period::from_secs(15),
        /// Requests under way at once; further ones wait.
        requests_in_flight_max: usize = 1_024,
    }
}

section! {
    /// Several nodes on one store, and the NATS between them (docs/cluster.md). For `store.backend = "scylla"`. Without NATS the nodes
    /// hear of each other's commits from the store alone.
    Cluster {
        /// NATS servers as `nats://host:port` or `tls://host:port`; any of them will do.
        nats: Vec<String> = Vec::new(),
        /// The cluster's name. Nodes hear only those with the same: two clusters may share a NATS.
        name: String = "klokke".to_owned(),
        /// User at NATS; empty: it asks for none.
        user: String = String::new(),
        /// Password; may be `file:PATH`.
        password: Secret = Secret::default(),
        /// A credentials file of NATS (JWT and seed), in place of user and password.
        credentials_file: Option<PathBuf> = None,
        /// Certificates in PEM that sign NATS' own; none: those the system trusts.
        tls_authority: Option<PathBuf> = None,
        /// Certificate chain in PEM by which this node proves who it is, where NATS asks for that.
        tls_certificate: Option<PathBuf> = None,
        /// Its private key in PEM.
        tls_key: Option<PathBuf> = None,
        /// How often a node says that it is there and where its ledgers stand.
        hello_interval: Period = Period::from_secs(1),
        /// A node that was silent for so long is gone: others look after its ledgers. At least three of `hello_interval`.
        gone_after: Period = Period::from_secs(5),
        /// How often loaded ledgers are compared with the store, for what a node wrote that died before it could tell.
        look_interval: Period = Period::from_secs(60),
        /// The same without NATS or while it is away: so late are live messages from other nodes then.
        look_interval_without_bus: Period = Period::from_secs(2),
        /// What writes a ledger is sent to the node that the ledger prefers, so that nodes do not get into each other's way. Off, each
        /// node writes what comes in at it.
        routing: bool = true,
        /// Clocks of two nodes that differ by more are complained of in the log.
        clock_skew_max: Period = Period::from_secs(1),
    }
}

section! {
    /// How the server stops.
    Drain {
        /// Over how long connections are closed, so that not all come back at once.
        spread: Period = Period::from_secs(10),
        /// Before that, how long `/health` says that the node stops while it still serves everybody, so that
        /// balancers send nobody new.
        notice: Period = Period::from_secs(0),
        /// When it stops whatever is still open.
        timeout: Period = Period::from_secs(30),
    }
}

choice! {
    /// How log lines look.
    LogFormat {
        /// One JSON object a line.
        Json = "json",
        /// One readable line.
        Text = "text",
    }
}

section! {
    /// Logs, on standard error. They never hold content.
    Log {
        /// error, warn, info, debug or trace; by module too: "info,klokke::ledger=debug".
        level: String = "info".to_owned(),
        /// "text" or "json".
        format: LogFormat = LogFormat::Text,
    }
}

section! {
    /// What operators look at. Open to whoever can reach the address: keep it behind a proxy.
    Metrics {
        /// Serve `/metrics` for Prometheus.
        enabled: bool = true,
    }
}

section! {
    /// A folder of files served at `/`, such as the demo page.
    Web {
        /// The folder; empty: none.
        folder: Option<PathBuf> = None,
    }
}
