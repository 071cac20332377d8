//! The shape of `identity`, `tls` and `upstreams.NAME.tls`.

use schemars::JsonSchema;
use serde::Deserialize;

/// The certificate of this sidecar, and whom it trusts: for TLS in both directions, where nothing
/// else is said there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Identity")]
pub(in crate::config) struct RawIdentity {
    /// A PEM file with the certificate and its chain, leaf first, relative to this file.
    #[schemars(extend("examples" = ["tls/tls.crt"]))]
    pub(in crate::config) cert: String,
    /// A PEM file with the key of the certificate, relative to this file.
    #[schemars(extend("examples" = ["tls/tls.key"]))]
    pub(in crate::config) key: String,
    /// A PEM file with the certificates to trust, relative to this file.
    #[schemars(extend("x-default" = "none: each section says its own"))]
    #[schemars(extend("examples" = ["tls/ca.crt"]))]
    pub(in crate::config) roots: Option<String>,
}

/// TLS to an upstream.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "UpstreamTls")]
pub(in crate::config) struct RawUpstreamTls {
    /// A PEM file with the certificates to trust, relative to this file; or system.
    #[schemars(extend("x-default" = "those of identity, or else system"))]
    #[schemars(extend("examples" = ["tls/ca.crt"]))]
    pub(in crate::config) roots: Option<String>,
    /// The name that the certificate must have, a DNS name or an address; it is also sent (SNI).
    #[schemars(extend("x-default" = "the host of the endpoint", "examples" = ["pay.shop"]))]
    pub(in crate::config) name: Option<String>,
    /// The SPIFFE IDs that the certificate may have, instead of the name. In the path, * stands for
    /// one segment, and a final ** for the rest.
    #[schemars(extend("x-default" = "none: the name counts"))]
    #[schemars(extend("examples" = [["spiffe://example.org/ns/shop/sa/pay"]]))]
    pub(in crate::config) allow: Option<Vec<String>>,
    /// Whether the certificate of identity is shown to an upstream that asks for one.
    #[schemars(extend("x-default" = "true, if there is identity", "examples" = [false]))]
    pub(in crate::config) present: Option<bool>,
    /// The lowest version of TLS.
    #[schemars(extend("default" = "1.3", "examples" = ["1.2"]))]
    pub(in crate::config) min: Option<RawTlsVersion>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "TlsVersion")]
pub(in crate::config) enum RawTlsVersion {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}
