//! Probes: one attempt at a time at an endpoint whose time out is over, each a lease.

use super::event::{EjectReason, Readmission};
use super::{Endpoints, NEVER};
use crate::policy::Signal;
use crate::time::Timestamp;

impl Endpoints {
    /// Says when the next endpoint may be probed.
    pub(super) fn settle_probes(&mut self) {
        let out = self.out.iter().map(|place| &self.members[*place as usize]);
        let from = out.filter_map(super::Member::probe_from).min();
        self.probe_from = from.unwrap_or(NEVER);
    }

    /// A probe of an endpoint begins. Returns its number.
    pub(super) fn lease(&mut self, place: usize, now: Timestamp) -> u32 {
        let until = now + self.settings.probe_timeout;
        let member = &mut self.members[place];
        member.totals.probes += 1;
        let Some(ejection) = &mut member.ejection else {
            return 0;
        };
        ejection.lease = Some(until);
        ejection.probes += 1;
        let number = ejection.probes;
        self.wake_at(until);
        self.settle_probes();
        number
    }

    /// A probe has ended without telling anything.
    pub(super) fn release(&mut self, place: usize, probe: u32) {
        if let Some(ejection) = &mut self.members[place].ejection
            && ejection.probes == probe
        {
            ejection.lease = None;
            self.settle_probes();
        }
    }

    /// A probe has ended; a lost one did so before.
    pub(super) fn probed(
        &mut self,
        place: usize,
        probe: u32,
        good: bool,
        late: bool,
        now: Timestamp,
    ) {
        let member = &mut self.members[place];
        let Some(ejection) = &mut member.ejection else {
            return;
        };
        if ejection.probes != probe || ejection.lease.take().is_none() {
            return;
        }
        // What ejected it must be over.
        let too_late = late && is_of_deadline(&ejection.reason);
        if !good || too_late {
            let reason = ejection.reason;
            member.set_back(reason, &self.settings, &mut self.rng, now);
            self.settle_probes();
            return;
        }
        ejection.good += 1;
        let good = ejection.good;
        if good >= self.settings.probes {
            member.ejection = None;
            self.settle(Readmission::Probes(good), now);
        } else {
            self.settle_probes();
        }
    }

    /// A probe that was not answered in time has failed.
    pub(super) fn lose_probe(&mut self, place: usize, now: Timestamp) {
        if let Some(ejection) = &self.members[place].ejection
            && ejection.lease.is_some_and(|lease| lease <= now)
        {
            self.probed(place, ejection.probes, false, true, now);
        }
    }
}

const fn is_of_deadline(reason: &EjectReason) -> bool {
    match reason {
        EjectReason::Worse(difference) => matches!(difference.signal, Signal::Deadline),
        _ => false,
    }
}
