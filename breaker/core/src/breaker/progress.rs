//! What becomes of an admitted request: it is uploaded, it is answered, it ends.

use std::time::Duration;

use super::{Breaker, Phase};
use crate::detector::Crossed;
use crate::outcome::{Outcome, Verdict};
use crate::permit::{Kind, Permit, Progress};
use crate::policy::LatencyMeasure;
use crate::source::SourceId;
use crate::time::Timestamp;

impl Breaker {
    /// The caller of `permit`'s request is still sending it: until [`Self::uploaded`] the upstream's time does not run.
    pub fn uploading(&mut self, permit: &mut Permit) {
        if permit.progress == Progress::Waiting && self.counts(permit) {
            self.limit_ended(permit, None, self.now);
        }
        let _ = self.stop_ageing(permit);
        permit.progress = Progress::Uploading;
        if let (Kind::Probe(id), Phase::Probing(probing)) = (permit.kind, &mut self.phase)
            && permit.epoch == self.epoch
        {
            probing.uploading(id);
        }
    }

    /// The request of `permit` is sent: the upstream's time begins.
    pub fn uploaded(&mut self, permit: &mut Permit, now: Timestamp) {
        if permit.progress != Progress::Uploading {
            return;
        }
        let now = self.advance(now);
        permit.progress = Progress::Waiting;
        permit.admitted = now;
        self.start_ageing(permit, now);
        if self.counts(permit) {
            self.limit_sent(now);
        }
        if let (Kind::Probe(id), Phase::Probing(probing)) = (permit.kind, &mut self.phase)
            && permit.epoch == self.epoch
        {
            probing.uploaded(id, &self.policy.half_open(), now);
        }
    }

    /// The head of an answer that is not a failure came after `latency`. Where the policy measures the latency to the head, it is recorded
    /// now, however long the body takes.
    pub fn responded(&mut self, permit: &mut Permit, latency: Duration, now: Timestamp) {
        if self.policy.latency() == LatencyMeasure::Complete
            || permit.progress == Progress::Responded
        {
            return;
        }
        let now = self.advance(now);
        permit.crossed = self.stop_ageing(permit);
        permit.progress = Progress::Responded;
        if !self.counts(permit) {
            return;
        }
        self.sources[SourceId::PROXY.0].record_latency(latency, 1, now, now);
        self.detect_latency(SourceId::PROXY, latency, permit.crossed, 1, now);
        self.limit_ended(permit, Some((Verdict::Success, latency)), now);
        if let (Kind::Probe(id), Phase::Probing(probing)) = (permit.kind, &mut self.phase) {
            if self.tripped_latency.is_some_and(|bound| latency >= bound) {
                probing.settle(id, Some(false));
                self.judge_probes(now);
            } else {
                probing.responded(id);
            }
            return;
        }
        self.try_conditions(SourceId::PROXY, now);
    }

    /// The answer has well begun: the request counts as a success from now on, and becomes a failure if it fails later.
    pub fn begun(&mut self, permit: &mut Permit, now: Timestamp) {
        let _ = permit;
        self.advance(now);
    }

    /// The request of `permit` ended.
    #[expect(clippy::needless_pass_by_value, reason = "a permit is given back once")]
    pub fn record(&mut self, permit: Permit, outcome: Outcome, now: Timestamp) {
        let now = self.advance(now);
        self.permits_out = self.permits_out.saturating_sub(1);
        self.totals.count(&outcome);
        let crossed = match permit.progress {
            Progress::Responded => permit.crossed,
            _ => self.stop_ageing(&permit),
        };
        if !self.counts(&permit) {
            return;
        }
        let proxy = &mut self.sources[SourceId::PROXY.0];
        let slow = proxy
            .slow_from()
            .is_some_and(|bound| outcome.latency >= bound);
        let says_latency = match permit.progress {
            Progress::Responded => false,
            Progress::Uploading => outcome.verdict != Verdict::Ignored,
            // A caller that gave up after the first latency bound has seen that the upstream is slow: that stays known.
            Progress::Waiting => outcome.verdict != Verdict::Ignored || slow,
        };
        if says_latency {
            proxy.record_latency(outcome.latency, 1, now, now);
        }
        proxy.record_verdict(outcome.verdict, 1, now, now);
        if says_latency && outcome.verdict != Verdict::Ignored {
            self.detect_latency(SourceId::PROXY, outcome.latency, crossed, 1, now);
        }
        self.detect_errors(SourceId::PROXY, outcome.verdict, 1, now);
        if permit.progress == Progress::Waiting {
            self.limit_ended(&permit, Some((outcome.verdict, outcome.latency)), now);
        }
        let proxy = &mut self.sources[SourceId::PROXY.0];
        if let Some(trace) = outcome.trace
            && (slow || outcome.verdict == Verdict::Failure)
        {
            proxy.suspect(trace, now);
        }

        if let Some(asked) = outcome.retry_after
            && self.policy.honours_retry_after()
            && outcome.verdict != Verdict::Ignored
        {
            self.leave_alone(asked, now);
            return;
        }
        let good = match outcome.verdict {
            Verdict::Success => Some(true),
            Verdict::Failure => Some(false),
            Verdict::Ignored => None,
        };
        let late = self.needs.deadline.is_some_and(|at| outcome.latency >= at);
        match &mut self.phase {
            Phase::Closed { recovering } => {
                if let (Some(recovering), Some(good)) = (recovering, good) {
                    recovering.count(good, 1);
                    self.judge_health(now);
                }
                self.try_conditions(SourceId::PROXY, now);
            }
            Phase::Probing(probing) => {
                let too_slow = self
                    .tripped_latency
                    .is_some_and(|bound| outcome.latency >= bound);
                if let Kind::Probe(id) = permit.kind {
                    probing.settle(id, good.map(|good| good && !too_slow));
                    self.judge_probes(now);
                }
            }
            Phase::Ramp(ramp) => {
                if let Some(good) = good {
                    ramp.count(good);
                }
                self.try_conditions(SourceId::PROXY, now);
                self.judge_ramp(now);
            }
            Phase::Aimd(ramp) => {
                // One that has crossed the deadline has counted as bad already.
                if let Some(good) = good
                    && !crossed.deadline
                {
                    ramp.count(good && !late, 1);
                }
                self.judge_aimd(now);
            }
            Phase::Open { .. } => {}
        }
    }

    /// Whether the outcome of `permit` may still decide anything.
    fn counts(&self, permit: &Permit) -> bool {
        permit.epoch == self.epoch && permit.kind != Kind::Bypass
    }

    pub(super) fn start_ageing(&mut self, permit: &Permit, now: Timestamp) {
        if !self.counts(permit) || !self.ages() {
            return;
        }
        self.waiting += 1;
        if let Some(first_bound) = self.first_bound() {
            self.in_flight.add(now);
            self.next_ageing.get_or_insert(now + first_bound);
        }
    }

    /// Returns what the request was observed for while it waited.
    fn stop_ageing(&mut self, permit: &Permit) -> Crossed {
        if permit.progress == Progress::Waiting && self.counts(permit) {
            self.waiting = self.waiting.saturating_sub(1);
            self.in_flight.remove(permit.admitted)
        } else {
            Crossed::default()
        }
    }

    /// Whether it matters how old the requests in flight are. Probes have leases.
    pub(super) const fn ages(&self) -> bool {
        self.tries_conditions() || matches!(self.phase, Phase::Aimd(_))
    }

    fn first_bound(&self) -> Option<Duration> {
        let first = self.needs.latency_bounds.first().copied();
        match (first, self.slow_threshold()) {
            (Some(first), Some(slow)) => Some(first.min(slow)),
            (first, slow) => first.or(slow),
        }
    }

    pub(super) fn next_to_age(&self, now: Timestamp) -> Option<Timestamp> {
        let bounds = self.needs.latency_bounds.iter().copied();
        bounds
            .chain(self.slow_threshold())
            .filter_map(|bound| self.in_flight.next_to_reach(bound, now))
            .min()
    }
}
