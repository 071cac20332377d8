//! The binary as its users run it: a process between real sockets. The proxy's handling of HTTP,
//! rule by rule, is tested in process, in `breaker/sidecar/tests`.

#![cfg(test)]

mod abuse;
mod access;
mod canary;
mod chaos;
mod cli;
mod control;
mod drain;
mod exhaustion;
mod fallback;
mod faults;
mod follow;
mod handshakes;
mod idle;
mod keys;
mod neutral;
mod recovery;
mod reload;
mod sandbox;
mod secure;
mod tasks;
mod telemetry;
mod traffic;
mod trip;
mod unix;
