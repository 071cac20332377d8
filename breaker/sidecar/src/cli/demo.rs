//! `breaker demo`: an incident in one process.

use std::process::ExitCode;
use std::time::Duration;

use breaker_sidecar::config::{Address, AdminAddress};
use breaker_sidecar::demo::{Demo, SHORTEST};
use clap::Args;

/// Shows a service failing and the breaker saving it, in one process.
///
/// Exits with 1 if the breaker did not open and close again.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How long, in seconds with a unit; at least 28s.
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = duration)]
    lasts: Duration,
    /// Where the sidecar listens.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: Address,
    /// Where it tells of itself.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    admin: AdminAddress,
}
