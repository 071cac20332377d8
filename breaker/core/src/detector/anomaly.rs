//! What detectors say.

use std::time::Duration;

use super::threshold::Rise;
use super::trend::NORMAL;
use crate::policy::Stream;
use crate::ratio::Ratio;
use crate::time::Timestamp;

/// What a detector says of its stream.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Anomaly {
    /// What it watches.
    pub stream: Stream,
    /// The estimated share of hits since the change.
    pub share: Ratio,
    /// The lower bound of that share, at whatever time it is asked and wherever the change is put
    /// (a confidence sequence).
    pub low: Ratio,
    /// The upper bound of that share (Wilson, 95 %).
    pub high: Ratio,
    /// The share that is normal at most, as it was learned.
    pub normal: Ratio,
    /// How many observations there were since the change.
    pub observations: u64,
    /// When the share seems to have changed.
    pub since: Timestamp,
    /// The evidence of an anomaly in nats, of the scale that has most against its line.
    pub evidence: f64,
    /// The evidence at which there is an alarm.
    pub line: f64,
    /// Whether there is one. It lasts until the evidence has fallen to half of the line.
    pub alarming: bool,
    /// The share that is usual, as it was learned.
    pub usual: Ratio,
    /// Whether only the scale of minutes sees it: that is told, whatever the action, and never
    /// acted on.
    pub slow: bool,
    /// Of a P95 that has crept up on the first day: from what to what. The shares are then of
    /// requests that take twice as long as the first.
    pub crept: Option<Creep>,
}

/// A P95 that has risen slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "all that there is to say of it")]
pub struct Creep {
    /// What it was.
    pub from: Duration,
    /// What it is now.
    pub to: Duration,
}

impl Anomaly {
    /// The evidence as a share of its alarm line: from 1 on there is an alarm.
    pub fn score(&self) -> f64 {
        self.evidence / self.line
    }
}

/// For hours another share of hits than before has been usual, and from now on it is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "all that there is to say of it")]
pub struct UsualChange {
    /// Of which stream.
    pub stream: Stream,
    /// The share that was usual; `None` if that was not known.
    pub before: Option<Ratio>,
    /// The share that is usual now.
    pub now: Ratio,
}

/// What the rise of a P95 on the first day says.
pub(super) fn of_rise(rise: &Rise<'_>) -> Anomaly {
    let estimate = rise.scale.estimate();
    let share = |value| Ratio::new(value).unwrap_or(Ratio::ONE);
    Anomaly {
        stream: Stream::Latency,
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
