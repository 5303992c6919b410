//! One shard's machine for subscriptions and fan-out, without I/O.
