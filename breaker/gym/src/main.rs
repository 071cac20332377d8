//! The gym: how well does a breaker notice, and what does it then do?
//!
//! Scenarios run in virtual time over the real `breaker-core` and over the rules of other systems,
//! on identical traffic, and are scored.
//!
//! * [`luck`], [`traffic`]: requests and their fates, drawn before anybody decides anything
//! * [`scenario`]: what happens to the service, S01 to S30 and D1 to D11
//! * [`levels`]: what a service was like, as metrics have it
//! * [`service`], [`world`]: a queue with a capacity, and the loop of events in virtual time
//! * [`system`]: our policies, and the others' rules, one file each
//! * [`score`], [`summary`], [`timeline`]: what is counted
//! * [`gym`]: every system in every scenario, on all threads
//! * [`cli`], [`table`], [`page`]: what is asked and what is shown
//! * [`arl`]: false alarms on healthy traffic
//! * [`petshop`]: real levels in health and in faults
//! * [`blips`]: how probably trouble of a given length opens
//! * [`endpoints`]: which rule finds the endpoint that is worse than the others
//! * [`fleet`]: replicas that pool their evidence, F1 to F9

mod arl;
mod blips;
mod cli;
mod column;
mod endpoints;
mod fleet;
mod gym;
mod levels;
mod luck;
mod number;
mod page;
mod petshop;
mod scenario;
mod score;
mod service;
mod single;
mod summary;
mod system;
mod table;
mod time;
mod timeline;
mod traffic;
mod world;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cli::Cli::parse().run()
}
