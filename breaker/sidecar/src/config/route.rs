//! `routes`: which requests go where, each with a policy of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::core::policy::yaml::nearest;
use breaker_tower::{Mode, Policy};
use http::{HeaderName, HeaderValue, Method};

use super::policies::Policies;
use super::problem::{Problem, time_within, within};
use super::raw::{RawGrpc, RawMatch, RawMode, RawPolicyChoice, RawRoute};
use super::scalar::{HeaderWanted, OrOff};
use super::upstream::DEFAULT_TIMEOUT;
use crate::proxy::{BodyLimits, Match};
use crate::upstream::Upstream;

/// A route of the configuration: what the proxy makes a route and a breaker of.
#[derive(Clone, Debug)]
pub struct Route {
    pub(super) name: Arc<str>,
    pub(super) policy: Arc<Policy>,
    pub(super) mode: Mode,
    pub(super) matches: Match,
    pub(super) upstream: Arc<Upstream>,
    pub(super) timeout: Option<Duration>,
    pub(super) body: BodyLimits,
    pub(super) max_in_flight: Option<usize>,
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

    /// Which requests belong to it.
    pub fn matches(&self) -> &Match {
        &self.matches
    }

    /// Where they go.
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Time to the head of the response, if it is bounded.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }
}

/// What routes may refer to.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub(super) upstreams: &'a BTreeMap<String, Option<Arc<Upstream>>>,
    pub(super) policies: &'a Policies,
    pub(super) body: &'a BodyLimits,
}

/// The route, or `None` when its upstream is broken itself, which is told already.
pub(super) fn build(raw: RawRoute, known: &Known<'_>) -> Result<Option<Route>, Problem> {
    check_name(&raw.name)?;
    if raw.feeds.is_some() {
        return Err(Problem::new("feeds", "is not available in this version"));
    }
    let timeout = match raw.timeout {
        Some(OrOff(None)) => None,
        Some(OrOff(time)) => Some(time_within(
            "timeout",
            time,
            1..=3_600_000,
            DEFAULT_TIMEOUT,
        )?),
        None => Some(DEFAULT_TIMEOUT),
    };
    let max_in_flight = match raw.max_in_flight {
        Some(_) => Some(within(
            "max_in_flight",
            raw.max_in_flight,
            1..=1_000_000,
            1,
        )?),
        None => None,
    };
    let matches = matches(&raw.r#match)?;
    let policy = policy(&raw.name, raw.policy, known.policies)?;
    let names: Vec<_> = known.upstreams.keys().map(String::as_str).collect();
    let Some(upstream) = known.upstreams.get(&raw.upstream) else {
        return Err(Problem::new(
            "upstream",
            unknown(&raw.upstream, &names, "an upstream"),
        ));
    };
    Ok(upstream.clone().map(|upstream| Route {
        name: raw.name.into(),
        policy: Arc::new(policy),
        mode: raw.mode.map(Mode::from).unwrap_or_default(),
        matches,
        upstream,
        timeout,
        body: known.body.clone(),
        max_in_flight,
    }))
}

fn check_name(name: &str) -> Result<(), Problem> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    if (1..=64).contains(&name.len()) && name.chars().all(is_plain) {
        return Ok(());
    }
    let rule = "must be 1 to 64 of a-z, 0-9, '.', '_' and '-'";
    Err(Problem::new("name", rule))
}

fn policy(
    route: &str,
    choice: Option<RawPolicyChoice>,
    policies: &Policies,
) -> Result<Policy, Problem> {
    match choice {
        None => Ok(policies
            .get(DEFAULT_POLICY)
            .unwrap_or_else(Policy::sensitive)),
        Some(RawPolicyChoice::Named(name)) => policies
            .get(&name)
            .ok_or_else(|| Problem::new("policy", unknown(&name, &policies.names(), "a policy"))),
        Some(RawPolicyChoice::Inline(policy)) => policy
            .resolve(Some(route), |base| policies.get(base))
            .map_err(|broken| Problem::new(format!("policy.{}", broken.field), broken.rule)),
    }
}

fn unknown(name: &str, known: &[&str], what: &str) -> String {
    match nearest(name, known) {
        Some(near) => format!("must name {what}; did you mean {near}?"),
        None => format!("must name {what}: {}", known.join(", ")),
    }
}

fn matches(raw: &RawMatch) -> Result<Match, Problem> {
    let matches = match &raw.grpc {
        Some(grpc) if raw.path.is_none() && raw.methods.is_none() => self::grpc(grpc)?,
        Some(_) => {
            return Err(Problem::new(
                "match.grpc",
                "must stand without path and methods",
            ));
        }
        None => Match {
            path: raw.path.as_deref().map(path).transpose()?,
            methods: methods(raw.methods.as_deref())?,
            ..Match::default()
        },
    };
    Ok(Match {
        host: raw.host.as_deref().map(host).transpose()?,
        headers: headers(&raw.headers)?,
        ..matches
    })
}

fn path(pattern: &str) -> Result<String, Problem> {
    let broken = |rule: String| Problem::new("match.path", rule);
    if !pattern.starts_with('/') || pattern.len() > 1024 || pattern.contains(['?', '#', ' ']) {
        let rule = "must be a path such as /api/pay, /users/{id} or /api/{*rest}";
        return Err(broken(rule.to_owned()));
    }
    let mut router = matchit::Router::new();
    match router.insert(pattern, ()) {
        Ok(()) => Ok(pattern.to_owned()),
        Err(error) => Err(broken(format!(
            "is not a pattern: {}",
            lower_first(&error.to_string())
        ))),
    }
}

fn host(host: &str) -> Result<String, Problem> {
    let name = host.strip_prefix("*.").unwrap_or(host);
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let is_address = |c: char| c.is_ascii_hexdigit() || "[:.]".contains(c);
    let is_plain = name.chars().all(is_name)
        || name.starts_with('[') && name.ends_with(']') && name.chars().all(is_address);
    if is_plain && (1..=253).contains(&name.len()) && !name.starts_with('.') {
        return Ok(host.to_owned());
    }
    let rule = "must be a host without port, or *. and a domain";
    Err(Problem::new("match.host", rule))
}

fn methods(raw: Option<&[String]>) -> Result<Vec<Method>, Problem> {
    if raw.is_some_and(<[_]>::is_empty) {
        let rule = "must have an entry; leave it out for any method";
        return Err(Problem::new("match.methods", rule));
    }
    let method = |(index, name): (usize, &String)| {
        let broken = |rule| Problem::new(format!("match.methods[{index}]"), rule);
        let is_plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '-');
        match Method::from_bytes(name.as_bytes()) {
            Ok(Method::CONNECT | Method::TRACE) => Err(broken("is never forwarded")),
            Ok(method) if is_plain => Ok(method),
            _ => Err(broken("must be a method in capitals, such as GET")),
        }
    };
    raw.unwrap_or_default()
        .iter()
        .enumerate()
        .map(method)
        .collect()
}

fn headers(
    raw: &BTreeMap<String, HeaderWanted>,
) -> Result<Vec<(HeaderName, Option<HeaderValue>)>, Problem> {
    let header = |(name, wanted): (&String, &HeaderWanted)| {
        let broken = |rule| Problem::new(format!("match.headers.{name}"), rule);
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| broken("must be the name of a header"))?;
        let value = match wanted {
            HeaderWanted::Any => None,
            HeaderWanted::Value(value) => {
                let value = HeaderValue::from_str(value);
                Some(value.map_err(|_| broken("must be the value of a header"))?)
            }
        };
        Ok((name, value))
    };
    raw.iter().map(header).collect()
}

fn grpc(raw: &RawGrpc) -> Result<Match, Problem> {
    let is_plain = |name: &str| {
        let is_letter = |c: char| c.is_ascii_alphanumeric() || "._".contains(c);
        (1..=255).contains(&name.len()) && name.chars().all(is_letter)
    };
    if !is_plain(&raw.service) {
        let rule = "must be a service with its package, such as bank.v1.Payments";
        return Err(Problem::new("match.grpc.service", rule));
    }
    if !raw.method.as_deref().is_none_or(is_plain) {
        return Err(Problem::new("match.grpc.method", "must be a method's name"));
    }
    Ok(Match::grpc(&raw.service, raw.method.as_deref()))
}

/// Messages of other crates begin with a capital; ours go on after a colon.
fn lower_first(text: &str) -> String {
    let mut chars = text.trim_end_matches('.').chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
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

const DEFAULT_POLICY: &str = "sensitive";
