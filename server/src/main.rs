//! Empty until its room is built.
fn main() {}
