//! The command `breaker`.

use std::process::ExitCode;

use breaker_sidecar::cli::Cli;
use clap::Parser;
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.logging.start();
    cli.command.run()
}
