//! The log: one line an event on standard error.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// How to log.
#[derive(Debug, Args)]
pub(crate) struct Logging {
    /// What to log: error, warn, info, debug or trace, also by module: info,breaker_sidecar::proxy=debug
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

impl Logging {
    /// Starts logging, for the whole process.
    pub(crate) fn start(&self) {
        // The filter was tried when the arguments were parsed.
        let filter = EnvFilter::new(&self.log);
        // Colours are escape sequences, which no line may contain.
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(false)
            .with_writer(|| Plain(io::stderr()));
        let started = match self.log_format {
            Format::Text => log.try_init(),
            Format::Json => log.json().flatten_event(true).try_init(),
        };
        if let Err(error) = started {
            tracing::debug!(%error, "logging was started before");
        }
    }
}

fn filter(text: &str) -> Result<String, String> {
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Writes lines, each by one call, with control characters escaped: what a client sends must neither command a terminal nor look like
/// another line. The escapes are JSON's, so that they may stand in either format.
struct Plain<W>(W);

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let mut plain = String::with_capacity(text.len() + 1);
        for c in text.chars() {
            if c.is_control() {
                plain.push_str(&format!("\\u{:04x}", u32::from(c)));
            } else {
                plain.push(c);
            }
        }
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
        log.write_all("INFO é \u{1b}[2J\u{9b}A\r\nERROR forged\n".as_bytes())
            .unwrap();
        assert_eq!(
            String::from_utf8(log.0).unwrap(),
            "INFO é \\u001b[2J\\u009bA\\u000d\\u000aERROR forged\n"
        );
    }

    #[test]
    fn a_filter_is_checked_with_the_arguments() {
        assert!(filter("info,breaker_sidecar::proxy=debug").is_ok());
        assert!(filter("breaker_sidecar=loud").is_err());
    }
}
