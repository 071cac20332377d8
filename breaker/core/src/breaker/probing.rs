//! The probes of a half-open breaker: leases that end by an outcome or by time, and a verdict on all of them.

use crate::policy::{HalfOpen, Recovery};
use crate::time::Timestamp;

/// The first part of the half-open state.
#[derive(Clone, Debug)]
pub(super) struct Probing {
    leases: Vec<Lease>,
    /// Until when each of the requests counts as in flight that were let through without a lease.
    asked: Vec<Timestamp>,
    next_id: u64,
    succeeded: u32,
    failed: u32,
}

/// A probe in flight.
#[derive(Clone, Debug)]
struct Lease {
    id: u64,
    expires: Timestamp,
    progress: Progress,
}

/// How far a probe has come, which decides what its lease's end says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// The caller is still sending: an expiry says nothing of the upstream.
    Uploading,
    /// The upstream owes an answer: an expiry is a failure.
    Waiting,
    /// The head of a good answer has come, and its body is still flowing: an expiry is a success.
    Responded,
}

/// What the probes have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Undecided,
    Good,
    Bad,
}

impl Probing {
    pub(super) const fn new() -> Self {
        Self {
            leases: Vec::new(),
            asked: Vec::new(),
            next_id: 0,
            succeeded: 0,
            failed: 0,
        }
    }

    /// Admits a probe, if there is room.
    pub(super) fn admit(
        &mut self,
        rules: &HalfOpen,
        recovery: Recovery,
        now: Timestamp,
    ) -> Option<u64> {
        if !self.has_room(rules, recovery) {
            return None;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.leases.push(Lease {
            id,
            expires: now + rules.probe_timeout,
            progress: Progress::Waiting,
        });
        Some(id)
    }

    /// Lets a request through of which nothing will be heard, if there is room among those alone.
    pub(super) fn ask(&mut self, rules: &HalfOpen, now: Timestamp) -> bool {
        self.asked.retain(|until| *until > now);
        let has_room = self.asked.len() < rules.concurrent as usize;
        if has_room {
            self.asked.push(now + rules.probe_timeout);
        }
        has_room
    }

    /// Whether a further probe has a slot, and its outcome is needed.
    pub(super) fn has_room(&self, rules: &HalfOpen, recovery: Recovery) -> bool {
        let in_flight = self.leases.len() as u32;
        if recovery == Recovery::Sequential {
            // It takes as many as it takes.
            return in_flight < rules.concurrent;
        }
        in_flight < rules.concurrent && self.succeeded + self.failed + in_flight < rules.probes
    }

    pub(super) fn uploading(&mut self, id: u64) {
        self.progress(id, Progress::Uploading);
    }

    /// The upload is over: the upstream has the whole `probe_timeout` from now.
    pub(super) fn uploaded(&mut self, id: u64, rules: &HalfOpen, now: Timestamp) {
        if let Some(lease) = self.lease(id) {
            lease.progress = Progress::Waiting;
            lease.expires = now + rules.probe_timeout;
        }
    }

    pub(super) fn responded(&mut self, id: u64) {
        self.progress(id, Progress::Responded);
    }

    /// Ends a lease with its outcome, `None` for one that says nothing. A lease that has already ended changes nothing.
    pub(super) fn settle(&mut self, id: u64, good: Option<bool>) {
        let Some(index) = self.leases.iter().position(|lease| lease.id == id) else {
            return;
        };
        self.leases.swap_remove(index);
        self.count(good);
    }

    /// Ends the leases whose time is over.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while let Some(index) = self.leases.iter().position(|lease| lease.expires <= now) {
            let lease = self.leases.swap_remove(index);
            self.count(match lease.progress {
                Progress::Uploading => None,
                Progress::Waiting => Some(false),
                Progress::Responded => Some(true),
            });
        }
    }

    /// When the next lease ends by time.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        self.leases.iter().map(|lease| lease.expires).min()
    }

    /// Decides as soon as the outcomes still to come can no longer change the decision.
    pub(super) fn finding(&self, rules: &HalfOpen) -> Finding {
        if self.succeeded >= rules.needed() {
            Finding::Good
        } else if self.failed > rules.probes - rules.needed() {
            Finding::Bad
        } else {
            Finding::Undecided
        }
    }

    pub(super) const fn succeeded(&self) -> u32 {
        self.succeeded
    }

    pub(super) const fn failed(&self) -> u32 {
        self.failed
    }

    fn count(&mut self, good: Option<bool>) {
        match good {
            Some(true) => self.succeeded += 1,
            Some(false) => self.failed += 1,
            None => {}
        }
    }

    fn progress(&mut self, id: u64, progress: Progress) {
        if let Some(lease) = self.lease(id) {
            lease.progress = progress;
        }
    }

    fn lease(&mut self, id: u64) -> Option<&mut Lease> {
        self.leases.iter_mut().find(|lease| lease.id == id)
    }
}
