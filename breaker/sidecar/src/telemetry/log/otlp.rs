//! Events of breakers and endpoints as OTLP log records.

mod endpoints;

use std::fmt::Write;
use std::sync::Arc;

use breaker_tower::breaker_core::{
    Alert, Event, Evidence, Mode, Reason, State, TraceId, Transition,
};
use opentelemetry::logs::{AnyValue, LogRecord, Logger as _, LoggerProvider, Severity};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{SdkLogRecord, SdkLogger, SdkLoggerProvider};

use super::{Change, justification};
use crate::sockets::Peer;
use crate::telemetry::names;
use crate::telemetry::queue::{LogQueue, Queue};
use crate::upstream::Happened;

/// Makes log records of events.
#[derive(Debug)]
pub(crate) struct Logger {
    inner: SdkLogger,
    /// Holds the processors of `inner`: dropped, it would shut them down.
    _provider: SdkLoggerProvider,
}

impl Logger {
    /// A logger whose records go into `queue`.
    pub(crate) fn new(resource: Resource, queue: Arc<Queue<SdkLogRecord>>) -> Self {
        let provider = SdkLoggerProvider::builder()
            .with_resource(resource)
            .with_log_processor(LogQueue(queue))
            .build();
        Self {
            inner: provider.logger_with_scope(names::scope()),
            _provider: provider,
        }
    }

    /// Tells what the breaker `name` did, with the traces of requests that it did it for.
    pub(crate) fn event(&self, name: &Arc<str>, event: &Event) {
        let mut record = self.inner.create_log_record();
        let traces: &[TraceId] = match event {
            Event::Transition(change) => {
                transition(&mut record, change);
                &change.traces
            }
            Event::Alert(what) => {
                alert(&mut record, what);
                &what.traces
            }
            Event::AlertEnded {
                source,
                signal,
                lasted,
                alerts,
                ..
            } => {
                describe(&mut record, names::EVENT_ALERT_ENDED, Severity::Info);
                record.set_body(text(&format!("the alert on {signal} is over")));
                record.add_attribute(names::BREAKER_SOURCE, text(source));
                record.add_attribute(names::BREAKER_SIGNAL, *signal);
                record.add_attribute(names::ALERT_DURATION, lasted.as_secs_f64());
                record.add_attribute(names::ALERT_COUNT, whole(*alerts));
                &[]
            }
            Event::ClosedWithErrors { share, usual, .. } => {
                describe(&mut record, names::EVENT_CLOSED_WITH_ERRORS, Severity::Warn);
                let body = format!("closed though {share} of the requests fail, {usual} is usual");
                record.set_body(text(&body));
                &[]
            }
            Event::UsualChanged { source, change, .. } => {
                describe(&mut record, names::EVENT_USUAL_CHANGED, Severity::Warn);
                record.set_body(text(&change.to_string()));
                record.add_attribute(names::BREAKER_SOURCE, text(source));
                record.add_attribute(names::BREAKER_SIGNAL, change.signal.name());
                &[]
            }
            Event::SheddingStarted { reason, limit, .. } => {
                shedding_started(&mut record, reason, *limit);
                &[]
            }
            Event::SheddingEnded {
                admitted, rejected, ..
            } => {
                shedding_ended(&mut record, *admitted, *rejected);
                &[]
            }
            Event::ModeChanged { from, to, .. } => {
                mode_changed(&mut record, *from, *to);
                &[]
            }
            Event::Reset { from, .. } => {
                reset(&mut record, *from);
                &[]
            }
            _ => return,
        };
        record.set_timestamp(opentelemetry::time::now());
        record.add_attribute(names::BREAKER_NAME, text(name));
        if !traces.is_empty() {
            let ids: Vec<AnyValue> = traces.iter().map(|id| text(&id.to_string())).collect();
            record.add_attribute(names::TRACES, AnyValue::ListAny(Box::new(ids)));
        }
        self.inner.emit(record);
    }

    /// Tells what happened to the endpoints of an upstream.
    pub(crate) fn happened(&self, happened: &Happened) {
        let mut record = self.inner.create_log_record();
        endpoints::describe(&mut record, happened);
        record.set_timestamp(opentelemetry::time::now());
        self.inner.emit(record);
    }

    /// Tells what an operator changed, from which address.
    pub(crate) fn changed(&self, peer: Option<Peer>, change: &Change<'_>) {
        let mut record = self.inner.create_log_record();
        describe(&mut record, names::EVENT_CONTROL, Severity::Info);
        record.set_timestamp(opentelemetry::time::now());
        record.set_body(text(&change.to_string()));
        record.add_attribute(names::CONTROL_ACTION, change.action);
        record.add_attribute(names::CONTROL_BEFORE, text(change.before));
        record.add_attribute(names::CONTROL_AFTER, text(change.after));
        if let Some(reason) = change.reason {
            record.add_attribute(names::CONTROL_REASON, text(reason));
        }
        if let Some(breaker) = change.breaker {
            record.add_attribute(names::BREAKER_NAME, text(breaker));
        }
        if let Some(upstream) = change.upstream {
            record.add_attribute(names::UPSTREAM, text(upstream));
        }
        if let Some(ip) = peer.and_then(Peer::ip) {
            record.add_attribute(names::CLIENT_ADDRESS, text(&ip.to_string()));
        }
        self.inner.emit(record);
    }
}

fn transition(record: &mut SdkLogRecord, change: &Transition) {
    let severity = match change.to {
        State::Open => Severity::Warn,
        _ => Severity::Info,
    };
    describe(record, names::EVENT_TRANSITION, severity);
    record.set_body(text(&change.reason.to_string()));
    record.add_attributes([
        (names::TRANSITION_FROM, change.from.name()),
        (names::TRANSITION_TO, change.to.name()),
        (names::TRANSITION_REASON, change.reason.label()),
    ]);
    if let Some(time) = change.open_for {
        record.add_attribute(names::OPEN_FOR, time.as_secs_f64());
    }
    let (source, evidence) = justification(&change.reason);
    if let (Some(source), Some(evidence)) = (source, evidence) {
        justify(record, source, evidence);
    }
}

fn alert(record: &mut SdkLogRecord, alert: &Alert) {
    describe(record, names::EVENT_ALERT, Severity::Warn);
    let mut message = String::new();
    for (index, evidence) in alert.evidence.iter().enumerate() {
        let and = if index == 0 { "" } else { " and " };
        // Writing to a string does not fail.
        let _ = write!(message, "{and}{evidence}");
    }
    record.set_body(message.into());
    if let Some(evidence) = alert.evidence.first() {
        record.add_attribute(names::ALERT_REASON, evidence.condition.name());
        record.add_attribute(names::BREAKER_SIGNAL, alert.signal());
        justify(record, &alert.source, evidence);
    }
}

fn shedding_started(record: &mut SdkLogRecord, reason: &Reason, limit: u64) {
    describe(record, names::EVENT_SHEDDING_STARTED, Severity::Warn);
    record.set_body(text(&reason.to_string()));
    record.add_attribute(names::LIMIT, whole(limit));
    if let (Some(source), Some(evidence)) = justification(reason) {
        justify(record, source, evidence);
    }
}

fn shedding_ended(record: &mut SdkLogRecord, admitted: u64, rejected: u64) {
    describe(record, names::EVENT_SHEDDING_ENDED, Severity::Info);
    let all = admitted.saturating_add(rejected);
    record.set_body(text(&format!("{rejected} of {all} requests were rejected")));
    record.add_attributes([
        (names::SHED_ADMITTED, whole(admitted)),
        (names::SHED_REJECTED, whole(rejected)),
    ]);
}

fn mode_changed(record: &mut SdkLogRecord, from: Mode, to: Mode) {
    describe(record, names::EVENT_MODE_CHANGED, Severity::Info);
    record.set_body(text(&format!("mode changed from {from} to {to}")));
    record.add_attributes([(names::MODE_FROM, from.name()), (names::MODE_TO, to.name())]);
}

fn reset(record: &mut SdkLogRecord, from: State) {
    describe(record, names::EVENT_RESET, Severity::Info);
    record.set_body(text(&format!("reset while {from}")));
    record.add_attribute(names::TRANSITION_FROM, from.name());
}

fn describe(record: &mut SdkLogRecord, event: &'static str, severity: Severity) {
    record.set_event_name(event);
    record.set_severity_text(severity.name());
    record.set_severity_number(severity);
}

/// The numbers of the first condition; the body has them all.
fn justify(record: &mut SdkLogRecord, source: &str, evidence: &Evidence) {
    record.add_attribute(names::BREAKER_SOURCE, text(source));
    record.add_attributes([
        (names::OBSERVED, evidence.observed),
        (names::THRESHOLD, evidence.threshold),
        (names::WINDOW, evidence.window.as_secs_f64()),
    ]);
    record.add_attribute(names::SAMPLES, whole(evidence.samples));
    if let Some(anomaly) = &evidence.anomaly {
        record.add_attributes([
            (names::OBSERVED_LOW, anomaly.low.get()),
            (names::OBSERVED_HIGH, anomaly.high.get()),
            (names::ANOMALY_EVIDENCE, anomaly.evidence),
            (names::ANOMALY_LINE, anomaly.line),
        ]);
    }
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn text(value: &str) -> AnyValue {
    value.to_owned().into()
}
