//! What a sidecar is, and which configuration it follows.

use std::error::Error;
use std::fmt;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::readiness::Phase;
use crate::config::TraceUrl;
use crate::registry::Panic;
use crate::report::{FleetStatus, FollowingStatus};
use crate::sandbox::Sandbox;

/// What a sidecar is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Its version.
    pub version: String,
    /// Which of several sidecars it is: `service.instance.id` in its telemetry.
    #[serde(default)]
    pub instance: String,
    /// The name of the machine, or pod, that it runs on.
    #[serde(default)]
    pub host: String,
    /// When it started, in seconds since 1970.
    pub started: f64,
    /// How long ago, in seconds.
    pub uptime: f64,
    /// Whether it takes traffic.
    pub readiness: Phase,
    /// Whether changes need a token.
    pub token_required: bool,
    /// What it follows.
    pub configuration: Configuration,
    /// What the process gave up when it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Sandbox>,
    /// While an operator has all routes forced closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub panic: Option<Panic>,
    /// The fleet that it is in, if it is in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<FleetStatus>,
    /// The Breaker that it follows, if it follows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub following: Option<FollowingStatus>,
    /// What SPIFFE Workload APIs say that it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<Identity>,
}

/// What a SPIFFE Workload API says that a sidecar is, and whom to trust.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// The socket.
    pub agent: String,
    /// The SPIFFE ID; none until the agent has said one.
    pub id: Option<String>,
    /// Until when its certificate is valid, in seconds since 1970.
    pub until: Option<f64>,
    /// The trust domains whose certificates are trusted.
    pub trust_domains: Vec<String>,
    /// Why the agent gave nothing new when it was listened to last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The configuration that a sidecar follows, and how the last attempt to load another one ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Configuration {
    /// The file, unless it was told by flags.
    pub file: Option<String>,
    /// When it was taken over, in seconds since 1970.
    pub loaded: f64,
    /// A hash of what it says.
    pub hash: String,
    /// How often another one was taken over since the start.
    pub reloads: u64,
    /// Why the last reload was refused, if it was.
    pub error: Option<Refused>,
    /// Where a trace is looked at: a URL with `{trace_id}` in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_url: Option<TraceUrl>,
}

/// A reload that was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Refused {
    /// When, in seconds since 1970.
    pub at: f64,
    /// Why, with file, line, column, field and rule.
    pub detail: String,
}

/// What a reload changed, by names of routes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    /// Whether the configuration is another one than before.
    pub changed: bool,
    /// Routes that are new.
    pub added: Vec<String>,
    /// Routes that are gone.
    pub removed: Vec<String>,
    /// Routes that are configured otherwise than before.
    pub updated: Vec<String>,
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            ("added", &self.added),
            ("removed", &self.removed),
            ("updated", &self.updated),
        ];
        let told = kinds.map(|(kind, names)| match &**names {
            [] => None,
            names => Some(format!("{kind} {}", names.join(", "))),
        });
        let told: Vec<_> = told.into_iter().flatten().collect();
        match (&*told, self.changed) {
            ([], false) => f.write_str("nothing is new"),
            ([], true) => f.write_str("no route is another"),
            (told, _) => f.write_str(&told.join("; ")),
        }
    }
}

/// Who loads the configuration anew.
#[async_trait]
pub trait Reload: fmt::Debug + Send + Sync {
    /// What is followed now.
    fn configuration(&self) -> Configuration;

    /// What SPIFFE Workload APIs say that we are.
    fn identities(&self) -> Vec<Identity>;

    /// Loads the configuration and takes it over.
    ///
    /// # Errors
    /// Why it can't be used; what ran before goes on.
    async fn reload(&self) -> Result<Reloaded, ReloadRefused>;
}

/// Why a configuration can't be used: file, line, column, field and rule.
#[derive(Debug)]
pub struct ReloadRefused(pub String);

impl fmt::Display for ReloadRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for ReloadRefused {}
