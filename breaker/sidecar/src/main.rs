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
    let _flushed_at_the_end = cli.logging.start();
    cli.command.run()
}
