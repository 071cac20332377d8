//! What must not meet in one configuration: addresses, names, requests, patterns.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;

use matchit::InsertError;

use super::path;
use super::problem::Findings;
use super::raw::{OneOrMany, RawMatch, RawRoute, RawUpstream};
use super::route::Route;
use super::upstream::EndpointUrl;
use crate::ingest::loops_back;
use crate::sockets::ListenAddress;
use crate::upstream::Endpoint;

/// Nothing else listens where telemetry is received.
pub(super) fn check_free(
    field: &str,
    address: SocketAddr,
    others: &[(&str, &ListenAddress)],
    findings: &mut Findings<'_>,
) {
    for (other, taken) in others {
        if taken.meets(&address.into()) {
            let rule = format!("must not be the address of {other}");
            findings.add(&format!("telemetry.receive.{field}"), rule);
        }
    }
}

/// What is sent to an upstream does not come back, and callers of the proxy do not reach the admin
/// port by it.
pub(super) fn check_loops(
    listen: &ListenAddress,
    admin: &ListenAddress,
    upstreams: &BTreeMap<String, RawUpstream>,
    findings: &mut Findings<'_>,
) {
    for (name, upstream) in upstreams {
        for (index, url) in upstream.endpoints.iter().flatten().enumerate() {
            let Ok(endpoint) = url.parse().map(EndpointUrl::into_endpoint) else {
                continue;
            };
            let rule = if is_own(listen, &endpoint) {
                "must not be the address of listen: a loop"
            } else if is_own(admin, &endpoint) {
                "must not be the address of admin: every caller of the proxy could control it"
            } else {
                continue;
            };
            findings.add(&format!("upstreams.{name}.endpoints[{index}]"), rule);
        }
    }
}

/// Whether the endpoint is where the proxy listens, as far as can be told without asking a name
/// server.
pub(super) fn is_own(listen: &ListenAddress, endpoint: &Endpoint) -> bool {
    match (listen, endpoint) {
        (_, Endpoint::Unix(path)) => listen.path() == Some(path),
        (ListenAddress::Unix(_), _) => false,
        (ListenAddress::Tcp(listen), endpoint) => {
            let url = format!("http://{endpoint}/").parse();
            listen.port() != 0 && url.is_ok_and(|url| loops_back(&[*listen], &url))
        }
    }
}

/// Each route has a name of its own, and each with an upstream some request that only it takes.
pub(super) fn check_distinct(routes: &[RawRoute], findings: &mut Findings<'_>) {
    let everything = RawMatch::default();
    let mut names = HashMap::new();
    let mut matches = HashMap::new();
    for (index, route) in routes.iter().enumerate() {
        if let Some(first) = names.insert(&route.name, index) {
            let rule = format!("must be unique; routes[{first}] has it too");
            findings.add(&format!("routes[{index}].name"), rule);
        }
        if route.upstream.is_none() {
            continue;
        }
        let wanted = route.r#match.as_ref().unwrap_or(&everything);
        let paths = match &wanted.path {
            None => vec![None],
            Some(OneOrMany(paths)) => paths.iter().map(Some).collect(),
        };
        for (place, path) in paths.iter().enumerate() {
            let RawMatch {
                path: _,
                host,
                methods,
                headers,
                peer,
                grpc,
            } = wanted;
            let wanted = (*path, host, methods, headers, peer, grpc);
            let first = match matches.entry(wanted) {
                Entry::Occupied(first) => *first.get(),
                Entry::Vacant(free) => {
                    free.insert(index);
                    continue;
                }
            };
            let rule = match first == index {
                true => "is given twice".to_owned(),
                false => {
                    let name = &routes[first].name;
                    format!("takes the same requests as route {name} before it")
                }
            };
            let field = match paths.len() {
                1 => "match".to_owned(),
                several => path::field(several, place),
            };
            findings.add(&format!("routes[{index}].{field}"), rule);
        }
    }
}

/// No two patterns that both match a path without one being more specific.
pub(super) fn check_patterns(routes: &[(usize, Route)], findings: &mut Findings<'_>) {
    let mut router = matchit::Router::new();
    let mut known = HashSet::new();
    for (index, route) in routes {
        let paths = &route.matches.paths;
        for (place, path) in paths.iter().enumerate() {
            if known.insert(path)
                && let Err(error) = router.insert(path, ())
            {
                let rule = match error {
                    InsertError::Conflict { with } => format!("can't stand beside {with}"),
                    error => error.to_string(),
                };
                let field = path::field(paths.len(), place);
                findings.add(&format!("routes[{index}].{field}"), rule);
            }
        }
    }
}
