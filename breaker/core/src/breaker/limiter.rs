//! An adaptive limit of requests in flight: as many as the upstream answers in time.
//!
//! A service that gets more than it can do makes everybody wait in its queue, and is then busy with
//! requests that nobody waits for any more. By Little's law the wait is what is in flight over what
//! is completed a second: with fewer in flight the same work is done, sooner. So the limit follows
//! the gradient of latency, `limit · target / latency`, as Netflix's concurrency-limits and Envoy's
//! adaptive concurrency do, with four differences:
//!
//! * The target is what was learned in health. It can't drift in an incident, and nothing has to be
//!   measured at a limit of a few requests each minute.
//! * A limit is judged by the requests that were admitted under it and by no others (a [`Cohort`]),
//!   once all of them have ended or are so old that it is clear. What was in the queue before says
//!   nothing of it, what hangs counts, and nothing lags.
//! * The latency is the one that two thirds of the cohort exceed: a queue makes all of them wait.
//!   Those that hang, or go a slower way than others, are not for the limit, unless they are most.
//! * If the latency does not fall with the limit, there is no queue: the upstream is slow by
//!   itself, and fewer requests would make it no faster. Then the limit has not helped, which ends
//!   shedding (`queueing`). A ramp must have a limit: its target then follows what the upstream can
//!   do, so that next to nothing is rejected, and while it binds that is tried anew once in a
//!   while.

mod spread;

use std::time::Duration;

use self::spread::Spread;
use crate::time::Timestamp;

/// The limit, and what it has shown so far.
#[derive(Clone, Debug)]
pub(super) struct Limiter {
    limit: f64,
    /// How long a request takes on average at most, in seconds: as learned, or as the upstream can.
    target: f64,
    learned: f64,
    /// When the target is the learned one again.
    expires: Option<Timestamp>,
    /// When the upstream was too slow, and how slow: with fewer in flight it must be faster.
    slow_at: Option<Level>,
    /// Whether fewer in flight were no faster, and the target follows that.
    unhelped: bool,
    cohort: Cohort,
    /// Whether a request was refused since the limit was judged last.
    pressed: bool,
}

/// How many requests in flight took how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    /// On average.
    pub(super) in_flight: f64,
    /// What two thirds exceed, in seconds.
    pub(super) latency: f64,
}

/// The requests that were admitted under one limit.
#[derive(Clone, Copy, Debug)]
struct Cohort {
    began: Timestamp,
    /// When the last of them was admitted, once they are enough.
    full: Option<Timestamp>,
    sent: u32,
    ended: u32,
    /// Of how many each saw in flight, itself among them.
    in_flight: f64,
    latencies: Spread,
}

impl Limiter {
    /// Begins with `limit`, for requests that take `target` on average; `before` is what was in
    /// flight without a limit.
    pub(super) fn new(limit: f64, target: Duration, before: Option<Level>, now: Timestamp) -> Self {
        let target = target.as_secs_f64().clamp(LEAST_TARGET, MOST_TARGET);
        Self {
            limit: bounded(limit),
            target,
            learned: target,
            expires: None,
            slow_at: before,
            unhelped: false,
            cohort: Cohort::new(now),
            pressed: false,
        }
    }

    /// Whether one more request may be sent, beside so many in flight.
    pub(super) const fn has_room(&self, in_flight: u64) -> bool {
        in_flight < self.limit()
    }

    /// The most requests that may be in flight.
    pub(super) const fn limit(&self) -> u64 {
        self.limit as u64
    }

    /// How long a request takes on average at most.
    pub(super) fn target(&self) -> Duration {
        Duration::from_secs_f64(self.target)
    }

    /// Whether it has shown that fewer in flight are no faster.
    pub(super) const fn is_unhelped(&self) -> bool {
        self.unhelped
    }

    /// A request was refused.
    pub(super) const fn refused(&mut self) {
        self.pressed = true;
    }

    /// A request was sent; with it so many are in flight, whether or not they take a place.
    pub(super) fn sent(&mut self, in_flight: u64, now: Timestamp) {
        let cohort = &mut self.cohort;
        if cohort.full.is_some() {
            return;
        }
        cohort.sent = cohort.sent.saturating_add(1);
        cohort.in_flight += in_flight as f64;
        let lasted = now.saturating_since(cohort.began);
        let enough = cohort.sent >= ENOUGH && lasted >= SHORTEST;
        if enough || cohort.sent >= FEWEST && lasted >= LONGEST {
            cohort.full = Some(now);
        }
    }

    /// The request that was sent at `sent` took `latency`; `None` if its end says nothing.
    pub(super) fn ended(&mut self, sent: Timestamp, latency: Option<Duration>) {
        let cohort = &mut self.cohort;
        let counts = sent >= cohort.began && cohort.full.is_none_or(|full| sent <= full);
        if !counts || cohort.ended >= cohort.sent {
            return;
        }
        match latency {
            Some(latency) => {
                cohort.ended += 1;
                cohort.latencies.add(latency.as_secs_f64() / self.target);
            }
            None => {
                cohort.in_flight -= cohort.in_flight / f64::from(cohort.sent);
                cohort.sent -= 1;
            }
        }
    }

    /// Judges the limit, if those that were admitted under it have ended or are old enough.
    pub(super) fn judge(&mut self, now: Timestamp) {
        let cohort = self.cohort;
        if cohort.sent == 0 {
            if cohort.full.is_some() {
                // All of it ended and said nothing: another one must.
                self.cohort = Cohort::new(now);
            }
            return;
        }
        let all_ended = cohort.full.is_some() && cohort.ended >= cohort.sent;
        // Under a limit of one or two, those that hang are never more.
        let last = match cohort.full {
            Some(full) => full,
            None if u64::from(cohort.sent) >= self.limit() => cohort.began + LONGEST,
            None => return,
        };
        // Where enough have ended, it is known as soon as the others are older.
        let answered = cohort.ended >= cohort.sent.div_ceil(3);
        let old = match answered {
            true => LATE,
            // It can't be lowered, so that it may as well be seen how late they are.
            false if self.limit() <= 1 => Spread::MOST,
            false => CLEAR,
        };
        if !all_ended && now < last + Duration::from_secs_f64(old * self.target) {
            return;
        }
        let level = Level {
            in_flight: cohort.in_flight / f64::from(cohort.sent),
            latency: self.target
                * match answered {
                    true => cohort.latencies.third(cohort.sent),
                    false => CLEAR,
                },
        };
        self.follow(level, answered, now);
        self.restart(now);
    }

    /// Forgets the requests by which the limit would be judged next.
    pub(super) const fn restart(&mut self, now: Timestamp) {
        self.cohort = Cohort::new(now);
        self.pressed = false;
    }

    /// What came of the limit; whether enough were `answered` by now. A hang says nothing of
    /// whether fewer would be faster.
    fn follow(&mut self, level: Level, answered: bool, now: Timestamp) {
        let Level { in_flight, latency } = level;
        if latency <= self.target {
            self.slow_at = None;
            if self.pressed {
                self.limit = bounded(self.limit * (self.target / latency).min(FASTEST));
            }
            return;
        }
        if self.expires.is_some_and(|at| at <= now) {
            self.expires = None;
            self.unhelped = false;
            self.target = self.learned;
        }
        if let Some(before) = self.slow_at {
            // Alone in flight, a request waits for no other.
            let fewer = in_flight <= before.in_flight * FEWER || in_flight < 2.0 * LEAST;
            if answered && fewer && latency >= before.latency * NO_FASTER {
                self.unhelped = true;
                self.target = (ROOM * latency).clamp(LEAST_TARGET, MOST_TARGET);
                self.expires = Some(now + EXPIRES);
                self.limit = bounded(ROOM * before.in_flight);
                self.slow_at = None;
                return;
            }
            if fewer || in_flight > before.in_flight {
                self.slow_at = Some(level);
            }
        } else {
            self.slow_at = Some(level);
        }
        self.limit = bounded(self.limit * (self.target / latency).max(0.5));
    }
}

impl Cohort {
    const fn new(began: Timestamp) -> Self {
        Self {
            began,
            full: None,
            sent: 0,
            ended: 0,
            in_flight: 0.0,
            latencies: Spread::new(),
        }
    }
}

/// At least one request, or nothing would be known of the upstream any more.
const fn bounded(limit: f64) -> f64 {
    limit.clamp(LEAST, MOST)
}

const LEAST: f64 = 1.0;
const MOST: f64 = 1e6;
/// In seconds.
const LEAST_TARGET: f64 = 1e-4;
const MOST_TARGET: f64 = 3600.0;

/// A cohort is full when it has lasted for the shortest time and is enough, or for the longest and
/// is not too few.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(1);
const ENOUGH: u32 = 20;
const FEWEST: u32 = 3;
/// After so many times the target it is clear that a request is late, and how late as far as that
/// matters.
const LATE: f64 = 2.0;
const CLEAR: f64 = 8.0;

/// What a limit that makes the upstream fast enough grows by at most.
const FASTEST: f64 = 1.5;
/// At so much of the requests in flight, a queue would be so much shorter that the latency had to
/// fall below this part.
pub(super) const FEWER: f64 = 0.6;
const NO_FASTER: f64 = 0.85;
/// How much more than it needs an upstream gets that is slow by itself, in latency and in requests.
const ROOM: f64 = 2.0;
/// After this time it is tried anew whether fewer requests make it faster.
const EXPIRES: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
