//! The command line: what each command takes, and what it prints.
//!
//! Exit codes: 0 good, 1 failed, 2 for wrong usage, a bad configuration or a bad policy.

mod backtest;
mod check;
mod client;
mod control;
mod demo;
mod explain;
mod explanation;
mod fleet;
mod health;
mod logging;
mod otlp_env;
mod output;
mod run;
mod schema;
mod status;
mod table;
mod top;
mod upstreams;

use std::env;
use std::process::ExitCode;

use breaker_sidecar::report::Mode;
use clap::{Arg, CommandFactory, FromArgMatches, Parser, Subcommand};

/// A reverse proxy that stops sending requests to a service in trouble, so that it can recover
#[derive(Debug, Parser)]
#[command(
    name = "breaker",
    version,
    max_term_width = 100,
    subcommand_required = true
)]
pub(crate) struct Cli {
    /// How to log.
    #[command(flatten)]
    pub(crate) logging: logging::Logging,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the proxy
    Run(run::Run),
    /// Runs the proxy and records its requests, for backtests
    Record(run::Record),
    /// Checks a configuration or a policy, and explains it
    Check(check::Check),
    /// Shows a service failing and the breaker saving it, in one process
    Demo(demo::Demo),
    /// Asks whether a sidecar takes traffic, for health checks
    Health(health::Health),
    /// Shows what policies would have done on recorded traffic
    Backtest(backtest::Backtest),
    /// Shows what the breakers of a running sidecar know
    Status(status::Status),
    /// Tells in words what a breaker of a running sidecar believes, and what would open or close it
    Explain(explanation::Explain),
    /// Shows the breakers of a running sidecar live, in the terminal
    Top(top::Top),
    /// Opens breakers of a running sidecar: rejects all requests of the routes
    Open(control::Force),
    /// Closes breakers: admits all requests, whatever becomes of them
    Close(control::Force),
    /// Lets the policies of breakers decide and report, and rejects nothing
    Shadow(control::Force),
    /// Lets the policies of breakers decide again
    Auto(control::Auto),
    /// Forces all routes of a running sidecar closed at once, or gives them their modes again
    Panic(control::Panic),
    /// Closes breakers, and makes them forget their windows, back-off and what they have learned
    Reset(control::Reset),
    /// Shows a breaker's policy, or puts another one in force
    Policy(control::Policy),
    /// Shows the endpoints of upstreams of a running sidecar
    Upstreams(upstreams::Upstreams),
    /// Lets an endpoint get no requests for a while
    Eject(upstreams::Eject),
    /// Lets an endpoint get requests again, whatever it is out for
    Admit(upstreams::Admit),
    /// Has a running sidecar load its configuration anew
    Reload(control::Reload),
    /// Prints the JSON Schema of a file
    Schema(schema::Schema),
}

impl Cli {
    /// The arguments and the environment of the process; ends it where they are wrong. A variable
    /// that is empty is one that isn't set: that is how compose files and charts leave one out.
    pub(crate) fn of_process() -> Self {
        let matches = without_empty(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

fn without_empty(command: clap::Command) -> clap::Command {
    let is_empty = |arg: &Arg| {
        let name = arg.get_env();
        name.is_some_and(|name| env::var_os(name).is_some_and(|value| value.is_empty()))
    };
    command
        .mut_args(|arg| {
            if is_empty(&arg) {
                arg.env(None::<&'static str>)
            } else {
                arg
            }
        })
        .mut_subcommands(without_empty)
}

impl Command {
    /// Does it.
    pub(crate) fn run(self) -> ExitCode {
        if !matches!(self, Self::Run(_) | Self::Record(_)) {
            logging::begin();
        }
        match self {
            Self::Run(run) => run.run(),
            Self::Record(record) => record.run(),
            Self::Check(check) => check.run(),
            Self::Demo(demo) => demo.run(),
            Self::Health(health) => health.run(),
            Self::Backtest(backtest) => backtest.run(),
            Self::Status(status) => status.run(),
            Self::Explain(explain) => explain.run(),
            Self::Top(top) => top.run(),
            Self::Open(force) => force.run(Mode::ForcedOpen),
            Self::Close(force) => force.run(Mode::ForcedClosed),
            Self::Shadow(force) => force.run(Mode::Shadow),
            Self::Auto(auto) => auto.run(),
            Self::Panic(panic) => panic.run(),
            Self::Reset(reset) => reset.run(),
            Self::Policy(policy) => policy.run(),
            Self::Upstreams(upstreams) => upstreams.run(),
            Self::Eject(eject) => eject.run(),
            Self::Admit(admit) => admit.run(),
            Self::Reload(reload) => reload.run(),
            Self::Schema(schema) => schema.run(),
        }
    }
}

/// The exit code for wrong usage, a bad configuration or a bad policy; clap uses the same.
const BAD_INPUT: u8 = 2;
/// The exit code for what went wrong at run time.
const FAILED: u8 = 1;
