//! A route whose evidence is pooled: what is reported of it, and what became of verdicts on it.

use std::collections::HashMap;
use std::ops::Range;
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
    places: HashMap<Arc<str>, usize>,
}

impl Default for ReportedRoutes {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            names: Arc::from([]),
            places: HashMap::new(),
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
        let places = self.names.iter().enumerate();
        self.places = places.map(|(at, name)| (name.route.clone(), at)).collect();
        true
    }

    pub(super) const fn names(&self) -> &Arc<[RouteName]> {
        &self.names
    }

    /// Where the route of this name is.
    pub(super) fn place(&self, route: &str) -> Option<usize> {
        self.places.get(route).copied()
    }

    /// What each has to report, where there is something; `all` of them where that is asked for.
    pub(super) fn reports(&mut self, all: bool) -> Vec<RouteReport> {
        let routes = self.routes.iter_mut().enumerate();
        routes
            .filter_map(|(index, route)| route.report(u16::try_from(index).ok()?, all))
            .collect()
    }

    /// What each has to report before its turn: requests that ended.
    pub(super) fn requests(&mut self) -> Vec<RouteReport> {
        for route in &mut self.routes {
            route.known.reporter.only_requests();
        }
        self.reports(false)
    }

    /// Follows a verdict that is in force. Returns why not, where it is not.
    pub(super) fn follow(&mut self, in_force: InForce<'_>, verdict: &Verdict) -> Vec<Ignored> {
        self.follow_of(0..self.routes.len(), in_force, verdict)
    }

    /// The same of some routes only.
    pub(super) fn follow_of(
        &mut self,
        places: Range<usize>,
        in_force: InForce<'_>,
        verdict: &Verdict,
    ) -> Vec<Ignored> {
        let said = verdict.routes.iter().map(|of| (&of.name, of));
        let said: HashMap<_, _> = said.collect();
        let routes = self.routes[places.clone()].iter_mut();
        routes
            .zip(&self.names[places])
            .filter_map(|(route, name)| {
                let said = said.get(name).copied();
                route.follow(in_force, said, verdict.settled).err()
            })
            .collect()
    }

    /// What there is to see of the one there, by the sidecar `me`.
    pub(super) fn seen_at(&self, place: usize, me: InstanceId) -> RouteSeen {
        self.routes[place].seen(me)
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

    /// Follows what a verdict that is in force has said of it; nothing, if it is quiet, or if the
    /// verdict is not `settled`.
    fn follow(
        &mut self,
        in_force: InForce<'_>,
        said: Option<&Arc<RouteVerdict>>,
        settled: bool,
    ) -> Result<(), Ignored> {
        let known = &mut self.known;
        let breaker = &self.of.breaker;
        let effect = breaker.follow_fleet(in_force, said.map(|said| &**said), &known.reporter);
        if said.is_some() || settled {
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

#[cfg(test)]
mod tests {
    use breaker_tower::breaker_core::fleet::{Judge, Numbers, ProbeReport, Replica};
    use breaker_tower::breaker_core::{Ratio, State, Timestamp};

    use super::*;

    fn route(name: &str) -> MemberRoute {
        let policy = Arc::new(Policy::adaptive());
        MemberRoute {
            breaker: BreakerHandle::with_seed(name, policy.clone(), 7),
            policy,
        }
    }

    fn open(name: &RouteName) -> Arc<RouteVerdict> {
        Arc::new(RouteVerdict {
            name: name.clone(),
            stage: Stage::Open {
                remaining: Duration::from_secs(5),
            },
            signal: Signal::Errors,
            since: Duration::from_secs(2),
            numbers: Numbers {
                observations: 50,
                hits: 50,
                low: Ratio::of(9, 10),
                high: Ratio::ONE,
                ..Numbers::default()
            },
            trial: ProbeReport::default(),
            reporting: 1,
            heard: 1,
        })
    }

    #[tokio::test]
    async fn what_an_event_does_not_name_is_not_touched() {
        let mut routes = ReportedRoutes::default();
        assert!(routes.replace(["pay", "search", "cart"].map(route).to_vec()));
        let states = |routes: &ReportedRoutes| -> Vec<State> {
            let routes = routes.routes.iter();
            routes.map(|route| route.of.breaker.state()).collect()
        };
        let mut verdict = Verdict {
            judge: Judge::Brain,
            term: 1,
            seq: 1,
            settled: true,
            routes: routes.names().iter().map(open).collect(),
        };
        let mut replica = Replica::new(InstanceId([0; 8]));
        let now = Timestamp::ZERO;
        let search = routes.place("search").unwrap();
        assert_eq!((search, routes.place("other")), (1, None));
        let in_force = replica.verdict(now, now, &verdict).unwrap();
        assert_eq!(routes.follow_of(search..search + 1, in_force, &verdict), []);
        assert_eq!(states(&routes), [State::Closed, State::Open, State::Closed]);
        assert!(routes.seen_at(search, InstanceId([0; 8])).is_led);

        // A reading names all; of whom it leaves out it says that nothing is wrong.
        verdict.seq = 2;
        let _ = verdict.routes.remove(1);
        let in_force = replica.verdict(now, now, &verdict).unwrap();
        assert_eq!(routes.follow(in_force, &verdict), []);
        assert_eq!(states(&routes)[0], State::Open);
        assert_eq!(states(&routes)[2], State::Open);
        assert!(!routes.seen_at(search, InstanceId([0; 8])).is_led);
        assert!(routes.seen_at(0, InstanceId([0; 8])).verdict.is_some());
    }
}
