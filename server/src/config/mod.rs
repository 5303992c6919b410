//! What was written, turned into what is meant: typed, checked, secrets redacted. A leaf: names no other room.
