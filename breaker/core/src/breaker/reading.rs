//! What a breaker knows, read at one time.

use std::sync::Arc;

use super::trip::{Observation, Own};
use super::{Breaker, Phase};
use crate::event::signal_of;
use crate::policy::Action;
use crate::ratio::Ratio;
use crate::snapshot::{AlertCount, Snapshot, TransitionCount};
use crate::source::{Source, SourceId};
use crate::state::State;
use crate::time::Timestamp;

impl Breaker {
    /// The breaker's state and numbers at `now`.
    pub fn snapshot(&mut self, now: Timestamp) -> Snapshot {
        let now = self.advance(now);
        let shedding = self.shedding_snapshot();
        Snapshot {
            state: self.state(),
            mode: self.mode,
            // While it is held closed, the time is another mode's.
            mode_remaining: (self.mode_until.filter(|_| self.beneath.is_none()))
                .map(|until| until.saturating_since(now)),
            reason: self.reason.clone(),
            tripped: self
                .tripped
                .clone()
                .map(|reason| (reason, now.saturating_since(self.tripped_at))),
            by_brain: self.is_by_brain(),
            lasted: now.saturating_since(self.since),
            open_remaining: match &self.phase {
                Phase::Open {
                    until: Some(until), ..
                } => Some(until.saturating_since(now)),
                _ => None,
            },
            admitted_share: match &self.phase {
                Phase::Closed { .. } => shedding
                    .as_ref()
                    .map_or(Ratio::ONE, |shedding| shedding.admitted_share),
                Phase::Open { .. } | Phase::Probing(_) => Ratio::ZERO,
                Phase::Ramp(ramp) => ramp.share(&self.policy.ramp(), now),
                Phase::AdaptiveRamp(ramp) => ramp.share(),
            },
            shedding,
            failed_recoveries: self.failed_recoveries,
            in_flight: self.permits_out,
            oldest_in_flight: self.in_flight.ages(now).next().map(|(age, _)| age),
            totals: self.totals.totals(),
            alerts: self.alert_counts(),
            transitions: self.transition_counts(),
            window_bytes: self.sources.iter().map(Source::bytes).sum(),
            sources: self
                .sources
                .iter_mut()
                .map(|source| {
                    let is_own = source.id == SourceId::PROXY;
                    let in_flight = is_own.then_some(Own {
                        ages: &self.in_flight,
                        permits: self.permits_out,
                        callers_turn: self.callers_turn,
                    });
                    let latencies = source.window.latencies(now);
                    let mut snapshot = source.snapshot(latencies.as_ref(), now);
                    let own = source.policy.clone();
                    let policy = own.as_ref().unwrap_or(&self.policy);
                    let observation = Observation::new(source, policy, in_flight, now);
                    snapshot.conditions = observation.with_latencies(latencies).statuses();
                    snapshot
                })
                .collect(),
        }
    }

    /// The alerts that were given, and those that may be: a count that begins with zero shows its
    /// first alert.
    fn alert_counts(&self) -> Vec<AlertCount> {
        let mut counts = self.alerts.clone();
        for source in &self.sources {
            let policy = source.policy.as_ref().unwrap_or(&self.policy);
            let entries = policy.trip().iter();
            for entry in entries.filter(|entry| entry.action == Action::Alert) {
                count_alert(&mut counts, &source.name, signal_of(&entry.conditions), 0);
            }
        }
        counts
    }
}

impl Breaker {
    /// The transitions that were made, and those that may be: the first opening must be a step from
    /// 0 to 1, for who asks by how much the count has risen.
    fn transition_counts(&self) -> Vec<TransitionCount> {
        let mut counts = self.transitions.clone();
        let mut may_be = |from, to, reason| {
            let is = |known: &TransitionCount| {
                (known.from, known.to, known.reason) == (from, to, reason)
            };
            if !counts.iter().any(is) {
                counts.push(TransitionCount {
                    from,
                    to,
                    reason,
                    count: 0,
                });
            }
        };
        let closed_open = (State::Closed, State::Open);
        let reopened = (State::HalfOpen, State::Open);
        for source in &self.sources {
            let policy = source.policy.as_ref().unwrap_or(&self.policy);
            let entries = policy.trip().iter();
            let conditions = entries
                .filter(|entry| entry.action == Action::Open)
                .filter_map(|entry| entry.conditions.first());
            for condition in conditions {
                for (from, to) in [closed_open, reopened] {
                    may_be(from, to, condition.name());
                }
            }
        }
        if self.policy.honours_retry_after() {
            may_be(closed_open.0, closed_open.1, "retry_after");
        }
        if self.sources.len() > 1 || self.fleet.is_some() {
            may_be(reopened.0, reopened.1, "feed_unhealthy");
        }
        if self.fleet.is_some() {
            may_be(reopened.0, reopened.1, self.silence().label());
        }
        for reason in ["probes_failed", "ramp_failed"] {
            may_be(reopened.0, reopened.1, reason);
        }
        may_be(State::Closed, State::Open, "forced");
        may_be(State::Open, State::HalfOpen, "open_elapsed");
        may_be(State::HalfOpen, State::Closed, "ramp_completed");
        counts
    }
}

/// There are no more kinds than sources times names of conditions and signals.
pub(super) fn count_alert(
    counts: &mut Vec<AlertCount>,
    source: &Arc<str>,
    signal: &'static str,
    alerts: u64,
) {
    let known = counts
        .iter_mut()
        .find(|known| (&known.source, known.signal) == (source, signal));
    match known {
        Some(known) => known.count += alerts,
        None => counts.push(AlertCount {
            source: source.clone(),
            signal,
            count: alerts,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::feed::Feed;
    use crate::outcome::Outcome;
    use crate::policy::Policy;

    #[test]
    fn what_may_happen_is_counted_from_zero_on_and_each_kind_once() {
        for policy in [
            Policy::sensitive(),
            Policy::conservative(),
            Policy::combined(),
            Policy::adaptive(),
        ] {
            let name = policy.name().to_owned();
            let mut breaker = Breaker::new(policy, 1, Timestamp::ZERO);
            breaker.add_feed(Feed::new("db"));
            let at_first = breaker.snapshot(Timestamp::ZERO).transitions;
            assert!(at_first.iter().all(|kind| kind.count == 0), "{name}");
            // All of it fails, and is tried again and again.
            for second in 0..600 {
                for request in 0..40 {
                    let now = Timestamp::from_millis(second * 1000 + request * 25);
                    if let Ok(permit) = breaker.try_acquire(now) {
                        let outcome = Outcome::failure(Duration::from_secs(2));
                        breaker.record(permit, outcome, now);
                    }
                }
            }
            let later = breaker
                .snapshot(Timestamp::from_millis(600_000))
                .transitions;
            let kind = |kind: &TransitionCount| (kind.from, kind.to, kind.reason);
            assert!(later.iter().any(|kind| kind.count > 0), "{name}");
            for now in &later {
                let same = |known: &&TransitionCount| kind(known) == kind(now);
                assert_eq!(later.iter().filter(same).count(), 1, "{name}: {now:?}");
                assert_eq!(at_first.iter().filter(same).count(), 1, "{name}: {now:?}");
            }
        }
    }
}
