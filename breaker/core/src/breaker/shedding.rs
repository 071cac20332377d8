//! Shedding: a closed breaker that admits no more than the upstream answers in time.
//!
//! It begins when a trip entry with the action `shed` holds for a queue (`queueing`; what is slow
//! by itself is told), and ends when for [`HOLD`] none has held and nothing was refused: that the
//! latencies are good under the limit does not say that they would be without it, but a limit that
//! nobody reaches is not needed. It ends as well when it shows that the limit makes nothing faster.
//! The ramp of a sequential recovery has the same limit, from a few requests on, so that a service
//! that comes back slowly gets what it can do; what of it still binds when the ramp is over goes
//! on.

use std::sync::Arc;
use std::time::Duration;

use super::Breaker;
use super::limiter::{FEWER, Level, Limiter};
use crate::event::{Event, Reason};
use crate::outcome::Classification;
use crate::permit::{Permit, Reading, Shed};
use crate::policy::{Action, Policy, TripEntry};
use crate::ratio::Ratio;
use crate::snapshot::SheddingSnapshot;
use crate::time::{Timestamp, nanos};

/// A limit in force.
#[derive(Clone, Debug)]
pub(super) struct Shedding {
    limiter: Limiter,
    reason: Arc<Reason>,
    since: Timestamp,
    /// When an entry held last.
    held: Timestamp,
    /// When a request was sent last, when one was answered well, and when one was refused.
    sent: Timestamp,
    answered: Timestamp,
    refused: Option<Timestamp>,
    /// Whether its begin was told. That of a ramp's is not: a ramp is told itself.
    told: bool,
    totals: Decided,
    lately: Decided,
}

/// Requests on which the limit decided.
#[derive(Clone, Copy, Debug, Default)]
struct Decided {
    admitted: u64,
    rejected: u64,
}

impl Breaker {
    /// An entry holds: if there is a limit in force, it goes on. Returns whether there is.
    pub(super) fn still_sheds(&mut self, now: Timestamp) -> bool {
        let Some(shedding) = &mut self.shedding else {
            return false;
        };
        shedding.held = now;
        true
    }

    /// A trip entry holds for a queue, which is to be so short that a request takes `target` on
    /// average.
    pub(super) fn shed(&mut self, reason: Arc<Reason>, target: Duration, now: Timestamp) {
        let mut limit = self.usual_level(target, now);
        if self.tries_anew(now) {
            // So few less are enough to see whether fewer are faster now.
            limit = FEWER * self.waiting as f64;
        }
        let latency = f64::from(self.recent_latency);
        // If nothing has been answered since, that is from before.
        let before = (latency > target.as_secs_f64()).then_some(Level {
            in_flight: self.waiting as f64,
            latency,
        });
        let limiter = Limiter::new(limit, target, before, now);
        self.tell_shedding(Shedding::new(limiter, reason, now), now);
    }

    /// How many requests are in flight if each takes `target` on average, or usually.
    pub(super) fn usual_level(&mut self, target: Duration, now: Timestamp) -> f64 {
        // Little's law.
        let limit = self.arrivals.get(now) * target.as_secs_f64();
        // After a silence nothing arrives on average: what usual traffic has in flight is never too
        // much.
        limit.max(self.arrivals.usual_in_flight())
    }

    /// Limits the ramp of a sequential recovery, where the policy sheds: from as many requests as
    /// there were probes at once.
    pub(super) fn limit_ramp(&mut self, now: Timestamp) {
        let mut entries = self.policy.trip().iter();
        let Some(entry) = entries.find(|entry| entry.action == Action::Shed) else {
            return;
        };
        let target = self.shed_bound(&self.policy, entry) / 2;
        let limit = self.policy.half_open().concurrent.into();
        let limiter = Limiter::new(limit, target, None, now);
        let reason = self.tripped.clone().unwrap_or_else(|| self.reason.clone());
        self.shedding = Some(Box::new(Shedding::new(limiter, reason, now)));
    }

    /// The ramp is over: what of its limit still binds goes on as shedding.
    pub(super) fn unlimit_ramp(&mut self, now: Timestamp) {
        let Some(mut shedding) = self.shedding.take().filter(|shedding| !shedding.told) else {
            return;
        };
        if shedding.binds(now) && !shedding.limiter.is_unhelped() {
            // What tripped the breaker is over.
            shedding.reason = Arc::new(Reason::RampLimit);
            shedding.since = now;
            shedding.totals = Decided::default();
            self.tell_shedding(*shedding, now);
        }
    }

    /// Ends shedding.
    pub(super) fn stop_shedding(&mut self, now: Timestamp) {
        let Some(shedding) = self.shedding.take().filter(|shedding| shedding.told) else {
            return;
        };
        self.events.push_back(Event::SheddingEnded {
            at: now,
            lasted: now.saturating_since(shedding.since),
            admitted: shedding.totals.admitted,
            rejected: shedding.totals.rejected,
        });
    }

    /// Lets the limit follow what was admitted under it, and ends what is over.
    pub(super) fn judge_shedding(&mut self, now: Timestamp) {
        let Some(shedding) = &mut self.shedding else {
            return;
        };
        shedding.limiter.judge(now);
        if !shedding.told {
            return;
        }
        if shedding.limiter.is_unhelped() {
            self.note_unhelped(now);
            self.stop_shedding(now);
        } else if shedding.ends() <= now {
            self.stop_shedding(now);
        }
    }

    /// When shedding ends, if no entry holds and nothing is refused until then.
    pub(super) fn shedding_ends(&self) -> Option<Timestamp> {
        let shedding = self.shedding.as_ref().filter(|shedding| shedding.told)?;
        Some(shedding.ends())
    }

    /// The limit, if a request must be refused for it; that is noted.
    pub(super) fn over_limit(&mut self, now: Timestamp) -> Option<Shed> {
        self.let_leave(now);
        let placed = self.placed();
        let shedding = self.shedding.as_deref()?;
        if shedding.limiter.has_room(placed)
            || self.may_overtake(shedding.target(), shedding.sent, shedding.answered, now)
        {
            return None;
        }
        let shedding = self.shedding.as_mut()?;
        shedding.limiter.refused();
        shedding.refused = Some(now);
        shedding.totals.rejected += 1;
        shedding.lately.rejected += 1;
        shedding.lately.fade();
        Some(Shed {
            in_flight: placed,
            limit: shedding.limiter.limit(),
        })
    }

    /// Why there is a limit, where there is one and the state has another reason.
    pub(super) fn shedding_reason(&self) -> Option<&Arc<Reason>> {
        let shedding = self.shedding.as_ref()?;
        Some(&shedding.reason)
    }

    /// The upstream owes an answer to one more request.
    pub(super) fn limit_sent(&mut self, now: Timestamp) {
        if self.needs.sheds && self.learns() {
            self.arrivals.in_flight(self.waiting);
        }
        if let Some(shedding) = &mut self.shedding {
            shedding.limiter.sent(self.waiting, now);
            shedding.sent = now;
            shedding.totals.admitted += 1;
            shedding.lately.admitted += 1;
            shedding.lately.fade();
        }
    }

    /// The request of `permit` was answered, or no answer is owed any more. A failure that came
    /// fast says nothing of how long answers take.
    pub(super) fn limit_ended(
        &mut self,
        permit: &Permit,
        answer: Option<(Classification, Duration)>,
        now: Timestamp,
    ) {
        if !self.needs.sheds {
            return;
        }
        let latency = match answer {
            Some((Classification::Success, latency)) => {
                // After a pause of the caller, its admission is not known any more.
                if permit.reading == Reading::Reads {
                    self.overtake(permit.admitted, now);
                }
                Some(latency)
            }
            Some((Classification::Failure, latency)) => {
                let target = self.shedding.as_ref().map(|shed| shed.limiter.target());
                target
                    .is_some_and(|target| latency > target)
                    .then_some(latency)
            }
            _ => None,
        };
        if let Some(latency) = latency {
            // Not `as_secs_f64`, which divides: this is done for each request.
            let latest = (nanos(latency) as f32 * 1e-9).min(LONGEST_LATENCY);
            // At rest where twice as many are above it as below.
            self.recent_latency *= match latest > self.recent_latency {
                true => 1.0 + STEP,
                false => 1.0 - 2.0 * STEP,
            };
            if self.recent_latency < LEAST_LATENCY {
                self.recent_latency = latest.max(LEAST_LATENCY);
            }
        }
        if let Some(shedding) = &mut self.shedding {
            shedding.limiter.ended(permit.admitted, latency);
            self.judge_shedding(now);
        }
    }

    /// The latency from which on a request speaks for `entry`: its own bounds, or what was learned.
    pub(super) fn shed_bound(&self, policy: &Policy, entry: &TripEntry) -> Duration {
        let own = policy.entry_bound(entry);
        let learned = self.slow_threshold().filter(|_| entry.watches_latency());
        own.into_iter()
            .chain(learned)
            .min()
            .unwrap_or_else(|| policy.deadline())
    }

    /// Whether the limit kept requests away lately, so that what is observed is not what would be
    /// without it.
    pub(super) fn is_limited(&self) -> bool {
        let shedding = self.shedding.as_ref();
        shedding.is_some_and(|shedding| shedding.binds(self.now))
    }

    pub(super) fn shedding_snapshot(&self) -> Option<SheddingSnapshot> {
        let shedding = self.shedding.as_ref()?;
        Some(SheddingSnapshot {
            limit: shedding.limiter.limit(),
            target: shedding.limiter.target(),
            admitted_share: shedding.lately.share(),
            lasted: self.now.saturating_since(shedding.since),
            remaining: self.shedding_ends().map(|at| at.saturating_since(self.now)),
            reason: shedding.reason.clone(),
        })
    }

    fn tell_shedding(&mut self, mut shedding: Shedding, now: Timestamp) {
        shedding.told = true;
        self.events.push_back(Event::SheddingStarted {
            at: now,
            reason: shedding.reason.clone(),
            limit: shedding.limiter.limit(),
        });
        self.shedding = Some(Box::new(shedding));
    }
}

impl Shedding {
    fn new(limiter: Limiter, reason: Arc<Reason>, now: Timestamp) -> Self {
        Self {
            limiter,
            reason,
            since: now,
            held: now,
            sent: now,
            answered: now,
            refused: None,
            told: false,
            totals: Decided::default(),
            lately: Decided::default(),
        }
    }

    fn ends(&self) -> Timestamp {
        self.refused
            .map_or(self.held, |refused| refused.max(self.held))
            + HOLD
    }

    pub(super) fn target(&self) -> Duration {
        self.limiter.target()
    }

    pub(super) const fn note_answer(&mut self, now: Timestamp) {
        self.answered = now;
    }

    fn binds(&self, now: Timestamp) -> bool {
        self.refused.is_some_and(|refused| now < refused + HOLD)
    }

    /// Requests of another epoch say nothing of the limit any more.
    pub(super) const fn restart(&mut self, now: Timestamp) {
        self.limiter.restart(now);
    }
}

impl Decided {
    /// Keeps to about the last hundred.
    const fn fade(&mut self) {
        if self.admitted + self.rejected >= 200 {
            self.admitted /= 2;
            self.rejected /= 2;
        }
    }

    fn share(self) -> Ratio {
        let all = self.admitted + self.rejected;
        if all == 0 {
            Ratio::ONE
        } else {
            Ratio::of(self.admitted, all)
        }
    }
}

/// So long neither an entry held nor was a request refused, before shedding ends.
const HOLD: Duration = Duration::from_secs(10);
/// With each answer the recent latency rises by this part, or falls by two: it is one of the last
/// few dozens.
const STEP: f32 = 1.0 / 32.0;
/// In seconds.
const LEAST_LATENCY: f32 = 1e-6;
/// In seconds; as in the windows.
const LONGEST_LATENCY: f32 = 3600.0;
