//! The shape of `identity`, `tls` and `upstreams.NAME.tls`.

use breaker_tower::core::policy::yaml::Period;
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

/// TLS on a listener.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Tls")]
pub(in crate::config) struct RawTls {
    /// A PEM file with the certificate and its chain, leaf first, relative to this file.
    #[schemars(extend("x-default" = "that of identity", "examples" = ["tls/tls.crt"]))]
    pub(in crate::config) cert: Option<String>,
    /// A PEM file with the key of the certificate, relative to this file.
    #[schemars(extend("x-default" = "that of identity", "examples" = ["tls/tls.key"]))]
    pub(in crate::config) key: Option<String>,
    /// Certificates instead of cert and key, chosen by the name that a client asks for (SNI). The
    /// first one is for clients that ask for none or for another.
    #[schemars(length(min = 1, max = 64))]
    pub(in crate::config) certificates: Option<Vec<RawPair>>,
    /// The lowest version of TLS.
    #[schemars(extend("default" = "1.3", "examples" = ["1.2"]))]
    pub(in crate::config) min: Option<RawTlsVersion>,
    /// How long a handshake may take.
    #[schemars(extend("default" = "5s", "x-range" = "10ms to 1m", "examples" = ["2s"]))]
    pub(in crate::config) handshake_timeout: Option<Period>,
    /// Certificates of clients. Without it, clients are asked for none.
    pub(in crate::config) clients: Option<RawClients>,
}

/// TLS on the admin port.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "AdminTls")]
pub(in crate::config) struct RawAdminTls {
    /// A PEM file with the certificate and its chain, leaf first, relative to this file.
    #[schemars(extend("x-default" = "that of identity", "examples" = ["tls/tls.crt"]))]
    pub(in crate::config) cert: Option<String>,
    /// A PEM file with the key of the certificate, relative to this file.
    #[schemars(extend("x-default" = "that of identity", "examples" = ["tls/tls.key"]))]
    pub(in crate::config) key: Option<String>,
    /// Certificates instead of cert and key, chosen by the name that a client asks for (SNI). The
    /// first one is for clients that ask for none or for another.
    #[schemars(length(min = 1, max = 64))]
    pub(in crate::config) certificates: Option<Vec<RawPair>>,
    /// The lowest version of TLS.
    #[schemars(extend("default" = "1.3", "examples" = ["1.2"]))]
    pub(in crate::config) min: Option<RawTlsVersion>,
    /// How long a handshake may take.
    #[schemars(extend("default" = "5s", "x-range" = "10ms to 1m", "examples" = ["2s"]))]
    pub(in crate::config) handshake_timeout: Option<Period>,
}

impl From<RawAdminTls> for RawTls {
    fn from(raw: RawAdminTls) -> Self {
        Self {
            cert: raw.cert,
            key: raw.key,
            certificates: raw.certificates,
            min: raw.min,
            handshake_timeout: raw.handshake_timeout,
            clients: None,
        }
    }
}

/// A certificate and its key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Pair")]
pub(in crate::config) struct RawPair {
    /// A PEM file with the certificate and its chain, leaf first, relative to this file.
    #[schemars(extend("examples" = ["tls/tls.crt"]))]
    pub(in crate::config) cert: String,
    /// A PEM file with the key of the certificate, relative to this file.
    #[schemars(extend("examples" = ["tls/tls.key"]))]
    pub(in crate::config) key: String,
}

/// Certificates of clients.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "TlsClients")]
pub(in crate::config) struct RawClients {
    /// A PEM file with the certificates that sign those of clients, relative to this file.
    #[schemars(extend("x-default" = "those of identity", "examples" = ["tls/ca.crt"]))]
    pub(in crate::config) roots: Option<String>,
    /// Whether a client without a certificate is refused.
    #[schemars(extend("default" = true, "examples" = [false]))]
    pub(in crate::config) require: Option<bool>,
    /// The SPIFFE IDs that a client's certificate may have. In the path, * stands for one segment,
    /// and a final ** for the rest.
    #[schemars(extend("x-default" = "any certificate that roots have signed"))]
    #[schemars(extend("examples" = [["spiffe://example.org/ns/shop/sa/*"]]))]
    pub(in crate::config) allow: Option<Vec<String>>,
    /// How upstreams are told of a client's certificate. Such header fields of clients are always
    /// removed.
    #[schemars(extend("default" = "none", "examples" = ["xfcc"]))]
    pub(in crate::config) forward: Option<RawForwarding>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Forwarding")]
pub(in crate::config) enum RawForwarding {
    /// Not at all.
    None,
    /// X-Forwarded-Client-Cert, as Envoy writes it.
    Xfcc,
    /// Client-Cert (RFC 9440).
    ClientCert,
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
