//! `breaker demo`: an incident in one process.

use std::process::ExitCode;
use std::time::Duration;

use breaker_sidecar::config::{Address, in_words};
use breaker_sidecar::demo::{self, SHORTEST};
use breaker_tower::breaker_core::InvalidValue;
use breaker_tower::breaker_core::policy::yaml::Period;
use clap::Args;
use tokio::runtime::Builder;

use super::{FAILED, output};

/// Arguments of `breaker demo`, which exits with 1 if the breaker did not open and close again.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How long, with its unit
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = lasts)]
    lasts: Duration,
    /// Where the sidecar listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: Address,
    /// Where it serves health, metrics and breakers; a loopback address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    admin: Address,
}

impl Demo {
    pub(super) fn run(self) -> ExitCode {
        let demo = demo::Demo {
            lasts: self.lasts,
            listen: self.listen,
            admin: self.admin,
        };
        let runtime = Builder::new_current_thread().enable_all().build();
        let shown = runtime.map_err(anyhow::Error::from);
        exit_code(shown.and_then(|runtime| runtime.block_on(demo.run())))
    }
}

/// Of a demo that says whether the breaker opened and closed again.
fn exit_code(shown: anyhow::Result<bool>) -> ExitCode {
    match shown {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error) => {
            output::complain(&format!("{error:#}\n"));
            ExitCode::from(FAILED)
        }
    }
}

fn lasts(text: &str) -> Result<Duration, InvalidValue> {
    let Period(time) = Period::parse(text)?;
    if time < SHORTEST {
        return Err(format!("must be at least {}", in_words(SHORTEST)).into());
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breaker_that_did_not_open_and_close_is_exit_code_1() {
        assert_eq!(exit_code(Ok(true)), ExitCode::SUCCESS);
        assert_eq!(exit_code(Ok(false)), ExitCode::from(1));
    }
}
