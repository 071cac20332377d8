//! The state machine by plain numbers. Times are seconds since the breaker was made.

use super::*;
use crate::event::Transition;
use crate::feed::{Feed, Observed, Sample};
use crate::outcome::{Attribution, Classification, Outcome};
use crate::permit::{Permit, Rejected};
use crate::policy;
use crate::policy::{HalfOpen, Open, Quantile, Ramp as RampRules, TripEntry};
use crate::ratio::Ratio;
use crate::snapshot::Snapshot;

mod abandoned;
mod adaptive;
mod anomalies;
mod asking;
mod baselines;
mod begun;
mod begun_properties;
mod blips;
mod change;
mod creeping;
mod diagnosis;
mod feeds;
mod flapping;
mod hanging;
mod liveness;
mod modes;
mod pausing;
mod recovery;
mod shedding;
mod shedding_properties;
mod silence;
mod trips;
mod uploads;
mod usual;

/// A breaker, and the time it is.
struct Bench {
    breaker: Breaker,
    now: f64,
}

/// `sensitive` without jitter, so that times are round.
fn sensitive() -> Policy {
    let open = Open {
        jitter: Ratio::ZERO,
        ..Open::default()
    };
    policy::Builder::from(Policy::sensitive())
        .open(open)
        .build()
        .unwrap()
}

/// [`sensitive`] with these trip entries.
fn tripping_on(entries: impl Into<Vec<TripEntry>>) -> Policy {
    policy::Builder::from(sensitive())
        .trip(entries)
        .build()
        .unwrap()
}

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_secs_f64(seconds)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Bench {
    fn new(policy: Policy) -> Self {
        Self {
            breaker: Breaker::new(policy, 1, Timestamp::ZERO),
            now: 0.0,
        }
    }

    /// A breaker that has just tripped on errors, at 0 s, for 10 s.
    fn open() -> Self {
        let mut bench = Self::new(sensitive());
        bench.run(20, Outcome::failure(ms(1)));
        assert_eq!(bench.state(), State::Open);
        bench.events();
        bench
    }

    /// A breaker that has just become half-open, at 10 s.
    fn half_open() -> Self {
        let mut bench = Self::open();
        bench.pass_to(10.0);
        assert_eq!(bench.state(), State::HalfOpen);
        bench
    }

    /// A breaker whose probes have just succeeded, at 10 s; the ramp takes 10 s.
    fn ramping() -> Self {
        let mut bench = Self::half_open();
        bench.run(4, Outcome::success(ms(1)));
        assert!(matches!(bench.breaker.phase, Phase::Ramp(_)));
        bench
    }

    /// Lets time pass, as a driver would: at every timeout on the way.
    fn pass_to(&mut self, seconds: f64) {
        while let Some(due) = self.breaker.poll_timeout()
            && due <= at(seconds)
        {
            self.breaker.handle_timeout(due);
            assert_ne!(
                self.breaker.poll_timeout(),
                Some(due),
                "a driver would spin"
            );
        }
        self.now = seconds;
        self.breaker.handle_timeout(at(seconds));
    }

    fn pass(&mut self, seconds: f64) {
        self.pass_to(self.now + seconds);
    }

    fn acquire(&mut self) -> Result<Permit, Rejected> {
        self.breaker.try_acquire(at(self.now))
    }

    /// How many of `requests` may be sent.
    fn ask(&mut self, requests: u32) -> u32 {
        let verdicts = (0..requests).map(|_| self.breaker.check(at(self.now)));
        verdicts.filter(Result::is_ok).count() as u32
    }

    /// A request whose good answer begins now.
    fn begin(&mut self) -> Permit {
        let mut permit = self.acquire().unwrap();
        self.begun(&mut permit);
        permit
    }

    /// The good answer of `permit`'s request begins now, with its head.
    fn begun(&mut self, permit: &mut Permit) {
        let latency = at(self.now).saturating_since(permit.admitted());
        self.breaker.responded(permit, latency, at(self.now));
        self.breaker.begun(permit, at(self.now));
    }

    fn record(&mut self, permit: Permit, outcome: Outcome) {
        self.breaker.record(permit, outcome, at(self.now));
    }

    /// Sends `requests` one after the other, which all end at once with `outcome`; returns how many
    /// were admitted.
    fn run(&mut self, requests: u32, outcome: Outcome) -> u32 {
        let mut admitted = 0;
        for _ in 0..requests {
            if let Ok(permit) = self.acquire() {
                admitted += 1;
                self.record(permit, outcome);
            }
        }
        admitted
    }

    /// A feed tells of `requests` that end now.
    fn tell(&mut self, feed: SourceId, requests: u32, outcome: Outcome) {
        self.tell_of(feed, requests, outcome, self.now);
    }

    /// A feed tells now of `requests` that ended at another time.
    fn tell_of(&mut self, feed: SourceId, requests: u32, outcome: Outcome, ended: f64) -> Observed {
        let sample = Sample::new(outcome.classification, Some(outcome.latency), at(ended))
            .times(requests)
            .traced(outcome.trace);
        self.breaker.observe(feed, &sample, at(self.now))
    }

    fn state(&self) -> State {
        self.breaker.state()
    }

    fn snapshot(&mut self) -> Snapshot {
        self.breaker.snapshot(at(self.now))
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.breaker.poll_event()).collect()
    }

    /// The transitions since the last look, as `from → to: reason`.
    fn transitions(&mut self) -> Vec<String> {
        let events = self.events();
        let transitions = events.iter().filter_map(|event| match event {
            Event::Transition(Transition {
                from, to, reason, ..
            }) => Some(format!("{from} → {to}: {reason}")),
            _ => None,
        });
        transitions.collect()
    }
}
