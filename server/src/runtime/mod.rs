//! The driver around the machines: shard threads, their clock, and drain.

mod wheel;
