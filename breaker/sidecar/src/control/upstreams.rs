//! What can be asked of the endpoints of upstreams, and done with them.

use std::sync::Arc;
use std::time::Duration;

use breaker_tower::breaker_core::{self, EndpointId};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::audit;
use super::problem::Problem;
use super::service::{Control, check_reason, mode_period};
use crate::proxy::Routes;
use crate::report::{self, EndpointState, Upstreams};
use crate::sockets::Peer;
use crate::telemetry::Change;
use crate::upstream::Upstream;

/// An endpoint that is to get no requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Eject {
    /// The endpoint, as the list of the upstream has it.
    pub endpoint: String,
    /// For how many seconds, 0.1 to 604800; 600 when it is left out.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub period: Option<f64>,
    /// Why, 1 to 256 characters: for the log and the collector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An endpoint that is to get requests, whatever it is out for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admit {
    /// The endpoint, as the list of the upstream has it.
    pub endpoint: String,
    /// Why, 1 to 256 characters: for the log and the collector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Control {
    pub(super) fn upstreams(&self) -> Upstreams {
        let upstreams = self.list_upstreams();
        let upstreams = upstreams.iter().map(|it| report::Upstream::of(it));
        Upstreams {
            upstreams: upstreams.collect(),
        }
    }

    pub(super) fn upstream(&self, name: &str) -> Result<report::Upstream, Problem> {
        Ok(report::Upstream::of(&*self.find_upstream(name)?))
    }

    /// Takes an endpoint out for some time.
    pub(super) fn eject(
        &self,
        peer: Option<Peer>,
        name: &str,
        wanted: &Eject,
    ) -> Result<report::Upstream, Problem> {
        let (upstream, id, before) = self.find_endpoint(name, &wanted.endpoint)?;
        let period = wanted.period.map(mode_period).transpose()?.unwrap_or(USUAL);
        check_reason(wanted.reason.as_deref())?;
        let set = upstream.instances();
        let now = set.now();
        set.state().eject(id, period, now);
        let change = Change {
            action: "eject",
            breaker: None,
            upstream: Some(name),
            before: &format!("{} {before}", wanted.endpoint),
            after: &format!("{} out for {period:?}", wanted.endpoint),
            reason: wanted.reason.as_deref(),
        };
        audit::tell(&self.state().telemetry, peer, &change);
        Ok(report::Upstream::of(&upstream))
    }

    /// Lets an endpoint in.
    pub(super) fn admit(
        &self,
        peer: Option<Peer>,
        name: &str,
        wanted: &Admit,
    ) -> Result<report::Upstream, Problem> {
        let (upstream, id, before) = self.find_endpoint(name, &wanted.endpoint)?;
        check_reason(wanted.reason.as_deref())?;
        let set = upstream.instances();
        let now = set.now();
        set.state().admit(id, now);
        let change = Change {
            action: "admit",
            breaker: None,
            upstream: Some(name),
            before: &format!("{} {before}", wanted.endpoint),
            after: &format!("{} in", wanted.endpoint),
            reason: wanted.reason.as_deref(),
        };
        audit::tell(&self.state().telemetry, peer, &change);
        Ok(report::Upstream::of(&upstream))
    }

    fn list_upstreams(&self) -> Vec<Arc<Upstream>> {
        let routes = self.state().routes.as_ref();
        routes.map(Routes::upstreams).unwrap_or_default()
    }

    fn find_upstream(&self, name: &str) -> Result<Arc<Upstream>, Problem> {
        let mut upstreams = self.list_upstreams().into_iter();
        let found = upstreams.find(|upstream| upstream.name == name);
        found.ok_or_else(|| {
            let detail = format!("no upstream {name}: GET /api/v1/upstreams lists them");
            Problem::new(StatusCode::NOT_FOUND, detail)
        })
    }

    /// The endpoint as the list of the upstream has it, and the state that it is in.
    fn find_endpoint(
        &self,
        name: &str,
        endpoint: &str,
    ) -> Result<(Arc<Upstream>, EndpointId, EndpointState), Problem> {
        let upstream = self.find_upstream(name)?;
        let (current, known) = upstream.instances().snapshot();
        let mut instances = current.instances.iter();
        let found = instances.find(|it| it.endpoint.to_string() == endpoint);
        let id = found.map(|it| it.id).ok_or_else(|| {
            let known = report::Upstream::of(&upstream).endpoints.into_iter();
            let known: Vec<_> = known.map(|it| it.endpoint).take(MOST_NAMED).collect();
            let rule = format!("must be an endpoint of {name}: {}", known.join(", "));
            Problem::of_field("endpoint", rule)
        })?;
        let mut known = known.endpoints.iter();
        let state = known.find(|known| known.id == id).map(|known| known.state);
        let state = state.unwrap_or(breaker_core::EndpointState::In).into();
        Ok((upstream, id, state))
    }
}

/// How long an endpoint is out if nobody says.
const USUAL: Duration = Duration::from_secs(600);
/// Endpoints that a message names.
const MOST_NAMED: usize = 8;
