//! Events of breakers as structured log lines; in `otlp` as log records for a collector.

pub(crate) mod otlp;

use std::sync::Arc;

use breaker_tower::core::{Alert, Event, Evidence, Reason, Transition};

/// Logs what the breaker of `route` did: transitions and changes of mode at info, alerts and shedding at warn.
pub(crate) fn event(route: &str, event: &Event) {
    match event {
        Event::Transition(change) => transition(route, change),
        Event::RampStarted { succeeded, .. } => {
            tracing::info!(route, probes = succeeded, "probes succeeded, ramp started");
        }
        Event::Alert(what) => alert(route, what),
        Event::SheddingStarted { reason, limit, .. } => {
            let (source, evidence) = justification(reason);
            tracing::warn!(
                route,
                limit,
                reason = reason.label(),
                observed = evidence.map(|evidence| evidence.observed),
                threshold = evidence.map(|evidence| evidence.threshold),
                samples = evidence.map(|evidence| evidence.samples),
                window_s = evidence.map(|evidence| evidence.window.as_secs_f64()),
                source = source.map(|source| &**source),
                "shedding: {reason}",
            );
        }
        Event::SheddingEnded {
            lasted,
            admitted,
            rejected,
            ..
        } => {
            let lasted_s = lasted.as_secs_f64();
            tracing::info!(route, lasted_s, admitted, rejected, "shedding ended");
        }
        Event::ModeChanged { from, to, .. } => {
            tracing::info!(route, from = from.name(), to = to.name(), "mode changed");
        }
        _ => {}
    }
}

fn transition(route: &str, change: &Transition) {
    let (source, evidence) = justification(&change.reason);
    tracing::info!(
        route,
        from = change.from.name(),
        to = change.to.name(),
        reason = change.reason.label(),
        observed = evidence.map(|evidence| evidence.observed),
        threshold = evidence.map(|evidence| evidence.threshold),
        samples = evidence.map(|evidence| evidence.samples),
        window_s = evidence.map(|evidence| evidence.window.as_secs_f64()),
        source = source.map(|source| &**source),
        open_for_s = change.open_for.map(|time| time.as_secs_f64()),
        "{}",
        change.reason,
    );
}

fn alert(route: &str, alert: &Alert) {
    let Some(evidence) = alert.evidence.first() else {
        return;
    };
    tracing::warn!(
        route,
        reason = evidence.condition.name(),
        observed = evidence.observed,
        threshold = evidence.threshold,
        samples = evidence.samples,
        window_s = evidence.window.as_secs_f64(),
        source = &*alert.source,
        "alert: {evidence}",
    );
}

/// The source and the first of the conditions; the message has them all.
fn justification(reason: &Reason) -> (Option<&Arc<str>>, Option<&Evidence>) {
    match reason {
        Reason::Tripped { source, evidence } => (Some(source), evidence.first()),
        _ => (None, None),
    }
}

#[cfg(test)]
mod tests;
