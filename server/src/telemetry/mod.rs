//! One catalogue of metrics, and the set-up of logs. A leaf: names no other room.
