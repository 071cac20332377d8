//! The demo's account: a line a second, and at the end what the breaker did for the callers.

use std::fmt;
use std::time::Duration;

use breaker_tower::State;
use breaker_tower::breaker_core::{Event, Transition};

use super::load::Call;
use super::script::{INCIDENT_BEGINS, INCIDENT_ENDS};
use crate::load::{Answer, p99};

/// All calls and transitions of a demo.
#[derive(Debug, Default)]
pub(super) struct Account {
    calls: Vec<Call>,
    transitions: Vec<Transition>,
    /// How many of `calls` the last line has told.
    told: usize,
}

/// What happened since the last line, as callers saw it.
#[derive(Debug)]
pub(super) struct Second {
    pub(super) calls: usize,
    pub(super) failed: usize,
    pub(super) rejected: usize,
    /// Of the calls that were not rejected.
    pub(super) p99: Option<Duration>,
}

/// What the breaker did for the callers.
#[derive(Debug)]
pub(super) struct Summary {
    calls: usize,
    would_have_been_bad: usize,
    bad: usize,
    spared: usize,
    rejected_good: usize,
    time_to_trip: Option<Duration>,
    time_to_recover: Option<Duration>,
}

impl Account {
    pub(super) fn call(&mut self, call: Call) {
        self.calls.push(call);
    }

    pub(super) fn event(&mut self, event: &Event) {
        if let Event::Transition(transition) = event {
            self.transitions.push(transition.clone());
        }
    }

    /// Whether the breaker opened, and is closed again.
    pub(super) fn opened_and_closed(&self) -> bool {
        let opened = self
            .transitions
            .iter()
            .any(|transition| transition.to == State::Open);
        opened
            && self
                .transitions
                .last()
                .is_some_and(|last| last.to == State::Closed)
    }

    pub(super) fn second(&mut self) -> Second {
        let calls = &self.calls[self.told..];
        self.told = self.calls.len();
        let count = |answer| calls.iter().filter(|call| call.answer == answer).count();
        let admitted = calls.iter().filter(|call| call.answer != Answer::Rejected);
        Second {
            calls: calls.len(),
            failed: count(Answer::Failed),
            rejected: count(Answer::Rejected),
            p99: p99(admitted.map(|call| call.took)),
        }
    }

    /// `offset` is when the breaker's time began, since the start of the demo.
    pub(super) fn summary(&self, offset: Duration) -> Summary {
        let count = |wanted: fn(&&Call) -> bool| self.calls.iter().filter(wanted).count();
        let opened = self
            .transitions
            .iter()
            .find(|transition| transition.to == State::Open);
        let closed = self
            .transitions
            .last()
            .filter(|last| last.to == State::Closed);
        let since = |transition: Option<&Transition>, from: Duration| {
            transition.map(|transition| {
                (Duration::from_nanos(transition.at.as_nanos()) + offset).saturating_sub(from)
            })
        };
        Summary {
            calls: self.calls.len(),
            would_have_been_bad: count(|call| call.fate.is_bad()),
            bad: count(|call| {
                call.answer == Answer::Failed || call.answer == Answer::Served && call.took >= SLOW
            }),
            spared: count(|call| call.answer == Answer::Rejected && call.fate.is_bad()),
            rejected_good: count(|call| call.answer == Answer::Rejected && !call.fate.is_bad()),
            time_to_trip: since(opened, INCIDENT_BEGINS),
            time_to_recover: since(closed, INCIDENT_ENDS),
        }
    }
}

impl fmt::Display for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_cent = self.failed * 100 / self.calls.max(1);
        let p99 = self
            .p99
            .map_or("–".to_owned(), |p99| format!("{} ms", p99.as_millis()));
        write!(
            f,
            "{:>5}  {per_cent:>5} %  {p99:>8}  {:>8}",
            self.calls, self.rejected
        )
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: Option<Duration>| {
            time.map_or("never".to_owned(), |time| {
                format!("{:.1} s", time.as_secs_f64())
            })
        };
        writeln!(
            f,
            "Of {} requests, {} would have failed or taken longer than a second.",
            self.calls, self.would_have_been_bad
        )?;
        writeln!(
            f,
            "With the breaker, callers saw {} of those; {} were answered at once: 503 and when to come back.",
            self.bad, self.spared
        )?;
        writeln!(
            f,
            "The price: {} requests were rejected that would have been served.",
            self.rejected_good
        )?;
        writeln!(
            f,
            "Time to trip:    {} after the first failure.",
            seconds(self.time_to_trip)
        )?;
        write!(
            f,
            "Time to recover: {} after the service was well again.",
            seconds(self.time_to_recover)
        )
    }
}

/// From here on an answer is no better than a failure.
const SLOW: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use breaker_tower::breaker_core::{Breaker, Outcome, Policy, Timestamp};

    use super::*;

    /// An account of a service that fails for a while, with 100 requests a second, up to `seconds`.
    fn account(failing: bool, seconds: u64) -> Account {
        let mut account = Account::default();
        let mut breaker = Breaker::new(Policy::sensitive(), 1, Timestamp::ZERO);
        for request in 0..seconds * 100 {
            let now = Timestamp::from_millis(request * 10);
            breaker.handle_timeout(now);
            if let Ok(permit) = breaker.try_acquire(now) {
                let latency = Duration::from_millis(1);
                let outcome = if failing && request < 200 {
                    Outcome::failure(latency)
                } else {
                    Outcome::success(latency)
                };
                breaker.record(permit, outcome, now);
            }
            while let Some(event) = breaker.poll_event() {
                account.event(&event);
            }
        }
        account
    }

    #[test]
    fn a_demo_is_good_if_the_breaker_opened_and_closed_again() {
        assert!(account(true, 30).opened_and_closed());
    }

    #[test]
    fn a_demo_whose_breaker_never_opened_or_is_not_closed_again_is_not() {
        assert!(!account(false, 30).opened_and_closed());
        assert!(!account(true, 5).opened_and_closed(), "it is open");
        assert!(!account(true, 15).opened_and_closed(), "it is in its ramp");
    }
}
