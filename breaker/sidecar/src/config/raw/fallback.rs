//! The shape of a route's `fallback`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::RawPolicyChoice;

/// The answer to requests that the breaker rejects: it comes from another upstream, or is fixed.
/// Without a fallback, these requests get the rejection of the policy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Fallback")]
pub(in crate::config) struct RawFallback {
    /// The name of another upstream. It can't be combined with status, body or content_type. No
    /// route to this upstream may itself have a fallback to an upstream.
    #[schemars(extend("x-default" = "none: the answer is fixed", "examples" = ["pay-replica"]))]
    pub(in crate::config) upstream: Option<String>,
    /// The policy of the second breaker, which protects the other upstream: the name of a policy,
    /// or fields that override those of a `base`. This breaker has the route's name with
    /// `:fallback` after it.
    #[schemars(extend("x-default" = "the route's policy", "examples" = ["sensitive"]))]
    pub(in crate::config) policy: Option<RawPolicyChoice>,
    /// The status of a fixed answer. A status that needs a header field of its own, such as 206,
    /// 304 or 401, is an error. gRPC calls don't get the fixed answer: they are rejected.
    #[schemars(range(min = 200, max = 599), extend("default" = 200, "examples" = [404]))]
    pub(in crate::config) status: Option<u16>,
    /// The body of a fixed answer, at most 64 KiB.
    #[schemars(extend("x-default" = "empty", "examples" = ["[]"]))]
    pub(in crate::config) body: Option<String>,
    /// The media type of the body.
    #[schemars(extend("default" = "text/plain; charset=utf-8", "examples" = ["application/json"]))]
    pub(in crate::config) content_type: Option<String>,
}
