//! A configuration, with the breakers and the table of routes that it asks for: made whole before
//! anything of it is in force.

use std::collections::HashMap;
use std::sync::Arc;

use breaker_tower::BreakerHandle;

use crate::baselines::TrackedBreaker;
use crate::config::{Config, Route};
use crate::findings::Findings;
use crate::proxy::{self, Retries, RouteError, RouteTable};
use crate::registry::{Entry, Registry};

/// A configuration that runs, or is about to.
#[derive(Debug)]
pub(super) struct ActiveConfig {
    pub(super) config: Config,
    /// One for each route, in their order.
    pub(super) breakers: Vec<BreakerHandle>,
    /// What is known of each route beside its breaker.
    pub(super) findings: Vec<Arc<Findings>>,
    /// Of the routes that have an upstream.
    pub(super) table: Arc<RouteTable>,
}

/// What a configuration has other than the one before: names of routes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) added: Vec<String>,
    pub(super) removed: Vec<String>,
    pub(super) updated: Vec<String>,
}

/// The routes of a composition with their breakers, by name.
type ByName<'a> = HashMap<&'a str, Known<'a>>;

/// A route of a composition.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) route: &'a Route,
    pub(super) breaker: &'a BreakerHandle,
    pub(super) findings: &'a Arc<Findings>,
}

impl ActiveConfig {
    /// Makes what `config` asks for. Routes that `before` has too get its breakers, to which
    /// nothing is done yet.
    pub(super) fn new(config: Config, before: Option<&Self>) -> Result<Self, RouteError> {
        let retries = before.map(retries).unwrap_or_default();
        let before = before.map(Self::by_name).unwrap_or_default();
        let parts = config.routes().iter().map(|route| {
            let kept = kept(&before, route);
            let kept = kept.map(|known| (known.breaker.clone(), known.findings.clone()));
            kept.unwrap_or_else(|| (breaker_of(route), Arc::default()))
        });
        let (breakers, findings): (Vec<_>, Vec<_>) = parts.unzip();
        let known = routes(&config, &breakers, &findings);
        let routes = known.filter_map(|known| {
            let mut route = proxied(known)?;
            let kept = retries.get(&**route.name());
            if let (Some(new), Some(kept)) = (&route.retries, kept)
                && new.rules == kept.rules
            {
                route.retries = Some((*kept).clone());
            }
            Some(route)
        });
        let table = RouteTable::new(routes.collect())?;
        Ok(Self {
            config,
            breakers,
            findings,
            table: Arc::new(table),
        })
    }

    /// The routes with their breakers.
    pub(super) fn routes(&self) -> impl Iterator<Item = Known<'_>> {
        routes(&self.config, &self.breakers, &self.findings)
    }

    /// What is other than `before`.
    pub(super) fn changes(&self, before: &Self) -> Changes {
        let (known, wanted) = (before.by_name(), self.by_name());
        let mut changes = Changes::default();
        for route in self.config.routes() {
            match known.get(&**route.name()) {
                None => changes.added.push(route.name().to_string()),
                Some(old) if old.route != route => changes.updated.push(route.name().to_string()),
                Some(_) => {}
            }
        }
        let names = before.config.routes().iter().map(Route::name);
        let gone = names.filter(|name| !wanted.contains_key(&***name));
        changes.removed = gone.map(|name| name.to_string()).collect();
        changes
    }

    /// The breakers that `before` does not have.
    pub(super) fn new_breakers(&self, before: &Self) -> Vec<&BreakerHandle> {
        let before = before.by_name();
        let new = self.routes();
        new.filter(|known| kept(&before, known.route).is_none())
            .map(|known| known.breaker)
            .collect()
    }

    /// Forces the modes that the configuration changes. Where it says what it said before, the mode
    /// stays as an operator has set it.
    pub(super) fn set_modes(&self, before: &Self) {
        let before = before.by_name();
        for Known { route, breaker, .. } in self.routes() {
            if let Some(old) = kept(&before, route)
                && old.route.mode() != route.mode()
            {
                breaker.force(route.mode());
            }
        }
    }

    /// What the control API knows of the breakers.
    pub(super) fn registry(&self) -> Registry {
        Registry::new(self.entries(), self.config.policies().clone())
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        self.routes().map(|known| {
            let entry = Entry::new(known.breaker.clone(), known.route.policy().clone());
            let upstream = known.route.upstream();
            let upstream = upstream.map(|upstream| upstream.name.as_str().into());
            let fallback = known.route.fallback();
            let fallback = fallback.map(|fallback| fallback.to_string().into());
            entry
                .with_findings(known.findings.clone())
                .with_upstream(upstream)
                .with_fallback(fallback)
        })
    }

    /// Those that learn what is usual, each with its route's version.
    pub(super) fn learners(&self) -> impl Iterator<Item = TrackedBreaker> {
        self.routes().map(|known| TrackedBreaker {
            breaker: known.breaker.clone(),
            version: known.route.version().cloned(),
        })
    }

    fn by_name(&self) -> ByName<'_> {
        let routes = self.routes();
        routes.map(|known| (&**known.route.name(), known)).collect()
    }
}

/// The retries of routes, by name: their budget and counts go on after a reload.
fn retries(before: &ActiveConfig) -> HashMap<&str, &Arc<Retries>> {
    let routes = before.table.routes().iter();
    routes
        .filter_map(|route| Some((&**route.name(), route.retries.as_ref()?)))
        .collect()
}

/// What there was of `route`, if it keeps its breaker. Without an upstream a breaker is judged by
/// other things: a route that gains or loses its upstream begins anew.
fn kept<'a>(before: &ByName<'a>, route: &Route) -> Option<Known<'a>> {
    let old = *before.get(&**route.name())?;
    (old.route.upstream().is_some() == route.upstream().is_some()).then_some(old)
}

fn routes<'a>(
    config: &'a Config,
    breakers: &'a [BreakerHandle],
    findings: &'a [Arc<Findings>],
) -> impl Iterator<Item = Known<'a>> {
    let parts = breakers.iter().zip(findings);
    let routes = config.routes().iter().zip(parts);
    routes.map(|(route, (breaker, findings))| Known {
        route,
        breaker,
        findings,
    })
}

fn breaker_of(route: &Route) -> BreakerHandle {
    let (name, policy) = (route.name().clone(), route.policy().clone());
    let breaker = match route.upstream() {
        Some(_) => BreakerHandle::new(name, policy),
        None => BreakerHandle::telemetry_only(name, policy),
    };
    breaker.force(route.mode());
    breaker
}

/// A route of the proxy, unless it is one that only others ask for.
fn proxied(known: Known<'_>) -> Option<proxy::Route> {
    let Known { route, .. } = known;
    Some(proxy::Route {
        breaker: known.breaker.clone(),
        findings: known.findings.clone(),
        matches: route.matches().clone(),
        upstream: route.upstream()?.clone(),
        timeout: route.timeout(),
        retries: route.retry().cloned().map(Retries::new).map(Arc::new),
        fallback: route.fallback().cloned(),
        deadline: route.deadline().clone(),
        body: route.body().clone(),
        max_in_flight: route.max_in_flight(),
    })
}
