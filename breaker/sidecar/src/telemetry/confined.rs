//! What the sandbox tells: which of its layers are in force.

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::names;
use crate::sandbox::Sandbox;

/// Registers the instrument that observes the layers of `sandbox`, which stay as they are.
pub(super) fn register(meter: &Meter, sandbox: &Sandbox) {
    let layers = sandbox.layers.clone();
    let metric = names::SANDBOX;
    meter
        .u64_observable_gauge(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |gauge| {
            for state in &layers {
                let layer = KeyValue::new(names::SANDBOX_LAYER, state.layer.name());
                gauge.observe(state.on.into(), &[layer]);
            }
        })
        .build();
}
