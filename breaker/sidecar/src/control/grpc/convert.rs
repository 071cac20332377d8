//! The resources as messages: what differs from JSON is that words are enumerations.

use breaker_proto::v1;
use breaker_tower::Mode;

use crate::control::policy::{Condition, Policy};
use crate::control::status::{Configuration, Refused, Reloaded, Status};
use crate::live::{self, Event};
use crate::report::{
    Anomaly, Breaker, Concurrency, Counts, Quantiles, Reason, Shedding, Transitions, Window,
};

/// The mode that is asked for, if one is.
pub(super) fn mode(mode: v1::Mode) -> Option<Mode> {
    match mode {
        v1::Mode::Unspecified => None,
        v1::Mode::Auto => Some(Mode::Auto),
        v1::Mode::ForcedOpen => Some(Mode::ForcedOpen),
        v1::Mode::ForcedClosed => Some(Mode::ForcedClosed),
        v1::Mode::Shadow => Some(Mode::Shadow),
    }
}

/// The number of the value that is called `prefix` and the word; zero where this version knows no
/// such word.
fn value<T: Into<i32>>(prefix: &str, word: &str, named: fn(&str) -> Option<T>) -> i32 {
    let name = format!("{prefix}_{}", word.to_ascii_uppercase());
    named(&name).map_or(0, T::into)
}

fn state(word: &str) -> i32 {
    value("STATE", word, v1::State::from_str_name)
}

fn mode_of(word: &str) -> i32 {
    value("MODE", word, v1::Mode::from_str_name)
}

fn origin(word: &str) -> i32 {
    value("ORIGIN", word, v1::Origin::from_str_name)
}

impl From<Breaker> for v1::Breaker {
    fn from(breaker: Breaker) -> Self {
        (&breaker).into()
    }
}

impl From<&Breaker> for v1::Breaker {
    fn from(breaker: &Breaker) -> Self {
        Self {
            name: breaker.name.clone(),
            state: state(&breaker.state),
            mode: mode_of(&breaker.mode),
            mode_remaining: breaker.mode_remaining,
            policy: Some(v1::PolicyInForce {
                name: breaker.policy.name.clone(),
                origin: origin(&breaker.policy.origin),
            }),
            alerting: breaker.alerting,
            reason: Some((&breaker.reason).into()),
            lasted: breaker.lasted,
            open_remaining: breaker.open_remaining,
            admitted_share: breaker.admitted_share,
            failed_recoveries: breaker.failed_recoveries,
            in_flight: breaker.in_flight,
            oldest_in_flight: breaker.oldest_in_flight,
            totals: Some((&breaker.totals).into()),
            sources: breaker.sources.iter().map(v1::Window::from).collect(),
            shedding: breaker.shedding.as_ref().map(v1::Shedding::from),
            transitions: breaker.transitions.iter().map(Into::into).collect(),
        }
    }
}

impl From<&Shedding> for v1::Shedding {
    fn from(shedding: &Shedding) -> Self {
        Self {
            limit: shedding.limit,
            target: shedding.target,
            admitted_share: shedding.admitted_share,
            lasted: shedding.lasted,
            reason: Some((&shedding.reason).into()),
        }
    }
}

impl From<&Transitions> for v1::Transitions {
    fn from(kind: &Transitions) -> Self {
        Self {
            from: state(&kind.from),
            to: state(&kind.to),
            reason: kind.reason.clone(),
            count: kind.count,
        }
    }
}

impl From<&Event> for v1::Event {
    fn from(event: &Event) -> Self {
        Self {
            time: event.t,
            breaker: event.breaker.clone(),
            kind: value(
                "EVENT_KIND",
                event.kind.name(),
                v1::EventKind::from_str_name,
            ),
            from: event.from.as_deref().map(state),
            to: event.to.as_deref().map(state),
            reason: event.reason.as_ref().map(v1::Reason::from),
            source: event.source.clone(),
            mode: event.mode.as_deref().map(mode_of),
            traces: event.traces.clone(),
        }
    }
}

impl From<&live::Reason> for v1::Reason {
    fn from(reason: &live::Reason) -> Self {
        Self {
            label: reason.label.clone(),
            detail: reason.detail.clone(),
        }
    }
}

impl From<&Reason> for v1::Reason {
    fn from(reason: &Reason) -> Self {
        Self {
            label: reason.label.clone(),
            detail: reason.detail.clone(),
        }
    }
}

impl From<&Counts> for v1::Totals {
    fn from(totals: &Counts) -> Self {
        Self {
            success: totals.success,
            failure: totals.failure,
            ignored: totals.ignored,
            rejected: totals.rejected,
            would_reject: totals.would_reject,
            alerts: totals.alerts,
        }
    }
}

impl From<&Window> for v1::Window {
    fn from(window: &Window) -> Self {
        Self {
            source: window.source.clone(),
            requests: window.requests,
            failures: window.failures,
            ignored: window.ignored,
            error_rate: window.error_rate,
            latency: window.latency.as_ref().map(v1::Latency::from),
            concurrency: window.concurrency.as_ref().map(v1::Concurrency::from),
            alerting: window.alerting,
            anomalies: window.anomalies.iter().map(v1::Anomaly::from).collect(),
        }
    }
}

impl From<&Quantiles> for v1::Latency {
    fn from(latency: &Quantiles) -> Self {
        Self {
            p50: latency.p50,
            p90: latency.p90,
            p95: latency.p95,
            p99: latency.p99,
            p999: latency.p999,
            max: latency.max,
        }
    }
}

impl From<&Concurrency> for v1::Concurrency {
    fn from(concurrency: &Concurrency) -> Self {
        Self {
            p99: concurrency.p99,
            max: concurrency.max,
        }
    }
}

impl From<&Anomaly> for v1::Anomaly {
    fn from(anomaly: &Anomaly) -> Self {
        let [low, high] = anomaly.interval;
        Self {
            stream: anomaly.stream.clone(),
            share: anomaly.share,
            low,
            high,
            normal: anomaly.normal,
            observations: anomaly.observations,
            score: anomaly.score,
            alarming: anomaly.alarming,
        }
    }
}

impl From<Policy> for v1::Policy {
    fn from(policy: Policy) -> Self {
        Self {
            name: policy.name,
            origin: origin(&policy.origin),
            yaml: policy.yaml,
            window: policy.window,
            min_requests: policy.min_requests,
            conditions: policy.conditions.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Condition> for v1::Condition {
    fn from(condition: Condition) -> Self {
        Self {
            entry: condition.entry as u32,
            action: condition.action,
            text: condition.text,
            metric: condition.metric,
            threshold: condition.threshold,
        }
    }
}

impl From<Status> for v1::Status {
    fn from(status: Status) -> Self {
        let readiness = v1::Readiness::from_str_name;
        Self {
            version: status.version,
            started: status.started,
            uptime: status.uptime,
            readiness: value("READINESS", &status.readiness, readiness),
            token_required: status.token_required,
            configuration: Some(status.configuration.into()),
            panic: status.panic.map(|panic| v1::Panic {
                since: panic.since,
                remaining: panic.remaining,
                reason: panic.reason,
            }),
        }
    }
}

impl From<Configuration> for v1::Configuration {
    fn from(configuration: Configuration) -> Self {
        Self {
            file: configuration.file,
            loaded: configuration.loaded,
            hash: configuration.hash,
            reloads: configuration.reloads,
            error: configuration
                .error
                .map(|Refused { at, detail }| v1::ConfigurationError { at, detail }),
        }
    }
}

impl From<Reloaded> for v1::ReloadConfigurationResponse {
    fn from(reloaded: Reloaded) -> Self {
        Self {
            changed: reloaded.changed,
            added: reloaded.added,
            removed: reloaded.removed,
            updated: reloaded.updated,
        }
    }
}

#[cfg(test)]
mod tests;
