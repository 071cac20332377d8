//! Callers that do not read what they are sent: meanwhile the upstream waits, and its time does not
//! run.

use std::time::Duration;

use super::{Breaker, Phase};
use crate::detector::Crossed;
use crate::permit::{Kind, Permit, Progress, Reading};
use crate::time::Timestamp;

impl Breaker {
    /// The caller of `permit`'s request takes nothing of the answer: until [`Self::resumed`], the
    /// upstream's time does not run, and the request does not count for a condition on
    /// `concurrency`. Like an upload, a probe frees its slot after a second.
    ///
    /// Returns for how long the upstream was waited for since its time last began. The latency of a
    /// whole answer is the sum of these, and of the time since [`Permit::admitted`] if the caller
    /// reads at the end.
    pub fn paused(&mut self, permit: &mut Permit, now: Timestamp) -> Duration {
        let now = self.advance(now);
        if permit.reading == Reading::Paused {
            return Duration::ZERO;
        }
        let ran = match permit.progress {
            Progress::Uploading => Duration::ZERO,
            Progress::Waiting | Progress::Responded => now.saturating_since(permit.admitted),
        };
        let awaited_caller = permit.awaits_caller();
        self.withdraw(permit);
        permit.reading = Reading::Paused;
        self.count_turn(awaited_caller, permit);
        let rules = self.trial_rules();
        if let (Kind::Probe(id), Phase::Probing(probing)) = (permit.kind, &mut self.phase)
            && permit.epoch == self.epoch
            && permit.progress == Progress::Waiting
        {
            probing.uploading(id, &rules, now);
        }
        ran
    }

    /// The caller of `permit`'s request has read what there was: the upstream is waited for again.
    pub fn resumed(&mut self, permit: &mut Permit, now: Timestamp) {
        let now = self.advance(now);
        if permit.reading != Reading::Paused {
            return;
        }
        permit.reading = match permit.crossed == Crossed::default() {
            true => Reading::ReadsAgain,
            false => Reading::Observed,
        };
        self.count_turn(true, permit);
        if permit.progress == Progress::Uploading {
            return;
        }
        permit.admitted = now;
        if permit.progress == Progress::Responded {
            return;
        }
        self.start_ageing(permit, now);
        if let (Kind::Probe(id), Phase::Probing(probing)) = (permit.kind, &mut self.phase)
            && permit.epoch == self.epoch
        {
            probing.uploaded(id, now);
        }
    }

    /// Lets a request wait for its caller and not for its upstream.
    pub(super) fn withdraw(&mut self, permit: &mut Permit) {
        if permit.ages() && self.counts(permit) {
            self.waiting = self.waiting.saturating_sub(1);
            let crossed = self.in_flight.withdraw(permit.admitted);
            permit.crossed = crossed.and(permit.crossed);
        }
    }

    /// Counts whom the request of `permit` waits for, after a change of that.
    pub(super) fn count_turn(&mut self, awaited_caller: bool, permit: &Permit) {
        match (awaited_caller, permit.awaits_caller()) {
            (false, true) => self.callers_turn += 1,
            (true, false) => self.callers_turn = self.callers_turn.saturating_sub(1),
            _ => {}
        }
    }
}
