//! `breaker open`, `close`, `auto`, `shadow`, `reset`, `policy` and `reload`: what an operator does
//! to a running sidecar.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use breaker_sidecar::control::{Policy as Resource, Reloaded, SetMode, SetPanic, Status};
use breaker_sidecar::report::{Breaker, Breakers, Mode, Origin};
use breaker_tower::Policy as Rules;
use breaker_tower::breaker_core::policy::yaml::Period;
use clap::{ArgGroup, Args, ValueEnum};
use http::Method;
use serde::Serialize;

use super::client::{Client, ClientError, Connect, Content, breaker_path};
use super::output::{FAINT, STRONG, complain};
use super::status::{in_panic, in_short, print};

/// Arguments of `breaker open`, `close` and `shadow`.
#[derive(Debug, Args)]
pub(crate) struct Force {
    #[command(flatten)]
    routes: Routes,
    /// For how long, 100ms to 168h; then the policy decides again. For good when it is left out
    #[arg(long = "for", value_name = "TIME", value_parser = Period::parse)]
    period: Option<Period>,
    /// Why: for the log, the collector and who watches
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    how: How,
}

/// Arguments of `breaker auto`.
#[derive(Debug, Args)]
pub(crate) struct Auto {
    #[command(flatten)]
    routes: Routes,
    /// Why: for the log, the collector and who watches
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    how: How,
}

/// Arguments of `breaker reset`.
#[derive(Debug, Args)]
pub(crate) struct Reset {
    #[command(flatten)]
    routes: Routes,
    #[command(flatten)]
    how: How,
}

/// Arguments of `breaker panic`.
#[derive(Debug, Args)]
pub(crate) struct Panic {
    /// Whether all routes are forced closed
    #[arg(value_enum)]
    switch: Switch,
    /// With on: for how long, 100ms to 168h; until it is ended when it is left out
    #[arg(long = "for", value_name = "TIME", value_parser = Period::parse)]
    period: Option<Period>,
    /// Why: for the log, the collector and who watches
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    /// All routes are forced closed: every request is admitted
    On,
    /// Each route has the mode again that it had before
    Off,
}

/// Which routes a command is for.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Routes {
    /// The routes
    #[arg(value_name = "ROUTE")]
    named: Vec<String>,
    /// All routes
    #[arg(long)]
    all: bool,
}

/// Arguments of `breaker policy`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").args(["set", "drop"]))]
pub(crate) struct Policy {
    /// The route
    route: String,
    /// Puts this policy in force: a built-in one, one of the configuration, or a file. A reload
    /// keeps it, a restart does not
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
    pub(super) fn run(self, mode: Mode) -> ExitCode {
        set_mode(self.routes, mode, self.period, self.reason, self.how)
    }
}

impl Auto {
    pub(super) fn run(self) -> ExitCode {
        set_mode(self.routes, Mode::Auto, None, self.reason, self.how)
    }
}

impl Panic {
    pub(super) fn run(self) -> ExitCode {
        let as_json = self.how.json;
        let content = json(&SetPanic {
            on: self.switch == Switch::On,
            period: self.period.map(|Period(period)| period.as_secs_f64()),
            reason: self.reason,
        });
        self.how.connect.run(async |client| {
            let put = client.send(Method::PUT, "/api/v1/panic", Some(content));
            let status: Status = put.await?;
            Ok(print(&status, as_json, |status| match &status.panic {
                Some(panic) => in_panic(panic),
                None => PANIC_IS_OFF.to_owned(),
            }))
        })
    }
}

impl Reset {
    pub(super) fn run(self) -> ExitCode {
        change(self.routes, self.how, &Method::POST, "/reset", None)
    }
}

fn set_mode(
    routes: Routes,
    mode: Mode,
    period: Option<Period>,
    reason: Option<String>,
    how: How,
) -> ExitCode {
    let period = period.map(|Period(period)| period.as_secs_f64());
    let content = json(&SetMode {
        mode,
        period,
        reason,
    });
    change(routes, how, &Method::PUT, "/mode", Some(&content))
}

/// Changes each of the routes, and prints what they are then. One that fails does not keep others
/// from it.
fn change(
    routes: Routes,
    how: How,
    method: &Method,
    what: &str,
    content: Option<&Content>,
) -> ExitCode {
    how.connect.run(async |client| {
        let is_one = routes.named.len() == 1;
        let (mut changed, mut failure) = (Vec::new(), None);
        for route in routes.names(client).await? {
            let path = breaker_path(&route, what);
            match client
                .send::<Breaker>(method.clone(), &path, content.cloned())
                .await
            {
                Ok(breaker) => changed.push(breaker),
                Err(error) => {
                    if let Some(earlier) = failure.replace(error) {
                        complain(&format!("{earlier}\n"));
                    }
                }
            }
        }
        let printed = match &*changed {
            [] => ExitCode::SUCCESS,
            [breaker] if is_one => print(breaker, how.json, in_short),
            _ => print(&Breakers { breakers: changed }, how.json, |all| {
                all.breakers.iter().map(in_short).collect()
            }),
        };
        failure.map_or(Ok(printed), Err)
    })
}

impl Routes {
    async fn names(self, client: &Client) -> Result<Vec<String>, ClientError> {
        if !self.all {
            return Ok(self.named);
        }
        let all: Breakers = client.get("/api/v1/breakers").await?;
        Ok(all
            .breakers
            .into_iter()
            .map(|breaker| breaker.name)
            .collect())
    }
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

/// What became of the routes.
const PANIC_IS_OFF: &str = "panic is off: each route has the mode that it would have without it; \
                            policies decide anew, from closed\n";

// === what they say ===

/// The policy as a file, which says in a comment whose it is.
fn in_words(route: &str, policy: &Resource) -> String {
    let of = match policy.origin {
        Origin::Override => "by an operator; --drop goes back to the configuration's",
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
