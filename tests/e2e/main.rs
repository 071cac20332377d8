//! The binary as its users run it: a process between real sockets.

#![cfg(test)]

mod cli;
mod connections;
mod drain;
mod faults;
mod forwarding;
mod malformed;
mod neutral;
mod recovery;
mod streams;
mod telemetry;
mod traffic;
mod trip;
