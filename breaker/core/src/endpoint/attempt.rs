//! Attempts: when they begin, what becomes of them, and what that says of their endpoint.

use std::time::Duration;

use super::event::EjectReason;
use super::{EndpointId, Endpoints, Pick};
use crate::detector::Circumstances;
use crate::outcome::{Classification, Outcome};
use crate::policy::Signal;
use crate::time::Timestamp;

/// An attempt at an endpoint, in flight until [`Endpoints::end`] or [`Endpoints::unreachable`] gets
/// it back. One that is lost stays in flight for ever, but for a probe, which then has failed.
#[derive(Debug)]
#[must_use = "an attempt that is dropped stays in flight"]
pub struct Attempt {
    id: EndpointId,
    place: u32,
    birth: u32,
    epoch: u32,
    /// The number of the probe that it is; 0 of none.
    probe: u32,
    /// Since when it waits for the answer's head; `None` while it does not.
    aging: Option<Timestamp>,
    /// Whether its latency is known.
    responded: bool,
    late: bool,
    /// When it was counted as good.
    begun: Option<Timestamp>,
}

impl Attempt {
    /// At which endpoint.
    pub const fn id(&self) -> EndpointId {
        self.id
    }

    /// Whether it probes an endpoint that is out.
    pub const fn is_probe(&self) -> bool {
        self.probe > 0
    }
}

impl Endpoints {
    /// Begins an attempt at the endpoint that was picked.
    pub fn begin(&mut self, pick: Pick, now: Timestamp) -> Attempt {
        let now = self.pass(now);
        self.turn = self.turn.wrapping_add(1);
        let mut attempt = Attempt {
            id: pick.id,
            place: pick.place,
            birth: 0,
            epoch: 0,
            probe: 0,
            aging: None,
            responded: false,
            late: false,
            begun: None,
        };
        let Some(place) = self.find(pick.id, pick.place as usize) else {
            return attempt;
        };
        attempt.place = place as u32;
        self.loads[place].begin();
        self.age(place, now);
        let member = &mut self.members[place];
        (attempt.birth, attempt.epoch) = (member.birth, member.epoch);
        if pick.probe && member.probe_from().is_some_and(|from| from <= now) {
            attempt.probe = self.lease(place, now);
        }
        self.start_aging(&mut attempt, now);
        attempt
    }

    /// The request of `attempt` is still being sent: its age is the caller's matter.
    pub fn uploading(&mut self, attempt: &mut Attempt) {
        self.stop_aging(attempt);
    }

    /// The request of `attempt` is sent: from now on it waits for the endpoint.
    pub fn uploaded(&mut self, attempt: &mut Attempt, now: Timestamp) {
        let now = self.pass(now);
        if attempt.aging.is_none() && !attempt.responded {
            self.start_aging(attempt, now);
        }
    }

    /// The head of the answer has come after `latency`, whatever it says. Without this call the
    /// latency is that of the end.
    pub fn responded(&mut self, attempt: &mut Attempt, latency: Duration, now: Timestamp) {
        let now = self.pass(now);
        if let Some(place) = self.place_of(attempt) {
            self.took(place, attempt, latency, true, now);
        }
    }

    /// The answer is good so far, and goes on: a success, unless it fails at last.
    pub fn begun(&mut self, attempt: &mut Attempt, now: Timestamp) {
        let now = self.pass(now);
        if attempt.begun.is_none()
            && attempt.probe == 0
            && let Some(place) = self.place_of(attempt)
            && self.is_evidence(place, attempt)
        {
            attempt.begun = Some(now);
            self.observe_end(place, false, now);
        }
    }

    /// Whether a failure of this attempt, which is to be told by [`Self::end`] then, is the matter
    /// of its endpoint alone: it is out, or fails while its peers do not and may be ejected. The
    /// route's breaker need not count it.
    pub fn is_own_failure(&mut self, attempt: &mut Attempt, now: Timestamp) -> bool {
        let now = self.pass(now);
        let Some(place) = self.place_of(attempt) else {
            return false;
        };
        if attempt.probe > 0 || self.members[place].out {
            return !self.available.is_empty();
        }
        if !self.may_eject_another() {
            return false;
        }
        let circumstances = self.circumstances(now);
        let detectors = self.members[place].detectors.as_mut();
        detectors.is_some_and(|of| of.is_own_failure(&mut self.peers, circumstances))
    }

    /// An attempt ended. What was not caused by the upstream is no evidence.
    pub fn end(&mut self, attempt: Attempt, outcome: Outcome, now: Timestamp) {
        self.finish(attempt, outcome.classification, outcome.latency, false, now);
    }

    /// An attempt has failed, since no connection could be opened in `latency`.
    pub fn unreachable(&mut self, attempt: Attempt, latency: Duration, now: Timestamp) {
        self.finish(attempt, Classification::Failure, latency, true, now);
    }

    fn finish(
        &mut self,
        mut attempt: Attempt,
        classification: Classification,
        latency: Duration,
        unreached: bool,
        now: Timestamp,
    ) {
        let now = self.pass(now);
        let Some(place) = self.place_of(&mut attempt) else {
            self.end_gone(&attempt);
            return;
        };
        self.loads[place].end();
        let whole = matches!(classification, Classification::Success);
        if matches!(classification, Classification::Ignored) {
            // It has waited for so long, at least.
            self.stop_aging(&mut attempt);
            if !attempt.responded {
                self.loads[place].took(latency.as_secs_f64(), false, now, &self.pace);
            }
        } else {
            self.took(place, &mut attempt, latency, whole, now);
        }
        if matches!(classification, Classification::Failure) {
            self.loads[place].took(self.latency, false, now, &self.pace);
            self.loads[place].fail();
        }
        let totals = &mut self.members[place].totals;
        match classification {
            Classification::Success => totals.success += 1,
            Classification::Failure if unreached => totals.unreachable += 1,
            Classification::Failure => totals.failure += 1,
            Classification::Ignored => {
                totals.ignored += 1;
                if attempt.probe > 0 {
                    self.release(place, attempt.probe);
                }
                return;
            }
        }
        if attempt.probe > 0 {
            let late = attempt.late || latency >= self.settings.deadline;
            self.probed(place, attempt.probe, whole, late, now);
            return;
        }
        if !self.is_evidence(place, &attempt) {
            return;
        }
        let member = &mut self.members[place];
        if whole {
            member.good_since = member.good_since.saturating_add(1);
        }
        member.unreached = if unreached { member.unreached + 1 } else { 0 };
        match (attempt.begun, whole) {
            (None, _) => self.observe_end(place, !whole, now),
            (Some(_), true) => {}
            (Some(begun), false) => self.observe_late_failure(place, begun, now),
        }
    }

    /// The latency of an attempt is known; `whole` says whether it is that of an answer.
    fn took(
        &mut self,
        place: usize,
        attempt: &mut Attempt,
        latency: Duration,
        whole: bool,
        now: Timestamp,
    ) {
        if attempt.responded {
            return;
        }
        self.stop_aging(attempt);
        attempt.responded = true;
        let seconds = latency.as_secs_f64();
        self.loads[place].took(seconds, whole, now, &self.pace);
        if whole {
            self.latency += (seconds - self.latency) * AVERAGED;
        }
        let late = latency >= self.settings.deadline;
        if late && !attempt.late {
            self.members[place].totals.late += 1;
        }
        if !attempt.late && attempt.probe == 0 && self.is_evidence(place, attempt) {
            self.observe_latency(place, late, 1, now);
        }
        attempt.late |= late;
    }

    fn start_aging(&mut self, attempt: &mut Attempt, now: Timestamp) {
        if let Some(place) = self.place_of(attempt) {
            let hanging = &mut self.members[place].hanging;
            hanging.begin(now);
            let next = hanging.next();
            attempt.aging = Some(now);
            if let Some(next) = next {
                self.wake_at(next);
            }
        }
    }

    fn stop_aging(&mut self, attempt: &mut Attempt) {
        if let Some(since) = attempt.aging.take()
            && let Some(place) = self.place_of(attempt)
        {
            attempt.late |= self.members[place].hanging.end(since);
        }
    }

    /// Some of the attempts at an endpoint may have become late.
    #[inline]
    pub(super) fn age(&mut self, place: usize, now: Timestamp) {
        let late = self.members[place].hanging.pass(now);
        if late > 0 {
            self.hang(place, late, now);
        }
    }

    #[cold]
    fn hang(&mut self, place: usize, late: u32, now: Timestamp) {
        self.members[place].totals.late += u64::from(late);
        let deadline = self.settings.deadline.as_secs_f64();
        self.loads[place].took(deadline, false, now, &self.pace);
        if !self.members[place].out {
            self.observe_latency(place, true, late, now);
        }
    }

    fn observe_end(&mut self, place: usize, failed: bool, now: Timestamp) {
        let circumstances = self.circumstances(now);
        if let Some(detectors) = &mut self.members[place].detectors {
            detectors.ended(failed, &mut self.peers, circumstances);
            if detectors.is_alarming() {
                self.judge(place, now);
            }
        }
    }

    #[cold]
    fn observe_late_failure(&mut self, place: usize, begun: Timestamp, now: Timestamp) {
        let circumstances = self.circumstances(now);
        if let Some(detectors) = &mut self.members[place].detectors {
            detectors.failed_after(begun, &mut self.peers, circumstances);
            if detectors.is_alarming() {
                self.judge(place, now);
            }
        }
    }

    fn observe_latency(&mut self, place: usize, late: bool, count: u32, now: Timestamp) {
        let circumstances = self.circumstances(now);
        if let Some(detectors) = &mut self.members[place].detectors {
            detectors.took(late, count, &mut self.peers, circumstances);
            if late && detectors.is_alarming() {
                self.judge(place, now);
            }
        }
    }

    fn circumstances(&self, at: Timestamp) -> Circumstances {
        Circumstances {
            at,
            alone: self.available.len() == 1,
            learn: !self.panic.is_on(),
        }
    }

    /// There is an alarm about an endpoint that is in.
    #[cold]
    fn judge(&mut self, place: usize, now: Timestamp) {
        let member = &self.members[place];
        let detectors = member.detectors.as_ref();
        let Some(difference) = detectors.and_then(|detectors| detectors.alarm()) else {
            return;
        };
        let fails = matches!(difference.signal, Signal::Errors);
        let reason = if member.unreached > 0 && fails {
            EjectReason::Unreachable(difference)
        } else {
            EjectReason::Worse(difference)
        };
        self.eject_for(place, reason, now);
    }

    /// Whether the endpoint of `attempt` has neither gone out nor come in since it began.
    fn is_evidence(&self, place: usize, attempt: &Attempt) -> bool {
        let member = &self.members[place];
        !member.out && member.epoch == attempt.epoch
    }

    /// The place of the endpoint of `attempt`, if that is still in the set.
    fn place_of(&self, attempt: &mut Attempt) -> Option<usize> {
        let place = self.find(attempt.id, attempt.place as usize)?;
        attempt.place = place as u32;
        (self.members[place].birth == attempt.birth).then_some(place)
    }

    fn end_gone(&mut self, attempt: &Attempt) {
        let is_it = |gone: &&mut super::Gone| gone.is(attempt.id, attempt.birth);
        if let Some(gone) = self.gone.iter_mut().find(is_it) {
            gone.end(attempt.aging);
        }
    }
}

/// The part of a success in the usual latency.
const AVERAGED: f64 = 1.0 / 64.0;
