//! The shape of a policy in YAML. What may be combined with what is the builder's business.

mod names;
mod resolve;
mod trip;

use schemars::JsonSchema;

use self::names::{RawBudget, RawRecovery};
use self::trip::RawTrip;
use super::codes::{Code, GrpcName, Statuses};
use super::scalar::{Period, Share};

/// A policy: the conditions to trip, and the rules of recovery.
///
/// A field that is left out keeps the value of `base`, or its default if there is no base.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(title = "Breaker policy", rename = "Policy")]
pub struct RawPolicy {
    /// The name: 1 to 64 letters, digits, `-`, `_` or `.`.
    #[schemars(extend("x-default" = "the route's; required in a file", "examples" = ["strict"]))]
    name: Option<String>,
    /// The policy whose fields this one changes.
    #[schemars(extend("x-default" = "none", "examples" = ["sensitive"]))]
    base: Option<String>,
    /// The time span whose outcomes are evaluated.
    #[schemars(extend("default" = "10s", "x-range" = "100ms to 1h", "examples" = ["30s"]))]
    window: Option<Period>,
    /// With fewer requests than this in the window, conditions on shares and quantiles do not hold.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 20, "examples" = [50]))]
    min_requests: Option<u64>,
    /// The trip entries. Each entry whose conditions all hold triggers its action.
    #[schemars(length(min = 1, max = 16))]
    #[schemars(extend("x-default" = "the base's; required without a base"))]
    trip: Option<Vec<RawTrip>>,
    /// The rate of false alarms that all anomaly detectors of a breaker together may give.
    #[serde(alias = "budget")]
    #[schemars(extend("default" = "30d", "examples" = ["3d"]))]
    false_alarm_budget: Option<RawBudget>,
    /// An error rate that is normal for the service, even if the learned baseline is lower.
    #[schemars(extend("default" = "0%", "x-range" = "0% to 50%", "examples" = ["4%"]))]
    usual_errors: Option<Share>,
    /// A request with at least this latency misses the deadline.
    #[schemars(extend("default" = "1s", "x-range" = "10ms to 1h", "examples" = ["500ms"]))]
    deadline: Option<Period>,
    /// The way in which the half-open state and the ramp are judged.
    #[schemars(extend("default" = "counted", "examples" = ["sequential"]))]
    recovery: Option<RawRecovery>,
    /// The time for which the breaker stays open.
    open: Option<RawOpen>,
    /// The half-open state, which follows the open time.
    half_open: Option<RawHalfOpen>,
    /// The return of traffic after good probes.
    ramp: Option<RawRamp>,
    /// The point at which the measurement of a request's latency ends.
    #[schemars(extend("default" = "head", "examples" = ["complete"]))]
    latency: Option<RawLatency>,
    /// The answers that are failures.
    failure: Option<RawFailure>,
    /// The answer to a rejected HTTP request.
    reject: Option<RawReject>,
    /// Whether an upstream's Retry-After opens the breaker for the time that it asks for, but at
    /// most for open.max.
    #[schemars(extend("default" = false, "examples" = [true]))]
    honour_retry_after: Option<bool>,
}

/// The open time: `for × factor^n`, capped at `max`, ± `jitter`; n counts failed recoveries.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Open")]
struct RawOpen {
    /// The first open time.
    #[schemars(extend("default" = "10s", "x-range" = "10ms to 1h", "examples" = ["30s"]))]
    r#for: Option<Period>,
    /// Each failed recovery multiplies the open time by this.
    #[schemars(range(min = 1.0, max = 10.0), extend("default" = 2.0, "examples" = [1.5]))]
    factor: Option<f64>,
    /// The longest open time, before jitter.
    #[schemars(extend("default" = "5m", "x-range" = "open.for to 24h", "examples" = ["10m"]))]
    max: Option<Period>,
    /// The open time is made longer or shorter at random by up to this share.
    #[schemars(extend("default" = "20%", "x-range" = "0% to 100%", "examples" = ["10%"]))]
    jitter: Option<Share>,
}

/// The half-open state: a few probes decide whether more requests are admitted.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "HalfOpen")]
struct RawHalfOpen {
    /// The number of probes whose outcomes decide whether more requests are admitted.
    #[schemars(range(min = 1, max = 1000), extend("default" = 5, "examples" = [10]))]
    probes: Option<u32>,
    /// The maximum number of probes in flight at once.
    #[schemars(extend("default" = 3, "x-range" = "1 to half_open.probes", "examples" = [2]))]
    concurrent: Option<u32>,
    /// The share of probes that must succeed.
    #[schemars(extend("default" = "80%"))]
    #[schemars(extend("x-range" = "more than 0% and at most 100%"))]
    #[schemars(extend("examples" = ["100%"]))]
    success: Option<Share>,
    /// A probe without an answer after this time has failed.
    #[schemars(extend("default" = "5s", "x-range" = "10ms to 1h", "examples" = ["2s"]))]
    probe_timeout: Option<Period>,
}

/// The ramp: the admitted share grows linearly from `start` to 100 % during `for`.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Ramp")]
struct RawRamp {
    /// The share of requests that is admitted at the start.
    #[schemars(extend("default" = "10%", "x-range" = "1% to 100%", "examples" = ["25%"]))]
    start: Option<Share>,
    /// The duration of the ramp. With 0s, the breaker closes at once.
    #[schemars(extend("default" = "10s", "x-range" = "0s to 1h", "examples" = ["1m"]))]
    r#for: Option<Period>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Latency")]
enum RawLatency {
    /// At the head of the response.
    Head,
    /// At the end of the body of the response.
    Complete,
}

/// The answers that are failures.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Failure")]
struct RawFailure {
    /// HTTP statuses that are failures.
    #[schemars(extend("default" = ["500", "502-504", "506-599"], "examples" = [["500-599", 429]]))]
    http: Option<Vec<Statuses>>,
    /// gRPC codes that are failures.
    #[schemars(extend("default" = ["UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"]))]
    #[schemars(extend("examples" = [["UNAVAILABLE"]]))]
    grpc: Option<Vec<GrpcName>>,
    /// Statuses and codes that are neither failure nor success.
    #[schemars(extend("default" = [], "examples" = [[501, "UNIMPLEMENTED"]]))]
    codes_as_ignored: Option<Vec<Code>>,
}

/// The answer to a rejected HTTP request.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Reject")]
struct RawReject {
    /// The status of the answer.
    #[schemars(range(min = 400, max = 599), extend("default" = 503, "examples" = [429]))]
    status: Option<u16>,
    /// The body of the answer, instead of the problem document.
    #[schemars(extend("x-default" = "a problem document"))]
    #[schemars(extend("x-range" = "at most 64KiB"))]
    #[schemars(extend("examples" = ["busy"]))]
    body: Option<String>,
}
