//! A configuration, with the breakers and the table of routes that it asks for: made whole before
//! anything of it is in force.

use std::collections::HashMap;
use std::sync::Arc;

use breaker_tower::BreakerHandle;

use crate::baselines::Learner;
use crate::config::{Config, Route};
use crate::proxy::{self, RouteError, RouteTable};
use crate::registry::{Entry, Registry};

/// A configuration that runs, or is about to.
#[derive(Debug)]
pub(super) struct Composition {
    pub(super) config: Config,
    /// One for each route, in their order.
    pub(super) breakers: Vec<BreakerHandle>,
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
type ByName<'a> = HashMap<&'a str, (&'a Route, &'a BreakerHandle)>;

impl Composition {
    /// Makes what `config` asks for. Routes that `before` has too get its breakers, to which
    /// nothing is done yet.
    pub(super) fn new(config: Config, before: Option<&Self>) -> Result<Self, RouteError> {
        let before = before.map(Self::by_name).unwrap_or_default();
        let breakers = config.routes().iter().map(|route| {
            let kept = kept(&before, route).map(|(_, breaker)| breaker.clone());
            kept.unwrap_or_else(|| breaker_of(route))
        });
        let breakers: Vec<_> = breakers.collect();
        let routes = config.routes().iter().zip(&breakers);
        let routes = routes.filter_map(|(route, breaker)| proxied(route, breaker));
        let table = Arc::new(RouteTable::new(routes.collect())?);
        Ok(Self {
            config,
            breakers,
            table,
        })
    }

    /// The routes with their breakers.
    pub(super) fn routes(&self) -> impl Iterator<Item = (&Route, &BreakerHandle)> {
        self.config.routes().iter().zip(&self.breakers)
    }

    /// What is other than `before`.
    pub(super) fn changes(&self, before: &Self) -> Changes {
        let (known, wanted) = (before.by_name(), self.by_name());
        let mut changes = Changes::default();
        for route in self.config.routes() {
            match known.get(&**route.name()) {
                None => changes.added.push(route.name().to_string()),
                Some((old, _)) if *old != route => changes.updated.push(route.name().to_string()),
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
        new.filter(|(route, _)| kept(&before, route).is_none())
            .map(|(_, breaker)| breaker)
            .collect()
    }

    /// Forces the modes that the configuration changes. Where it says what it said before, the mode
    /// stays as an operator has set it.
    pub(super) fn set_modes(&self, before: &Self) {
        let before = before.by_name();
        for (route, breaker) in self.routes() {
            if let Some((old, _)) = kept(&before, route)
                && old.mode() != route.mode()
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
        let routes = self.routes();
        routes.map(|(route, breaker)| Entry::new(breaker.clone(), route.policy().clone()))
    }

    /// Those that learn what is usual, each with its route's version.
    pub(super) fn learners(&self) -> impl Iterator<Item = Learner> {
        self.routes().map(|(route, breaker)| Learner {
            breaker: breaker.clone(),
            version: route.version().cloned(),
        })
    }

    fn by_name(&self) -> ByName<'_> {
        let routes = self.routes();
        routes
            .map(|(route, breaker)| (&**route.name(), (route, breaker)))
            .collect()
    }
}

/// What there was of `route`, if it keeps its breaker. Without an upstream a breaker is judged by
/// other things: a route that gains or loses its upstream begins anew.
fn kept<'a>(before: &ByName<'a>, route: &Route) -> Option<(&'a Route, &'a BreakerHandle)> {
    let (old, breaker) = *before.get(&**route.name())?;
    (old.upstream().is_some() == route.upstream().is_some()).then_some((old, breaker))
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
fn proxied(route: &Route, breaker: &BreakerHandle) -> Option<proxy::Route> {
    Some(proxy::Route {
        breaker: breaker.clone(),
        matches: route.matches().clone(),
        upstream: route.upstream()?.clone(),
        timeout: route.timeout(),
        deadline: route.deadline().clone(),
        body: route.body().clone(),
        max_in_flight: route.max_in_flight(),
    })
}
