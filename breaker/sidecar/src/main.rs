//! The command `breaker`.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

use self::cli::Cli;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.logging.start();
    cli.command.run()
}
