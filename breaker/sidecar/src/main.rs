//! The command `breaker`.

fn main() {}
