//! The shape of `follow`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::RawUpstreamTls;
use super::fleet::RawFleetRoutes;

/// Another Breaker, the brain, whose open breakers open those of the same name here.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Follow")]
pub(in crate::config) struct RawFollow {
    /// The URL of the brain's admin port.
    #[schemars(extend("examples" = ["https://brain:9900"]))]
    pub(in crate::config) brain: String,
    /// The routes that follow: all that have an upstream, or a list of names.
    #[schemars(extend("default" = "all", "examples" = [["pay"]]))]
    pub(in crate::config) routes: Option<RawFleetRoutes>,
    /// A file with a token that is sent along, relative to this file. A Breaker lets everyone watch
    /// who reaches its admin port; a gateway in front of it may want a token. It is sent by TLS, or
    /// on this machine.
    #[schemars(extend("x-default" = "none", "examples" = ["token"]))]
    pub(in crate::config) token_file: Option<String>,
    /// How the brain's certificate is checked, if the URL has the scheme https.
    pub(in crate::config) tls: Option<RawUpstreamTls>,
    /// Whether a brain that is not on this machine is allowed without TLS. Whoever can answer in
    /// its place can open breakers.
    #[serde(default)]
    #[schemars(extend("default" = false, "examples" = [true]))]
    pub(in crate::config) allow_remote: bool,
}
