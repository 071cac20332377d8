//! Breaker and programs that nobody here wrote, installed by `./test`, which also sets `BREAKER_PEERS`.

#![cfg(test)]

mod curl;
mod envoy;
mod grpc;
mod h2load;
mod otlp;
mod promtool;
mod python;
mod rotel;
mod shop;
mod tools;
mod verdict;
