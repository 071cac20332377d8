//! The command `breaker-chaos`: the parts of the chaos demo, each a container of
//! `docker-compose.yml`.
//!
//! A shop of three services that can be made to fail, the script that does it, and the collector
//! that hears of it: checkout calls payments, payments calls the ledger, and a sidecar stands
//! before each. Beside it, the demo of a fleet. `docs/demo.md` tells the whole.

mod chaos;
mod cli;
mod collector;
mod fault;
mod fleet;
mod next;
mod pool;
mod service;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::Parser;

use self::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
