//! The shape of `follow`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::RawUpstreamTls;
use super::fleet::RawFleetRoutes;

/// Another Breaker, called the brain. If a breaker opens there, the breaker with the same name
/// opens here, too.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Follow")]
pub(in crate::config) struct RawFollow {
    /// The URL of the brain's admin port.
    #[schemars(extend("examples" = ["https://brain:9900"]))]
    pub(in crate::config) brain: String,
    /// The routes that follow the brain: all that have an upstream, or a list of names.
    #[schemars(extend("default" = "all", "examples" = [["pay"]]))]
    pub(in crate::config) routes: Option<RawFleetRoutes>,
    /// A file, relative to this one, with a token that is sent to the brain. The brain itself needs
    /// no token from those who only watch, but a gateway in front of it may need one. The token is
    /// sent only over TLS, or within this machine.
    #[schemars(extend("x-default" = "none", "examples" = ["token"]))]
    pub(in crate::config) token_file: Option<String>,
    /// The check of the brain's certificate, if the URL has the scheme https.
    pub(in crate::config) tls: Option<RawUpstreamTls>,
    /// Whether a brain on another machine is allowed without TLS. Anyone who can answer in place of
    /// the brain can open breakers.
    #[serde(default)]
    #[schemars(extend("default" = false, "examples" = [true]))]
    pub(in crate::config) allow_remote: bool,
}
