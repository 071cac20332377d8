//! What can go wrong with one request, and who caused it.
//!
//! Who did decides what the breaker makes of it: only what the upstream caused is a failure;
//! `docs/outcomes.md` is the table for users. `respond` alone turns an error into a response.

use std::error::Error;

use breaker_tower::breaker_core::Attribution;
use rustls::AlertDescription;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller closed or reset its side before the exchange was over.
    #[error("the client went away")]
    ClientGone,
    /// The caller's body could not be parsed.
    #[error("malformed request body")]
    RequestBodyMalformed,
    /// The caller's body is larger than the route allows.
    #[error("request body too large")]
    RequestBodyTooLarge,
    /// The caller's head, with what we add, is larger than the upstream says it takes.
    #[error("request head larger than upstream takes")]
    RequestHeadTooLarge,
    /// The caller stopped sending its body.
    #[error("timed out waiting for the request body")]
    RequestBodyTimeout,
    /// The deadline that the caller chose passed, and it is shorter than the route's own time.
    #[error("the caller's deadline passed")]
    DeadlineExceeded,
    /// Nobody listens at the upstream's address.
    #[error("connection refused by upstream")]
    ConnectRefused,
    /// No connection within the connect timeout.
    #[error("timed out connecting to upstream")]
    ConnectTimeout,
    /// The upstream's address cannot be reached.
    #[error("upstream unreachable")]
    Unreachable,
    /// The upstream's certificate is not one to trust, or of another name.
    #[error("upstream's certificate is refused")]
    TlsCertificate,
    /// The upstream refused to speak TLS with us, by an alert, before it answered anything.
    #[error("upstream refused the TLS handshake")]
    TlsAlert,
    /// What the upstream speaks is not TLS, or none of our versions.
    #[error("upstream broke the TLS handshake")]
    TlsProtocol,
    /// The Workload API has given us no identity to show, or none that is valid now.
    #[error("no valid identity of this sidecar for TLS")]
    NoIdentity,
    /// The upstream's name has no address.
    #[error("upstream name not resolved")]
    Resolve,
    /// The upstream's name was not resolved within the connect timeout.
    #[error("timed out resolving upstream's name")]
    ResolveTimeout,
    /// The upstream closed or reset the connection before the response head.
    #[error("upstream closed the connection before answering")]
    Terminated,
    /// The upstream closed a used connection, before the request came to it or as if.
    #[error("upstream closed a used connection without an answer")]
    Unreceived,
    /// The upstream would not take the request, by REFUSED_STREAM.
    #[error("upstream refused the stream")]
    Refused,
    /// All HTTP/2 connections that an endpoint may have are full.
    #[error("all streams to upstream are in use")]
    NoStream,
    /// The upstream sent so many small frames that h2 gave up the connection.
    #[error("upstream sent too many small frames")]
    TooManyFrames,
    /// What the upstream sent is not HTTP.
    #[error("upstream broke the protocol")]
    Protocol,
    /// The caller's gRPC made us speak HTTP/2 to an upstream that never did.
    #[error("upstream does not speak HTTP/2")]
    NotHttp2,
    /// The upstream's response has a head over our limits.
    #[error("upstream's response head is over max_response_fields or max_response_header_bytes")]
    ResponseHeadTooLarge,
    /// No response head within the route's timeout.
    #[error("timed out waiting for upstream's response")]
    ResponseTimeout,
    /// The upstream's response ended before its body was complete.
    #[error("upstream's response is incomplete")]
    ResponseIncomplete,
    /// The same, when the caller had read nothing for long: the upstream could send nothing.
    #[error("the caller paused reading, and upstream's response is incomplete")]
    ReadingPaused,
    /// The upstream stopped sending its body.
    #[error("timed out waiting for upstream's response body")]
    ResponseBodyTimeout,
    /// The upstream switched protocols though it was not asked to, or to one that was not offered.
    #[error("upstream switched protocols unasked")]
    UpgradeUnasked,
    /// Something that ought not to happen in the proxy did.
    #[error("internal error")]
    Internal,
}

impl ErrorKind {
    /// All of them.
    pub const ALL: [Self; 29] = [
        Self::ClientGone,
        Self::RequestBodyMalformed,
        Self::RequestBodyTooLarge,
        Self::RequestHeadTooLarge,
        Self::RequestBodyTimeout,
        Self::DeadlineExceeded,
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::Unreachable,
        Self::TlsCertificate,
        Self::TlsAlert,
        Self::TlsProtocol,
        Self::NoIdentity,
        Self::Resolve,
        Self::ResolveTimeout,
        Self::Terminated,
        Self::Unreceived,
        Self::Refused,
        Self::NoStream,
        Self::TooManyFrames,
        Self::ResponseHeadTooLarge,
        Self::NotHttp2,
        Self::Protocol,
        Self::ResponseTimeout,
        Self::ResponseIncomplete,
        Self::ReadingPaused,
        Self::ResponseBodyTimeout,
        Self::UpgradeUnasked,
        Self::Internal,
    ];

    /// Returns who caused this. No kind is left to a default: a new one must be thought about.
    pub const fn attribution(self) -> Attribution {
        match self {
            Self::ClientGone
            | Self::RequestBodyMalformed
            | Self::RequestBodyTooLarge
            | Self::RequestHeadTooLarge
            | Self::RequestBodyTimeout
            | Self::ReadingPaused
            | Self::DeadlineExceeded => Attribution::Caller,
            // A name that can't be resolved says nothing of the service behind it, and other
            // services whose names the same server knows fail with it: rejecting their callers
            // mends nothing.
            Self::Resolve | Self::ResolveTimeout => Attribution::Name,
            // How long a body may pause is our limit: many streams are quiet by nature. Which
            // protocol we speak follows from what the caller calls its content. Servers close what
            // is unused, and a request may be on its way just then: that is how we keep
            // connections. How many streams and how many of them we allow is ours to say; so is
            // how many small frames wait for callers that read nothing.
            Self::ResponseBodyTimeout
            | Self::NoStream
            | Self::TooManyFrames
            | Self::ResponseHeadTooLarge
            | Self::Unreceived
            | Self::NotHttp2
            | Self::NoIdentity
            | Self::Internal => Attribution::Proxy,
            Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::Unreachable
            | Self::TlsCertificate
            | Self::TlsAlert
            | Self::TlsProtocol
            | Self::Terminated
            | Self::Refused
            | Self::Protocol
            | Self::ResponseTimeout
            | Self::ResponseIncomplete
            | Self::UpgradeUnasked => Attribution::Upstream,
        }
    }

    /// Whether this counts against one endpoint, compared with others: what is the upstream's, and
    /// what is ours only since no upstream should be judged by our limits. All have the same.
    pub(crate) const fn is_of_endpoint(self) -> bool {
        matches!(self.attribution(), Attribution::Upstream)
            || matches!(
                self,
                Self::ResponseHeadTooLarge | Self::NotHttp2 | Self::TooManyFrames
            )
    }

    /// Whether no connection to the upstream could be established.
    pub(crate) const fn is_unreachable(self) -> bool {
        matches!(
            self,
            Self::ConnectRefused
                | Self::ConnectTimeout
                | Self::Unreachable
                | Self::TlsCertificate
                | Self::TlsAlert
                | Self::TlsProtocol
        )
    }

    /// Whether the caller's next bytes cannot be trusted.
    pub(crate) const fn spoils_connection(self) -> bool {
        matches!(
            self,
            Self::ClientGone
                | Self::RequestBodyMalformed
                | Self::RequestBodyTooLarge
                | Self::RequestBodyTimeout
        )
    }

    /// Returns the error type of RFC 9209, section 2.3; `error.type` in telemetry.
    pub const fn proxy_status(self) -> &'static str {
        match self {
            Self::ClientGone | Self::RequestBodyMalformed | Self::RequestBodyTimeout => {
                "http_request_error"
            }
            Self::RequestBodyTooLarge | Self::RequestHeadTooLarge => "http_request_denied",
            Self::ConnectRefused => "connection_refused",
            Self::ConnectTimeout => "connection_timeout",
            Self::Unreachable => "destination_ip_unroutable",
            Self::TlsCertificate => "tls_certificate_error",
            Self::TlsAlert => "tls_alert_received",
            Self::TlsProtocol => "tls_protocol_error",
            Self::Resolve => "dns_error",
            Self::ResolveTimeout => "dns_timeout",
            Self::Terminated | Self::Unreceived | Self::Refused => "connection_terminated",
            Self::NoStream => "connection_limit_reached",
            Self::ResponseHeadTooLarge => "http_response_header_section_size",
            Self::Protocol | Self::NotHttp2 | Self::TooManyFrames => "http_protocol_error",
            Self::ResponseTimeout | Self::DeadlineExceeded => "http_response_timeout",
            Self::ResponseIncomplete | Self::ReadingPaused => "http_response_incomplete",
            Self::ResponseBodyTimeout => "connection_read_timeout",
            Self::UpgradeUnasked => "http_upgrade_failed",
            Self::NoIdentity | Self::Internal => "proxy_internal_error",
        }
    }
}

/// An error of one request: its kind, and the cause if there is one below.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct ProxyError {
    kind: ErrorKind,
    /// Whether only one endpoint of several fails so.
    is_of_one_endpoint: bool,
    /// The alert of TLS that it is, if it is one.
    alert: Option<AlertDescription>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ProxyError {
    /// Makes an error of `kind` that `source` caused.
    pub fn caused_by(kind: ErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            source: Some(source.into()),
            ..Self::from(kind)
        }
    }

    /// An alert of TLS, by which the upstream refused to speak with us.
    pub(crate) fn refused_by(
        alert: AlertDescription,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            alert: Some(alert),
            ..Self::caused_by(ErrorKind::TlsAlert, source)
        }
    }

    /// Returns the number of the alert of TLS that it is, if it is one (RFC 8446, section 6).
    pub fn alert(&self) -> Option<u8> {
        self.alert.map(u8::from)
    }

    /// Returns what went wrong.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Notes that it is the matter of one endpoint, of several that do not fail.
    #[must_use]
    pub(crate) fn of_one_endpoint(self) -> Self {
        Self {
            is_of_one_endpoint: true,
            ..self
        }
    }

    /// Returns who caused it.
    pub const fn attribution(&self) -> Attribution {
        match self.kind.attribution() {
            // Who chose the endpoint will not choose it any more.
            Attribution::Upstream if self.is_of_one_endpoint => Attribution::Proxy,
            attribution => attribution,
        }
    }
}

impl From<ErrorKind> for ProxyError {
    fn from(kind: ErrorKind) -> Self {
        Self {
            kind,
            is_of_one_endpoint: false,
            alert: None,
            source: None,
        }
    }
}
