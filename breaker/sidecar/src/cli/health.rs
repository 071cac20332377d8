//! `breaker health`: for health checks, in images that have no other program.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Error, anyhow};
use breaker_sidecar::client::Client;
use clap::Args;
use http::Uri;
use http::uri::{PathAndQuery, Scheme};
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::client::{self, AdminUrl};
use super::{FAILED, output};

/// Arguments of `breaker health`, which exits with 1 if the answer is not a good one.
#[derive(Debug, Args)]
pub(crate) struct Health {
    /// What to ask; without a path, or of unix:/path of a socket, /readyz
    #[arg(
        env = "BREAKER_ADMIN_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:9900/readyz",
        value_parser = asked
    )]
    asked: Asked,
    #[command(flatten)]
    trust: client::Trust,
}

/// What is asked.
#[derive(Clone, Debug)]
enum Asked {
    Url(Uri),
    Admin(AdminUrl, PathAndQuery),
}

impl Health {
    pub(super) fn run(self) -> ExitCode {
        let runtime = Builder::new_current_thread().enable_all().build();
        let asked = runtime.map_err(Error::from).and_then(|runtime| {
            runtime.block_on(async {
                match self.asked.clone() {
                    Asked::Url(url) => Ok(Client::new()?.get(&url, LIMIT).await?.status()),
                    Asked::Admin(admin, path) => {
                        let trust = self.trust.clone();
                        let status = client::Client::status(admin, path.as_str(), trust);
                        let status = timeout(LIMIT, status).await?;
                        status.map_err(|error| anyhow!("{error}"))
                    }
                }
            })
        });
        match asked {
            Ok(status) if status.is_success() => ExitCode::SUCCESS,
            Ok(status) => unwell(&format!("{}: {status}\n", self.asked)),
            Err(error) => unwell(&format!("{error:#}\n")),
        }
    }
}

/// The URL of `text`, or its socket. A URL without a path is that of an admin port, and is asked
/// whether it is ready, as a socket is: `/` is the dashboard.
fn asked(text: &str) -> anyhow::Result<Asked> {
    if text.starts_with("unix:") {
        let socket = text.parse().map_err(Error::msg)?;
        return Ok(Asked::Admin(socket, PathAndQuery::from_static(READY)));
    }
    let mut parts = text.parse::<Uri>()?.into_parts();
    if parts.path_and_query.as_ref().is_none_or(|path| path == "/") && parts.scheme.is_some() {
        parts.path_and_query = Some(PathAndQuery::from_static(READY));
    }
    if parts.scheme == Some(Scheme::HTTPS) {
        let path = parts.path_and_query.replace(PathAndQuery::from_static("/"));
        let admin = Uri::from_parts(parts)?.to_string();
        let admin = admin.parse().map_err(Error::msg)?;
        return Ok(Asked::Admin(
            admin,
            path.unwrap_or(PathAndQuery::from_static(READY)),
        ));
    }
    Ok(Asked::Url(Uri::from_parts(parts)?))
}

fn unwell(why: &str) -> ExitCode {
    output::complain(why);
    ExitCode::from(FAILED)
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => url.fmt(f),
            Self::Admin(admin, _) => admin.fmt(f),
        }
    }
}

const READY: &str = "/readyz";
/// For the answer.
const LIMIT: Duration = Duration::from_secs(2);
