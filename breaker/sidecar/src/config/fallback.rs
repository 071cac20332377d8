//! `routes[].fallback`: what answers the requests that the breaker rejects.

use std::collections::HashMap;
use std::sync::Arc;

use breaker_tower::core::InvalidField;
use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use super::problem::{Findings, Problems, within};
use super::raw::RawFallback;
use super::route::{self, Known, Route};
use crate::proxy::{Fallback, FixedAnswer};

/// The fallback of a route to the upstream `own`; `None` when the fallback's upstream is broken
/// itself, which is told already.
pub(super) fn build(
    raw: &RawFallback,
    own: Option<&str>,
    is_grpc: bool,
    known: &Known<'_>,
) -> Result<Option<Fallback>, Problems> {
    let is_fixed = raw.status.is_some() || raw.body.is_some() || raw.content_type.is_some();
    let Some(name) = &raw.upstream else {
        return fixed(raw, is_fixed, is_grpc).map(|answer| Some(Fallback::Answer(answer)));
    };
    let broken = |rule| Err(InvalidField::new("upstream", rule).into());
    if is_fixed {
        return broken("must stand without status, body and content_type");
    }
    if own == Some(name) {
        return broken("must be another upstream than the route's own");
    }
    let upstream = route::upstream(name, known.upstreams)?;
    Ok(upstream.map(Fallback::Upstream))
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
    let status = status.map(|status| StatusCode::from_u16(status).unwrap_or_default());
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

const MAX_BODY: usize = 64 * 1024;
const PLAIN: &str = "text/plain; charset=utf-8";
