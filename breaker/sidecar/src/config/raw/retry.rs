//! The shape of a route's `retry`.

use breaker_tower::breaker_core::policy::yaml::{Period, Share};
use schemars::JsonSchema;
use serde::Deserialize;

use super::OneOrMany;
use crate::config::scalar::{Size, Word};

/// The rules for retries. Breaker sends the retry to another endpoint, if there is one. Even
/// without these rules, Breaker sends a request again if no endpoint has received it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Retry")]
pub(in crate::config) struct RawRetry {
    /// Maximum number of times that a request is sent, the first time included.
    #[schemars(range(min = 1, max = 5), extend("default" = 2, "examples" = [3]))]
    pub(in crate::config) attempts: Option<u32>,
    /// The results after which a request is sent again: connect, reset, timeout (of per_try), HTTP
    /// statuses, and gRPC codes in the head of the answer.
    #[schemars(with = "Option<Vec<serde_json::Value>>")]
    #[schemars(extend("default" = ["connect", "reset", "timeout", "502-504", "UNAVAILABLE"]))]
    #[schemars(extend("examples" = [["connect", 503]]))]
    pub(in crate::config) on: Option<Vec<Word>>,
    /// Maximum time that each attempt may wait for the head of its answer; must be less than the
    /// route's timeout.
    #[schemars(extend("x-default" = "none: only the route's timeout applies"))]
    #[schemars(extend("x-range" = "1ms to routes[].timeout", "examples" = ["800ms"]))]
    pub(in crate::config) per_try: Option<Period>,
    /// The maximum number of retries, as a share of the requests of the last 10 s. One retry in
    /// 10 s is always allowed.
    #[schemars(extend("default" = "20%", "x-range" = "0% to 100%", "examples" = ["10%"]))]
    pub(in crate::config) budget: Option<Share>,
    /// Requests with a larger body are sent once.
    #[schemars(extend("default" = "64KiB", "x-range" = "0 to 64KiB", "examples" = ["16KiB"]))]
    pub(in crate::config) body: Option<Size>,
    /// The methods of requests that may be sent again: idempotent, or a list. gRPC calls have the
    /// method POST.
    #[schemars(extend("default" = "idempotent", "examples" = [["GET", "POST"]]))]
    pub(in crate::config) methods: Option<OneOrMany<String>>,
}
