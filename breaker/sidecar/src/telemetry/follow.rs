//! The Breaker that is followed, as seen from here.

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::names::{self, Metric};
use crate::fleet::{FollowNumbers, FollowStats};

/// Registers the instruments that observe `stats`.
pub(super) fn register(meter: &Meter, stats: &FollowStats) {
    gauge(meter, names::FOLLOW_CONNECTED, stats, |numbers| {
        numbers.connected.into()
    });
    gauge(meter, names::FOLLOW_UNKNOWN, stats, |numbers| {
        numbers.unknown as u64
    });
    gauge(meter, names::FOLLOW_MISSING, stats, |numbers| {
        numbers.missing.len() as u64
    });
    let (metric, of) = (names::FOLLOW_AGE, stats.clone());
    meter
        .f64_observable_gauge(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |gauge| {
            if let Some(age) = of.numbers().age() {
                gauge.observe(age.as_secs_f64(), &[]);
            }
        })
        .build();
    let (metric, of) = (names::FOLLOW_IGNORED, stats.clone());
    meter
        .u64_observable_counter(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |counter| {
            for (why, count) in of.numbers().ignored() {
                counter.observe(count, &[KeyValue::new(names::FOLLOW_REASON, why)]);
            }
        })
        .build();
}

fn gauge(meter: &Meter, metric: Metric, stats: &FollowStats, of: fn(&FollowNumbers) -> u64) {
    let stats = stats.clone();
    meter
        .u64_observable_gauge(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |gauge| gauge.observe(of(&stats.numbers()), &[]))
        .build();
}
