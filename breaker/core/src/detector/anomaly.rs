//! What detectors say.

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
    /// The lower bound of that share, valid at any time and for any point of change (a confidence
    /// sequence).
    pub low: Ratio,
    /// The upper bound of that share (Wilson, 95 %).
    pub high: Ratio,
    /// The upper bound of the normal share, as it was learned.
    pub normal: Ratio,
    /// How many observations there were since the change.
    pub observations: u64,
    /// When the share seems to have changed.
    pub since: Timestamp,
    /// The evidence of an anomaly in nats, of the scale that is nearest to its alarm threshold.
    pub evidence: f64,
    /// The alarm threshold of the evidence.
    pub line: f64,
    /// Whether there is an alarm. It lasts until the evidence has fallen to half of the threshold.
    pub alarming: bool,
    /// The usual share, as it was learned.
    pub usual: Ratio,
    /// Whether only the scale of minutes detects it. Then it is reported, whatever the action, and
    /// never acted on.
    pub slow: bool,
    /// For a P95 that has crept up on the first day: its old and new value. The shares then are
    /// those of requests that take at least twice the old value.
    pub crept: Option<Creep>,
}

/// A P95 that has risen slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "all that there is to say of it")]
pub struct Creep {
    /// The old value.
    pub from: Duration,
    /// The value now.
    pub to: Duration,
}

impl Anomaly {
    /// The evidence as a share of its alarm threshold; 1 or more is an alarm.
    pub fn score(&self) -> f64 {
        self.evidence / self.line
    }
}

/// A new baseline: a different share of hits has been usual for hours, and is accepted.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "all that there is to say of it")]
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

/// What the rise of a P95 on the first day says.
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
