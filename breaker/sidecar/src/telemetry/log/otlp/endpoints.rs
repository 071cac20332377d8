//! What happens to the endpoints of upstreams as log records, with the numbers.

use breaker_tower::breaker_core::{EjectReason, EndpointEvent};
use opentelemetry::logs::{LogRecord, Severity};
use opentelemetry_sdk::logs::SdkLogRecord;

use super::{text, whole};
use crate::telemetry::names;
use crate::upstream::{Discovered, Happened, Occurrence};

/// Makes `record` tell what happened.
pub(super) fn describe(record: &mut SdkLogRecord, happened: &Happened) {
    let severity = match happened.is_bad() {
        true => Severity::Warn,
        false => Severity::Info,
    };
    let event = match &happened.what {
        Occurrence::Endpoints(event) => numbers(record, event),
        Occurrence::Discovered(discovered) => {
            found(record, discovered);
            names::EVENT_DISCOVERED
        }
    };
    super::describe(record, event, severity);
    record.set_body(text(&happened.to_string()));
    record.add_attribute(names::UPSTREAM, text(&happened.upstream));
    record.add_attribute(names::ENDPOINT_REASON, happened.label());
    if let Some(time) = happened.out_for() {
        record.add_attribute(names::ENDPOINT_OUT_FOR, time.as_secs_f64());
    }
    if let Some(endpoint) = &happened.endpoint {
        record.add_attribute(names::SERVER_ADDRESS, text(&endpoint.host()));
        if let Some(port) = endpoint.port() {
            record.add_attribute(names::SERVER_PORT, i64::from(port));
        }
    }
}

/// The numbers of an event, and its name.
fn numbers(record: &mut SdkLogRecord, event: &EndpointEvent) -> &'static str {
    match event {
        EndpointEvent::Ejected { reason, .. } => {
            justify(record, reason);
            names::EVENT_EJECTED
        }
        EndpointEvent::Readmitted { after, .. } => {
            record.add_attribute(names::ENDPOINT_OUT, after.as_secs_f64());
            names::EVENT_READMITTED
        }
        EndpointEvent::Panic {
            bad,
            most,
            endpoints,
            ..
        } => {
            record.add_attributes([
                (names::UPSTREAM_BAD, whole(*bad as u64)),
                (names::UPSTREAM_MOST_OUT, whole(*most as u64)),
                (names::UPSTREAM_USED, whole(*endpoints as u64)),
            ]);
            names::EVENT_UPSTREAM_PANIC
        }
        // Its end.
        _ => names::EVENT_UPSTREAM_PANIC,
    }
}

/// What the endpoint did beside what its peers do at most.
fn justify(record: &mut SdkLogRecord, reason: &EjectReason) {
    let (EjectReason::Worse(difference) | EjectReason::Unreachable(difference)) = reason else {
        return;
    };
    record.add_attribute(names::BREAKER_SIGNAL, difference.signal.name());
    record.add_attributes([
        (names::OBSERVED, difference.share.get()),
        (names::OBSERVED_LOW, difference.low.get()),
        (names::THRESHOLD, difference.normal.get()),
        (names::ANOMALY_EVIDENCE, difference.evidence),
        (names::ANOMALY_LINE, difference.line),
    ]);
    record.add_attribute(names::SAMPLES, whole(difference.observations));
}

fn found(record: &mut SdkLogRecord, discovered: &Discovered) {
    record.add_attributes([
        (names::UPSTREAM_FOUND, whole(discovered.found as u64)),
        (names::UPSTREAM_USED, whole(discovered.used as u64)),
        (names::UPSTREAM_ADDED, whole(discovered.added as u64)),
        (names::UPSTREAM_REMOVED, whole(discovered.removed as u64)),
    ]);
}
