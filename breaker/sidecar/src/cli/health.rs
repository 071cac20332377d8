//! `breaker health`: for health checks, in images that have no other program.

use std::process::ExitCode;
use std::time::Duration;

use breaker_sidecar::client::Client;
use clap::Args;
use http::Uri;
use http::uri::PathAndQuery;
use tokio::runtime::Builder;

use super::{FAILED, output};

/// Arguments of `breaker health`, which exits with 1 if the answer is not a good one.
#[derive(Debug, Args)]
pub(crate) struct Health {
    /// What to ask; without a path, for /readyz
    #[arg(
        env = "BREAKER_ADMIN_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:9900/readyz",
        value_parser = asked
    )]
    url: Uri,
}

impl Health {
    pub(super) fn run(self) -> ExitCode {
        let runtime = Builder::new_current_thread().enable_all().build();
        let asked = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
            runtime.block_on(async {
                let answer = Client::new()?.get(&self.url, LIMIT).await?;
                Ok(answer.status())
            })
        });
        match asked {
            Ok(status) if status.is_success() => ExitCode::SUCCESS,
            Ok(status) => unwell(&format!("{}: {status}\n", self.url)),
            Err(error) => unwell(&format!("{error:#}\n")),
        }
    }
}

/// The URL of `text`. One without a path is an admin port's, and is asked whether it is ready: its
/// `/` is the dashboard.
fn asked(text: &str) -> Result<Uri, http::Error> {
    let mut parts = text.parse::<Uri>()?.into_parts();
    if parts.path_and_query.as_ref().is_none_or(|path| path == "/") && parts.scheme.is_some() {
        parts.path_and_query = Some(PathAndQuery::from_static("/readyz"));
    }
    Ok(Uri::from_parts(parts)?)
}

fn unwell(why: &str) -> ExitCode {
    output::complain(why);
    ExitCode::from(FAILED)
}

/// For the answer.
const LIMIT: Duration = Duration::from_secs(2);
