//! The numbers of breakers in the crate `metrics`.

use std::sync::Arc;

use metrics::{Label as Pair, counter, describe_counter, describe_gauge, gauge};

use super::{Breakers, Label, METRICS, NAME, Read};

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
            Read::Counter(_) => describe_counter!(metric.name, metric.description),
            Read::Gauge(_) => describe_gauge!(metric.name, metric.description),
        }
    }
    for breaker in breakers.breakers() {
        let snapshot = breaker.snapshot();
        let name = breaker.name();
        for metric in &METRICS {
            match metric.read {
                Read::Counter(read) => read(&snapshot, &mut |labels, value| {
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
