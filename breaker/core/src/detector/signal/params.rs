//! The time scales of each kind of signal, and the bounds of its normal share.

use std::time::Duration;

use crate::detector::baseline::Bounds;
use crate::detector::sequential_test::DetectorParams;

const fn rule(millis: u64, alternative: f64, slices: f64, at_least: f64) -> DetectorParams {
    DetectorParams {
        slice: Duration::from_millis(millis),
        alternative,
        times: 2.0,
        slices,
        at_least,
    }
}

/// If nearly all requests fail, the finest scale detects this within tenths of a second. Its
/// `at_least` makes sure that the failure is near-total.
pub(super) static ERRORS: [DetectorParams; 4] = [
    rule(100, 0.9, 3.0, 0.7),
    rule(1500, 0.5, 3.0, 0.0),
    rule(2000, 0.2, 3.0, 0.0),
    rule(2500, 0.06, 3.0, 0.0),
];
/// Latencies take longer to show, and pauses of a second are common. So an alarm takes at least
/// four slices.
pub(super) static LATENCY: [DetectorParams; 3] = [
    rule(1000, 0.9, 4.0, 0.0),
    rule(2000, 0.5, 4.0, 0.0),
    rule(5000, 0.2, 4.0, 0.0),
];

pub(super) const PROXY_ERRORS: Bounds = Bounds {
    floor: 0.01,
    cap: 0.02,
};
pub(super) const FEED_ERRORS: Bounds = Bounds {
    floor: 0.01,
    cap: 0.05,
};
pub(super) const SLOW: Bounds = Bounds {
    floor: 0.02,
    cap: 0.05,
};
pub(super) const HARD: Bounds = Bounds {
    floor: 0.01,
    cap: 0.02,
};
