//! How far a breaker is from opening: how many failures in a row it would take.

use std::sync::Arc;
use std::time::Duration;

use super::{Breaker, State};
use crate::feed::Sample;
use crate::outcome::{Classification, Outcome};
use crate::policy::Policy;
use crate::source::{SourceId, find};
use crate::time::Timestamp;

/// How far a breaker is from opening.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Diagnosis {
    /// The sources, in the order of [`Snapshot::sources`](crate::Snapshot::sources).
    pub sources: Vec<SourceDiagnosis>,
}

/// How far one source is from opening its breaker.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SourceDiagnosis {
    /// The source.
    pub name: Arc<str>,
    /// The source's own policy, if it has one instead of the breaker's.
    pub policy: Option<Arc<Policy>>,
    /// Requests that ended, per second, over the window. The assumed failures come at the same
    /// rate.
    pub rate: f64,
    /// How many failures in a row would open a closed breaker now. `None` if 1,000 would not, or if
    /// it is not closed.
    pub failures_to_open: Option<u64>,
}

impl Breaker {
    /// How far the breaker is from opening. This replays failures on a copy of the breaker. It
    /// takes some tens of microseconds, or milliseconds if many failures are needed.
    pub fn diagnosis(&self, now: Timestamp) -> Diagnosis {
        let mut looked_at = self.clone();
        let now = looked_at.advance(now);
        // By id: a source keeps it when others before it are gone.
        let ids: Vec<_> = looked_at.sources.iter().map(|source| source.id).collect();
        let sources = ids.into_iter();
        Diagnosis {
            sources: sources.filter_map(|id| looked_at.look(id, now)).collect(),
        }
    }

    fn look(&mut self, id: SourceId, now: Timestamp) -> Option<SourceDiagnosis> {
        let source = find(&mut self.sources, id)?;
        let own = source.policy.clone();
        let policy = own.as_ref().unwrap_or(&self.policy);
        let ended = source.window.counts(now).judged() as f64;
        let rate = ended / source.observed_for(policy, now).as_secs_f64();
        let name = source.name.clone();
        Some(SourceDiagnosis {
            name,
            policy: own,
            rate,
            failures_to_open: self.failures_to_open(id, rate, now),
        })
    }

    fn failures_to_open(&self, id: SourceId, rate: f64, now: Timestamp) -> Option<u64> {
        if self.state() != State::Closed {
            return None;
        }
        let mut copy = self.clone();
        // What is under way ends in one way or the other: the failures alone are to speak.
        copy.in_flight.clear();
        copy.waiting = 0;
        copy.next_ageing = None;
        let rate = if rate > 0.0 { rate } else { UNKNOWN_RATE };
        let gap = Duration::from_secs_f64(1.0 / rate);
        let mut now = now;
        (1..=MOST_FAILURES).find(|_| {
            now = now + gap;
            copy.fail(id, now);
            copy.state() != State::Closed
        })
    }

    /// A request of a source fails.
    fn fail(&mut self, id: SourceId, now: Timestamp) {
        if id != SourceId::PROXY {
            let sample = Sample::new(Classification::Failure, None, now);
            self.observe(id, &sample, now);
        } else if let Ok(permit) = self.try_acquire(now) {
            self.record(permit, Outcome::failure(FAST), now);
        }
    }
}

/// A failure that takes no time says nothing of latencies.
const FAST: Duration = Duration::ZERO;
const MOST_FAILURES: u64 = 1000;
/// Requests a second where none ended of late.
const UNKNOWN_RATE: f64 = 1.0;
