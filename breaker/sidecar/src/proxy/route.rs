//! Which route a request belongs to.
//!
//! The most specific path pattern whose other conditions hold wins; among equal patterns the order
//! of the configuration decides. A request whose only mismatch is its method is told which methods
//! there are.

mod paths;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::BreakerHandle;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use self::paths::Paths;
use super::deadline::DeadlineRules;
use super::fallback::Fallback;
use super::path;
use super::retry::Retries;
use crate::findings::Findings;
use crate::message::BodyLimits;
use crate::tls::{Pattern, SpiffeId};
use crate::upstream::{Endpoint, Upstream};

/// One route: which requests, where to, within which bounds.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its breaker, whose name is the route's: `http.route` and `breaker.name` in telemetry.
    pub breaker: BreakerHandle,
    /// Where its failures are noted.
    pub findings: Arc<Findings>,
    /// Which requests belong to it.
    pub matches: Match,
    /// Where they go.
    pub upstream: Arc<Upstream>,
    /// Time from the end of the request to the head of the response; `None` for no limit. Default
    /// 15 s.
    pub timeout: Option<Duration>,
    /// Its retries, if there are any. Default none.
    pub retries: Option<Arc<Retries>>,
    /// What answers the requests that the breaker rejects. Default none: they get its rejection.
    pub fallback: Option<Fallback>,
    /// Which deadlines of callers are kept.
    pub deadline: DeadlineRules,
    /// Bounds of the bodies.
    pub body: BodyLimits,
    /// Requests at once per worker, above which further ones are answered 429; `None` for no limit.
    pub max_in_flight: Option<usize>,
}

impl Route {
    /// Makes a route to `upstream` with the default settings, for every request.
    pub fn new(breaker: BreakerHandle, upstream: Arc<Upstream>) -> Self {
        Self {
            breaker,
            findings: Arc::default(),
            matches: Match::default(),
            upstream,
            timeout: Some(Duration::from_secs(15)),
            retries: None,
            fallback: None,
            deadline: DeadlineRules::default(),
            body: BodyLimits::default(),
            max_in_flight: None,
        }
    }

    /// Where its requests may go: its upstream, and that of its fallback.
    fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        let fallback = self.fallback.as_ref().and_then(Fallback::upstream);
        [&self.upstream].into_iter().chain(fallback)
    }

    /// Returns the route's name.
    pub fn name(&self) -> &Arc<str> {
        self.breaker.name()
    }
}

/// The conditions of a route; an empty one holds for every request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Match {
    /// Path patterns of `matchit`, of which one must fit; empty for any path. A slash at the end
    /// makes no difference, and a final `{*rest}` also matches nothing.
    pub paths: Vec<String>,
    /// A host without port, or `*.` and a suffix.
    pub host: Option<String>,
    /// The methods; empty for any.
    pub methods: Vec<Method>,
    /// Headers that must be there, with the value if one is given.
    pub headers: Vec<(HeaderName, Option<HeaderValue>)>,
    /// The SPIFFE ID of the client.
    pub peer: Option<Pattern>,
    /// Whether only gRPC requests match.
    pub grpc: bool,
}

impl Match {
    /// Makes the conditions for a gRPC service, or for one method of it.
    pub fn grpc(service: &str, method: Option<&str>) -> Self {
        let path = format!("/{service}/{}", method.unwrap_or("{*method}"));
        Self {
            paths: vec![path],
            grpc: true,
            ..Self::default()
        }
    }
}

/// What routes look at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) method: &'a Method,
    /// The path in its normal form.
    pub(crate) path: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) is_grpc: bool,
    /// The SPIFFE ID of the client, if it has one.
    pub(crate) peer: Option<&'a SpiffeId>,
}

/// Why no route was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unrouted {
    /// No route has this path and host.
    NotFound,
    /// There is one, with these methods.
    Method(Vec<Method>),
}

/// A set of routes cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// A pattern is not one of `matchit`, or collides with another.
    #[error("route {route}: path {pattern}: {source}")]
    Pattern {
        /// The route's name.
        route: Arc<str>,
        /// Its pattern.
        pattern: String,
        /// What is wrong with it.
        source: matchit::InsertError,
    },
    /// Two routes have the same name.
    #[error("two routes are named {0}")]
    Duplicate(Arc<str>),
}

/// The routes of a configuration, found by request.
#[derive(Debug)]
pub struct RouteTable {
    routes: Vec<Route>,
    /// The upstreams of the routes and of their fallbacks, each once.
    upstreams: Vec<Arc<Upstream>>,
    /// Where each is among them, by its address.
    positions: HashMap<usize, usize>,
    /// The index of each upstream's first endpoint in telemetry.
    firsts: Vec<usize>,
    paths: Paths,
    /// Routes that take any path, in the order of the configuration.
    anywhere: Vec<usize>,
}

impl RouteTable {
    /// Makes the table.
    ///
    /// # Errors
    ///
    /// Fails if a pattern is malformed or collides with another, or a name occurs twice.
    pub fn new(routes: Vec<Route>) -> Result<Self, RouteError> {
        let mut names = HashSet::new();
        if let Some(twice) = routes.iter().find(|route| !names.insert(route.name())) {
            return Err(RouteError::Duplicate(twice.name().clone()));
        }
        let patterns = routes.iter().enumerate().flat_map(|(index, route)| {
            let patterns = route.matches.paths.iter();
            patterns.map(move |pattern| (index, pattern.as_str()))
        });
        let paths = Paths::new(patterns);
        let paths = paths.map_err(|(index, pattern, source)| RouteError::Pattern {
            route: routes[index].name().clone(),
            pattern: pattern.to_owned(),
            source,
        })?;
        let indices = routes.iter().enumerate();
        let anywhere = indices.filter(|(_, route)| route.matches.paths.is_empty());
        let anywhere = anywhere.map(|(index, _)| index).collect();
        let mut upstreams: Vec<Arc<Upstream>> = Vec::new();
        let mut positions = HashMap::new();
        let mut firsts = Vec::new();
        let mut endpoints = 0;
        for upstream in routes.iter().flat_map(Route::upstreams) {
            positions.entry(address(upstream)).or_insert_with(|| {
                upstreams.push(upstream.clone());
                firsts.push(endpoints);
                endpoints += upstream.endpoints.len();
                upstreams.len() - 1
            });
        }
        Ok(Self {
            upstreams,
            positions,
            firsts,
            paths,
            anywhere,
            routes,
        })
    }

    /// Returns the routes in the order of the configuration.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Returns the endpoints of all upstreams, in the order of their indices in telemetry.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.upstreams
            .iter()
            .flat_map(|upstream| &upstream.endpoints)
    }

    /// The upstreams of the routes and of their fallbacks, each once.
    pub(crate) fn upstreams(&self) -> &[Arc<Upstream>] {
        &self.upstreams
    }

    /// Goes on with the endpoints of upstreams that `before` has too, by name.
    pub(crate) fn inherit(&self, before: &Self) {
        let before = before.upstreams.iter();
        let before: HashMap<_, _> = before.map(|upstream| (&upstream.name, upstream)).collect();
        for upstream in &self.upstreams {
            if let Some(before) = before.get(&upstream.name)
                && !Arc::ptr_eq(before, upstream)
            {
                upstream.inherit(before);
            }
        }
    }

    /// Where an upstream is among those of [`Self::upstreams`], if it is the very same one.
    pub(crate) fn position_of(&self, upstream: &Arc<Upstream>) -> Option<usize> {
        self.positions.get(&address(upstream)).copied()
    }

    /// The index in telemetry of the first endpoint of the upstream at `position`.
    pub(crate) fn first_endpoint(&self, position: usize) -> usize {
        self.firsts[position]
    }

    /// Finds the index of the route that `target` belongs to.
    pub(crate) fn find(&self, target: Target<'_>) -> Result<usize, Unrouted> {
        let path = path::matched(target.path);
        let target = Target {
            path: &path,
            ..target
        };
        for &index in self.paths.best(target.path) {
            let matches = &self.routes[index].matches;
            if matches.accepts(target) && matches.has(target.method) {
                return Ok(index);
            }
        }
        let mut methods = Vec::new();
        let anywhere = self.anywhere.iter().copied();
        for index in self.paths.all(target.path).chain(anywhere) {
            let matches = &self.routes[index].matches;
            if !matches.accepts(target) {
                continue;
            }
            if matches.has(target.method) {
                return Ok(index);
            }
            for method in &matches.methods {
                if !methods.contains(method) {
                    methods.push(method.clone());
                }
            }
        }
        Err(if methods.is_empty() {
            Unrouted::NotFound
        } else {
            Unrouted::Method(methods)
        })
    }
}

/// Tells upstreams apart, of which equal ones may be two.
fn address(upstream: &Arc<Upstream>) -> usize {
    Arc::as_ptr(upstream).addr()
}

impl Match {
    /// Whether all but path and method fit.
    fn accepts(&self, target: Target<'_>) -> bool {
        let host_fits = |wanted: &str| {
            let host = host_of(target.headers);
            match without_root(wanted).strip_prefix('*') {
                Some(suffix) => host.len().checked_sub(suffix.len()).is_some_and(|at| {
                    at > 0 && host.is_char_boundary(at) && host[at..].eq_ignore_ascii_case(suffix)
                }),
                None => host.eq_ignore_ascii_case(wanted),
            }
        };
        let peer_fits = |wanted: &Pattern| target.peer.is_some_and(|id| wanted.matches(id));
        (!self.grpc || target.is_grpc)
            && self.peer.as_ref().is_none_or(peer_fits)
            && self.host.as_deref().is_none_or(host_fits)
            && self.headers.iter().all(|(name, value)| match value {
                None => target.headers.contains_key(name),
                Some(value) => target
                    .headers
                    .get_all(name)
                    .iter()
                    .any(|found| found == value),
            })
    }

    fn has(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }
}

/// The host of the Host header, without port.
fn host_of(headers: &HeaderMap) -> &str {
    let host = headers
        .get(http::header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let host = match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => &host[..colon],
        _ => host,
    };
    without_root(host)
}

/// A host without the dot of the root at its end (RFC 1034, 3.1): it is the same host.
fn without_root(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

#[cfg(test)]
mod tests;
