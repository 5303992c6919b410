//! The table of every metric. Add a row, use its constant; nothing else is needed.
//!
//! The names under `centrifugo_` are those that existing dashboards of servers of this protocol
//! draw (docs/protocol.md, section 10); they are here where they mean the same, and their counters
//! carry no `_total`, because those dashboards expect none. Everything else is under `klokke_`.

use super::metric::{Age, Counter, Gauge, Histogram, Kind, LabelSpec, MetricSpec, Unit, Values};

/// Upper bounds for what takes from 100 µs to 10 s, as the dashboards expect them.
pub const LATENCY_SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// Upper bounds for what may have to wait for admission: from 1 ms to two minutes.
pub const WAIT_SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
];

/// Upper bounds for how many things were done at once.
pub const BATCH: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0,
];

const fn label(name: &'static str, values: Values) -> LabelSpec {
    LabelSpec { name, values }
}

/// Namespaces are named by configuration; 64 is more than any installation we know has.
const NAMESPACE: LabelSpec = label("channel_namespace", Values::AtMost(64));
const TRANSPORT: LabelSpec = label(
    "transport",
    Values::OneOf(&["websocket", "http_stream", "sse", "quic", "webtransport"]),
);
/// The HTTP version a connection was accepted with.
const ACCEPT_PROTOCOL: LabelSpec = label("accept_protocol", Values::OneOf(&["h1", "h2", "h3", ""]));
/// Names of clients that are told apart: those the known SDKs give.
pub const CLIENT_NAMES: &[&str] = &[
    "", "js", "swift", "java", "dart", "go", "python", "csharp", "klokke",
];
/// Clients name themselves, so any other name is counted as `other`.
const CLIENT_NAME: LabelSpec = label("client_name", Values::OneOf(CLIENT_NAMES));
/// Always empty: a version is the client's own words and would be unbounded.
const CLIENT_VERSION: LabelSpec = label("client_version", Values::OneOf(&[""]));
const MESSAGE: LabelSpec = label("type", Values::OneOf(&["publication", "join", "leave"]));
/// Kinds of questions between nodes, as the bus names them.
pub const ASKED_KINDS: &[&str] = &[
    "presence",
    "presence_stats",
    "channels",
    "connections",
    "info",
    "direct",
    "uplink",
    "publication",
    "movement",
    "operation",
    "streamed",
    "unknown",
];
const ASKED_KIND: LabelSpec = label("kind", Values::OneOf(ASKED_KINDS));
const METHOD: LabelSpec = label(
    "method",
    Values::OneOf(&[
        "connect",
        "subscribe",
        "unsubscribe",
        "publish",
        "presence",
        "presence_stats",
        "history",
        "rpc",
        "send",
        "refresh",
        "sub_refresh",
    ]),
);
/// Kinds of messages of the protocol.
pub const FRAMES: &[&str] = &[
    "connect",
    "subscribe",
    "unsubscribe",
    "publish",
    "presence",
    "presence_stats",
    "history",
    "rpc",
    "send",
    "refresh",
    "sub_refresh",
    "client_pong",
    "server_ping",
    "push_publication",
    "push_join",
    "push_leave",
    "push_unsubscribe",
    "push_message",
    "push_subscribe",
    "push_connect",
    "push_disconnect",
    "push_refresh",
];
const FRAME: LabelSpec = label("frame_type", Values::OneOf(FRAMES));
/// Codes are numbers from the two tables of the protocol; applications may add some.
const CODE: LabelSpec = label("code", Values::AtMost(64));
const YES_NO: &[&str] = &["yes", "no"];
const API_PROTOCOL: LabelSpec = label("protocol", Values::OneOf(&["http"]));
const API_METHOD: LabelSpec = label("method", Values::AtMost(32));
/// Operations are declared in code.
const OPERATION: LabelSpec = label("operation", Values::AtMost(256));
/// As what a connect comes.
const CONNECT_CLASS: LabelSpec = label("class", Values::OneOf(&["staff", "guardian", "other"]));
const DOOR: LabelSpec = label(
    "door",
    Values::OneOf(&["rpc", "rest", "api", "cli", "outbox", "server"]),
);

/// Who is at the other end, by the profiles of the login: one with any staff profile is staff.
pub const ROLES: &[&str] = &["staff", "guardian", "pupil", "other", "anonymous"];
const ROLE: LabelSpec = label("role", Values::OneOf(ROLES));
/// Why a right was denied: the rights errors of operations (docs/errors.md) without their prefix, and
/// `channel` for what a client may not do with a channel.
pub const DENIALS: &[&str] = &[
    "not_allowed",
    "step_up_required",
    "communication_blocked",
    "outside_municipality",
    "profile_not_yours",
    "reply_to_sender",
    "step_up_refused",
    "channel",
];
/// What is read of the store.
pub const READS: &[&str] = &[
    "head",
    "commits",
    "entries",
    "channels",
    "record",
    "records",
    "index",
    "idempotency",
    "ledgers",
    "outbox",
    "retention",
];
/// Shards are one a core.
const SHARD: LabelSpec = label("shard", Values::AtMost(256));

/// Declares the table: constant, kind, name, unit, labels, help.
macro_rules! catalogue {
    ($( $(#[$doc:meta])* $id:ident: $handle:ident $(($buckets:expr))? = $name:literal, $unit:ident,
        [$($label:expr),*], $help:literal; )*) => {
        /// Every metric there is, in the order of exposition.
        pub static CATALOGUE: &[MetricSpec] = &[
            $( MetricSpec {
                name: $name,
                kind: Kind::$handle $(($buckets))?,
                unit: Unit::$unit,
                labels: &[$($label),*],
                help: $help,
            } ),*
        ];
        /// Positions in the table, so that a constant finds its row without a search.
        #[allow(
            non_camel_case_types,
            clippy::upper_case_acronyms,
            reason = "named as the constants, which are named as constants"
        )]
        enum Position { $($id),* }
        $(
            #[doc = $help]
            $(#[$doc])*
            pub const $id: $handle = $handle(Position::$id as usize);
        )*
    };
}

catalogue! {
    // --- The node, under the names of existing dashboards ---
    NODE_NUM_CLIENTS: Gauge = "centrifugo_node_num_clients", Things, [],
        "Connections open on this node.";
    NODE_NUM_USERS: Gauge = "centrifugo_node_num_users", Things, [],
        "Different users connected to this node (somebody connected to two shards counts twice).";
    NODE_NUM_SUBSCRIPTIONS: Gauge = "centrifugo_node_num_subscriptions", Things, [],
        "Subscriptions held by this node's connections.";
    NODE_NUM_CHANNELS: Gauge = "centrifugo_node_num_channels", Things, [],
        "Channels with a subscriber on this node (a channel on two shards counts twice).";
    NODE_NUM_NODES: Gauge = "centrifugo_node_num_nodes", Things, [],
        "Nodes in the cluster as this node sees it.";
    NODE_BUILD: Gauge = "centrifugo_node_build", Things,
        [label("version", Values::AtMost(1))],
        "Always 1; the label says which version runs.";
    NODE_MESSAGES_SENT: Counter = "centrifugo_node_messages_sent_count", Things,
        [MESSAGE, NAMESPACE],
        "Messages this node published to channels, before fan-out.";
    NODE_MESSAGES_RECEIVED: Counter = "centrifugo_node_messages_received_count", Things,
        [MESSAGE, NAMESPACE],
        "Messages this node received for its channels, its own included.";
    NODE_BROADCAST_SECONDS: Histogram(LATENCY_SECONDS) = "centrifugo_node_broadcast_duration_seconds",
        Seconds, [MESSAGE, NAMESPACE],
        "From a message's arrival on a shard until it is written to that shard's last subscriber.";
    NODE_TAGS_FILTERED: Counter = "centrifugo_node_tags_filter_dropped_publications", Things,
        [NAMESPACE],
        "Publications not sent to a subscriber because of its tags filter.";
    NODE_CONNECTION_LIMIT: Counter = "centrifugo_node_client_connection_limit", Things, [],
        "Connections refused because the node had as many as allowed.";
    NODE_HTTP_REQUESTS: Counter = "centrifugo_node_incoming_http_requests_total", Things,
        [label("path", Values::AtMost(256)), label("method", Values::OneOf(
            &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])),
         label("status", Values::AtMost(32))],
        "HTTP requests answered; the path is the route's pattern, not what was asked for.";

    // --- Clients, under the names of existing dashboards ---
    CLIENT_COMMAND_SECONDS: Histogram(LATENCY_SECONDS) =
        "centrifugo_client_command_duration_seconds_histogram", Seconds, [METHOD, NAMESPACE],
        "From a command's arrival until its reply is ready.";
    CLIENT_REPLY_ERRORS: Counter = "centrifugo_client_num_reply_errors", Things,
        [METHOD, CODE, NAMESPACE],
        "Commands answered with an error.";
    CLIENT_DISCONNECTS: Counter = "centrifugo_client_num_server_disconnects", Things, [CODE],
        "Connections closed by the server, by disconnect code.";
    CLIENT_UNSUBSCRIBES: Counter = "centrifugo_client_num_server_unsubscribes", Things,
        [CODE, NAMESPACE],
        "Subscriptions ended by the server, by unsubscribe code.";
    CLIENT_RECOVER: Counter = "centrifugo_client_recover", Things,
        [label("recovered", Values::OneOf(YES_NO)),
         label("has_recovered_publications", Values::OneOf(YES_NO)), NAMESPACE],
        "Attempts to recover a subscription from a position.";
    CLIENT_CONNECTIONS_ACCEPTED: Counter = "centrifugo_client_connections_accepted", Things,
        [TRANSPORT, ACCEPT_PROTOCOL, CLIENT_NAME, CLIENT_VERSION],
        "Connections that authenticated.";
    CLIENT_CONNECTIONS_INFLIGHT: Gauge = "centrifugo_client_connections_inflight", Things,
        [TRANSPORT, ACCEPT_PROTOCOL, CLIENT_NAME, CLIENT_VERSION],
        "Authenticated connections open now.";
    CLIENT_SUBSCRIPTIONS_ACCEPTED: Counter = "centrifugo_client_subscriptions_accepted", Things,
        [CLIENT_NAME, NAMESPACE],
        "Subscriptions granted.";
    CLIENT_SUBSCRIPTIONS_INFLIGHT: Gauge = "centrifugo_client_subscriptions_inflight", Things,
        [CLIENT_NAME, NAMESPACE],
        "Subscriptions open now.";
    CLIENT_PING_PONG_SECONDS: Histogram(LATENCY_SECONDS) =
        "centrifugo_client_ping_pong_duration_seconds", Seconds, [TRANSPORT],
        "From a ping until its pong.";

    // --- Transport, under the names of existing dashboards ---
    TRANSPORT_SENT: Counter = "centrifugo_transport_messages_sent", Things,
        [TRANSPORT, FRAME, NAMESPACE],
        "Messages sent to clients.";
    TRANSPORT_SENT_BYTES: Counter = "centrifugo_transport_messages_sent_size", Bytes,
        [TRANSPORT, FRAME, NAMESPACE],
        "Bytes of messages sent to clients.";
    TRANSPORT_RECEIVED: Counter = "centrifugo_transport_messages_received", Things,
        [TRANSPORT, FRAME, NAMESPACE],
        "Messages received from clients.";
    TRANSPORT_RECEIVED_BYTES: Counter = "centrifugo_transport_messages_received_size", Bytes,
        [TRANSPORT, FRAME, NAMESPACE],
        "Bytes of messages received from clients.";
    TRANSPORT_CLOSES: Counter = "centrifugo_transport_outgoing_close_count", Things,
        [TRANSPORT, CODE],
        "Connections closed by the server, by close code: of the protocol, or of WebSocket where framing broke.";

    // --- Server API, under the names of existing dashboards ---
    API_COMMAND_SECONDS: Histogram(LATENCY_SECONDS) =
        "centrifugo_api_command_duration_seconds_histogram", Seconds, [API_PROTOCOL, API_METHOD],
        "How long calls of the server API took.";
    API_COMMAND_ERRORS: Counter = "centrifugo_api_command_errors_total", Things,
        [API_PROTOCOL, API_METHOD, label("error", Values::AtMost(32))],
        "Calls of the server API answered with an error.";

    // --- Transport and admission ---
    ACCEPTED_SOCKETS: Counter = "klokke_transport_sockets_accepted_total", Things,
        [label("listener", Values::OneOf(&["plain", "tls"]))],
        "Sockets accepted, before any handshake.";
    HANDSHAKES_REFUSED: Counter = "klokke_transport_handshakes_refused_total", Things,
        [label("reason", Values::OneOf(&["origin", "rate", "connection_limit", "address_limit",
            "tls", "malformed", "too_large", "timeout", "draining"]))],
        "Connections refused before they became one.";
    FRAMES_REFUSED: Counter = "klokke_transport_frames_refused_total", Things,
        [label("reason", Values::OneOf(&["too_large", "malformed", "utf8", "protocol"]))],
        "Frames that broke a rule of their transport; each ends its connection.";
    FANOUT_WRITES: Counter = "klokke_fanout_writes_total", Things, [],
        "Write calls made by the fan-out.";
    FANOUT_FRAMES: Counter = "klokke_fanout_frames_total", Things, [],
        "Frames those write calls carried; frames per write says how much was joined.";
    FANOUT_ENCODINGS: Counter = "klokke_fanout_encodings_total", Things, [],
        "Times a publication was encoded: once a class of subscriber.";
    DELIVERIES: Counter = "klokke_deliveries_total", Things, [NAMESPACE],
        "Publications written to subscribers, each once a subscriber.";
    PUBLISH_TO_WRITE_SECONDS: Histogram(LATENCY_SECONDS) = "klokke_publish_to_write_seconds", Seconds,
        [NAMESPACE],
        "From the arrival of the command or call that publishes to the write to a shard's last subscriber; once a shard that has one.";
    QUEUED_BYTES: Gauge = "klokke_outgoing_queue_bytes", Bytes, [],
        "Bytes waiting in connections' outgoing queues because the kernel would not take them.";
    SLOW_CONSUMERS: Counter = "klokke_slow_consumers_total", Things, [TRANSPORT],
        "Connections closed because their queue passed its limit.";
    CONNECTIONS: Gauge = "klokke_connections", Things,
        [TRANSPORT, ROLE, label("state", Values::OneOf(&["opening", "open", "lagging"]))],
        "Connections: opening until authenticated (anonymous till then), open, or lagging when bytes wait in their queue.";
    CONNECTS: Counter = "klokke_connects_total", Things,
        [TRANSPORT, ROLE, label("kind", Values::OneOf(&["new", "resumed"]))],
        "Connect commands granted; resumed ones came with positions to recover.";
    CONNECT_SECONDS: Histogram(WAIT_SECONDS) = "klokke_connect_duration_seconds", Seconds,
        [TRANSPORT],
        "From a socket's acceptance (or its request, where it had others before) to the connect reply.";

    // --- Admission by role ---
    ADMISSION_WAITING: Gauge = "klokke_admission_waiting", Things, [CONNECT_CLASS],
        "Connects that wait for their turn.";
    ADMISSION_WAIT_SECONDS: Histogram(LATENCY_SECONDS) = "klokke_admission_wait_seconds", Seconds,
        [CONNECT_CLASS],
        "How long connects waited before they were let in; those let in at once count with nothing.";
    ADMISSION_ADMITTED: Counter = "klokke_admission_admitted_total", Things, [CONNECT_CLASS],
        "Connects let in that went through.";
    ADMISSION_REFUSED: Counter = "klokke_admission_refused_total", Things,
        [label("class", Values::OneOf(&["staff", "guardian", "other", "care", "messages", "posts", "lists"])),
         label("reason", Values::OneOf(&["queue", "wait", "level", "ledger"]))],
        "Who was told to come again later: connects by role (too many wait, or waited too long), and work by importance (put off by the node's level, or by a ledger that is behind).";
    ADMISSION_LEVEL: Gauge = "klokke_admission_level", Things, [],
        "How far work is put off: 0 nothing, 1 lists, 2 posts too, 3 messages too, 4 what staff send too.";
    TLS_HANDSHAKES: Counter = "klokke_tls_handshakes_total", Things,
        [label("kind", Values::OneOf(&["full", "resumed"]))],
        "TLS handshakes that succeeded; a resumed one takes no signature.";
    QUIC_ARRIVALS: Counter = "klokke_quic_arrivals_total", Things,
        [label("outcome", Values::OneOf(&["done", "failed", "retried", "refused"]))],
        "Who came over QUIC: handshakes done and failed, and who was asked to prove its address first or sent away.";
    QUIC_HANDED_ON: Counter = "klokke_quic_datagrams_handed_on_total", Things, [],
        "Datagrams that came to another shard than their connection lives on, because its client's address changed.";
    TOKEN_VERDICTS: Counter = "klokke_token_verdicts_total", Things,
        [label("source", Values::OneOf(&["checked", "remembered"]))],
        "Whether the signature of a token that was looked at had to be computed.";

    // --- Shards ---
    SHARDS: Gauge = "klokke_shards", Things, [],
        "Shard threads.";
    MEMORY_LIMIT: Gauge = "klokke_memory_limit_bytes", Bytes, [],
        "Memory this process may have: what is set, else the lesser of the machine's and the control group's limit.";
    SHARD_TURN_SECONDS: Histogram(LATENCY_SECONDS) = "klokke_shard_turn_duration_seconds", Seconds,
        [],
        "One turn of a shard's loop, from waking to waiting; a long one makes everybody on it wait.";
    SHARD_LAG_SECONDS: Histogram(LATENCY_SECONDS) = "klokke_shard_lag_seconds", Seconds, [],
        "How late a shard's loop came to what was due by its clock; looked at each second at least.";
    SHARD_MEMORY_BYTES: Gauge = "klokke_shard_memory_bytes", Bytes,
        [SHARD, label("part", Values::OneOf(&["sessions", "recent", "rosters", "queues"]))],
        "Memory by what it is for, reckoned from what is held: connections with their subscriptions, entries kept for recovery, who is who, and bytes that wait to be written.";
    SHARD_MAILBOX_FULL: Counter = "klokke_shard_mailbox_full_total", Things, [],
        "Requests to a shard refused because its mailbox was full.";

    // --- Sessions and tokens ---
    TOKENS_VERIFIED: Counter = "klokke_tokens_verified_total", Things,
        [label("outcome", Values::OneOf(&["accepted", "expired", "invalid", "revoked",
            "unavailable"]))],
        "Tokens looked at.";
    KEYSET_FETCHES: Counter = "klokke_keyset_fetches_total", Things,
        [label("outcome", Values::OneOf(&["fetched", "failed"]))],
        "Fetches of a key set from its file or address.";
    STEP_UP_REQUIRED: Counter = "klokke_step_up_required_total", Things, [],
        "Times content was withheld until its reader authenticates at a higher level.";
    ENTITLEMENTS_CHANGED: Counter = "klokke_entitlements_changed_total", Things,
        [label("change", Values::OneOf(&["added", "removed", "narrowed", "widened"]))],
        "Changes made to open connections because somebody's relations changed.";
    PRESENCE_ENTRIES: Gauge = "klokke_presence_entries", Things, [],
        "Subscriptions shown in the presence of their channels.";
    RECOVERIES: Counter = "klokke_recoveries_total", Things,
        [label("outcome", Values::OneOf(&["complete", "incomplete", "failed"])),
         label("source", Values::OneOf(&["memory", "store", "none"]))],
        "Attempts to recover a subscription: with all that was missed, without (the client reloads), or refused; and where from.";
    RIGHTS_DENIED: Counter = "klokke_rights_denied_total", Things,
        [label("reason", Values::OneOf(DENIALS))],
        "Commands and calls refused because of rights.";

    // --- Ledgers and store ---
    LEDGERS_LOADED: Gauge = "klokke_ledgers_loaded", Things, [],
        "Ledgers loaded on this node.";
    LEDGER_COMMITS: Counter = "klokke_ledger_commits_total", Things,
        [label("kind", Values::OneOf(&["domain", "channel"]))],
        "Commits made durable: of units, or of channels' histories.";
    LEDGER_ENTRIES: Counter = "klokke_ledger_entries_total", Things, [],
        "Entries those commits appended to channels, one a channel.";
    LEDGER_CALL_SECONDS: Histogram(LATENCY_SECONDS) = "klokke_ledger_call_duration_seconds", Seconds,
        [],
        "From a call's arrival at a ledger until it is durable and answered.";
    LEDGER_COMMIT_SECONDS: Histogram(LATENCY_SECONDS) = "klokke_ledger_commit_duration_seconds",
        Seconds, [],
        "From a ledger's handing a group of commits to the store until it is durable and with every shard.";
    LEDGER_GROUP: Histogram(BATCH) = "klokke_ledger_group_size", Things, [],
        "Commits a ledger handed to the store at once.";
    LEDGER_CONFLICTS: Counter = "klokke_ledger_conflicts_total", Things, [],
        "Groups of commits refused because somebody else wrote first; their calls are run again.";
    CLUSTER_MEMBERS: Gauge = "klokke_cluster_members", Things, [label("version", Values::AtMost(8))],
        "Nodes as this one sees them, itself included, by the version they run.";
    CLUSTER_ODD_NODES: Gauge = "klokke_cluster_odd_nodes", Things, [label("oddity", Values::OneOf(&["settings", "clock"]))],
        "Other nodes whose settings are not as here where all must have the same, or whose clock differs by more than allowed.";
    CLUSTER_ROUTED: Counter = "klokke_cluster_routed_total", Things,
        [label("errand", Values::OneOf(&["operation", "publication"])), label("outcome", Values::OneOf(&["done", "refused", "taken_back"]))],
        "What was sent to the node that its ledger prefers, by what came of it; what got no answer was done here.";
    LEDGERS_TAKEN_OVER: Counter = "klokke_cluster_ledgers_taken_over_total", Things, [],
        "Ledgers loaded because a node that leaves had them and this one is preferred now.";
    BUS_UP: Gauge = "klokke_bus_up", Things, [],
        "1 while the bus between the nodes is there; 0 while what others write is read from the store.";
    BUS_MESSAGES: Counter = "klokke_bus_messages_total", Things,
        [label("direction", Values::OneOf(&["in", "out"])), label("kind", Values::OneOf(&["commits", "positions", "hello", "asked", "answer", "told", "unknown", "undecodable", "stranger"]))],
        "Messages told to other nodes or heard of them.";
    BUS_DROPPED: Counter = "klokke_bus_dropped_total", Things, [label("direction", Values::OneOf(&["in", "out"]))],
        "Messages not told because the bus was away or behind, or not taken because there was too much to do or nobody waits any more. Hints of commits are found later.";
    BUS_ASKED: Counter = "klokke_bus_asked_total", Things,
        [ASKED_KIND, label("outcome", Values::OneOf(&["ok", "refused", "late", "away", "busy", "too_large"]))],
        "Questions to other nodes, by what became of them.";
    BUS_ANSWERED: Counter = "klokke_bus_answered_total", Things,
        [ASKED_KIND, label("outcome", Values::OneOf(&["ok", "refused", "unknown", "late", "twice", "busy", "too_large"]))],
        "Questions of other nodes, by what became of them; unknown is what only a newer version answers.";
    BUS_ASK_DURATION: Histogram(LATENCY_SECONDS) = "klokke_bus_ask_duration_seconds", Seconds, [ASKED_KIND],
        "From asking another node until its answer, or until there was none.";
    BUS_LOOKS: Counter = "klokke_bus_looks_total", Things, [],
        "Times a loaded ledger was compared with the store because the bus could not be relied on.";
    LEDGER_FOREIGN_COMMITS: Counter = "klokke_ledger_foreign_commits_total", Things, [label("way", Values::OneOf(&["bus", "store"]))],
        "Commits of other nodes taken in: as the bus told them, or read from the store because the bus did not.";
    LEDGER_FORKS: Counter = "klokke_ledger_forks_total", Things, [],
        "Times two different commits with one number were told of. Never anything but 0.";
    LEDGER_RENEWED: Counter = "klokke_ledger_renewed_total", Things, [],
        "Times a loaded ledger was begun anew from the store: it lacked commits that retention had removed, or held others than the store has.";
    LEDGER_MAILBOX_FULL: Counter = "klokke_ledger_mailbox_full_total", Things, [],
        "Calls refused because a ledger had as many waiting as allowed.";
    LEDGER_REPLAYS: Counter = "klokke_ledger_replayed_calls_total", Things, [],
        "Calls answered from an earlier outcome by their idempotency key.";
    LEDGER_READ_BACKS: Counter = "klokke_ledger_read_backs_total", Things, [],
        "Times a ledger read back what the store has, because a write's outcome was unclear or somebody else wrote first.";
    OUTBOX_PENDING: Gauge = "klokke_outbox_pending", Things, [],
        "Items waiting to be delivered to another ledger.";
    OUTBOX_OLDEST_SECONDS: Age = "klokke_outbox_oldest_seconds", Seconds, [],
        "Age of the oldest item waiting to be delivered to another ledger; 0 when none waits.";
    OUTBOX_DELIVERIES: Counter = "klokke_outbox_deliveries_total", Things,
        [label("outcome", Values::OneOf(&["delivered", "refused", "failed"]))],
        "Attempts to deliver an item to another ledger.";
    STORE_COMMIT_SECONDS: Histogram(LATENCY_SECONDS) = "klokke_store_commit_duration_seconds",
        Seconds, [],
        "One durable write of the store, with its flush.";
    STORE_BATCH: Histogram(BATCH) = "klokke_store_commits_per_write", Things, [],
        "Commits made durable by one write of the store.";
    STORE_READ_SECONDS: Histogram(LATENCY_SECONDS) = "klokke_store_read_duration_seconds", Seconds,
        [label("kind", Values::OneOf(READS))],
        "Reads of the store, with their wait for a reading thread.";
    STORE_ERRORS: Counter = "klokke_store_errors_total", Things,
        [label("kind", Values::OneOf(&["conflict", "unknown", "unavailable", "damaged"]))],
        "Answers of the store that were not what was hoped for.";
    STORE_LWT: Counter = "klokke_store_lwt_total", Things,
        [label("outcome", Values::OneOf(&["applied", "not_applied", "unclear", "not_begun"]))],
        "Lightweight transactions of the store on a cluster; those that were not applied met another writer.";
    STORE_UNCLEAR: Counter = "klokke_store_unclear_writes_total", Things,
        [label("end", Values::OneOf(&["written", "not_written", "open"]))],
        "Writes whose answer was lost, by what was found out about them.";
    STORE_REPLAYED: Counter = "klokke_store_replayed_commits_total", Things, [],
        "Commits whose derived rows another node, or a run before, had not written.";
    STORE_SHARED_READS: Counter = "klokke_store_shared_reads_total", Things, [],
        "Reads of commits answered by an equal one under way.";
    STORE_IN_FLIGHT: Gauge = "klokke_store_requests_in_flight", Things, [],
        "Requests to the cluster under way.";
    STORE_DAMAGE: Counter = "klokke_store_damage_total", Things, [],
        "Stored rows found damaged. Anything but 0 needs somebody to look.";

    // --- Operations and doors ---
    OPERATION_SECONDS: Histogram(LATENCY_SECONDS) = "klokke_operation_duration_seconds", Seconds,
        [OPERATION, DOOR],
        "How long operations took, successful or not.";
    OPERATION_REFUSALS: Counter = "klokke_operation_refusals_total", Things,
        [OPERATION, DOOR, CODE],
        "Operations refused, by error code.";
    MESSAGES: Counter = "klokke_messages_total", Things,
        [label("kind", Values::OneOf(&["thread", "message", "reply"]))],
        "Messages written: those that began a thread, those sent in one, and answers.";
    POSTS: Counter = "klokke_posts_total", Things, [],
        "Posts written, for at once or for their hour.";
    NOTIFICATIONS: Counter = "klokke_notifications_total", Things, [],
        "Notifications made by operations, once a recipient.";
    HTTP_REFUSED: Counter = "klokke_http_requests_refused_total", Things,
        [label("reason", Values::OneOf(&["unauthorised", "too_large", "malformed", "media_type",
            "origin", "timeout", "unavailable"]))],
        "HTTP requests refused before they reached an operation.";
    LOG_EVENTS: Counter = "klokke_log_events_total", Things,
        [label("level", Values::OneOf(&["error", "warn"]))],
        "Log lines at these levels; an error is for somebody to look at.";
}
