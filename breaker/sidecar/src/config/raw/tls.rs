//! The shape of `identity`, `tls` and `upstreams.NAME.tls`.

use breaker_tower::breaker_core::policy::yaml::Period;
use schemars::JsonSchema;
use serde::Deserialize;

use super::roots::RawRoots;

/// The certificate of this sidecar, and the certificates that it trusts. A section for TLS with
/// clients or upstreams uses these certificates if it names no others.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Identity")]
pub(in crate::config) struct RawIdentity {
    /// The socket of the SPIFFE Workload API, which supplies the certificate and the certificates
    /// to trust. Use it instead of cert and key.
    #[schemars(extend("x-default" = "none", "examples" = ["unix:///run/spire/agent.sock"]))]
    pub(in crate::config) spiffe: Option<String>,
    /// A PEM file with the certificate and its chain, leaf first, relative to this file.
    #[schemars(extend("x-default" = "required, unless there is spiffe"))]
    #[schemars(extend("examples" = ["tls/tls.crt"]))]
    pub(in crate::config) cert: Option<String>,
    /// A PEM file with the key of the certificate, relative to this file.
    #[schemars(extend("x-default" = "required, unless there is spiffe"))]
    #[schemars(extend("examples" = ["tls/tls.key"]))]
    pub(in crate::config) key: Option<String>,
    /// The certificates to trust: a PEM file, relative to this file; or a mapping with spiffe, the
    /// socket of the SPIFFE Workload API that supplies them.
    #[schemars(extend("x-default" = "those of spiffe; without spiffe, each section needs its own"))]
    #[schemars(extend("examples" = ["tls/ca.crt"]))]
    pub(in crate::config) roots: Option<RawRoots>,
}

/// TLS to an upstream.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "UpstreamTls")]
pub(in crate::config) struct RawUpstreamTls {
    /// The certificates to trust: the path of a PEM file, relative to this file, or one of the
    /// following. The word system: those of the operating system. The word spiffe: those that
    /// identity.spiffe supplies for each trust domain. A mapping with spiffe, a socket: those that
    /// the SPIFFE Workload API at this socket supplies.
    #[schemars(extend("x-default" = "those of identity, or else system"))]
    #[schemars(extend("examples" = ["tls/ca.crt"]))]
    pub(in crate::config) roots: Option<RawRoots>,
    /// The name that the certificate must have: a DNS name or an address. The sidecar also sends
    /// this name (SNI).
    #[schemars(extend("x-default" = "the host of the endpoint", "examples" = ["pay.shop"]))]
    pub(in crate::config) name: Option<String>,
    /// The SPIFFE IDs that the certificate may have, instead of the name. In the path, * stands for
    /// one segment, and a final ** for the rest.
    #[schemars(extend("x-default" = "none: the name must match"))]
    #[schemars(extend("examples" = [["spiffe://example.org/ns/shop/sa/pay"]]))]
    pub(in crate::config) allow: Option<Vec<String>>,
    /// Whether the certificate of identity is shown to an upstream that asks for one.
    #[schemars(extend("x-default" = "true, if there is identity", "examples" = [false]))]
    pub(in crate::config) present: Option<bool>,
    /// The lowest version of TLS.
    #[schemars(extend("default" = "1.3", "examples" = ["1.2"]))]
    pub(in crate::config) min: Option<RawTlsVersion>,
}

/// Declares a section of TLS on a listener. The sections differ by what is asked of clients alone,
/// and one can't be flattened into another: then unknown fields would be no errors.
macro_rules! listener {
    (
        $(#[$said:meta])+
        $name:ident as $shown:literal $({ $(#[$asked:meta])+ $clients:ty })?
    ) => {
        $(#[$said])+
        #[derive(Debug, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, expecting = "a mapping of fields")]
        #[schemars(rename = $shown)]
        pub(in crate::config) struct $name {
            /// A PEM file with the certificate and its chain, leaf first, relative to this file.
            #[schemars(extend("x-default" = "that of identity", "examples" = ["tls/tls.crt"]))]
            cert: Option<String>,
            /// A PEM file with the key of the certificate, relative to this file.
            #[schemars(extend("x-default" = "that of identity", "examples" = ["tls/tls.key"]))]
            key: Option<String>,
            /// Several certificates, instead of cert and key. The name that a client sends (SNI)
            /// selects one of them. Clients that send no name, or an unknown one, get the first.
            #[schemars(length(min = 1, max = 64))]
            certificates: Option<Vec<RawPair>>,
            /// The lowest version of TLS.
            #[schemars(extend("default" = "1.3", "examples" = ["1.2"]))]
            min: Option<RawTlsVersion>,
            /// Maximum time for a handshake.
            #[schemars(extend("default" = "5s", "x-range" = "10ms to 1m", "examples" = ["2s"]))]
            handshake_timeout: Option<Period>,
            $(
                $(#[$asked])+
                pub(in crate::config) clients: Option<$clients>,
            )?
        }

        impl $name {
            /// What all listeners have.
            pub(in crate::config) fn shown(&self) -> ListenerFields<'_> {
                ListenerFields {
                    cert: self.cert.as_deref(),
                    key: self.key.as_deref(),
                    certificates: self.certificates.as_deref(),
                    min: self.min,
                    handshake_timeout: self.handshake_timeout,
                }
            }
        }
    };
}

listener! {
    /// TLS on a listener.
    RawTls as "Tls" {
        /// Certificates of clients. Without this section, the proxy does not ask for them.
        RawClients
    }
}

listener! {
    /// TLS on the admin port.
    RawAdminTls as "AdminTls" {
        /// Certificates of clients. Without this section, the admin port does not ask for them.
        RawPeers
    }
}

listener! {
    /// TLS on the receiver of telemetry.
    RawReceiveTls as "ReceiveTls" {
        /// Certificates of senders. Without this section, the receiver does not ask for them.
        RawPeers
    }
}

/// What a listener shows, and how it speaks.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct ListenerFields<'a> {
    pub(in crate::config) cert: Option<&'a str>,
    pub(in crate::config) key: Option<&'a str>,
    pub(in crate::config) certificates: Option<&'a [RawPair]>,
    pub(in crate::config) min: Option<RawTlsVersion>,
    pub(in crate::config) handshake_timeout: Option<Period>,
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
    /// The certificates of the CAs that sign clients' certificates: the path of a PEM file,
    /// relative to this file, or one of the following. The word spiffe: those that identity.spiffe
    /// supplies for each trust domain. A mapping with spiffe, a socket: those that the SPIFFE
    /// Workload API at this socket supplies.
    #[schemars(extend("x-default" = "those of identity", "examples" = ["tls/ca.crt"]))]
    pub(in crate::config) roots: Option<RawRoots>,
    /// Whether a client without a certificate is refused.
    #[schemars(extend("default" = true, "examples" = [false]))]
    pub(in crate::config) require: Option<bool>,
    /// The SPIFFE IDs that a client's certificate may have. In the path, * stands for one segment,
    /// and a final ** for the rest.
    #[schemars(extend("x-default" = "any certificate that roots have signed"))]
    #[schemars(extend("examples" = [["spiffe://example.org/ns/shop/sa/*"]]))]
    pub(in crate::config) allow: Option<Vec<String>>,
    /// The header field in which upstreams get the client's certificate. If a client sends such a
    /// field itself, the proxy always removes it.
    #[schemars(extend("default" = "none", "examples" = ["xfcc"]))]
    pub(in crate::config) forward: Option<RawForwarding>,
}

/// Certificates of clients. The sidecar does not pass them on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "TlsPeers")]
pub(in crate::config) struct RawPeers {
    /// The certificates of the CAs that sign clients' certificates: the path of a PEM file,
    /// relative to this file, or one of the following. The word spiffe: those that identity.spiffe
    /// supplies for each trust domain. A mapping with spiffe, a socket: those that the SPIFFE
    /// Workload API at this socket supplies.
    #[schemars(extend("x-default" = "those of identity", "examples" = ["tls/ca.crt"]))]
    roots: Option<RawRoots>,
    /// Whether a client without a certificate is refused.
    #[schemars(extend("default" = true, "examples" = [false]))]
    require: Option<bool>,
    /// The SPIFFE IDs that a client's certificate may have. In the path, * stands for one segment,
    /// and a final ** for the rest.
    #[schemars(extend("x-default" = "any certificate that roots have signed"))]
    #[schemars(extend("examples" = [["spiffe://example.org/ns/shop/sa/*"]]))]
    allow: Option<Vec<String>>,
}

impl From<RawPeers> for RawClients {
    fn from(raw: RawPeers) -> Self {
        Self {
            roots: raw.roots,
            require: raw.require,
            allow: raw.allow,
            forward: None,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Forwarding")]
pub(in crate::config) enum RawForwarding {
    /// No field.
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
