//! Writing to the terminal: coloured there, plain in a pipe.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};

use super::logging;

/// A headline.
pub(super) const STRONG: Style = Style::new().bold();
/// What stands beside the matter.
pub(super) const FAINT: Style = Style::new().dimmed();
/// All is well.
pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Something is not as usual.
pub(super) const UNSURE: Style = AnsiColor::Yellow.on_default().bold();
/// Something is wrong.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();

/// Writes `text` to standard output.
pub(super) fn print(text: &str) -> ExitCode {
    succeeded(anstream::stdout().write_all(text.as_bytes()))
}

/// Writes `text` to standard error, after what was logged. Nobody can be told when that fails, and
/// where the log's reader has stalled it would not end.
pub(super) fn complain(text: &str) {
    if logging::flush() {
        let _ = anstream::stderr().write_all(text.as_bytes());
    }
}

fn succeeded(written: io::Result<()>) -> ExitCode {
    match written {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough: `breaker schema | head`.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("can't write to standard output: {error}\n"));
            ExitCode::FAILURE
        }
    }
}
