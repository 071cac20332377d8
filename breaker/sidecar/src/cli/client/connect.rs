//! The options that say which sidecar is asked, and as whom.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use http::HeaderValue;
use tokio::runtime::Builder;

use super::{AdminUrl, Client, ClientError};
use crate::cli::output::complain;
use crate::cli::{BAD_INPUT, FAILED};

/// Which sidecar is asked, and as whom.
#[derive(Debug, Args)]
pub(in crate::cli) struct Connect {
    /// The admin port of the sidecar, or unix:/path of its socket
    #[arg(
        long,
        env = "BREAKER_ADMIN_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:9900"
    )]
    pub(super) admin: AdminUrl,
    /// A file with the control token, instead of BREAKER_CONTROL_TOKEN
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) trust: Trust,
}

/// With TLS, whom to trust and what to show.
#[derive(Clone, Debug, Default, Args)]
pub(in crate::cli) struct Trust {
    /// With https://: a PEM file with the certificates to trust, instead of the system's
    #[arg(long, env = CA_VARIABLE, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// With https://: a PEM file with the certificate to show, and its chain
    #[arg(long, env = CERT_VARIABLE, value_name = "FILE", requires = "key")]
    pub(super) cert: Option<PathBuf>,
    /// With https://: a PEM file with the key of the certificate
    #[arg(long, env = KEY_VARIABLE, value_name = "FILE", requires = "cert")]
    pub(super) key: Option<PathBuf>,
}

// === impl Connect ===

impl Connect {
    /// Does something with a client, and prints what goes wrong.
    pub(in crate::cli) fn run(
        self,
        act: impl AsyncFnOnce(&Client) -> Result<ExitCode, ClientError>,
    ) -> ExitCode {
        let client = match Client::new(self) {
            Ok(client) => client,
            Err(error) => return failed(BAD_INPUT, &error),
        };
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return failed(FAILED, &error),
        };
        runtime
            .block_on(act(&client))
            .unwrap_or_else(|error| failed(FAILED, &error))
    }
}

fn failed(code: u8, error: &dyn fmt::Display) -> ExitCode {
    complain(&format!("{error}\n"));
    ExitCode::from(code)
}

/// The header with the token of the file, or else of the environment.
pub(super) fn token(file: Option<&Path>) -> Result<Option<HeaderValue>, ClientError> {
    let (from, token) = match file {
        Some(file) => {
            let token = fs::read_to_string(file)
                .map_err(|error| ClientError::Token(format!("{}: {error}", file.display())))?;
            (file.display().to_string(), token)
        }
        None => match env::var(TOKEN_VARIABLE) {
            Ok(token) if token.is_empty() => return Ok(None),
            Ok(token) => (TOKEN_VARIABLE.to_owned(), token),
            Err(env::VarError::NotPresent) => return Ok(None),
            Err(env::VarError::NotUnicode(_)) => {
                let rule = format!("{TOKEN_VARIABLE}: must be one line of text");
                return Err(ClientError::Token(rule));
            }
        },
    };
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim()))
        .map_err(|_| ClientError::Token(format!("{from}: must be one line of text")))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// The environment variable with the control token.
pub(in crate::cli) const TOKEN_VARIABLE: &str = "BREAKER_CONTROL_TOKEN";
/// The environment variable with the file of certificates to trust.
const CA_VARIABLE: &str = "BREAKER_ADMIN_CA";
const CERT_VARIABLE: &str = "BREAKER_ADMIN_CERT";
const KEY_VARIABLE: &str = "BREAKER_ADMIN_KEY";
