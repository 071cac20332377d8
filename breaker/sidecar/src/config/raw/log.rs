//! The shape of `log`.

use breaker_tower::breaker_core::policy::yaml::Share;
use schemars::JsonSchema;
use serde::Deserialize;

/// The access log.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Log")]
pub(in crate::config) struct RawLog {
    /// The requests that get a line in the access log.
    #[schemars(extend("default" = "off", "examples" = ["errors"]))]
    pub(in crate::config) access: Option<RawAccess>,
    /// The format of a line in the access log.
    #[schemars(extend("default" = "json", "examples" = ["text"]))]
    pub(in crate::config) format: Option<RawLogFormat>,
    /// The file of the access log, relative to this one.
    #[schemars(extend("x-default" = "none: standard output", "examples" = ["access.log"]))]
    pub(in crate::config) file: Option<String>,
    /// The share of the requests selected by access that have a line in the log. If a request has a
    /// trace id, the id decides whether it is logged. So sidecars with the same share log the same
    /// traces.
    #[schemars(extend("default" = "100%", "x-range" = "more than 0%, up to 100%"))]
    #[schemars(extend("examples" = ["1%"]))]
    pub(in crate::config) sample: Option<Share>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Access")]
pub(in crate::config) enum RawAccess {
    /// No requests.
    Off,
    /// Requests that failed, were rejected, or got a status of 500 or above.
    Errors,
    /// All requests.
    All,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "LogFormat")]
pub(in crate::config) enum RawLogFormat {
    /// A JSON object.
    Json,
    /// For people.
    Text,
}
