//! What must not meet in one configuration: addresses, names, requests, patterns.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use matchit::InsertError;

use super::problem::Findings;
use super::raw::{RawMatch, RawRoute};
use super::route::Route;

/// Nothing else listens where telemetry is received.
pub(super) fn check_free(
    field: &str,
    address: SocketAddr,
    others: &[(&str, SocketAddr)],
    findings: &mut Findings<'_>,
) {
    for (other, taken) in others {
        if address == *taken && address.port() != 0 {
            let rule = format!("must not be the address of {other}");
            findings.add(&format!("telemetry.receive.{field}"), rule);
        }
    }
}

/// Each route has a name of its own, and each with an upstream some request that only it takes.
pub(super) fn check_distinct(routes: &[RawRoute], findings: &mut Findings<'_>) {
    let everything = RawMatch::default();
    let mut names = HashMap::new();
    let mut matches: Vec<(&RawMatch, &str)> = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        if let Some(first) = names.insert(&route.name, index) {
            let rule = format!("must be unique; routes[{first}] has it too");
            findings.add(&format!("routes[{index}].name"), rule);
        }
        if route.upstream.is_none() {
            continue;
        }
        let wanted = route.r#match.as_ref().unwrap_or(&everything);
        let same = matches.iter().find(|(other, _)| *other == wanted);
        if let Some((_, name)) = same {
            let rule = format!("takes the same requests as route {name} before it");
            findings.add(&format!("routes[{index}].match"), rule);
        }
        matches.push((wanted, &route.name));
    }
}

/// No two patterns that both match a path without one being more specific.
pub(super) fn check_patterns(routes: &[(usize, Route)], findings: &mut Findings<'_>) {
    let mut router = matchit::Router::new();
    let mut known = HashSet::new();
    for (index, route) in routes {
        let Some(path) = &route.matches.path else {
            continue;
        };
        if known.insert(path)
            && let Err(error) = router.insert(path, ())
        {
            let rule = match error {
                InsertError::Conflict { with } => format!("can't stand beside {with}"),
                error => error.to_string(),
            };
            findings.add(&format!("routes[{index}].match.path"), rule);
        }
    }
}
