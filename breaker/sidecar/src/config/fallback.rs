//! `routes[].fallback`: what answers the requests that the breaker rejects.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use breaker_tower::Policy;
use breaker_tower::breaker_core::InvalidField;
use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use super::problem::{Findings, Problems, within};
use super::raw::RawFallback;
use super::route::{self, Known, Route};
use crate::proxy::FixedAnswer;
use crate::upstream::Upstream;

/// What answers the requests that a route's breaker rejects.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "both kinds there are")]
pub enum Fallback {
    /// Another upstream.
    Upstream {
        /// Where requests go.
        upstream: Arc<Upstream>,
        /// When the breaker of this fallback trips, and how it recovers.
        policy: Arc<Policy>,
    },
    /// Always the same answer. gRPC calls have no use for it, and are rejected.
    Answer(FixedAnswer),
}

// === impl Fallback ===

impl Fallback {
    /// The upstream that answers, if one does.
    pub fn upstream(&self) -> Option<&Arc<Upstream>> {
        match self {
            Self::Upstream { upstream, .. } => Some(upstream),
            Self::Answer(_) => None,
        }
    }
}

/// In a few words: `upstream replica`, `status 200`.
impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream { upstream, .. } => write!(f, "upstream {}", upstream.name),
            Self::Answer(answer) => write!(f, "status {}", answer.status.as_u16()),
        }
    }
}

/// The fallback of the route called `route` to the upstream `own`; `None` when the fallback's
/// upstream is broken itself, which is told already. Without a policy of its own it has that of the
/// route.
pub(super) fn build(
    raw: RawFallback,
    (route, own): (&str, Option<&str>),
    is_grpc: bool,
    policy: &Arc<Policy>,
    known: &Known<'_>,
) -> Result<Option<Fallback>, Problems> {
    let is_fixed = raw.status.is_some() || raw.body.is_some() || raw.content_type.is_some();
    let Some(name) = &raw.upstream else {
        if raw.policy.is_some() {
            let rule = "must stand with an upstream, whose breaker goes by it";
            return Err(InvalidField::new("policy", rule).into());
        }
        return fixed(&raw, is_fixed, is_grpc).map(|answer| Some(Fallback::Answer(answer)));
    };
    let broken = |rule| Err(InvalidField::new("upstream", rule).into());
    if is_fixed {
        return broken("must stand without status, body and content_type");
    }
    if own == Some(&**name) {
        return broken("must be another upstream than the route's own");
    }
    let mut problems = Problems::default();
    let upstream = problems.keep(route::upstream(name, known.upstreams));
    let own_policy = raw
        .policy
        .map(|choice| known.policies.choose(route, choice));
    let own_policy = problems.keep(own_policy.transpose());
    problems.finish()?;
    let policy = own_policy.map_or_else(|| policy.clone(), Arc::new);
    Ok(upstream.map(|upstream| Fallback::Upstream { upstream, policy }))
}

fn fixed(raw: &RawFallback, is_fixed: bool, is_grpc: bool) -> Result<FixedAnswer, Problems> {
    if !is_fixed {
        let rule = "must have an upstream, or the status or body of an answer";
        return Err(InvalidField::new("", rule).into());
    }
    if is_grpc {
        let rule = "must have an upstream: a fixed answer is no answer to a gRPC call";
        return Err(InvalidField::new("", rule).into());
    }
    let mut problems = Problems::default();
    let status = within("status", raw.status, 200..=599, 200);
    let status = status.and_then(|status| match says_more(status) {
        false => Ok(StatusCode::from_u16(status).unwrap_or_default()),
        true => Err(InvalidField::new("status", ALONE)),
    });
    let status = problems.keep(status);
    let body = raw.body.as_deref().unwrap_or_default();
    let has_no_content = matches!(status.as_u16(), 204 | 205 | 304);
    let body = match body.len() {
        1.. if has_no_content => Err("must be empty: answers with this status have none"),
        ..=MAX_BODY => Ok(body),
        _ => Err("must be at most 64 KiB"),
    };
    let body = problems.keep(body.map_err(|rule| InvalidField::new("body", rule)));
    let content_type = match &raw.content_type {
        Some(_) if raw.body.is_none() => Err("must stand with a body"),
        Some(written) => match HeaderValue::from_str(written) {
            Ok(value) if is_media_type(written) => Ok(Some(value)),
            _ => Err("must be a media type, such as application/json"),
        },
        None => Ok((!body.is_empty()).then(|| HeaderValue::from_static(PLAIN))),
    };
    let content_type = content_type.map_err(|rule| InvalidField::new("content_type", rule));
    let content_type = problems.keep(content_type);
    problems.finish()?;
    Ok(FixedAnswer {
        status,
        body: Bytes::copy_from_slice(body.as_bytes()),
        content_type,
    })
}

fn is_media_type(text: &str) -> bool {
    let (whole, _) = text.split_once(';').unwrap_or((text, ""));
    let is_token = |part: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+*%'`|~".contains(c);
        !part.is_empty() && part.chars().all(is_plain)
    };
    let parts = whole.trim_end().split_once('/');
    text.len() <= 255 && parts.is_some_and(|(kind, of)| is_token(kind) && is_token(of))
}

/// A fallback's answer is never replaced by another fallback's. Nor must two upstreams have each
/// other's load when one fails: an upstream that stands in has no fallback of its own.
pub(super) fn check_chains(routes: &[(usize, Route)], findings: &mut Findings<'_>) {
    let links = routes.iter().filter_map(|(_, route)| {
        let from = route.upstream()?.name.as_str();
        let to = route.fallback()?.upstream()?.name.as_str();
        Some((from, (route.name(), to)))
    });
    let links: HashMap<&str, (&Arc<str>, &str)> = links.collect();
    for (index, route) in routes {
        let Some(to) = route.fallback().and_then(Fallback::upstream) else {
            continue;
        };
        let Some((other, _)) = links.get(to.name.as_str()) else {
            continue;
        };
        let mut chain: Vec<_> = route
            .upstream()
            .map(|own| own.name.as_str())
            .into_iter()
            .collect();
        let mut next = Some(to.name.as_str());
        while let Some(name) = next {
            let is_circle = chain.contains(&name);
            chain.push(name);
            next = links.get(name).map(|(_, to)| *to).filter(|_| !is_circle);
        }
        let rule = format!(
            "must not be an upstream with a fallback of its own, which route {other} gives it: {}",
            chain.join(" → ")
        );
        findings.add(&format!("routes[{index}].fallback.upstream"), rule);
    }
}

/// Whether an answer with this status must have fields that a fixed answer can't have (RFC 9110,
/// 15): a range, a place to go, a challenge, methods, a protocol.
const fn says_more(status: u16) -> bool {
    matches!(status, 206 | 300..=399 | 401 | 405 | 407 | 416 | 426)
}

const ALONE: &str =
    "must say all by itself: not 206, 300 to 399, 401, 405, 407, 416 or 426, which need fields";
const MAX_BODY: usize = 64 * 1024;
const PLAIN: &str = "text/plain; charset=utf-8";
