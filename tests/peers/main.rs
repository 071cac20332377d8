//! Breaker and programs that nobody here wrote, installed by `./test`, which also sets
//! `BREAKER_PEERS`.

#![cfg(test)]

mod backtest;
mod caddy;
mod compose;
mod control;
mod curl;
mod dashboard;
mod endpoints;
mod envoy;
mod fleet;
mod forward;
mod grpc;
mod h2load;
mod image;
#[cfg(feature = "kafka")]
mod kafka;
mod kubernetes;
mod otlp;
mod promtool;
mod python;
mod recorder;
mod rotel;
mod shop;
mod spiffe;
mod strace;
mod tls;
mod tls_peers;
mod tools;
mod top;
mod verdict;
