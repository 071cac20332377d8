//! Breaker and programs that nobody here wrote, installed by `./test`, which also sets `BREAKER_PEERS`.

#![cfg(test)]

mod caddy;
mod control;
mod curl;
mod envoy;
mod forward;
mod grpc;
mod h2load;
mod otlp;
mod promtool;
mod python;
mod recorder;
mod rotel;
mod shop;
mod tools;
mod top;
mod verdict;
