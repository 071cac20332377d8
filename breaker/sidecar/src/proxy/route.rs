//! Which route a request belongs to.
//!
//! The most specific path pattern whose other conditions hold wins; among equal patterns the order
//! of the configuration decides. A request whose only mismatch is its method is told which methods
//! there are.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::BreakerHandle;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use matchit::Router;

use super::deadline::DeadlineRules;
use crate::message::BodyLimits;
use crate::upstream::{Endpoint, Upstream};

/// One route: which requests, where to, within which bounds.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its breaker, whose name is the route's: `http.route` and `breaker.name` in telemetry.
    pub breaker: BreakerHandle,
    /// Which requests belong to it.
    pub matches: Match,
    /// Where they go.
    pub upstream: Arc<Upstream>,
    /// Time from the end of the request to the head of the response; `None` for no limit. Default
    /// 15 s.
    pub timeout: Option<Duration>,
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
            matches: Match::default(),
            upstream,
            timeout: Some(Duration::from_secs(15)),
            deadline: DeadlineRules::default(),
            body: BodyLimits::default(),
            max_in_flight: None,
        }
    }

    /// Returns the route's name.
    pub fn name(&self) -> &Arc<str> {
        self.breaker.name()
    }
}

/// The conditions of a route; an empty one holds for every request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Match {
    /// A path pattern of `matchit`; its final `{*rest}` also matches nothing. `None` for any path.
    pub path: Option<String>,
    /// A host without port, or `*.` and a suffix.
    pub host: Option<String>,
    /// The methods; empty for any.
    pub methods: Vec<Method>,
    /// Headers that must be there, with the value if one is given.
    pub headers: Vec<(HeaderName, Option<HeaderValue>)>,
    /// Whether only gRPC requests match.
    pub grpc: bool,
}

impl Match {
    /// Makes the conditions for a gRPC service, or for one method of it.
    pub fn grpc(service: &str, method: Option<&str>) -> Self {
        let path = format!("/{service}/{}", method.unwrap_or("{*method}"));
        Self {
            path: Some(path),
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
    /// The routes' upstreams, each once.
    upstreams: Vec<Arc<Upstream>>,
    /// The routes of each pattern, in the order of the configuration.
    by_path: Router<Vec<usize>>,
    /// Each route's pattern alone, most specific first, for requests that the best pattern's routes
    /// don't want.
    by_rank: Vec<(usize, Option<Router<()>>)>,
}

impl RouteTable {
    /// Makes the table.
    ///
    /// # Errors
    ///
    /// Fails if a pattern is malformed or collides with another, or a name occurs twice.
    pub fn new(routes: Vec<Route>) -> Result<Self, RouteError> {
        let mut patterns: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut by_rank = Vec::with_capacity(routes.len());
        for (index, route) in routes.iter().enumerate() {
            if routes[..index]
                .iter()
                .any(|other| other.name() == route.name())
            {
                return Err(RouteError::Duplicate(route.name().clone()));
            }
            let mut alone = None;
            if let Some(pattern) = &route.matches.path {
                patterns.entry(pattern).or_default().push(index);
                let router = alone.insert(Router::new());
                router
                    .insert(pattern, ())
                    .map_err(|source| pattern_error(route, source))?;
                insert_parent(router, pattern, ());
            }
            by_rank.push((index, alone));
        }
        let mut by_path = Router::new();
        let mut patterns: Vec<_> = patterns.into_values().collect();
        patterns.sort_unstable();
        let pattern_of = |indices: &Vec<usize>| {
            routes[indices[0]]
                .matches
                .path
                .as_deref()
                .unwrap_or_default()
        };
        for indices in &patterns {
            by_path
                .insert(pattern_of(indices), indices.clone())
                .map_err(|source| pattern_error(&routes[indices[0]], source))?;
        }
        for indices in &patterns {
            insert_parent(&mut by_path, pattern_of(indices), indices.clone());
        }
        by_rank.sort_by_key(|&(index, _)| (Reverse(literal_prefix(&routes[index])), index));
        let mut upstreams: Vec<Arc<Upstream>> = Vec::new();
        for route in &routes {
            if !upstreams
                .iter()
                .any(|known| Arc::ptr_eq(known, &route.upstream))
            {
                upstreams.push(route.upstream.clone());
            }
        }
        Ok(Self {
            routes,
            upstreams,
            by_path,
            by_rank,
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

    /// The routes' upstreams, each once.
    pub(crate) fn upstreams(&self) -> &[Arc<Upstream>] {
        &self.upstreams
    }

    /// Finds the index of the route that `target` belongs to.
    pub(crate) fn find(&self, target: Target<'_>) -> Result<usize, Unrouted> {
        if let Ok(best) = self.by_path.at(target.path) {
            for &index in best.value {
                if self.routes[index].matches.accepts(target)
                    && self.routes[index].matches.has(target.method)
                {
                    return Ok(index);
                }
            }
        }
        let mut methods = Vec::new();
        for (index, pattern) in &self.by_rank {
            let matches = &self.routes[*index].matches;
            let has_path = pattern
                .as_ref()
                .is_none_or(|pattern| pattern.at(target.path).is_ok());
            if !has_path || !matches.accepts(target) {
                continue;
            }
            if matches.has(target.method) {
                return Ok(*index);
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

impl Match {
    /// Whether all but path and method fit.
    fn accepts(&self, target: Target<'_>) -> bool {
        let host_fits = |wanted: &str| {
            let host = host_of(target.headers);
            match wanted.strip_prefix('*') {
                Some(suffix) => host.len().checked_sub(suffix.len()).is_some_and(|at| {
                    at > 0 && host.is_char_boundary(at) && host[at..].eq_ignore_ascii_case(suffix)
                }),
                None => host.eq_ignore_ascii_case(wanted),
            }
        };
        (!self.grpc || target.is_grpc)
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
    match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => &host[..colon],
        _ => host,
    }
}

/// Lets a final catch-all match its parent with a slash too, unless another pattern does.
fn insert_parent<T>(router: &mut Router<T>, pattern: &str, value: T) {
    if let Some(start) = pattern.find("{*") {
        // A conflict means that the parent is taken, which is what we want then.
        let _ = router.insert(&pattern[..start], value);
    }
}

/// The length of the pattern up to its first parameter, by which patterns are ranked.
fn literal_prefix(route: &Route) -> usize {
    match &route.matches.path {
        Some(pattern) => pattern.find('{').unwrap_or(usize::MAX),
        None => 0,
    }
}

fn pattern_error(route: &Route, source: matchit::InsertError) -> RouteError {
    let pattern = route.matches.path.clone().unwrap_or_default();
    RouteError::Pattern {
        route: route.name().clone(),
        pattern,
        source,
    }
}

#[cfg(test)]
mod tests;
