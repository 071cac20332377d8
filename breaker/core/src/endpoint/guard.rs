//! Which endpoints are out: one gate for outcomes, health checks and operators.

use super::event::{EjectReason, EndpointEvent, Readmission};
use super::{Endpoints, NEVER};
use crate::time::Timestamp;

/// That more endpoints are bad than may be out.
#[derive(Clone, Debug, Default)]
pub(super) struct Panic {
    /// Until when no outcome ejects, since outcomes say that too many are bad.
    until: Option<Timestamp>,
    /// Whether health checks are not heeded, since they say so.
    by_checks: bool,
    /// Since when one of the two holds, and when the last ended of those that outcomes began.
    since: Timestamp,
    ended: Timestamp,
    repeats: u32,
}

/// How many endpoints are bad, of those that no operator ejected.
#[derive(Clone, Copy, Debug, Default)]
struct Bad {
    endpoints: usize,
    by_outcomes: usize,
    by_checks: usize,
    in_all: usize,
}

impl Panic {
    pub(super) const fn is_on(&self) -> bool {
        self.until.is_some() || self.by_checks
    }
}

impl Endpoints {
    /// Ejects an endpoint for its outcomes, inside the guard.
    pub(super) fn eject_for(&mut self, place: usize, reason: EjectReason, now: Timestamp) {
        let may = self.settings.eject && self.panic.until.is_none();
        if !may || self.members[place].out {
            return;
        }
        let bad = self.count_bad();
        if bad.endpoints < 2 {
            return;
        }
        if bad.in_all >= self.settings.most_out(bad.endpoints) {
            self.start_panic(bad.in_all + 1, now);
            return;
        }
        let (settings, rng) = (&self.settings, &mut self.rng);
        let member = &mut self.members[place];
        let lasted = now.saturating_since(member.since);
        let before = settings.open.backed_off(member.setbacks.saturating_sub(1));
        if member.good_since >= HEALTHY && lasted >= before.max(settings.ramp.period) {
            member.setbacks = 0;
        }
        member.set_back(reason, settings, rng, now);
        self.peers.drop_waiting();
        self.settle(Readmission::Change, now);
    }

    /// Whether the guard lets outcomes eject one more endpoint.
    pub(super) fn may_eject_another(&self) -> bool {
        let may = self.settings.eject && self.panic.until.is_none() && self.available.len() > 1;
        may && {
            let bad = self.count_bad();
            bad.in_all < self.settings.most_out(bad.endpoints)
        }
    }

    /// Health checks found another endpoint bad: are there too many, together with the ejected?
    pub(super) fn guard_checks(&mut self, now: Timestamp) {
        let bad = self.count_bad();
        let most = self.settings.most_out(bad.endpoints);
        if bad.by_checks <= most && bad.in_all > most && self.panic.until.is_none() {
            self.start_panic(bad.in_all, now);
        }
    }

    fn start_panic(&mut self, bad: usize, now: Timestamp) {
        let was_on = self.panic.is_on();
        let panic = &mut self.panic;
        let again = panic.ended > Timestamp::ZERO
            && now.saturating_since(panic.ended).as_nanos() < SOON.as_nanos();
        panic.repeats = if again {
            panic.repeats.saturating_add(1)
        } else {
            0
        };
        let lasts = self.settings.open.backed_off(panic.repeats);
        let until = now + self.settings.open.jittered(lasts, &mut self.rng);
        panic.until = Some(until);
        self.wake_at(until);
        for member in &mut self.members {
            member.ejection = None;
        }
        if !was_on {
            self.tell_panic(bad, false, now);
        }
        self.peers.drop_waiting();
        self.settle(Readmission::Panic, now);
    }

    fn tell_panic(&mut self, bad: usize, by_checks: bool, now: Timestamp) {
        self.panic.since = now;
        let endpoints = self.count_bad().endpoints;
        self.tell(EndpointEvent::Panic {
            at: now,
            bad,
            most: self.settings.most_out(endpoints),
            endpoints,
            by_checks,
        });
    }

    fn tell_panic_ended(&mut self, now: Timestamp) {
        self.tell(EndpointEvent::PanicEnded {
            at: now,
            lasted: now.saturating_since(self.panic.since),
        });
    }

    fn end_panic(&mut self, now: Timestamp) {
        (self.panic.until, self.panic.ended) = (None, now);
        // What was observed during the panic is dropped: a bad endpoint will fail again.
        for member in &mut self.members {
            if let Some(detectors) = &mut member.detectors {
                detectors.leave(&mut self.peers);
            }
        }
        if !self.panic.is_on() {
            self.tell_panic_ended(now);
        }
        self.settle(Readmission::Change, now);
    }

    fn count_bad(&self) -> Bad {
        let mut bad = Bad::default();
        for member in &self.members {
            if member.operator_until.is_some() {
                continue;
            }
            let (ejected, unhealthy) = (member.ejection.is_some(), member.unhealthy);
            let heeded = unhealthy && !self.panic.by_checks;
            bad.endpoints += 1;
            bad.by_outcomes += usize::from(ejected);
            bad.by_checks += usize::from(unhealthy);
            bad.in_all += usize::from(ejected || heeded);
        }
        bad
    }

    /// Decides who is out, whatever it was that changed; `by` says what lets in those that come in.
    pub(super) fn settle(&mut self, by: Readmission, now: Timestamp) {
        self.heed_checks(now);
        self.release_the_least_bad();
        let suspended = self.panic.until.is_some();
        for place in 0..self.members.len() {
            let member = &self.members[place];
            let unhealthy = member.unhealthy && !self.panic.by_checks;
            let out = member.operator_until.is_some()
                || !suspended && (member.ejection.is_some() || unhealthy);
            if out != member.out {
                if out {
                    self.go_out(place, now);
                } else {
                    self.come_in(place, by, now);
                }
            }
        }
        self.list();
    }

    /// Health checks that find more endpoints bad than may be out are not heeded.
    fn heed_checks(&mut self, now: Timestamp) {
        let was_on = self.panic.is_on();
        let bad = self.count_bad();
        self.panic.by_checks = bad.by_checks > self.settings.most_out(bad.endpoints);
        match (was_on, self.panic.is_on()) {
            (false, true) => self.tell_panic(bad.by_checks, true, now),
            (true, false) => self.tell_panic_ended(now),
            _ => {}
        }
    }

    /// If fewer may be out than before, the least bad come in.
    fn release_the_least_bad(&mut self) {
        let bad = self.count_bad();
        let mut excess = bad
            .in_all
            .saturating_sub(self.settings.most_out(bad.endpoints));
        while excess > 0 {
            let held = self.members.iter_mut().filter(|member| {
                let counted = member.operator_until.is_none();
                counted && member.ejection.is_some() && !member.unhealthy
            });
            let Some(least) = held.min_by(|a, b| a.badness().total_cmp(&b.badness())) else {
                return;
            };
            least.ejection = None;
            excess -= 1;
        }
    }

    fn go_out(&mut self, place: usize, now: Timestamp) {
        let member = &mut self.members[place];
        member.out = true;
        member.since = now;
        member.epoch = member.epoch.wrapping_add(1);
        member.totals.ejections += 1;
        if let Some(detectors) = &mut member.detectors {
            detectors.leave(&mut self.peers);
        }
        let event = EndpointEvent::Ejected {
            at: now,
            id: self.ids[place],
            reason: member.reason(),
            until: member.until(),
        };
        self.tell(event);
    }

    fn come_in(&mut self, place: usize, by: Readmission, now: Timestamp) {
        let member = &mut self.members[place];
        let after = now.saturating_since(member.since);
        (member.out, member.since) = (false, now);
        (member.good_since, member.unreached) = (0, 0);
        member.epoch = member.epoch.wrapping_add(1);
        self.loads[place].renew(self.latency, now);
        self.loads[place].grow(now, self.settings.ramp.period);
        self.tell(EndpointEvent::Readmitted {
            at: now,
            id: self.ids[place],
            after,
            by,
        });
    }

    /// Lists those that are in and those that are out.
    fn list(&mut self) {
        let endpoints = self.members.len();
        for places in [&mut self.available, &mut self.out] {
            places.clear();
            places.shrink_to(endpoints);
            places.reserve_exact(endpoints);
        }
        self.cumulative.clear();
        self.cumulative.shrink_to(endpoints);
        self.cumulative.reserve_exact(endpoints);
        let heaviest = self.members.iter().map(|member| member.weight).max();
        let heaviest = heaviest.unwrap_or(1) as f32;
        let mut sum = 0;
        for (place, member) in self.members.iter().enumerate() {
            self.loads[place].set_share(member.weight as f32 / heaviest);
            if member.out {
                self.out.push(place as u32);
            } else {
                sum += u64::from(member.weight);
                self.available.push(place as u32);
                self.cumulative.push(sum);
            }
        }
        let mut weights = self
            .available
            .iter()
            .map(|place| self.members[*place as usize].weight);
        if let Some(first) = weights.next()
            && weights.all(|weight| weight == first)
        {
            self.cumulative.clear();
        }
        self.settle_probes();
    }

    /// Does what is due by the passing of time alone, and says when the next is.
    #[cold]
    pub(super) fn sweep(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        for place in 0..self.members.len() {
            self.age(place, now);
            self.lose_probe(place, now);
        }
        self.end_operators_time(now);
        if self.panic.until.is_some_and(|until| until <= now) {
            self.end_panic(now);
        }
        self.forget_gone(now);
        self.next = self.next_due();
    }

    fn next_due(&self) -> Timestamp {
        let of_member = |member: &super::Member| {
            let lease = member.ejection.and_then(|ejection| ejection.lease);
            let times = [member.hanging.next(), member.operator_until, lease];
            times.into_iter().flatten().min()
        };
        let members = self.members.iter().filter_map(of_member);
        let gone = self.gone.iter().map(super::Gone::until);
        let next = members.chain(gone).chain(self.panic.until).min();
        next.unwrap_or(NEVER)
    }
}

/// So many good answers after its return are evidence of health.
const HEALTHY: u32 = 20;
/// A panic so soon after another lasts longer.
const SOON: std::time::Duration = std::time::Duration::from_secs(60);
