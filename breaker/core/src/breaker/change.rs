//! Commands of an operator: who decides, by which policy, and a new beginning.

use std::sync::Arc;
use std::time::Duration;

use super::requirements::PolicyRequirements;
use super::{Breaker, Phase};
use crate::event::{Event, Reason};
use crate::policy::{Action, Policy, Recovery};
use crate::rate::ArrivalRate;
use crate::source::{Source, SourceId, find};
use crate::state::Mode;
use crate::time::Timestamp;

impl Breaker {
    /// Sets the mode. A breaker that leaves forced-open begins with probes, not with all traffic at
    /// once. One that leaves forced-closed starts closed. Between `auto` and `shadow` the state
    /// stays.
    pub fn force(&mut self, mode: Mode, now: Timestamp) {
        let now = self.advance(now);
        self.rule(mode, None, now);
    }

    /// Sets the mode for `period`; then it becomes [`Mode::Auto`]. A later change of mode overrides
    /// this.
    pub fn force_for(&mut self, mode: Mode, period: Duration, now: Timestamp) {
        let now = self.advance(now);
        let until = (mode != Mode::Auto).then(|| now + period);
        self.rule(mode, until, now);
    }

    /// Forces it closed until [`Self::release`], whoever decides. A mode that is set meanwhile is
    /// the one that it has then.
    pub fn hold_closed(&mut self, now: Timestamp) {
        let now = self.advance(now);
        if self.beneath.is_none() {
            self.beneath = Some(self.mode);
            self.set_mode(Mode::ForcedClosed, now);
        }
    }

    /// Gives it the mode again that it would have, had it not been held closed.
    pub fn release(&mut self, now: Timestamp) {
        let now = self.advance(now);
        self.end_mode(now);
        if let Some(mode) = self.beneath.take() {
            self.set_mode(mode, now);
        }
    }

    fn rule(&mut self, mode: Mode, until: Option<Timestamp>, now: Timestamp) {
        self.mode_until = until;
        match &mut self.beneath {
            Some(beneath) => *beneath = mode,
            None => self.set_mode(mode, now),
        }
    }

    /// Ends a mode whose time has passed.
    pub(super) fn end_mode(&mut self, now: Timestamp) {
        if self.mode_until.is_some_and(|until| until <= now) {
            self.rule(Mode::Auto, None, now);
        }
    }

    fn set_mode(&mut self, mode: Mode, now: Timestamp) {
        let from = std::mem::replace(&mut self.mode, mode);
        if from == mode {
            return;
        }
        self.events.push_back(Event::ModeChanged {
            at: now,
            from,
            to: mode,
        });
        let reason = Reason::Forced(mode);
        if matches!(mode, Mode::ForcedOpen | Mode::ForcedClosed) {
            self.unlead();
        }
        (self.tripped_by, self.tripped_latency) = (None, None);
        match (from, mode) {
            (_, Mode::ForcedOpen) => {
                let open_for = self.policy.open().period;
                self.enter(
                    Phase::Open {
                        until: None,
                        open_for,
                    },
                    reason,
                    now,
                );
            }
            (_, Mode::ForcedClosed) => {
                self.stop_shedding(now);
                self.close(None, reason, now);
            }
            (Mode::ForcedOpen, _) => self.probe(reason, now),
            _ => {}
        }
    }

    /// Replaces the policy. State and permits stay. So does the open time, up to the longest that
    /// the new policy could have chosen. Windows stay where the new policy counts the same things.
    /// Everything that depends on the policy is recomputed: with the next request, the breaker
    /// decides like one that always had the new policy.
    pub fn set_policy(&mut self, policy: impl Into<Arc<Policy>>, now: Timestamp) {
        let now = self.advance(now);
        self.learn_traffic(now);
        let policy = policy.into();
        if policy.trip() != self.policy.trip() {
            self.drop_alerts(|source| source.policy.is_none(), now);
            self.drop_fleet_alerts(now);
        }
        self.policy = policy;
        for source in &mut self.sources {
            source.set_policy(&self.policy);
        }
        self.rederive(now);
        // A limit begins again as soon as an entry of the new policy holds; that of a ramp goes on.
        self.stop_shedding(now);
        if matches!(self.phase, Phase::AdaptiveRamp(_)) {
            self.limit_ramp(now);
        }
        self.limit_open_time(now);
        self.judge_probes(now);
    }

    /// Derives anew what follows from the policy and the feeds. Whatever is added to a breaker that
    /// depends on them belongs here, so that no change leaves it stale.
    pub(super) fn rederive(&mut self, now: Timestamp) {
        let mut needs = PolicyRequirements::of(&self.policy);
        // A feed with a policy of its own may shed too.
        let own = |source: &Source| source.policy.as_ref().is_some_and(|own| own.sheds());
        needs.sheds |= self.sources.iter().any(own);
        self.in_flight.set_resolution(needs.resolution());
        if needs.deadline != self.needs.deadline {
            self.in_flight.forget_crossed();
        }
        self.needs = needs;
        self.share_budget();
        self.next_ageing = if self.ages() {
            self.next_to_age(now)
        } else {
            None
        };
        self.tripped_by = self
            .tripped_by
            .filter(|id| find(&mut self.sources, *id).is_some());
        self.tripped_latency = self.tripped_by.and_then(|id| self.latency_bound_of(id));
    }

    /// The bound by which a trial is judged if `source` tripped on its latency: the smallest of the
    /// entries that open.
    fn latency_bound_of(&mut self, source: SourceId) -> Option<Duration> {
        self.tripped_latency?;
        let own = find(&mut self.sources, source)?.policy.clone();
        let policy = own.as_ref().unwrap_or(&self.policy);
        let opening = policy
            .trip()
            .iter()
            .filter(|entry| entry.action == Action::Open);
        opening.filter_map(|entry| policy.entry_bound(entry)).min()
    }

    /// What the next policy may want to know of the traffic, from the window where this one had no
    /// use for it.
    fn learn_traffic(&mut self, now: Timestamp) {
        let proxy = &mut self.sources[SourceId::PROXY.0];
        if self.policy.recovery() != Recovery::Sequential && !self.needs.sheds {
            let seconds = proxy.observed_for(&self.policy, now).as_secs_f64();
            let counts = proxy.window.counts(now);
            let requests = counts.judged() + u64::from(counts.ignored);
            self.arrivals = ArrivalRate::of(requests as f64 / seconds, now);
        }
        if !self.needs.sheds {
            let latencies = proxy.window.latencies(now);
            self.recent_latency = latencies.map_or(0.0, |latencies| {
                latencies.value_at_quantile(1.0 / 3.0) as f32 / 1e6
            });
        }
    }

    /// Resets the breaker: closed, with empty windows, the first open time next, and no baselines.
    /// Outstanding permits no longer count. Totals and mode stay: a forced-open breaker stays open.
    pub fn reset(&mut self, now: Timestamp) {
        let now = self.advance(now);
        self.events.push_back(Event::Reset {
            at: now,
            from: self.state(),
        });
        self.drop_alerts(|_| true, now);
        self.drop_fleet_alerts(now);
        self.unlead();
        for source in &mut self.sources {
            source.reset(now);
        }
        self.failed_recoveries = 0;
        (self.tripped_by, self.tripped_latency) = (None, None);
        if self.mode != Mode::ForcedOpen {
            self.close(None, Reason::Reset, now);
            self.since = now;
        }
        self.stop_shedding(now);
        self.unhelped = None;
        self.forget_baseline();
    }
}
