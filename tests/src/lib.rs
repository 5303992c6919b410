//! What the whole-system tests share: the real server as a child process, and clients written from the outside.
//!
//! Nothing here names the server's crate. The clients are deliberately simple and blocking, and can send what no SDK would.

pub mod balancer;
pub mod cassandra;
pub mod client;
pub mod http;
pub mod nats;
pub mod raw;
pub mod server;
pub mod token;
