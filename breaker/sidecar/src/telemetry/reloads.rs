//! What reloads of the configuration tell.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::names;

/// How reloads have ended so far.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "made by the composition root")]
pub struct Reloads {
    /// How many were applied.
    pub applied: u64,
    /// How many found nothing new.
    pub unchanged: u64,
    /// How many were refused.
    pub refused: u64,
    /// Whether the last one was not refused; true before the first.
    pub succeeded: bool,
    /// When the configuration that runs was loaded, in seconds since 1970.
    pub loaded: f64,
}

/// Registers the instruments that observe what `reloads` says.
pub(super) fn register(meter: &Meter, reloads: impl Fn() -> Reloads + Send + Sync + 'static) {
    let reloads = Arc::new(reloads);
    let (counted, judged, timed) = (reloads.clone(), reloads.clone(), reloads);
    let metric = names::RELOADS;
    meter
        .u64_observable_counter(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |counter| {
            let reloads = counted();
            for (result, count) in [
                ("applied", reloads.applied),
                ("unchanged", reloads.unchanged),
                ("refused", reloads.refused),
            ] {
                counter.observe(count, &[KeyValue::new(names::RELOAD_RESULT, result)]);
            }
        })
        .build();
    let metric = names::RELOAD_SUCCESS;
    meter
        .u64_observable_gauge(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |gauge| gauge.observe(judged().succeeded.into(), &[]))
        .build();
    let metric = names::RELOAD_TIME;
    meter
        .f64_observable_gauge(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |gauge| gauge.observe(timed().loaded, &[]))
        .build();
}
