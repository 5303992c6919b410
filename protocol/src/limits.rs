//! Every bound of the wire, with its reason. Most are defaults that a configuration may change.

/// Longest channel name. The protocol's default, and it fits an index row.
pub const CHANNEL_BYTES_MAX: usize = 255;

/// Longest frame a client may send. The protocol's default; a class post with its text is far shorter.
pub const FRAME_BYTES_MAX: usize = 65_536;

/// Most commands in one frame. An SDK sends a connect and its subscriptions at once: 128 and some more.
pub const COMMANDS_PER_FRAME_MAX: usize = 512;

/// Most messages in one frame from a server, for a client that reads it. A server that was kept waiting writes
/// everything that queued up at once: at most [`QUEUE_BYTES_MAX`], of messages that are rarely below 32 bytes.
pub const REPLIES_PER_FRAME_MAX: usize = QUEUE_BYTES_MAX / 32;

/// Most channels of one connection. The protocol's default.
pub const CHANNELS_PER_CONNECTION_MAX: usize = 128;

/// Bytes that may wait for a connection before it counts as slow. The protocol's default.
pub const QUEUE_BYTES_MAX: usize = 1 << 20;

/// Most publications a history request gets. The protocol's default.
pub const HISTORY_PUBLICATIONS_MAX: usize = 300;

/// Most publications a recovery gets; who missed more reads the newest state instead. The protocol's default.
pub const RECOVERY_PUBLICATIONS_MAX: usize = 300;

/// Longest reason in a close frame: the frame holds 125 bytes and two are the code.
pub const CLOSE_REASON_BYTES_MAX: usize = 123;
