//! Is it a queue that makes requests slow? Only then does it help to admit fewer.
//!
//! A queue makes everybody wait, and lets nobody pass. So it is one if two thirds of what is
//! answered are slow, or if nobody has come back for a while and more than usual wait. A share that
//! hangs, or that a cache does not have, moves neither: there the entry tells, as an alert does,
//! and rejects nobody. Where all are slow without a queue, that shows under the limit (`limiter`):
//! then shedding ends, and is tried anew ever more rarely, unless it gets twice as bad.
//!
//! Two thirds, and not half: of a handful of requests more than half go the slow way now and then,
//! where four in ten do.
//!
//! For the same reason a request that was overtaken and is old takes no place of the limit any
//! more: it waits for something else than its turn. Under a limit of one or two the few that hang
//! would otherwise keep all others away, and be all that is seen.

use std::sync::Arc;
use std::time::Duration;

use super::Breaker;
use super::limiter::Level;
use super::reading::count_alert;
use super::trip::{Observation, Own};
use crate::alert::SILENCE;
use crate::event::Event;
use crate::source::{SourceId, find};
use crate::time::Timestamp;

/// Slowness that a limit made no better.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unhelped {
    /// When it is tried anew, and how long that is after the last time.
    until: Timestamp,
    wait: Duration,
    /// What is above it is another thing.
    above: Level,
}

impl Breaker {
    /// The entry `index` holds on a source, and sheds: if there is a queue, or else it is told.
    /// Returns whether an alert began or may end.
    pub(super) fn shed_or_tell(&mut self, id: SourceId, index: usize, now: Timestamp) -> bool {
        let policy = self.policy_of(id);
        let Some(entry) = policy.trip().get(index) else {
            return false;
        };
        let bound = self.shed_bound(policy, entry);
        if self.still_sheds(now) {
            return false;
        }
        let target = self.queues_above(bound, now);
        let Some(source) = find(&mut self.sources, id) else {
            return false;
        };
        let own = source.policy.clone();
        let policy = own.as_ref().unwrap_or(&self.policy);
        let entry = &policy.trip()[index];
        let in_flight = (id == SourceId::PROXY).then_some(Own {
            ages: &self.in_flight,
            permits: self.permits_out,
            callers_turn: self.callers_turn,
        });
        let mut observation = Observation::new(source, policy, in_flight, now);
        if let Some(target) = target {
            let ends = observation.clear_alert(index);
            let reason = observation.trip(entry);
            self.shed(Arc::new(reason), target, now);
            return ends;
        }
        if let Some(alert) = observation.alert(index, entry) {
            self.totals.alerts += 1;
            count_alert(&mut self.alerts, &alert.source, alert.signal(), 1);
            self.events.push_back(Event::Alert(alert));
        }
        self.alerts_due.is_none()
    }

    /// How many requests wait for their turn, as far as is known.
    pub(super) const fn placed(&self) -> u64 {
        self.waiting.saturating_sub(self.in_flight.aside())
    }

    /// Lets those leave the limit of shedding that hang. Where most are not well, somebody may pass
    /// by a queue: then only those that are much older.
    pub(super) fn let_leave(&mut self, now: Timestamp) {
        if let Some(shedding) = &self.shedding {
            let target = shedding.target();
            let is_well = f64::from(self.recent_latency) <= target.as_secs_f64();
            let age = target * if is_well { OLD } else { VERY_OLD };
            self.in_flight.set_aside(age, self.overtaken, now);
        }
    }

    /// A request that was admitted at `admitted` was answered well.
    pub(super) fn overtake(&mut self, admitted: Timestamp, now: Timestamp) {
        self.overtaken = self.overtaken.max(admitted);
        if let Some(shedding) = &mut self.shedding {
            shedding.note_answer(now);
        }
    }

    /// A limit has made nothing faster: it is not tried again for a while.
    pub(super) fn note_unhelped(&mut self, now: Timestamp) {
        let latency = WORSE * f64::from(self.recent_latency);
        let in_flight = latency * self.arrivals.get(now);
        let wait = match self.unhelped.as_deref() {
            Some(before) if before.is_the_same(now) => (2 * before.wait).min(RAREST),
            _ => FIRST,
        };
        self.unhelped = Some(Box::new(Unhelped {
            until: now + wait,
            wait,
            above: Level { in_flight, latency },
        }));
    }

    /// Whether a limit that begins tries what helped nothing before.
    pub(super) fn tries_anew(&self, now: Timestamp) -> bool {
        let before = self.unhelped.as_deref();
        before.is_some_and(|before| before.until <= now && before.is_the_same(now))
    }

    /// Whether requests wait for one another, where `bound` is what is slow: then the latency on
    /// average that a limit is to reach.
    fn queues_above(&mut self, bound: Duration, now: Timestamp) -> Option<Duration> {
        let usual = Level {
            in_flight: self.usual_level(bound / 2, now),
            latency: bound.as_secs_f64(),
        };
        let unhelped = self.unhelped.as_deref();
        let (above, target) = match unhelped.filter(|unhelped| now < unhelped.until) {
            Some(Unhelped { above, .. }) => (*above, Duration::from_secs_f64(above.latency)),
            None => (usual, bound / 2),
        };
        let latest = now.saturating_since(self.overtaken);
        let overtaken = self.in_flight.older_than(latest, now);
        let in_turn = self.waiting.saturating_sub(overtaken) as f64;
        let stands =
            latest >= VERY_OLD * target && in_turn > WORSE * above.in_flight.max(usual.in_flight);
        (f64::from(self.recent_latency) > above.latency || stands).then_some(target)
    }

    /// Whether one may be sent though the limit is reached, as for a while none was and none came
    /// back: if all places are taken by requests that hang, that shows only when one comes back
    /// that was sent after them. How long the while is depends on the last that was `sent`: in a
    /// queue as long as the queue, and where nobody comes back twice as long each time.
    pub(super) fn may_overtake(
        &self,
        target: Duration,
        sent: Timestamp,
        answered: Timestamp,
        now: Timestamp,
    ) -> bool {
        let unanswered = sent.saturating_since(self.overtaken);
        now.saturating_since(sent.max(answered)) >= unanswered.max(VERY_OLD * target)
    }
}

impl Unhelped {
    /// Whether what is slow now is still that.
    fn is_the_same(&self, now: Timestamp) -> bool {
        now.saturating_since(self.until) < self.wait.max(SILENCE)
    }
}

/// How old a request is that waits for something else than its turn, in targets.
const OLD: u32 = 2;
const VERY_OLD: u32 = 8;
/// It is tried anew after so long, then after twice that, and so on.
const FIRST: Duration = Duration::from_secs(30);
const RAREST: Duration = Duration::from_secs(3600);
/// What is so many times as bad as what is usual, or as what a limit did not help, is another
/// thing.
const WORSE: f64 = 2.0;
