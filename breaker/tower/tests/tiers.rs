//! Three tiers on loopback: a breaker at the end is open, and no breaker before it counts what the
//! tiers pass on.

#![expect(
    clippy::unwrap_used,
    reason = "clippy sees test functions only, not their helpers"
)]

#[path = "tiers/grpc.rs"]
mod grpc;
#[path = "tiers/http.rs"]
mod http;
