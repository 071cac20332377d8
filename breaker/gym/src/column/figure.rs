//! The numbers by which a system is better than another.

use crate::summary::Summary;

/// A number of which less is better.
pub(super) struct Figure {
    of: fn(&Summary) -> f64,
    /// A difference that is not more than this, or than a twentieth, is none.
    noise: f64,
}

pub(super) const OPEN: Figure = Figure {
    of: |of| or_never(of.open),
    noise: 0.05,
};
pub(super) const DETECT: Figure = Figure {
    of: |of| or_never(of.detect),
    noise: 0.05,
};
pub(super) const CLOSED_AFTER: Figure = Figure {
    of: |of| or_never(of.closed_after),
    noise: 0.05,
};
pub(super) const BAD_BEFORE: Figure = Figure {
    of: |of| of.bad_before_open,
    noise: 1.0,
};
pub(super) const LOST: Figure = Figure {
    of: |of| of.lost_after,
    noise: 1.0,
};
pub(super) const GOODPUT: Figure = Figure {
    of: |of| -of.goodput,
    noise: 0.01,
};
pub(super) const FALSE_TRIPS: Figure = Figure {
    of: |of| of.false_trips,
    noise: 0.05,
};
pub(super) const FALSE_ALERTS: Figure = Figure {
    of: |of| of.false_alerts,
    noise: 0.05,
};
pub(super) const REJECTED_AFTER: Figure = Figure {
    of: |of| of.good_rejected_after,
    noise: 1.0,
};
pub(super) const REJECTED_SHARE: Figure = Figure {
    of: |of| of.good_rejected_share,
    noise: 0.001,
};

impl Figure {
    pub(super) fn is_less(&self, one: &Summary, other: &Summary) -> bool {
        let (one, other) = ((self.of)(one), (self.of)(other));
        let smaller = one.abs().min(other.abs());
        one + self.noise.max(smaller / 20.0) < other
    }
}

/// What never happens takes for ever.
fn or_never(time: Option<f64>) -> f64 {
    time.unwrap_or(f64::INFINITY)
}
