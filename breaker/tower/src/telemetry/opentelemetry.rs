//! The numbers of breakers as observable instruments of OpenTelemetry.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Histogram, Meter};

use super::{Breakers, Label, METRICS, Metric, NAME, OPEN_TIME, Read};
use crate::handle::BreakerHandle;
use crate::shared::OPEN_DURATION;

/// Registers instruments that observe `breakers`, and those that come to a set later. Register each
/// breaker once per meter: `breaker.open.duration` counts a time for each registration.
///
/// ```
/// use breaker_tower::{BreakerSet, Policy, telemetry};
///
/// let hosts = BreakerSet::<String>::new(Policy::sensitive(), 1000);
/// telemetry::register(&opentelemetry::global::meter("breaker"), hosts.clone());
/// ```
pub fn register(meter: &Meter, breakers: impl Breakers + Send + Sync + 'static) {
    let breakers: Arc<dyn Breakers + Send + Sync> = Arc::new(breakers);
    let open = Arc::new(OpenDurations::new(meter));
    for metric in &METRICS {
        let breakers = breakers.clone();
        match metric.read {
            Read::Counter(read) => count(meter, metric, move |counter| {
                for breaker in breakers.breakers() {
                    read(&breaker.snapshot(), &mut |labels, value| {
                        counter.observe(value, &pairs(breaker.name(), labels));
                    });
                }
            }),
            Read::Tally(read) => {
                let open = open.clone();
                count(meter, metric, move |counter| {
                    let breakers = breakers.breakers();
                    open.tell(&breakers);
                    for breaker in breakers {
                        read(&breaker.tally(), &mut |labels, value| {
                            counter.observe(value, &pairs(breaker.name(), labels));
                        });
                    }
                });
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

fn count(
    meter: &Meter,
    metric: &Metric,
    observe: impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static,
) {
    let counter = meter.u64_observable_counter(metric.name);
    let counter = counter
        .with_unit(metric.unit)
        .with_description(metric.description);
    counter.with_callback(observe).build();
}

/// How long breakers were open, told when counters are observed: a histogram itself can't be.
struct OpenDurations {
    histogram: Histogram<f64>,
    /// How many of each breaker were told, by its id.
    told: Mutex<BTreeMap<u64, u64>>,
}

impl OpenDurations {
    fn new(meter: &Meter) -> Self {
        let histogram = meter.f64_histogram(OPEN_DURATION);
        Self {
            histogram: histogram.with_unit("s").with_description(OPEN_TIME).build(),
            told: Mutex::default(),
        }
    }

    fn tell(&self, breakers: &[BreakerHandle]) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *told);
        for breaker in breakers {
            let open = breaker.tally().open;
            // It may be there twice.
            let known = told.get(&breaker.id()).or(before.get(&breaker.id()));
            let known = known.copied().unwrap_or(0);
            let new = usize::try_from(open.count - known).unwrap_or(usize::MAX);
            let labels = pairs(breaker.name(), &[]);
            for lasted in open.latest.iter().rev().take(new) {
                self.histogram.record(lasted.as_secs_f64(), &labels);
            }
            told.insert(breaker.id(), open.count);
        }
    }
}

fn pairs(name: &Arc<str>, labels: &[Label]) -> Vec<KeyValue> {
    let own = KeyValue::new(NAME, name.clone());
    let labels = labels.iter();
    let labels = labels.map(|(key, value)| KeyValue::new(*key, value.clone()));
    [own].into_iter().chain(labels).collect()
}
