//! The shape of a policy in YAML. What may be combined with what is the builder's business.

mod names;

use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Error};

use self::names::{RawBudget, RawRecovery, RawStream};
use super::codes::{Code, GrpcName, Statuses};
use super::scalar::{Period, Share};
use crate::policy::{
    Action, Builder, Condition, FailureRules, HalfOpen, LatencyMeasure, Open, Policy, PolicyError,
    Quantile, Ramp, Reject, TripEntry,
};
use crate::ratio::Ratio;

/// A policy: when to trip and how to recover.
///
/// A field that is left out keeps the value of `base`, or its default when there is no base.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(title = "Breaker policy", rename = "Policy")]
pub struct RawPolicy {
    /// The name: 1 to 64 letters, digits, `-`, `_` or `.`. Required in a file.
    name: Option<String>,
    /// The policy whose fields this one changes.
    base: Option<String>,
    /// The span of time whose outcomes decide, 100ms to 1h. Default 10s.
    window: Option<Period>,
    /// Fewer requests than this in the window decide nothing by ratio or quantile, 1 to 1000000. Default 20.
    min_requests: Option<u64>,
    /// 1 to 16 entries; any that holds acts. Required without a base.
    trip: Option<Vec<RawTrip>>,
    /// How rarely the anomaly detectors may be wrong. Default conservative.
    budget: Option<RawBudget>,
    /// The share of failures that is usual, whatever is learned; at most 50%. Default 0%.
    usual_errors: Option<Share>,
    /// From which latency on a request misses the deadline, 10ms to 1h. Default 1s.
    deadline: Option<Period>,
    /// How the trial and the ramp are judged. Default counted.
    recovery: Option<RawRecovery>,
    /// How long the breaker stays open.
    open: Option<RawOpen>,
    /// The trial after the open time.
    half_open: Option<RawHalfOpen>,
    /// How traffic returns after good probes.
    ramp: Option<RawRamp>,
    /// Where the latency of a request ends. Default head.
    latency: Option<RawLatency>,
    /// Which answers are failures.
    failure: Option<RawFailure>,
    /// The answer to a rejected HTTP request.
    reject: Option<RawReject>,
    /// Whether an upstream's Retry-After opens the breaker for that time, capped by open.max. Default false.
    honour_retry_after: Option<bool>,
}

/// Conditions that must all hold, and what is then done.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of conditions")]
#[schemars(rename = "Trip")]
struct RawTrip {
    /// The share of failures, at least; more than 0% and at most 100%.
    error_rate: Option<Share>,
    /// The median latency, at least; 1ms to 1h.
    p50: Option<Period>,
    /// The latency that 90 % are at or below, at least; 1ms to 1h.
    p90: Option<Period>,
    /// The latency that 95 % are at or below, at least; 1ms to 1h.
    p95: Option<Period>,
    /// The latency that 99 % are at or below, at least; 1ms to 1h.
    p99: Option<Period>,
    /// The latency that 99.9 % are at or below, at least; 1ms to 1h.
    p999: Option<Period>,
    /// The share of requests slower than slow_threshold, hung ones included, at least.
    slow_rate: Option<Share>,
    /// From when on a request is slow, 1ms to 1h.
    slow_threshold: Option<Period>,
    /// Requests in flight now, at least.
    concurrency: Option<u64>,
    /// Failures without a success between them, at least.
    consecutive_failures: Option<u32>,
    /// The detectors of a stream have an alarm.
    anomaly: Option<RawStream>,
    /// Beside anomaly: the lower bound of the estimated share, at least. Default 0%.
    at_least: Option<Share>,
    /// What is done when all conditions hold. Default open.
    action: Option<RawAction>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename = "Action", rename_all = "lowercase")]
enum RawAction {
    /// Opens the breaker.
    Open,
    /// Reports an alert, and rejects nothing.
    Alert,
    /// Admits no more requests at once than the upstream answers in time; needs a condition on latency.
    Shed,
}

/// The open time: `for × factor^n`, capped at `max`, ± `jitter`; n counts failed recoveries.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Open")]
struct RawOpen {
    /// The first open time, 10ms to 1h. Default 10s.
    r#for: Option<Period>,
    /// What each failed recovery multiplies it by, 1 to 10. Default 2.
    factor: Option<f64>,
    /// The longest open time before jitter, at least `for` and at most 24h. Default 5m.
    max: Option<Period>,
    /// The share by which it is made longer or shorter at random. Default 20%.
    jitter: Option<Share>,
}

/// The trial: a few requests decide whether more may come.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "HalfOpen")]
struct RawHalfOpen {
    /// How many outcomes decide, 1 to 1000. Default 5.
    probes: Option<u32>,
    /// How many probes may be in flight at once, 1 to `probes`. Default 3.
    concurrent: Option<u32>,
    /// The share of probes that must succeed, more than 0%. Default 80%.
    success: Option<Share>,
    /// A probe without an answer after this time has failed, 10ms to 1h. Default 5s.
    probe_timeout: Option<Period>,
}

/// The ramp: the admitted share grows evenly from `start` to all over `for`.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Ramp")]
struct RawRamp {
    /// The share admitted at first, 1% to 100%. Default 10%.
    start: Option<Share>,
    /// How long it takes to admit all, 0s to 1h; 0s closes at once. Default 10s.
    r#for: Option<Period>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Latency")]
enum RawLatency {
    /// Latency ends at the head of the response.
    Head,
    /// Latency ends at the end of the body.
    Complete,
}

/// Which answers are failures.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Failure")]
struct RawFailure {
    /// HTTP statuses. Default 500-599.
    http: Option<Vec<Statuses>>,
    /// gRPC codes. Default UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE and DATA_LOSS.
    grpc: Option<Vec<GrpcName>>,
    /// Statuses and codes that are neither failure nor success. Default none.
    codes_as_ignored: Option<Vec<Code>>,
}

/// The answer to a rejected HTTP request.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Reject")]
struct RawReject {
    /// 400 to 599. Default 503.
    status: Option<u16>,
    /// The body, at most 64 KiB, instead of the problem document.
    body: Option<String>,
}

// === impl RawPolicy ===

impl RawPolicy {
    /// Makes the policy: the fields given, over those of the base, over the defaults. `name` is its name when it gives none itself; a base
    /// is found by `find`.
    ///
    /// # Errors
    /// The first rule that is broken, with the path of its field.
    pub fn resolve(
        self,
        name: Option<&str>,
        find: impl Fn(&str) -> Option<Policy>,
    ) -> Result<Policy, PolicyError> {
        let base = match &self.base {
            None => None,
            Some(base) => Some(
                find(base).ok_or_else(|| PolicyError::new("base", "must name a known policy"))?,
            ),
        };
        let Some(name) = self.name.as_deref().or(name) else {
            return Err(PolicyError::new("name", "is required"));
        };
        if base.is_none() && self.trip.is_none() {
            return Err(PolicyError::new("trip", "is required without a base"));
        }
        let name = name.to_owned();
        self.over(base.as_ref())?.name(name).build()
    }

    fn over(self, base: Option<&Policy>) -> Result<Builder, PolicyError> {
        let mut builder = base.map_or_else(|| Policy::builder(""), |base| base.clone().into());
        if let Some(window) = self.window {
            builder = builder.window(window.0);
        }
        if let Some(min_requests) = self.min_requests {
            builder = builder.min_requests(min_requests);
        }
        if let Some(trip) = self.trip {
            let entries = trip.into_iter().enumerate();
            let entries: Result<Vec<_>, _> = entries.map(|(at, entry)| entry.entry(at)).collect();
            builder = builder.trip(entries?);
        }
        if let Some(budget) = self.budget {
            builder = builder.budget(budget.into());
        }
        if let Some(usual) = self.usual_errors {
            builder = builder.usual_errors(usual.0);
        }
        if let Some(deadline) = self.deadline {
            builder = builder.deadline(deadline.0);
        }
        if let Some(recovery) = self.recovery {
            builder = builder.recovery(recovery.into());
        }
        if let Some(open) = self.open {
            builder = builder.open(open.over(base.map(Policy::open).unwrap_or_default()));
        }
        if let Some(half_open) = self.half_open {
            let base = base.map(Policy::half_open).unwrap_or_default();
            builder = builder.half_open(half_open.over(base));
        }
        if let Some(ramp) = self.ramp {
            builder = builder.ramp(ramp.over(base.map(Policy::ramp).unwrap_or_default()));
        }
        if let Some(latency) = self.latency {
            builder = builder.latency(latency.into());
        }
        if let Some(failure) = self.failure {
            let base = base.map(Policy::failure).cloned().unwrap_or_default();
            builder = builder.failure(failure.over(base));
        }
        if let Some(reject) = self.reject {
            let base = base.map(Policy::reject).cloned().unwrap_or_default();
            builder = builder.reject(reject.over(base));
        }
        if let Some(honour) = self.honour_retry_after {
            builder = builder.honour_retry_after(honour);
        }
        Ok(builder)
    }
}

// === impl RawTrip ===

impl RawTrip {
    fn entry(self, index: usize) -> Result<TripEntry, PolicyError> {
        let broken =
            |field: &str, rule: &str| Err(PolicyError::new(format!("trip[{index}].{field}"), rule));
        let anomaly = match (self.anomaly, self.at_least) {
            (Some(stream), at_least) => Some(Condition::Anomaly {
                stream: stream.into(),
                at_least: at_least.map_or(Ratio::ZERO, |share| share.0),
            }),
            (None, Some(_)) => return broken("at_least", "needs anomaly beside it"),
            (None, None) => None,
        };
        let action = match self.action {
            None | Some(RawAction::Open) => Action::Open,
            Some(RawAction::Alert) => Action::Alert,
            Some(RawAction::Shed) => Action::Shed,
        };
        let slow = match (self.slow_rate, self.slow_threshold) {
            (Some(share), Some(threshold)) => Some(Condition::SlowRate {
                share: share.0,
                threshold: threshold.0,
            }),
            (Some(_), None) => return broken("slow_rate", "needs slow_threshold beside it"),
            (None, Some(_)) => return broken("slow_threshold", "needs slow_rate beside it"),
            (None, None) => None,
        };
        let quantiles = [self.p50, self.p90, self.p95, self.p99, self.p999];
        let quantiles = quantiles.into_iter().zip(Quantile::ALL);
        let latencies = quantiles.filter_map(|(bound, quantile)| {
            let bound = bound?.0;
            Some(Condition::Latency { quantile, bound })
        });
        let error_rate = self.error_rate.map(|share| Condition::ErrorRate(share.0));
        let conditions = error_rate
            .into_iter()
            .chain(slow)
            .chain(self.concurrency.map(Condition::Concurrency))
            .chain(
                self.consecutive_failures
                    .map(Condition::ConsecutiveFailures),
            )
            .chain(anomaly)
            .chain(latencies)
            .collect();
        Ok(TripEntry { conditions, action })
    }
}

// === impl RawAction ===

impl<'de> Deserialize<'de> for RawAction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "open" => Ok(Self::Open),
            "alert" => Ok(Self::Alert),
            "shed" => Ok(Self::Shed),
            _ => Err(D::Error::custom("must be open, alert or shed")),
        }
    }
}

// === single fields over a base ===

impl RawOpen {
    fn over(self, base: Open) -> Open {
        Open {
            period: self.r#for.map_or(base.period, |period| period.0),
            factor: self.factor.unwrap_or(base.factor),
            max: self.max.map_or(base.max, |max| max.0),
            jitter: self.jitter.map_or(base.jitter, |jitter| jitter.0),
        }
    }
}

impl RawHalfOpen {
    fn over(self, base: HalfOpen) -> HalfOpen {
        HalfOpen {
            probes: self.probes.unwrap_or(base.probes),
            concurrent: self.concurrent.unwrap_or(base.concurrent),
            success: self.success.map_or(base.success, |success| success.0),
            probe_timeout: self.probe_timeout.map_or(base.probe_timeout, |time| time.0),
        }
    }
}

impl RawRamp {
    fn over(self, base: Ramp) -> Ramp {
        Ramp {
            start: self.start.map_or(base.start, |start| start.0),
            period: self.r#for.map_or(base.period, |period| period.0),
        }
    }
}

impl RawFailure {
    fn over(self, mut rules: FailureRules) -> FailureRules {
        if let Some(http) = self.http {
            rules = rules.http(http.into_iter().map(|statuses| statuses.0));
        }
        if let Some(grpc) = self.grpc {
            rules = rules.grpc(grpc.into_iter().map(|name| name.0));
        }
        if let Some(ignored) = self.codes_as_ignored {
            let (mut http, mut grpc) = (Vec::new(), Vec::new());
            for code in ignored {
                match code {
                    Code::Http(statuses) => http.push(statuses.0),
                    Code::Grpc(name) => grpc.push(name.0),
                }
            }
            rules = rules.ignore_http(http).ignore_grpc(grpc);
        }
        rules
    }
}

impl RawReject {
    fn over(self, base: Reject) -> Reject {
        Reject {
            status: self.status.unwrap_or(base.status),
            body: self.body.or(base.body),
        }
    }
}

impl From<RawLatency> for LatencyMeasure {
    fn from(latency: RawLatency) -> Self {
        match latency {
            RawLatency::Head => Self::Head,
            RawLatency::Complete => Self::Complete,
        }
    }
}
