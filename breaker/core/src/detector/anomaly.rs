//! The results of detectors.

use std::fmt;
use std::time::Duration;

use super::threshold::Rise;
use super::trend::NORMAL;
use crate::policy::Signal;
use crate::ratio::Ratio;
use crate::time::Timestamp;

/// The result of a detector for its signal.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Anomaly {
    /// The signal.
    pub signal: Signal,
    /// The estimated share of hits since the change.
    pub share: Ratio,
    /// The lower bound of that share. It is valid at any time and for any start of the change (a
    /// confidence sequence).
    pub low: Ratio,
    /// The upper bound of that share (Wilson, 95 %).
    pub high: Ratio,
    /// The upper bound of the learned normal share.
    pub normal: Ratio,
    /// The number of observations since the change.
    pub observations: u64,
    /// The estimated time of the change.
    pub since: Timestamp,
    /// The evidence of an anomaly in nats. It is that of the scale that is nearest to its alarm
    /// threshold.
    pub evidence: f64,
    /// The alarm threshold of the evidence.
    pub line: f64,
    /// Whether there is an alarm. An alarm lasts until the evidence has fallen to half of the
    /// threshold.
    pub alarming: bool,
    /// The learned usual share.
    pub usual: Ratio,
    /// Whether only a slow detector has an alarm: the slow scale, or the test for a rise on the
    /// first day. Such an alarm is reported, whatever the action, and never acted on.
    pub slow: bool,
    /// The old and the new P95, if the P95 has risen slowly on the first day. The shares above are
    /// then those of requests that take at least twice the old value.
    pub crept: Option<Creep>,
}

/// A P95 that has risen slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Creep {
    /// The old value.
    pub from: Duration,
    /// The present value.
    pub to: Duration,
}

impl Anomaly {
    /// The evidence as a share of its alarm threshold; 1 or more is an alarm.
    pub fn score(&self) -> f64 {
        self.evidence / self.line
    }
}

/// A new baseline was accepted, because a different share of hits has been usual for hours.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct UsualChange {
    /// The signal.
    pub signal: Signal,
    /// The old share; `None` if it was not known.
    pub before: Option<Ratio>,
    /// The new share.
    pub now: Ratio,
}

impl fmt::Display for UsualChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hits = self.signal.hits();
        match self.before {
            Some(before) => write!(
                f,
                "what is usual has changed from {before} to {}: so many {hits}",
                self.now
            ),
            None => write!(f, "{} {hits}, as it seems usually", self.now),
        }
    }
}

/// The result for a P95 that has risen slowly on the first day.
pub(super) fn of_rise(rise: &Rise<'_>) -> Anomaly {
    let estimate = rise.scale.estimate();
    let share = |value| Ratio::new(value).unwrap_or(Ratio::ONE);
    Anomaly {
        signal: Signal::Latency,
        share: share(estimate.hits / estimate.observations.max(1e-9)),
        low: share(rise.scale.low()),
        high: share(estimate.high),
        normal: share(NORMAL),
        observations: estimate.observations.round() as u64,
        since: estimate.since,
        evidence: rise.scale.evidence(),
        line: rise.scale.line(),
        alarming: true,
        usual: share(NORMAL),
        slow: true,
        crept: Some(Creep {
            from: rise.from,
            to: rise.to,
        }),
    }
}
