//! `routes`: which requests go where, each with a policy of its own.

mod matching;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::breaker_core::InvalidField;
use breaker_tower::{Mode, Policy};

use self::matching::matches;
use super::fallback::{self, Fallback};
use super::feed::{self, Feed};
use super::policies::Policies;
use super::problem::{Problems, check_name, time_within, unknown, within};
use super::raw::{RawDeadline, RawMode, RawRoute};
use super::retry;
use super::scalar::{FieldName, OrOff};
use super::upstream::DEFAULT_TIMEOUT;
use crate::message::BodyLimits;
use crate::proxy::reserved::is_reserved;
use crate::proxy::{DeadlineRules, Match, PathRules, RetryRules};
use crate::upstream::Upstream;

/// A route of the configuration: what the proxy makes a route and a breaker of; without an
/// upstream, a breaker alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    pub(super) name: Arc<str>,
    pub(super) policy: Arc<Policy>,
    pub(super) mode: Mode,
    pub(super) matches: Match,
    pub(super) upstream: Option<Arc<Upstream>>,
    pub(super) timeout: Option<Duration>,
    pub(super) retry: Option<RetryRules>,
    pub(super) fallback: Option<Fallback>,
    pub(super) deadline: DeadlineRules,
    pub(super) body: BodyLimits,
    pub(super) max_in_flight: Option<usize>,
    pub(super) version: Option<Arc<str>>,
    pub(super) feeds: Vec<Feed>,
}

impl Route {
    /// The name, which is the breaker's too.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// When its breaker trips and how it recovers.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Who decides at start.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Which requests belong to it, if it has an upstream.
    pub fn matches(&self) -> &Match {
        &self.matches
    }

    /// Where they go. `None`: the proxy has no such route; its breaker is fed by telemetry, and
    /// others ask for its verdict.
    pub fn upstream(&self) -> Option<&Arc<Upstream>> {
        self.upstream.as_ref()
    }

    /// Time to the head of the response, if it is bounded.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// When a request is sent again, if it is.
    pub fn retry(&self) -> Option<&RetryRules> {
        self.retry.as_ref()
    }

    /// What answers the requests that its breaker rejects, if something does.
    pub fn fallback(&self) -> Option<&Fallback> {
        self.fallback.as_ref()
    }

    /// Where its requests may go: its upstream, and that of its fallback.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        let fallback = self.fallback.as_ref().and_then(Fallback::upstream);
        self.upstream.iter().chain(fallback)
    }

    /// Which deadlines of callers it keeps.
    pub fn deadline(&self) -> &DeadlineRules {
        &self.deadline
    }

    /// Bounds of the bodies.
    pub fn body(&self) -> &BodyLimits {
        &self.body
    }

    /// Requests at once per worker, if they are bounded.
    pub fn max_in_flight(&self) -> Option<usize> {
        self.max_in_flight
    }

    /// What the service behind it is: another version's usual is another.
    pub fn version(&self) -> Option<&Arc<str>> {
        self.version.as_ref()
    }

    /// Telemetry that may open its breaker too, at most 16; at least one without an upstream.
    pub fn feeds(&self) -> &[Feed] {
        &self.feeds
    }
}

/// Lets `routes` go to the very upstreams of an earlier configuration, where they are the same:
/// their connections are kept.
pub(super) fn share_upstreams(routes: &mut [Route], earlier: &[Route]) {
    let known = earlier.iter().flat_map(Route::upstreams);
    let known: HashMap<&str, _> = known.map(|known| (&*known.name, known)).collect();
    let upstreams = routes.iter_mut().flat_map(|route| {
        let fallback = match &mut route.fallback {
            Some(Fallback::Upstream { upstream, .. }) => Some(upstream),
            _ => None,
        };
        route.upstream.iter_mut().chain(fallback)
    });
    for upstream in upstreams {
        if let Some(same) = known
            .get(&*upstream.name)
            .filter(|known| **known == upstream)
        {
            *upstream = (*same).clone();
        }
    }
}

/// What routes may refer to.
#[derive(Debug)]
pub(super) struct Known<'a> {
    /// Whether clients show certificates.
    pub(super) knows_clients: bool,
    pub(super) upstreams: &'a BTreeMap<String, Option<Arc<Upstream>>>,
    pub(super) policies: &'a Policies,
    pub(super) body: &'a BodyLimits,
    pub(super) paths: PathRules,
}

/// The route, or `None` when its upstream is broken itself, which is told already.
pub(super) fn build(raw: RawRoute, known: &Known<'_>) -> Result<Option<Route>, Problems> {
    let mut problems = Problems::default();
    problems.keep(check_name(&raw.name));
    if raw.upstream.is_none() {
        problems.keep(check_alone(&raw));
    }
    let deadline = problems.keep(deadline(raw.deadline.as_ref(), raw.timeout.is_none()));
    let timeout = match raw.timeout {
        Some(OrOff(None)) => None,
        Some(OrOff(time)) => {
            let time = time_within("timeout", time, 1..=3_600_000, DEFAULT_TIMEOUT);
            problems.check(time)
        }
        None => Some(DEFAULT_TIMEOUT),
    };
    let retry = raw.retry.as_ref().map(|raw| retry::build(raw, timeout));
    let retry = retry.transpose().map_err(|broken| broken.within("retry"));
    let retry = problems.keep(retry);
    let own = raw.upstream.as_deref();
    let is_grpc = raw.r#match.as_ref().is_some_and(|it| it.grpc.is_some());
    let policy = match raw.policy {
        Some(choice) => problems.check(known.policies.choose(&raw.name, choice)),
        None => known.policies.find(DEFAULT_POLICY),
    };
    let policy = Arc::new(policy.unwrap_or_else(Policy::adaptive));
    let route = (&*raw.name, own);
    let fallback = raw.fallback;
    let fallback = fallback.map(|raw| fallback::build(raw, route, is_grpc, &policy, known));
    let fallback = fallback.transpose();
    let fallback = problems.keep(fallback.map_err(|broken| broken.within("fallback")));
    let max_in_flight = raw.max_in_flight.and_then(|most| {
        let most = within("max_in_flight", Some(most), 1..=1_000_000, 1);
        problems.check(most)
    });
    let version = raw.version.as_deref().map(version).transpose();
    let version = problems.keep(version);
    let matches = matches(&raw.r#match.unwrap_or_default(), known.paths);
    let matches = problems.keep(matches);
    if matches.peer.is_some() && !known.knows_clients {
        let rule = "needs tls.clients, by which clients have certificates";
        problems.add(InvalidField::new("match.peer", rule));
    }
    let feeds = raw.feeds.map(|raw| feed::build(raw, known.policies));
    let feeds = problems.keep(feeds.transpose());
    let upstream = raw.upstream.map(|name| upstream(&name, known.upstreams));
    let upstream = problems.keep(upstream.transpose());
    problems.finish()?;
    let upstream = match upstream {
        Some(None) => return Ok(None),
        upstream => upstream.flatten(),
    };
    let fallback = match fallback {
        Some(None) => return Ok(None),
        fallback => fallback.flatten(),
    };
    Ok(Some(Route {
        name: raw.name.into(),
        policy,
        mode: raw.mode.map(Mode::from).unwrap_or_default(),
        matches,
        upstream,
        timeout,
        retry,
        fallback,
        deadline,
        body: known.body.clone(),
        max_in_flight,
        version,
        feeds: feeds.unwrap_or_default(),
    }))
}

fn version(label: &str) -> Result<Arc<str>, InvalidField> {
    let is_plain = !label.chars().any(char::is_control);
    if is_plain && (1..=128).contains(&label.chars().count()) {
        return Ok(label.into());
    }
    let rule = "must be 1 to 128 characters, and none of them a control character";
    Err(InvalidField::new("version", rule))
}

/// What a route without an upstream must have, and what says nothing there.
fn check_alone(raw: &RawRoute) -> Result<(), Problems> {
    if raw.feeds.is_none() {
        return Err(InvalidField::new("upstream", "is required without feeds").into());
    }
    let mut problems = Problems::default();
    for (field, is_given) in [
        ("match", raw.r#match.is_some()),
        ("timeout", raw.timeout.is_some()),
        ("retry", raw.retry.is_some()),
        ("fallback", raw.fallback.is_some()),
        ("deadline", raw.deadline.is_some()),
        ("max_in_flight", raw.max_in_flight.is_some()),
    ] {
        if is_given {
            problems.add(InvalidField::new(field, "needs an upstream beside it"));
        }
    }
    problems.finish()
}

/// Where nobody has set a timeout, a gRPC call's own deadline takes its place.
fn deadline(raw: Option<&RawDeadline>, extends_timeout: bool) -> Result<DeadlineRules, Problems> {
    let mut problems = Problems::default();
    let raw = raw.cloned().unwrap_or_default();
    let default = DeadlineRules::default();
    let header = raw.header.map(|FieldName(name)| match is_reserved(&name) {
        false => Ok(name),
        // What says no deadline is removed from a request.
        true => Err(InvalidField::new(
            "deadline.header",
            "must be a field of its own, not one that HTTP, gRPC or the proxy uses",
        )),
    });
    let max = |max| time_within("deadline.max", Some(max), 1..=86_400_000, Duration::ZERO);
    let header = problems.keep(header.transpose());
    let max = problems.keep(raw.max.map(max).transpose());
    problems.finish()?;
    Ok(DeadlineRules {
        grpc: raw.grpc.unwrap_or(default.grpc),
        header,
        max,
        extends_timeout,
    })
}

/// The upstream with this name; `None` in it when that is broken itself.
pub(super) fn upstream(
    name: &str,
    upstreams: &BTreeMap<String, Option<Arc<Upstream>>>,
) -> Result<Option<Arc<Upstream>>, InvalidField> {
    let names = || upstreams.keys().map(String::as_str).collect::<Vec<_>>();
    let upstream = upstreams.get(name).cloned();
    upstream.ok_or_else(|| InvalidField::new("upstream", unknown(name, &names(), "an upstream")))
}

impl From<RawMode> for Mode {
    fn from(mode: RawMode) -> Self {
        match mode {
            RawMode::Auto => Self::Auto,
            RawMode::Shadow => Self::Shadow,
            RawMode::ForcedOpen => Self::ForcedOpen,
            RawMode::ForcedClosed => Self::ForcedClosed,
        }
    }
}

const DEFAULT_POLICY: &str = "adaptive";
