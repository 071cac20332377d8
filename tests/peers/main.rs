//! Breaker and programs that nobody here wrote, installed by `./test`, which also sets `BREAKER_PEERS`.

#![cfg(test)]

mod curl;
mod grpc;
mod h2load;
mod otlp;
mod promtool;
mod rotel;
mod tools;
mod verdict;
