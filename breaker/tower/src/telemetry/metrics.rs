//! The numbers of breakers in the crate `metrics`.

use std::sync::Arc;

use metrics::{
    Label as Pair, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
};

use super::{Breakers, Label, METRICS, NAME, OPEN_TIME, Read};
use crate::shared::OPEN_DURATION;

/// Hands what `breakers` know to the current recorder: call it every few seconds, or before each
/// scrape. Dots of names become what the exporter makes of them, mostly `_`.
///
/// ```
/// use breaker_tower::{BreakerHandle, Policy, telemetry};
///
/// let breaker = BreakerHandle::new("pay", Policy::sensitive());
/// telemetry::record(&breaker);
/// ```
pub fn record(breakers: &(impl Breakers + ?Sized)) {
    for metric in &METRICS {
        match metric.read {
            Read::Counter(_) | Read::Tally(_) => describe_counter!(metric.name, metric.description),
            Read::Gauge(_) => describe_gauge!(metric.name, metric.description),
        }
    }
    describe_histogram!(OPEN_DURATION, Unit::Seconds, OPEN_TIME);
    for breaker in breakers.breakers() {
        let (snapshot, tally) = (breaker.snapshot(), breaker.tally());
        let name = breaker.name();
        for metric in &METRICS {
            match metric.read {
                Read::Counter(read) => read(&snapshot, &mut |labels, value| {
                    counter!(metric.name, pairs(name, labels)).absolute(value);
                }),
                Read::Tally(read) => read(&tally, &mut |labels, value| {
                    counter!(metric.name, pairs(name, labels)).absolute(value);
                }),
                Read::Gauge(read) => read(&snapshot, &mut |labels, value| {
                    gauge!(metric.name, pairs(name, labels)).set(value);
                }),
            }
        }
    }
}

fn pairs(name: &Arc<str>, labels: &[Label]) -> Vec<Pair> {
    let own = Pair::new(NAME, name.clone());
    let labels = labels.iter();
    let labels = labels.map(|(key, value)| Pair::new(*key, value.clone()));
    [own].into_iter().chain(labels).collect()
}
