//! A route whose evidence is pooled: what is reported of it, and what became of verdicts on it.

use std::sync::Arc;
use std::time::Duration;

use breaker_tower::BreakerHandle;
use breaker_tower::breaker_core::Policy;
use breaker_tower::breaker_core::fleet::{
    FleetEffect, Ignored, InForce, InstanceId, Reporter, RouteName, RouteReport, RouteVerdict,
    Stage, Verdict,
};
use breaker_tower::breaker_core::policy::Signal;
use tokio::time::Instant;

use super::seen::{Opened, RouteSeen};

/// A route whose evidence is pooled.
#[derive(Clone, Debug)]
pub(super) struct MemberRoute {
    pub(super) breaker: BreakerHandle,
    pub(super) policy: Arc<Policy>,
}

/// The same, with what has happened.
#[derive(Debug)]
pub(super) struct Reported {
    pub(super) of: MemberRoute,
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

impl Reported {
    /// The route `of`; what `before` has of the same breaker goes on.
    pub(super) fn new(of: MemberRoute, before: &mut [Self]) -> Self {
        let mut before = before.iter_mut();
        let same = before.find(|known| known.of.breaker.id() == of.breaker.id());
        let known = same.map(|same| std::mem::take(&mut same.known));
        Self {
            of,
            known: known.unwrap_or_default(),
        }
    }

    /// Whether it is `other`, unchanged.
    pub(super) fn is(&self, other: &MemberRoute) -> bool {
        self.of.breaker.id() == other.breaker.id() && self.of.policy == other.policy
    }

    pub(super) fn report(&mut self, index: u16, all: bool) -> Option<RouteReport> {
        let reporter = &mut self.known.reporter;
        self.of.breaker.report_to_fleet(reporter, index, all)
    }

    /// Follows what `verdict`, which is in force, says of it.
    pub(super) fn follow(
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
    pub(super) fn seen(&self, me: InstanceId) -> RouteSeen {
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
