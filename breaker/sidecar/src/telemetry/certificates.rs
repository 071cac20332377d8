//! What certificates tell: how often they were reloaded, and until when they are valid.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::names;
use crate::tls::Handshake;

/// How certificates fare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by the composition root")]
pub struct Certificates {
    /// How often some were put in force.
    pub applied: u64,
    /// How often some could not be used.
    pub refused: u64,
    /// Until when they are valid.
    pub expiries: Vec<Expiry>,
}

/// Until when a certificate of ours is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by the composition root")]
pub struct Expiry {
    /// What it is for.
    pub used: &'static str,
    /// The upstream that it is shown to.
    pub upstream: Option<String>,
    /// In seconds since 1970.
    pub until: i64,
}

/// Registers the instrument that observes how handshakes of clients ended.
pub(super) fn register_handshakes(meter: &Meter) {
    let metric = names::TLS_HANDSHAKES;
    meter
        .u64_observable_counter(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(|counter| {
            for handshake in Handshake::ALL {
                let attributes = [KeyValue::new(names::TLS_RESULT, handshake.word())];
                counter.observe(handshake.count(), &attributes);
            }
        })
        .build();
}

/// Registers the instruments that observe what `certificates` says.
pub(super) fn register(
    meter: &Meter,
    certificates: impl Fn() -> Certificates + Send + Sync + 'static,
) {
    let certificates = Arc::new(certificates);
    let (counted, dated) = (certificates.clone(), certificates);
    let metric = names::TLS_RELOADS;
    meter
        .u64_observable_counter(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |counter| {
            let certificates = counted();
            for (result, count) in [
                ("applied", certificates.applied),
                ("refused", certificates.refused),
            ] {
                counter.observe(count, &[KeyValue::new(names::TLS_RESULT, result)]);
            }
        })
        .build();
    let metric = names::TLS_EXPIRY;
    meter
        .i64_observable_gauge(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |gauge| {
            for expiry in dated().expiries {
                let mut attributes = vec![KeyValue::new(names::TLS_USE, expiry.used)];
                let upstream = expiry.upstream;
                attributes.extend(upstream.map(|name| KeyValue::new(names::UPSTREAM, name)));
                gauge.observe(expiry.until, &attributes);
            }
        })
        .build();
}
