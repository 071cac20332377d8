//! The probes of a half-open breaker: leases that end by an outcome or by time, and a finding on
//! all of them.

use std::time::Duration;

use crate::policy::{HalfOpen, Recovery};
use crate::tally::Tally;
use crate::time::Timestamp;
use crate::trial::TrialResult;

/// The first part of the half-open state.
#[derive(Clone, Debug)]
pub(super) struct Probing {
    leases: Vec<Lease>,
    /// Until when each of the requests counts as in flight that were let through without a lease.
    asked: Vec<Timestamp>,
    next_id: u32,
    succeeded: u32,
    failed: u32,
    /// Of those that failed, how many were abandoned by their callers.
    abandoned: u16,
    /// Callers that left before an answer was due, since the last answer. Small, as an idle breaker
    /// is to be.
    left_early: u16,
    /// How many uploads came to nothing, or not soon: the more, the shorter the next ones hold a
    /// slot.
    dawdled: u16,
    /// How often the upstream has answered a probe.
    answers: u32,
}

/// A probe in flight.
#[derive(Clone, Debug)]
struct Lease {
    id: u32,
    expires: Timestamp,
    progress: ProbeStage,
    /// While the caller is waited for: how much time is left to the upstream.
    left: Duration,
    /// How many answers there were when the upstream's time began.
    answers_before: u32,
}

/// How far a probe has come, which decides what its lease's end says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProbeStage {
    /// The caller is still sending, and the slot is its own until then: an expiry says nothing of
    /// the upstream.
    Uploading { holds_until: Timestamp },
    /// It is still sending, and holds no slot any more. If it does complete its request, that is a
    /// probe again.
    Dawdling,
    /// The upstream owes an answer: an expiry is a failure.
    Waiting,
    /// The head of a good answer has come, and its body is still flowing: an expiry is a success.
    Responded,
    /// A good answer has begun, and counts as a success already; it takes no slot. After an expiry
    /// it can't fail any more.
    Begun,
    /// The caller went away, and no probe has been answered since this was admitted. An answer
    /// frees the slot; an expiry is a failure if answers were overdue when the caller went, and
    /// says nothing otherwise.
    Abandoned { overdue: bool },
}

impl Probing {
    pub(super) const fn new() -> Self {
        Self {
            leases: Vec::new(),
            asked: Vec::new(),
            next_id: 0,
            succeeded: 0,
            failed: 0,
            abandoned: 0,
            left_early: 0,
            dawdled: 0,
            answers: 0,
        }
    }

    /// Admits a probe, if there is room.
    pub(super) fn admit(
        &mut self,
        rules: &HalfOpen,
        recovery: Recovery,
        now: Timestamp,
    ) -> Option<u32> {
        if !self.has_room(rules, recovery) {
            return None;
        }
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.leases.push(Lease {
            id,
            expires: now + rules.probe_timeout,
            progress: ProbeStage::Waiting,
            left: rules.probe_timeout,
            answers_before: self.answers,
        });
        Some(id)
    }

    /// Lets a request through of which nothing will be heard, if there is room among those alone.
    pub(super) fn check(&mut self, rules: &HalfOpen, now: Timestamp) -> bool {
        self.asked.retain(|until| *until > now);
        let has_room = self.asked.len() < rules.concurrent as usize;
        if has_room {
            self.asked.push(now + rules.probe_timeout);
        }
        has_room
    }

    /// Whether a further probe has a slot, and its outcome is needed.
    pub(super) fn has_room(&self, rules: &HalfOpen, recovery: Recovery) -> bool {
        let in_flight = self.leases.iter().filter(|lease| lease.has_slot()).count() as u32;
        if recovery == Recovery::Sequential {
            // It takes as many as it takes.
            return in_flight < rules.concurrent;
        }
        in_flight < rules.concurrent && self.succeeded + self.failed + in_flight < rules.probes
    }

    /// The caller is still sending, or does not read. It holds its slot for a second at most, and
    /// for half as long with each round of slots whose uploads came to nothing: else callers that
    /// send half a request would keep everybody else out of the trial.
    pub(super) fn uploading(&mut self, id: u32, rules: &HalfOpen, now: Timestamp) {
        let rounds = u32::from(self.dawdled) / rules.concurrent.max(1);
        let holds_until = now + LONGEST_HOLD / (1 << rounds.min(20));
        if let Some(lease) = self.lease(id)
            && lease.progress == ProbeStage::Waiting
        {
            lease.left = lease.expires.saturating_since(now);
        }
        self.progress(id, ProbeStage::Uploading { holds_until });
    }

    /// The upload is over, or the caller reads again: the upstream has what is left of its
    /// `probe_timeout` from now on.
    pub(super) fn uploaded(&mut self, id: u32, now: Timestamp) {
        let answers = self.answers;
        if let Some(lease) = self.lease(id)
            && lease.progress != ProbeStage::Begun
        {
            lease.progress = ProbeStage::Waiting;
            lease.expires = now + lease.left;
            lease.answers_before = answers;
        }
    }

    /// The upstream has answered a probe, well or badly: those that were abandoned say nothing, and
    /// their slots are free.
    pub(super) fn answered(&mut self) {
        self.answers = self.answers.wrapping_add(1);
        self.left_early = 0;
        self.leases
            .retain(|lease| !matches!(lease.progress, ProbeStage::Abandoned { .. }));
    }

    /// A good answer has begun: the probe has succeeded, unless it fails before its lease ends.
    pub(super) fn begun(&mut self, id: u32) {
        let is_begun = |lease: &&Lease| lease.progress == ProbeStage::Begun;
        let begun = self.leases.iter().filter(is_begun).count();
        if begun >= MOST_BEGUN {
            self.settle(id, Some(true));
        } else if let Some(lease) = self.lease(id) {
            lease.progress = ProbeStage::Begun;
            self.succeeded += 1;
        }
    }

    /// The caller went away before an answer; `overdue` says whether answers were, which take up to
    /// `patience`. The slot stays taken: else a caller without patience would send all of its
    /// requests to an upstream that is down. Of a caller that left before an answer was due it is
    /// free again then: else such callers would keep everybody else out of the trial. Of many that
    /// did so since the last answer it is twice as late for each three: the upstream may be down.
    pub(super) fn abandon(
        &mut self,
        id: u32,
        overdue: bool,
        admitted: Timestamp,
        patience: Duration,
    ) {
        let answers = self.answers;
        let excused = if answers == 0 {
            0
        } else {
            EXCUSED_BY_AN_ANSWER
        };
        let left_early = self.left_early.saturating_sub(excused);
        if !overdue {
            self.left_early = self.left_early.saturating_add(1);
        }
        match self.lease(id) {
            Some(lease) if lease.answers_before == answers => {
                lease.progress = ProbeStage::Abandoned { overdue };
                if !overdue {
                    let kept = patience.saturating_mul(1 << (left_early / 3).min(20));
                    lease.expires = lease.expires.min(admitted + kept);
                }
            }
            _ => self.settle(id, None),
        }
    }

    pub(super) fn responded(&mut self, id: u32) {
        self.progress(id, ProbeStage::Responded);
    }

    /// Ends a lease with its outcome, `None` for one that says nothing. A lease that has already
    /// ended changes nothing.
    pub(super) fn settle(&mut self, id: u32, good: Option<bool>) {
        let Some(index) = self.leases.iter().position(|lease| lease.id == id) else {
            return;
        };
        let lease = self.leases.swap_remove(index);
        if matches!(lease.progress, ProbeStage::Uploading { .. }) && good.is_none() {
            self.dawdled = self.dawdled.saturating_add(1);
        }
        if lease.progress != ProbeStage::Begun {
            self.count(good);
        } else if good == Some(false) {
            self.succeeded -= 1;
            self.failed += 1;
        }
    }

    /// Ends the leases whose time is over, and takes the slots back of uploads that have held
    /// theirs for long enough.
    pub(super) fn expire(&mut self, now: Timestamp) {
        self.release_uploads(now);
        while let Some(index) = self.leases.iter().position(|lease| lease.expires <= now) {
            let lease = self.leases.swap_remove(index);
            let good = match lease.progress {
                ProbeStage::Uploading { .. } | ProbeStage::Dawdling | ProbeStage::Begun => None,
                ProbeStage::Abandoned { overdue: false } => None,
                ProbeStage::Abandoned { overdue: true } => {
                    self.abandoned = self.abandoned.saturating_add(1);
                    Some(false)
                }
                ProbeStage::Waiting => Some(false),
                ProbeStage::Responded => Some(true),
            };
            self.count(good);
        }
    }

    /// When the next lease ends by time, or the next slot is free by it.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        self.leases.iter().map(Lease::next_change).min()
    }

    /// Whether nothing is under way that may still show something: an upload that does not end may
    /// never.
    pub(super) fn is_quiet(&self) -> bool {
        self.leases
            .iter()
            .all(|lease| lease.progress == ProbeStage::Dawdling)
    }

    /// Decides as soon as the outcomes still to come can no longer change the decision.
    pub(super) fn finding(&self, rules: &HalfOpen) -> TrialResult {
        if self.succeeded >= rules.needed() {
            TrialResult::Good
        } else if self.failed > rules.probes - rules.needed() {
            TrialResult::Bad
        } else {
            TrialResult::Undecided
        }
    }

    /// What the probes have come to.
    pub(super) fn tally(&self) -> Tally {
        Tally {
            succeeded: self.succeeded.into(),
            failed: self.failed.into(),
        }
    }

    pub(super) const fn succeeded(&self) -> u32 {
        self.succeeded
    }

    pub(super) const fn failed(&self) -> u32 {
        self.failed
    }

    pub(super) fn abandoned(&self) -> u32 {
        self.abandoned.into()
    }

    #[cfg(test)]
    pub(super) const fn leases(&self) -> usize {
        self.leases.len()
    }

    fn count(&mut self, good: Option<bool>) {
        match good {
            Some(true) => self.succeeded += 1,
            Some(false) => self.failed += 1,
            None => {}
        }
    }

    fn release_uploads(&mut self, now: Timestamp) {
        let held_too_long = |lease: &Lease| match lease.progress {
            ProbeStage::Uploading { holds_until } => holds_until <= now,
            _ => false,
        };
        while let Some(index) = self.leases.iter().position(held_too_long) {
            self.leases[index].progress = ProbeStage::Dawdling;
            self.dawdled = self.dawdled.saturating_add(1);
            let dawdling = self.leases.iter().enumerate();
            let dawdling = dawdling.filter(|(_, lease)| lease.progress == ProbeStage::Dawdling);
            if dawdling.clone().count() > MOST_DAWDLING
                && let Some((oldest, _)) = dawdling.min_by_key(|(_, lease)| lease.expires)
            {
                self.leases.swap_remove(oldest);
            }
        }
    }

    fn progress(&mut self, id: u32, progress: ProbeStage) {
        // What has begun stays so, in whatever order its driver tells.
        if let Some(lease) = self.lease(id)
            && lease.progress != ProbeStage::Begun
        {
            lease.progress = progress;
        }
    }

    fn lease(&mut self, id: u32) -> Option<&mut Lease> {
        self.leases.iter_mut().find(|lease| lease.id == id)
    }
}

impl Lease {
    fn has_slot(&self) -> bool {
        !matches!(self.progress, ProbeStage::Begun | ProbeStage::Dawdling)
    }

    fn next_change(&self) -> Timestamp {
        match self.progress {
            ProbeStage::Uploading { holds_until } => self.expires.min(holds_until),
            _ => self.expires,
        }
    }
}

/// So many callers may leave early after each answer of the trial before their slots are kept for
/// longer: the upstream is not down.
const EXCUSED_BY_AN_ANSWER: u16 = 96;
/// For how long an upload holds the slot of its probe: a caller that sends takes less, and nobody
/// waits for longer.
const LONGEST_HOLD: Duration = Duration::from_secs(1);
/// So many uploads without a slot are remembered; the oldest is forgotten for a further one, and
/// counts for nothing then.
const MOST_DAWDLING: usize = 64;
/// So many probes whose answers have begun may still fail; of more it is taken for granted that
/// they don't.
const MOST_BEGUN: usize = 32;
