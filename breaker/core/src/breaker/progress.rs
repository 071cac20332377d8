//! What becomes of an admitted request until it ends: it is uploaded, and it is answered.

use std::time::Duration;

use super::{Breaker, Phase};
use crate::detector::Crossed;
use crate::outcome::Classification;
use crate::permit::{Counted, Kind, Permit, Progress, Reading};
use crate::policy::LatencyMeasure;
use crate::source::SourceId;
use crate::time::Timestamp;

impl Breaker {
    /// The caller is still sending `permit`'s request: until [`Self::uploaded`], the upstream's
    /// time does not run. After a second, a probe frees its slot. It counts again, within its
    /// `probe_timeout`, once it is sent.
    ///
    /// An upload may block, because the upstream takes nothing of it. That is [`Self::uploaded`]
    /// too, until it goes on: from then on the caller is sending again.
    pub fn uploading(&mut self, permit: &mut Permit) {
        if permit.progress == Progress::Responded {
            return;
        }
        let awaited_caller = permit.awaits_caller();
        if permit.progress == Progress::Waiting && self.counts(permit) {
            self.limit_ended(permit, None, self.now);
        }
        self.withdraw(permit);
        permit.progress = Progress::Uploading;
        let rules = self.trial_rules();
        if let (Kind::Probe(id), Phase::Probing(probing)) = (permit.kind, &mut self.phase)
            && permit.epoch == self.epoch
        {
            probing.uploading(id, &rules, self.now);
        }
        self.count_turn(awaited_caller, permit);
    }

    /// `permit`'s request is sent: the upstream's time begins.
    pub fn uploaded(&mut self, permit: &mut Permit, now: Timestamp) {
        if permit.progress != Progress::Uploading {
            return;
        }
        let now = self.advance(now);
        permit.progress = Progress::Waiting;
        permit.admitted = now;
        permit.answers_before = self.answers.seen();
        self.count_turn(true, permit);
        if !permit.awaits_caller() && permit.crossed != Crossed::default() {
            permit.reading = Reading::Observed;
        }
        self.start_ageing(permit, now);
        if self.counts(permit) {
            self.limit_sent(now);
        }
        if let (Kind::Probe(id), Phase::Probing(probing)) = (permit.kind, &mut self.phase)
            && permit.epoch == self.epoch
            && !permit.awaits_caller()
        {
            probing.uploaded(id, now);
        }
    }

    /// The head of an answer that is not a failure arrived after `latency`. If the policy measures
    /// the latency to the head, it is recorded now, however long the body takes. While the caller
    /// is still sending its request, no latency is recorded, because the time was the caller's.
    pub fn responded(&mut self, permit: &mut Permit, latency: Duration, now: Timestamp) {
        let now = self.advance(now);
        if self.note_head(permit, latency, now) {
            self.judge(now);
        }
    }

    /// The head of a successful answer arrived. This is [`Self::responded`] and [`Self::begun`] in
    /// one, judged once.
    pub fn responded_well(&mut self, permit: &mut Permit, latency: Duration, now: Timestamp) {
        let now = self.advance(now);
        let responds = self.note_head(permit, latency, now);
        if self.note_begin(permit, now) || responds {
            self.judge(now);
        }
    }

    /// Returns whether that may change something.
    fn note_head(&mut self, permit: &mut Permit, latency: Duration, now: Timestamp) -> bool {
        if !permit.answered && permit.progress == Progress::Waiting {
            self.answers.took(latency);
        }
        self.hear(permit);
        if self.policy.latency() == LatencyMeasure::Complete
            || permit.progress == Progress::Responded
        {
            return false;
        }
        permit.crossed = self.stop_ageing(permit);
        let awaited_caller = permit.awaits_caller();
        let timed =
            std::mem::replace(&mut permit.progress, Progress::Responded) == Progress::Waiting;
        self.count_turn(awaited_caller, permit);
        if timed {
            self.answered(latency);
        }
        if !self.counts(permit) {
            return false;
        }
        if timed {
            self.sources[SourceId::PROXY.0].record_latency(latency, 1, now, now);
            self.detect_latency(SourceId::PROXY, latency, permit.crossed, 1, now);
            self.limit_ended(permit, Some((Classification::Success, latency)), now);
            permit.late = self.deadline_of_trial().is_some_and(|at| latency >= at);
        }
        let bound = self.trial_bound(SourceId::PROXY);
        if let (Kind::Probe(id), Phase::Probing(probing)) = (permit.kind, &mut self.phase) {
            if timed && bound.is_some_and(|bound| latency >= bound) {
                probing.settle(id, Some(false));
            } else {
                probing.responded(id);
            }
        }
        if permit.begun.is_some() {
            self.count_begun(permit);
        }
        true
    }

    /// The answer has begun well. The request counts as a success from now on, and becomes a
    /// failure if it fails later. For HTTP that is a head that is no failure,
    /// [`Self::responded_well`]; for gRPC the first message. Otherwise a long answer would not
    /// count while it flows, and the few that fail at once would dominate.
    ///
    /// A later [`Self::record`] of a success adds nothing. A failure takes the success back where
    /// it was counted, and counts now. An ignored outcome (the caller leaves a stream) leaves the
    /// success. The totals of the snapshot count a request once, when it ends.
    pub fn begun(&mut self, permit: &mut Permit, now: Timestamp) {
        let now = self.advance(now);
        self.hear(permit);
        if self.note_begin(permit, now) {
            self.judge(now);
        }
    }

    /// Returns whether that may change something.
    fn note_begin(&mut self, permit: &mut Permit, now: Timestamp) -> bool {
        if permit.begun.is_some() || !self.counts(permit) {
            return false;
        }
        permit.begun = Some(self.sources[SourceId::PROXY.0].begin(now));
        self.detect_errors(SourceId::PROXY, Classification::Success, 1, now);
        self.count_begun(permit);
        true
    }

    /// The phase counts an answer that has well begun, unless its latency is still to be known and
    /// may make it a bad one.
    fn count_begun(&mut self, permit: &mut Permit) {
        let Some(begun) = permit
            .begun
            .as_mut()
            .filter(|begun| begun.counted == Counted::NotYet)
        else {
            return;
        };
        let waits = permit.progress != Progress::Responded;
        let deadline = self.deadline_of_trial();
        let bound = self.trial_bound(SourceId::PROXY);
        match &mut self.phase {
            Phase::Closed {
                recovering: Some(tally),
            } => tally.count(true, 1),
            Phase::Probing(probing) => {
                let (Kind::Probe(id), false) = (permit.kind, waits && bound.is_some()) else {
                    return;
                };
                probing.begun(id);
            }
            Phase::Ramp(ramp) => ramp.count(true, 1),
            // One that has crossed the deadline has counted as bad already.
            Phase::AdaptiveRamp(_) if permit.crossed.deadline => return,
            Phase::AdaptiveRamp(_) if waits && deadline.is_some() => return,
            Phase::AdaptiveRamp(ramp) if permit.late => {
                ramp.count(false, 1);
                permit.crossed.deadline = true;
                return;
            }
            Phase::AdaptiveRamp(ramp) => {
                ramp.count(true, 1);
                begun.counted = Counted::InSlice(ramp.slice());
                return;
            }
            Phase::Closed { recovering: None } | Phase::Open { .. } => return,
        }
        begun.counted = Counted::InSlice(0);
    }

    /// The upstream has answered the request of `permit`, well or badly.
    fn hear(&mut self, permit: &mut Permit) {
        permit.answered = true;
        self.answers.answered(self.now);
        if permit.epoch == self.epoch
            && let Phase::Probing(probing) = &mut self.phase
        {
            probing.answered();
        }
    }

    /// Decides by what has just been counted.
    #[inline]
    pub(super) fn judge(&mut self, now: Timestamp) {
        if let Phase::Closed { recovering } = &self.phase {
            if recovering.is_some() {
                self.judge_health(now);
            }
            self.try_conditions(SourceId::PROXY, now);
        } else {
            self.judge_recovery(now);
        }
    }

    #[inline(never)]
    fn judge_recovery(&mut self, now: Timestamp) {
        match &self.phase {
            Phase::Closed { .. } | Phase::Open { .. } => {}
            Phase::Probing(_) => self.judge_probes(now),
            Phase::Ramp(_) => {
                self.try_conditions(SourceId::PROXY, now);
                self.judge_ramp(now);
            }
            Phase::AdaptiveRamp(_) => self.judge_aimd(now),
        }
    }

    /// Whether the outcome of `permit` may still decide anything.
    pub(super) fn counts(&self, permit: &Permit) -> bool {
        permit.epoch == self.epoch && permit.kind != Kind::Bypass
    }

    pub(super) fn start_ageing(&mut self, permit: &Permit, now: Timestamp) {
        if !self.counts(permit) || !self.ages() || !permit.ages() {
            return;
        }
        self.waiting += 1;
        // Also where no age matters now: a policy to come may ask for it.
        self.in_flight.add(now);
        if let Some(first_bound) = self.first_bound() {
            self.next_ageing.get_or_insert(now + first_bound);
        }
    }

    /// Returns what the request was observed for while it waited, then or before.
    pub(super) fn stop_ageing(&mut self, permit: &Permit) -> Crossed {
        if permit.ages() && self.counts(permit) {
            self.waiting = self.waiting.saturating_sub(1);
            self.in_flight.remove(permit.admitted).and(permit.crossed)
        } else {
            permit.crossed
        }
    }

    /// Whether it matters how old the requests in flight are. Probes have leases.
    pub(super) const fn ages(&self) -> bool {
        self.tries_conditions() || matches!(self.phase, Phase::AdaptiveRamp(_))
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
