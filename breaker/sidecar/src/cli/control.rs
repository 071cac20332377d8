//! `breaker open`, `close`, `auto`, `shadow`, `reset`, `policy` and `reload`: what an operator does to a running sidecar.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use breaker_sidecar::control::{ModeName, Policy as Resource, Reloaded, SetMode};
use breaker_sidecar::report::Breaker;
use breaker_tower::Policy as Rules;
use breaker_tower::core::policy::yaml::Period;
use clap::{ArgGroup, Args};
use http::Method;
use serde::Serialize;

use super::client::{Client, ClientError, Connect, Content, breaker_path};
use super::output::{FAINT, STRONG};
use super::status::{in_short, print};

/// Arguments of `breaker open`, `close` and `shadow`.
#[derive(Debug, Args)]
pub(crate) struct Force {
    /// The route
    route: String,
    /// For how long, 100ms to 168h; then the policy decides again. For good when it is left out
    #[arg(long = "for", value_name = "TIME", value_parser = period)]
    period: Option<Period>,
    #[command(flatten)]
    how: How,
}

/// Arguments of `breaker auto` and `reset`.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The route
    route: String,
    #[command(flatten)]
    how: How,
}

/// Arguments of `breaker policy`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").args(["set", "drop"]))]
pub(crate) struct Policy {
    /// The route
    route: String,
    /// Puts this policy in force: a built-in one, one of the configuration, or a file. A reload keeps it, a restart does not
    #[arg(long, value_name = "NAME|FILE")]
    set: Option<String>,
    /// Goes back to what the configuration says
    #[arg(long)]
    drop: bool,
    #[command(flatten)]
    how: How,
}

/// Arguments of `breaker reload`.
#[derive(Debug, Args)]
pub(crate) struct Reload {
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct How {
    #[command(flatten)]
    connect: Connect,
    /// Prints JSON, for programs
    #[arg(long)]
    json: bool,
}

// === what they do ===

impl Force {
    pub(super) fn run(self, mode: ModeName) -> ExitCode {
        set_mode(&self.route, mode, self.period, self.how)
    }
}

impl Which {
    pub(super) fn auto(self) -> ExitCode {
        set_mode(&self.route, ModeName::Auto, None, self.how)
    }

    pub(super) fn reset(self) -> ExitCode {
        let (path, json) = (breaker_path(&self.route, "/reset"), self.how.json);
        self.how.connect.run(async |client| {
            let breaker: Breaker = client.send(Method::POST, &path, None).await?;
            Ok(print(&breaker, json, in_short))
        })
    }
}

fn set_mode(route: &str, mode: ModeName, period: Option<Period>, how: How) -> ExitCode {
    let path = breaker_path(route, "/mode");
    let period = period.map(|Period(period)| period.as_secs_f64());
    let content = json(&SetMode { mode, period });
    how.connect.run(async |client| {
        let breaker: Breaker = client.send(Method::PUT, &path, Some(content)).await?;
        Ok(print(&breaker, how.json, in_short))
    })
}

impl Policy {
    pub(super) fn run(self) -> ExitCode {
        let path = breaker_path(&self.route, "/policy");
        let (route, json) = (self.route, self.how.json);
        let (set, drop) = (self.set, self.drop);
        self.how.connect.run(async |client| {
            let policy = match set {
                Some(policy) => put(client, &path, &policy).await?,
                None if drop => client.send(Method::DELETE, &path, None).await?,
                None => client.get(&path).await?,
            };
            Ok(print(&policy, json, |policy| in_words(&route, policy)))
        })
    }
}

impl Reload {
    pub(super) fn run(self) -> ExitCode {
        let json = self.how.json;
        self.how.connect.run(async |client| {
            let reloaded = client.send(Method::POST, "/api/v1/reload", None).await?;
            Ok(print(&reloaded, json, told))
        })
    }
}

async fn put(client: &Client, path: &str, policy: &str) -> Result<Resource, ClientError> {
    let Some(file) = file(policy) else {
        let content = json(&serde_json::json!({ "name": policy }));
        return client.send(Method::PUT, path, Some(content)).await;
    };
    let text = fs::read(&file)
        .map_err(|error| ClientError::File(format!("{}: {error}", file.display())))?;
    let content = Content {
        media_type: "application/yaml",
        bytes: text.into(),
    };
    let put = client.send(Method::PUT, path, Some(content)).await;
    put.map_err(|error| match error {
        // It tells line and column.
        ClientError::Problem(problem)
            if problem.broken.as_ref().is_some_and(|at| at.line.is_some()) =>
        {
            ClientError::File(format!("{}:{}", file.display(), problem.detail))
        }
        error => error,
    })
}

/// The file that is meant, unless it is a name.
fn file(policy: &str) -> Option<PathBuf> {
    let path = Path::new(policy);
    let is_name = Rules::builtin(policy).is_some();
    // A file that isn't there must not be told as a name that isn't.
    let looks_like_one = path.components().count() > 1 || path.extension().is_some();
    (!is_name && (looks_like_one || path.is_file())).then(|| path.to_owned())
}

/// A document, to be sent.
pub(super) fn json(document: &impl Serialize) -> Content {
    let bytes = serde_json::to_vec(document).expect("texts and numbers are JSON");
    Content {
        media_type: "application/json",
        bytes: bytes.into(),
    }
}

fn period(text: &str) -> Result<Period, String> {
    Period::parse(text)
}

// === what they say ===

/// The policy as a file, which says in a comment whose it is.
fn in_words(route: &str, policy: &Resource) -> String {
    let of = match &*policy.origin {
        "override" => "by an operator; --drop goes back to the configuration's",
        _ => "by the configuration",
    };
    format!(
        "{FAINT}# {route}: {} {of}{FAINT:#}\n{}",
        policy.name, policy.yaml
    )
}

fn told(reloaded: &Reloaded) -> String {
    if !reloaded.changed {
        return "nothing is new\n".to_owned();
    }
    let mut text = format!("{STRONG}reloaded{STRONG:#}\n");
    for (what, routes) in [
        ("added", &reloaded.added),
        ("removed", &reloaded.removed),
        ("updated", &reloaded.updated),
    ] {
        if !routes.is_empty() {
            text += &format!("{FAINT}{what:<8}{FAINT:#}  {}\n", routes.join(", "));
        }
    }
    text
}
