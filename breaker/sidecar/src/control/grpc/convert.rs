//! The resources as messages: what differs from JSON is that words are enumerations.

mod fleet;
mod upstreams;

use breaker_proto::v1;
use breaker_tower::Mode;

use crate::control::policy::{Condition, Policy};
use crate::control::readiness::Phase;
use crate::control::status::{Configuration, Identity, Refused, Reloaded, Status};
use crate::live::{Event, Kind};
use crate::report::{
    Anomaly, Breaker, Concurrency, ConditionStatus, FailureKind, Miss, Quantiles, Reason,
    RequestTotals, Shedding, Transitions, Unmatched, Window,
};
use crate::sandbox::Sandbox;

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

impl From<Breaker> for v1::Breaker {
    fn from(breaker: Breaker) -> Self {
        (&breaker).into()
    }
}

impl From<&Breaker> for v1::Breaker {
    fn from(breaker: &Breaker) -> Self {
        Self {
            name: breaker.name.clone(),
            upstream: breaker.upstream.clone(),
            fallback: breaker.fallback.clone(),
            state: v1::State::from(breaker.state).into(),
            mode: v1::Mode::from(breaker.mode).into(),
            mode_remaining: breaker.mode_remaining,
            policy: Some(v1::PolicyInForce {
                name: breaker.policy.name.clone(),
                origin: v1::Origin::from(breaker.policy.origin).into(),
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
            source: breaker.source.clone(),
            tripped: breaker.tripped.as_ref().map(Into::into),
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
            from: v1::State::from(kind.from).into(),
            to: v1::State::from(kind.to).into(),
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
            upstream: event.upstream.clone(),
            endpoint: event.endpoint.clone(),
            kind: v1::EventKind::from(event.kind).into(),
            from: event.from.map(|state| v1::State::from(state).into()),
            to: event.to.map(|state| v1::State::from(state).into()),
            reason: event.reason.as_ref().map(v1::Reason::from),
            source: event.source.clone(),
            mode: event.mode.map(|mode| v1::Mode::from(mode).into()),
            traces: event.traces.clone(),
        }
    }
}

impl From<Kind> for v1::EventKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Transition => Self::Transition,
            Kind::Ramp => Self::Ramp,
            Kind::Alert => Self::Alert,
            Kind::Shedding => Self::Shedding,
            Kind::Mode => Self::Mode,
            Kind::Policy => Self::Policy,
            Kind::Configuration => Self::Configuration,
            Kind::Reset => Self::Reset,
            Kind::Panic => Self::Panic,
            Kind::Ejected => Self::Ejected,
            Kind::Readmitted => Self::Readmitted,
            Kind::UpstreamPanic => Self::UpstreamPanic,
            Kind::Discovered => Self::Discovered,
        }
    }
}

impl From<Phase> for v1::Readiness {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Starting => Self::Starting,
            Phase::Ready => Self::Ready,
            Phase::NoIdentity => Self::NoIdentity,
            Phase::Draining => Self::Draining,
        }
    }
}

impl From<&ConditionStatus> for v1::ConditionStatus {
    fn from(status: &ConditionStatus) -> Self {
        Self {
            entry: status.entry,
            action: status.action.to_string(),
            signal: status.signal.to_string(),
            text: status.text.clone(),
            unit: status.unit.to_string(),
            observed: status.observed,
            threshold: status.threshold,
            samples: status.samples,
            min_requests: status.min_requests,
            reached: status.reached,
            holds: status.holds,
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

impl From<&RequestTotals> for v1::Totals {
    fn from(totals: &RequestTotals) -> Self {
        Self {
            success: totals.success,
            failure: totals.failure,
            ignored: totals.ignored,
            rejected: totals.rejected,
            fallback: totals.fallback,
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
            conditions: window.conditions.iter().map(Into::into).collect(),
            failure_kinds: window.failure_kinds.iter().map(Into::into).collect(),
            unmatched: window.unmatched.as_ref().map(v1::Unmatched::from),
        }
    }
}

impl From<&FailureKind> for v1::FailureKind {
    fn from(failure: &FailureKind) -> Self {
        Self {
            kind: failure.kind.clone(),
            endpoint: failure.endpoint.clone(),
            count: failure.count,
            trace: failure.trace.clone(),
        }
    }
}

impl From<&Unmatched> for v1::Unmatched {
    fn from(unmatched: &Unmatched) -> Self {
        Self {
            detail: unmatched.detail.clone(),
            misses: unmatched.misses.iter().map(v1::Miss::from).collect(),
        }
    }
}

impl From<&Miss> for v1::Miss {
    fn from(miss: &Miss) -> Self {
        Self {
            name: miss.name.clone(),
            wanted: miss.wanted.clone(),
            arrived: miss.arrived.clone(),
            more: miss.more,
            nearest: miss.nearest.clone(),
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
            signal: anomaly.signal.to_string(),
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
            origin: v1::Origin::from(policy.origin).into(),
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
            action: condition.action.to_string(),
            text: condition.text,
            metric: condition.metric,
            threshold: condition.threshold,
        }
    }
}

impl From<Status> for v1::Status {
    fn from(status: Status) -> Self {
        Self {
            version: status.version,
            instance: status.instance,
            host: status.host,
            started: status.started,
            uptime: status.uptime,
            readiness: v1::Readiness::from(status.readiness).into(),
            token_required: status.token_required,
            configuration: Some(status.configuration.into()),
            sandbox: status.sandbox.map(v1::Sandbox::from),
            fleet: status.fleet.map(v1::Fleet::from),
            following: status.following.map(v1::Following::from),
            identities: status.identities.into_iter().map(Into::into).collect(),
            panic: status.panic.map(|panic| v1::Panic {
                since: panic.since,
                remaining: panic.remaining,
                reason: panic.reason,
            }),
        }
    }
}

impl From<Identity> for v1::Identity {
    fn from(identity: Identity) -> Self {
        Self {
            agent: identity.agent,
            id: identity.id,
            until: identity.until,
            trust_domains: identity.trust_domains,
            error: identity.error,
        }
    }
}

impl From<Sandbox> for v1::Sandbox {
    fn from(sandbox: Sandbox) -> Self {
        let layers = sandbox.layers.into_iter().map(|state| v1::SandboxLayer {
            layer: state.layer.to_string(),
            on: state.on,
            detail: state.detail,
        });
        Self {
            mode: sandbox.mode.to_string(),
            summary: sandbox.summary,
            layers: layers.collect(),
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
            trace_url: configuration.trace_url.map(|url| url.to_string()),
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
