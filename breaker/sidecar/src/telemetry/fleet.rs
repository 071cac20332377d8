//! What a fleet is like, as seen from here.

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::names::{self, Metric};
use crate::fleet::{Numbers, Stats};

/// Registers the instruments that observe `stats`.
pub(super) fn register(meter: &Meter, stats: &Stats) {
    gauge(meter, names::FLEET_CONNECTED, stats, |numbers| {
        Some(numbers.connected.into())
    });
    gauge(meter, names::FLEET_MEMBERS, stats, |numbers| {
        numbers.members.map(|members| members as u64)
    });
    gauge(meter, names::FLEET_TERM, stats, |numbers| numbers.term);
    let (metric, of) = (names::FLEET_VERDICT_AGE, stats.clone());
    meter
        .f64_observable_gauge(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |gauge| {
            if let Some(age) = of.numbers().verdict_age() {
                gauge.observe(age.as_secs_f64(), &[]);
            }
        })
        .build();
    counter(meter, names::FLEET_REPORTS, stats, |numbers| {
        vec![(None, numbers.reports)]
    });
    counter(meter, names::FLEET_DROPPED, stats, |numbers| {
        let dropped = numbers.dropped();
        dropped.map(|(why, count)| (Some(why), count)).collect()
    });
    counter(meter, names::FLEET_IGNORED, stats, |numbers| {
        let ignored = numbers.ignored();
        ignored.map(|(why, count)| (Some(why), count)).collect()
    });
}

fn gauge(meter: &Meter, metric: Metric, stats: &Stats, of: fn(&Numbers) -> Option<u64>) {
    let stats = stats.clone();
    meter
        .u64_observable_gauge(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |gauge| {
            if let Some(value) = of(&stats.numbers()) {
                gauge.observe(value, &[]);
            }
        })
        .build();
}

/// Counts by reason, where there are reasons.
type LabelledCounts = Vec<(Option<&'static str>, u64)>;

fn counter(meter: &Meter, metric: Metric, stats: &Stats, of: fn(&Numbers) -> LabelledCounts) {
    let stats = stats.clone();
    meter
        .u64_observable_counter(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |counter| {
            for (why, count) in of(&stats.numbers()) {
                let reason = why.map(|why| KeyValue::new(names::FLEET_REASON, why));
                counter.observe(count, reason.as_slice());
            }
        })
        .build();
}
