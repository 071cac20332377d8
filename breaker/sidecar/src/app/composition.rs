//! A configuration, with the breakers and the table of routes that it asks for: made whole before
//! anything of it is in force.

use std::collections::HashMap;
use std::sync::Arc;

use breaker_tower::BreakerHandle;

use crate::baselines::TrackedBreaker;
use crate::config::{Config, Fallback, Route};
use crate::findings::Findings;
use crate::proxy::{self, Retries, RouteError, RouteTable};
use crate::registry::{RegisteredBreaker, Registry};

/// A configuration that runs, or is about to.
#[derive(Debug)]
pub(super) struct ActiveConfig {
    pub(super) config: Config,
    /// One for each route, in their order.
    pub(super) breakers: Vec<BreakerHandle>,
    /// Those of the upstreams that stand in for those of the routes, in the order of the routes.
    stand_ins: Vec<Option<BreakerHandle>>,
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
    /// The breaker of the upstream that its fallback sends to.
    pub(super) stand_in: Option<&'a BreakerHandle>,
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
        let stand_ins = config.routes().iter().map(|route| {
            let kept = kept_stand_in(&before, route).cloned();
            kept.or_else(|| stand_in_of(route))
        });
        let stand_ins: Vec<_> = stand_ins.collect();
        let known = routes(&config, &breakers, &stand_ins, &findings);
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
            stand_ins,
            findings,
            table: Arc::new(table),
        })
    }

    /// All breakers, in the order of the routes.
    pub(super) fn all_breakers(&self) -> impl Iterator<Item = &BreakerHandle> {
        let known = self.routes();
        known.flat_map(|known| [known.breaker].into_iter().chain(known.stand_in))
    }

    /// The routes with their breakers.
    pub(super) fn routes(&self) -> impl Iterator<Item = Known<'_>> {
        routes(
            &self.config,
            &self.breakers,
            &self.stand_ins,
            &self.findings,
        )
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
        let new = self.routes().flat_map(|known| {
            let breaker = Some(known.breaker).filter(|_| kept(&before, known.route).is_none());
            let is_kept = kept_stand_in(&before, known.route).is_some();
            breaker
                .into_iter()
                .chain(known.stand_in.filter(|_| !is_kept))
        });
        new.collect()
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

    pub(super) fn entries(&self) -> impl Iterator<Item = RegisteredBreaker> {
        self.routes().flat_map(|known| {
            let entry = RegisteredBreaker::new(known.breaker.clone(), known.route.policy().clone());
            let upstream = known.route.upstream();
            let upstream = upstream.map(|upstream| upstream.name.as_str().into());
            let fallback = known.route.fallback();
            let fallback = fallback.map(|fallback| fallback.to_string().into());
            let entry = entry
                .with_findings(known.findings.clone())
                .with_upstream(upstream)
                .with_fallback(fallback);
            [entry].into_iter().chain(stand_in_entry(known))
        })
    }

    /// Those that learn what is usual, each with its route's version.
    pub(super) fn learners(&self) -> impl Iterator<Item = TrackedBreaker> {
        self.routes().flat_map(|known| {
            let of_route = TrackedBreaker {
                breaker: known.breaker.clone(),
                version: known.route.version().cloned(),
            };
            let stand_in = known.stand_in.map(|breaker| TrackedBreaker {
                breaker: breaker.clone(),
                version: None,
            });
            [of_route].into_iter().chain(stand_in)
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

/// The breaker of the upstream that stands in for that of `route`, if it was the same one before.
fn kept_stand_in<'a>(before: &ByName<'a>, route: &Route) -> Option<&'a BreakerHandle> {
    let old = before.get(&**route.name())?;
    let name = |route: &Route| Some(route.fallback()?.upstream()?.name.clone());
    old.stand_in.filter(|_| name(old.route) == name(route))
}

fn routes<'a>(
    config: &'a Config,
    breakers: &'a [BreakerHandle],
    stand_ins: &'a [Option<BreakerHandle>],
    findings: &'a [Arc<Findings>],
) -> impl Iterator<Item = Known<'a>> {
    let parts = breakers.iter().zip(stand_ins).zip(findings);
    let routes = config.routes().iter().zip(parts);
    routes.map(|(route, ((breaker, stand_in), findings))| Known {
        route,
        breaker,
        stand_in: stand_in.as_ref(),
        findings,
    })
}

/// The breaker of the upstream that stands in for that of `route`. The colon is in no route's name.
fn stand_in_of(route: &Route) -> Option<BreakerHandle> {
    let Some(Fallback::Upstream { policy, .. }) = route.fallback() else {
        return None;
    };
    let name = format!("{}:fallback", route.name());
    Some(BreakerHandle::new(name, policy.clone()))
}

fn stand_in_entry(known: Known<'_>) -> Option<RegisteredBreaker> {
    let Some(Fallback::Upstream { upstream, policy }) = known.route.fallback() else {
        return None;
    };
    let entry = RegisteredBreaker::new(known.stand_in?.clone(), policy.clone()).standing_in();
    Some(entry.with_upstream(Some(upstream.name.as_str().into())))
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
        fallback: fallback(known),
        deadline: route.deadline().clone(),
        body: route.body().clone(),
        max_in_flight: route.max_in_flight(),
    })
}

fn fallback(known: Known<'_>) -> Option<proxy::Fallback> {
    Some(match known.route.fallback()? {
        Fallback::Upstream { upstream, .. } => proxy::Fallback::Upstream {
            upstream: upstream.clone(),
            breaker: known.stand_in?.clone(),
        },
        Fallback::Answer(answer) => proxy::Fallback::Answer(answer.clone()),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use breaker_tower::{Mode, State};

    use super::*;

    fn config(fallback: &str) -> Config {
        let text = format!(
            "upstreams:
  pay: {{ endpoints: [http://pay:1] }}
  replica: {{ endpoints: [http://replica:1] }}
  archive: {{ endpoints: [http://archive:1] }}
routes:
  - {{ name: pay, upstream: pay, policy: sensitive{fallback} }}
"
        );
        Config::parse(&text, None, Path::new("")).unwrap()
    }

    #[test]
    fn an_upstream_that_stands_in_keeps_its_breaker_while_it_does() {
        let replica = ", fallback: { upstream: replica }";
        let tuned = ", fallback: { upstream: replica, policy: conservative }";
        let archive = ", fallback: { upstream: archive }";
        let first = ActiveConfig::new(config(replica), None).unwrap();
        let named = |active: &ActiveConfig| -> Vec<_> {
            let entries = active.entries();
            let told = entries.map(|entry| {
                let (policy, upstream) = (entry.policy().name(), entry.upstream().unwrap());
                format!(
                    "{} {upstream} {policy} {}",
                    entry.name(),
                    entry.is_stand_in()
                )
            });
            told.collect()
        };
        let stand_in = "pay:fallback replica sensitive true";
        assert_eq!(named(&first), ["pay pay sensitive false", stand_in]);
        assert_eq!(first.learners().count(), 2);
        first.stand_ins[0].as_ref().unwrap().force(Mode::ForcedOpen);

        for (fallback, state, new, last) in [
            (replica, Some(State::Open), 0, stand_in),
            (
                tuned,
                Some(State::Open),
                0,
                "pay:fallback replica conservative true",
            ),
            (
                archive,
                Some(State::Closed),
                1,
                "pay:fallback archive sensitive true",
            ),
            (
                ", fallback: { body: x }",
                None,
                0,
                "pay pay sensitive false",
            ),
        ] {
            let next = ActiveConfig::new(config(fallback), Some(&first)).unwrap();
            let found = next.stand_ins[0].as_ref().map(BreakerHandle::state);
            assert_eq!(found, state, "{fallback}");
            assert_eq!(next.new_breakers(&first).len(), new, "{fallback}");
            assert_eq!(named(&next).last().unwrap(), last, "{fallback}");
        }
    }
}
