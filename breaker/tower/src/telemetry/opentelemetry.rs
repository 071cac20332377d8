//! The numbers of breakers as observable instruments of OpenTelemetry.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::{Breakers, Label, METRICS, NAME, Read};

/// Registers instruments that observe `breakers`, and those that come to a set later.
///
/// ```
/// use breaker_tower::{BreakerSet, Policy, telemetry};
///
/// let hosts = BreakerSet::<String>::new(Policy::sensitive(), 1000);
/// telemetry::register(&opentelemetry::global::meter("breaker"), hosts.clone());
/// ```
pub fn register(meter: &Meter, breakers: impl Breakers + Send + Sync + 'static) {
    let breakers: Arc<dyn Breakers + Send + Sync> = Arc::new(breakers);
    for metric in &METRICS {
        let breakers = breakers.clone();
        match metric.read {
            Read::Counter(read) => {
                let counter = meter.u64_observable_counter(metric.name);
                let counter = counter
                    .with_unit(metric.unit)
                    .with_description(metric.description);
                let observed = counter.with_callback(move |counter| {
                    for breaker in breakers.breakers() {
                        read(&breaker.snapshot(), &mut |labels, value| {
                            counter.observe(value, &pairs(breaker.name(), labels));
                        });
                    }
                });
                observed.build();
            }
            Read::Gauge(read) => {
                let gauge = meter.f64_observable_gauge(metric.name);
                let gauge = gauge
                    .with_unit(metric.unit)
                    .with_description(metric.description);
                let observed = gauge.with_callback(move |gauge| {
                    for breaker in breakers.breakers() {
                        read(&breaker.snapshot(), &mut |labels, value| {
                            gauge.observe(value, &pairs(breaker.name(), labels));
                        });
                    }
                });
                observed.build();
            }
        }
    }
}

fn pairs(name: &Arc<str>, labels: &[Label]) -> Vec<KeyValue> {
    let own = KeyValue::new(NAME, name.clone());
    let labels = labels.iter();
    let labels = labels.map(|(key, value)| KeyValue::new(*key, value.clone()));
    [own].into_iter().chain(labels).collect()
}
