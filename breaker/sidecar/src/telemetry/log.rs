//! Events of breakers as structured log lines; in `otlp` as log records for a collector.

pub(crate) mod otlp;

use std::fmt;
use std::sync::Arc;

use breaker_tower::breaker_core::{Alert, Event, Evidence, Ratio, Reason, State, Transition};

/// What an operator changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    /// `set_mode`, `set_panic`, `reset`, `put_policy`, `delete_policy`, `eject`, `admit` or
    /// `reload`.
    pub action: &'static str,
    /// Of which breaker, if it is one.
    pub breaker: Option<&'a str>,
    /// Of the endpoints of which upstream, if it is about one.
    pub upstream: Option<&'a str>,
    /// What was before.
    pub before: &'a str,
    /// What is now.
    pub after: &'a str,
    /// What the operator said why.
    pub reason: Option<&'a str>,
}

impl fmt::Display for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.action)?;
        if let Some(breaker) = self.breaker {
            write!(f, " of {breaker}")?;
        }
        if let Some(upstream) = self.upstream {
            write!(f, " of upstream {upstream}")?;
        }
        write!(f, ": {} → {}", self.before, self.after)?;
        self.reason
            .map_or(Ok(()), |reason| write!(f, " ({reason})"))
    }
}

/// Logs what the breaker of `route` did: what rejects requests, and alerts, at warn; what ends
/// that, and what an operator does, at info.
pub(crate) fn event(route: &str, event: &Event) {
    match event {
        Event::Transition(change) => transition(route, change),
        Event::RampStarted { succeeded, .. } => {
            tracing::info!(route, probes = succeeded, "probes succeeded, ramp started");
        }
        Event::Alert(what) => alert(route, what),
        Event::AlertEnded {
            source,
            signal,
            lasted,
            alerts,
            ..
        } => {
            let (source, lasted_s) = (&**source, lasted.as_secs_f64());
            tracing::info!(route, source, signal, lasted_s, alerts, "alert ended");
        }
        Event::ClosedWithErrors {
            share,
            usual,
            samples,
            ..
        } => {
            let (observed, threshold) = (share.get(), usual.get());
            tracing::warn!(
                route,
                observed,
                threshold,
                samples,
                "closed though {share} of the requests fail, {usual} is usual"
            );
        }
        Event::UsualChanged { source, change, .. } => {
            let (source, signal) = (&**source, change.signal.name());
            let (observed, threshold) = (change.now.get(), change.before.map(Ratio::get));
            tracing::warn!(route, source, signal, observed, threshold, "{change}");
        }
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
        Event::Reset { from, .. } => {
            tracing::info!(route, from = from.name(), "reset");
        }
        _ => {}
    }
}

fn transition(route: &str, change: &Transition) {
    let (source, evidence) = justification(&change.reason);
    // The level of an event is fixed where it is written.
    macro_rules! log {
        ($level:ident) => {
            tracing::$level!(
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
            )
        };
    }
    match change.to {
        State::Open => log!(warn),
        _ => log!(info),
    }
}

fn alert(route: &str, alert: &Alert) {
    let Some(evidence) = alert.evidence.first() else {
        return;
    };
    let anomaly = evidence.anomaly.as_ref();
    tracing::warn!(
        route,
        reason = evidence.condition.name(),
        signal = alert.signal(),
        observed = evidence.observed,
        low = anomaly.map(|anomaly| anomaly.low.get()),
        high = anomaly.map(|anomaly| anomaly.high.get()),
        threshold = evidence.threshold,
        samples = evidence.samples,
        window_s = evidence.window.as_secs_f64(),
        evidence = anomaly.map(|anomaly| anomaly.evidence),
        line = anomaly.map(|anomaly| anomaly.line),
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
