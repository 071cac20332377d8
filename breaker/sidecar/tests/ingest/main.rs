//! The receiver over real sockets: senders of every kind, a recording collector behind it, no fixed
//! sleeps.

#![expect(clippy::unwrap_used, reason = "a failure of the harness is the test's")]

mod aging;
mod bombs;
mod client;
mod collector;
mod delivery;
mod forwarding;
mod harness;
mod outcomes;
mod overload;
mod peers;
mod refusals;
mod secured;
mod success;
mod tls;
