//! A route whose evidence is pooled: what is reported of it, and what became of verdicts on it.

use std::sync::Arc;
use std::time::Duration;

use breaker_tower::BreakerHandle;
use breaker_tower::breaker_core::Policy;
use breaker_tower::breaker_core::fleet::{
    FleetEffect, FleetRoute, Ignored, InForce, InstanceId, Reporter, RouteName, RouteReport,
    RouteVerdict, Stage, Verdict,
};
use breaker_tower::breaker_core::policy::Signal;
use tokio::time::Instant;

use super::seen::{Opened, RouteSeen};
use crate::findings::PROXY;
use crate::registry::Registry;

/// A route whose evidence is pooled.
#[derive(Clone, Debug)]
pub(super) struct MemberRoute {
    pub(super) breaker: BreakerHandle,
    pub(super) policy: Arc<Policy>,
}

impl MemberRoute {
    /// The routes of `registry` that the proxy sends requests of, and that are `wanted` by name.
    pub(super) fn of(registry: &Registry, wanted: impl Fn(&str) -> bool) -> Vec<Self> {
        let entries = registry.list();
        let pooled = entries.iter().filter(|entry| {
            let is_route = entry.upstream().is_some() && !entry.is_stand_in();
            is_route && wanted(entry.name())
        });
        pooled
            .map(|entry| Self {
                breaker: entry.breaker().clone(),
                policy: entry.policy().clone(),
            })
            .collect()
    }
}

/// The same, with what has happened.
#[derive(Debug)]
struct Reported {
    of: MemberRoute,
    known: RouteMemory,
}

/// What outlives a change of the policy.
#[derive(Debug, Default)]
struct RouteMemory {
    reporter: Reporter,
    verdict: Option<Arc<RouteVerdict>>,
    ignored: Option<Ignored>,
    opened: Option<Opened>,
}

/// All routes of a configuration, by index.
#[derive(Debug)]
pub(super) struct ReportedRoutes {
    routes: Vec<Reported>,
    names: Arc<[RouteName]>,
}

impl Default for ReportedRoutes {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            names: Arc::from([]),
        }
    }
}

impl ReportedRoutes {
    /// Takes over the routes of a configuration. What is known of those that stay goes on. Returns
    /// whether they are other than before.
    pub(super) fn replace(&mut self, next: Vec<MemberRoute>) -> bool {
        let is_same = next.len() == self.routes.len()
            && next
                .iter()
                .zip(&self.routes)
                .all(|(next, now)| now.is(next));
        if is_same {
            return false;
        }
        let mut before = std::mem::take(&mut self.routes);
        let next = next.into_iter();
        self.routes = next.map(|of| Reported::new(of, &mut before)).collect();
        let names = self.routes.iter().map(|route| RouteName {
            route: route.of.breaker.name().clone(),
            source: PROXY.into(),
        });
        self.names = names.collect();
        true
    }

    pub(super) const fn names(&self) -> &Arc<[RouteName]> {
        &self.names
    }

    /// What each has to report, where there is something; `all` of them where that is asked for.
    pub(super) fn reports(&mut self, all: bool) -> Vec<RouteReport> {
        let routes = self.routes.iter_mut().enumerate();
        routes
            .filter_map(|(index, route)| route.report(u16::try_from(index).ok()?, all))
            .collect()
    }

    /// Follows a verdict that is in force. Returns why not, where it is not.
    pub(super) fn follow(&mut self, in_force: InForce<'_>, verdict: &Verdict) -> Vec<Ignored> {
        let routes = self.routes.iter_mut().zip(&*self.names);
        routes
            .filter_map(|(route, name)| route.follow(in_force, name, verdict).err())
            .collect()
    }

    /// What there is to see of them, by the sidecar `me`.
    pub(super) fn seen(&self, me: InstanceId) -> impl Iterator<Item = RouteSeen> {
        self.routes.iter().map(move |route| route.seen(me))
    }

    /// The routes with their policies, for an aggregator.
    pub(super) fn of_fleet(&self) -> impl Iterator<Item = FleetRoute> {
        let routes = self.routes.iter().zip(&*self.names);
        routes.map(|(route, name)| FleetRoute::new(name.clone(), route.of.policy.clone()))
    }
}

impl Reported {
    /// The route `of`; what `before` has of the same breaker goes on.
    fn new(of: MemberRoute, before: &mut [Self]) -> Self {
        let mut before = before.iter_mut();
        let same = before.find(|known| known.of.breaker.id() == of.breaker.id());
        let known = same.map(|same| std::mem::take(&mut same.known));
        Self {
            of,
            known: known.unwrap_or_default(),
        }
    }

    /// Whether it is `other`, unchanged.
    fn is(&self, other: &MemberRoute) -> bool {
        self.of.breaker.id() == other.breaker.id() && self.of.policy == other.policy
    }

    fn report(&mut self, index: u16, all: bool) -> Option<RouteReport> {
        let reporter = &mut self.known.reporter;
        self.of.breaker.report_to_fleet(reporter, index, all)
    }

    /// Follows what `verdict`, which is in force, says of it.
    fn follow(
        &mut self,
        in_force: InForce<'_>,
        name: &RouteName,
        verdict: &Verdict,
    ) -> Result<(), Ignored> {
        let known = &mut self.known;
        let effect = self
            .of
            .breaker
            .follow_fleet(in_force, name, &known.reporter);
        let said = verdict.routes.iter().find(|of| of.name == *name);
        if said.is_some() || verdict.settled {
            known.verdict = said.cloned();
        }
        known.ignored = effect.err();
        if let (Ok(FleetEffect::Opened), Some(said)) = (effect, said) {
            let own = self.own(said.signal);
            self.known.opened = Some(Opened {
                at: Instant::now(),
                verdict: said.clone(),
                own,
            });
        }
        effect.map(|_| ())
    }

    /// What there is to see of it, by the sidecar `me`.
    fn seen(&self, me: InstanceId) -> RouteSeen {
        let known = &self.known;
        let stage = known.verdict.as_ref().map(|verdict| &verdict.stage);
        let is_prober = matches!(stage, Some(Stage::Probing { probers }) if probers.contains(&me));
        RouteSeen {
            name: self.of.breaker.name().clone(),
            is_prober,
            verdict: known.verdict.clone(),
            ignored: known.ignored,
            is_led: self.of.breaker.is_led(),
            own: Signal::ALL.map(|signal| self.own(signal)),
            opened: known.opened.clone(),
        }
    }

    fn own(&self, signal: Signal) -> (u64, u64) {
        let reporter = &self.known.reporter;
        self.of.breaker.own_evidence(reporter, signal, LATELY)
    }
}

/// What is shown of own requests.
const LATELY: Duration = Duration::from_secs(30);
