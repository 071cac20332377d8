//! The log: one line an event on standard error, written by a thread that nobody waits for.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::panic::{self, PanicHookInfo};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use breaker_sidecar::lines::{Lines, capture, printable};
use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// How to log.
#[derive(Debug, Args)]
pub(crate) struct Logging {
    /// What to log: error, warn, info, debug or trace, also by module:
    /// info,breaker_sidecar::proxy=debug
    #[arg(long, global = true, env = "BREAKER_LOG", value_name = "FILTER", default_value = "info", value_parser = filter)]
    log: String,
    /// How to write a line
    #[arg(
        long,
        global = true,
        env = "BREAKER_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    log_format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// The log's end: what waits is written, within a time, when it is dropped.
#[derive(Debug)]
pub(crate) struct Flush(());

impl Logging {
    /// Starts logging, for the whole process. Lines wait for [`begin`].
    #[must_use]
    pub(crate) fn start(&self) -> Flush {
        match lines() {
            Ok(lines) => {
                LINES.get_or_init(|| lines);
            }
            Err(error) => unlogged(&error),
        }
        // The filter was tried when the arguments were parsed.
        let filter = EnvFilter::new(&self.log);
        // Colours are escape sequences, which no line may contain.
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(false)
            .log_internal_errors(false)
            .with_writer(|| Plain(Queue));
        let started = match self.log_format {
            Format::Text => log.try_init(),
            Format::Json => log.json().flatten_event(true).try_init(),
        };
        if let Err(error) = started {
            tracing::debug!(%error, "logging was started before");
        }
        // The usual hook writes to standard error itself, and would wait for its reader.
        panic::set_hook(Box::new(log_panic));
        Flush(())
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        flush();
    }
}

/// Starts the thread that writes the log, unless it runs. A sandbox comes before every thread.
pub(super) fn begin() {
    if let Some(Err(error)) = LINES.get().map(Lines::begin) {
        unlogged(&error);
    }
}

/// Without its thread there is no log; nothing else depends on it.
fn unlogged(error: &io::Error) {
    super::output::complain(&format!("nothing is logged: {error}\n"));
}

/// Waits until what was logged is written; says whether it is after a moment.
pub(super) fn flush() -> bool {
    begin();
    LINES.get().is_none_or(|lines| lines.flush(LAST_LINES))
}

/// The queue of the process, which writes to standard error by a descriptor of its own: nobody
/// waits for the thread's turn at the lock.
fn lines() -> io::Result<Lines> {
    let errors = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    Ok(Lines::held(errors, |dropped| {
        capture(|| tracing::warn!(dropped, "lines of the log could not be written"))
    }))
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let location = panic.location().map(tracing::field::display);
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let backtrace = Backtrace::capture();
    let backtrace =
        (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(thread, location, backtrace, "panic: {message}");
}

/// Hands lines to the process's queue.
#[derive(Clone, Copy)]
struct Queue;

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(lines) = LINES.get() {
            lines.push(line.to_vec());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

static LINES: OnceLock<Lines> = OnceLock::new();
/// How long the end of the process waits for a reader of its log.
const LAST_LINES: Duration = Duration::from_millis(500);

fn filter(text: &str) -> Result<String, ParseError> {
    EnvFilter::builder().parse(text).map(|_| text.to_owned())
}

/// Writes lines, each by one call, with what can't be printed escaped.
struct Plain<W>(W);

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let mut plain = printable(text);
        plain.push('\n');
        self.0.write_all(plain.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line_and_commands_no_terminal() {
        let mut log = Plain(Vec::new());
        log.write_all("INFO é \u{1b}[2J\u{9b}A\r\nERROR forged\u{202e}\n".as_bytes())
            .unwrap();
        assert_eq!(
            String::from_utf8(log.0).unwrap(),
            "INFO é \\u001b[2J\\u009bA\\u000d\\u000aERROR forged\\u202e\n"
        );
    }

    #[test]
    fn a_filter_is_checked_with_the_arguments() {
        assert!(filter("info,breaker_sidecar::proxy=debug").is_ok());
        assert!(filter("breaker_sidecar=loud").is_err());
    }
}
