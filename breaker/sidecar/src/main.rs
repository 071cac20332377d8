//! The command `breaker`.

mod cli;

use std::process::ExitCode;

use mimalloc::MiMalloc;

use self::cli::Cli;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::of_process();
    let _flushed_at_the_end = cli.logging.start();
    cli.command.run()
}
