//! The data path over real sockets: raw clients, scripted upstreams, no fixed sleeps.

#![expect(clippy::unwrap_used, reason = "a failure of the harness is the test's")]

mod bounds;
mod breaking;
mod drain;
mod early;
mod endpoints;
mod fallback;
mod forwarding;
mod frames;
mod framing;
mod harness;
mod hops;
mod http2;
mod limits;
mod malformed;
mod measuring;
mod names;
mod outcomes;
mod parking;
mod pools;
mod retries;
mod reuse;
mod rules;
mod tls;
mod tracing;
mod upgrades;
mod waiting;
