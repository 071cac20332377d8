//! The shape of a route's `fallback`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::RawPolicyChoice;

/// What answers the requests that the breaker rejects: another upstream, or a fixed answer. Without
/// it, they get the rejection of the policy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Fallback")]
pub(in crate::config) struct RawFallback {
    /// The name of another upstream, without status, body or content_type. It must not be the
    /// upstream of a route that has itself a fallback to an upstream.
    #[schemars(extend("x-default" = "none: the answer is fixed", "examples" = ["pay-replica"]))]
    pub(in crate::config) upstream: Option<String>,
    /// When the breaker of that upstream trips, and how it recovers: the name of a policy, or
    /// fields that override those of a `base`. The breaker is called as the route, with `:fallback`
    /// behind it.
    #[schemars(extend("x-default" = "the route's policy", "examples" = ["sensitive"]))]
    pub(in crate::config) policy: Option<RawPolicyChoice>,
    /// The status of a fixed answer: none that needs a field of its own, such as 206, 304 or 401.
    /// gRPC calls don't get it: they are rejected.
    #[schemars(range(min = 200, max = 599), extend("default" = 200, "examples" = [404]))]
    pub(in crate::config) status: Option<u16>,
    /// The body of a fixed answer, at most 64 KiB.
    #[schemars(extend("x-default" = "empty", "examples" = ["[]"]))]
    pub(in crate::config) body: Option<String>,
    /// The media type of the body.
    #[schemars(extend("default" = "text/plain; charset=utf-8", "examples" = ["application/json"]))]
    pub(in crate::config) content_type: Option<String>,
}
