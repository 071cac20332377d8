//! What can go wrong with one request, and whose fault it is.
//!
//! The fault decides what the breaker makes of it: only the upstream's faults are failures. `respond` alone turns
//! an error into a response.

use std::error::Error;

/// Who caused an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The caller: it went away, sent garbage, or was too slow. No observation of the upstream.
    Client,
    /// The upstream: refused, reset, hung or answered garbage. A failure.
    Upstream,
    /// This proxy: a limit of ours, or a bug. No observation of the upstream.
    Proxy,
}

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
    /// The caller stopped sending its body.
    #[error("timed out waiting for the request body")]
    RequestBodyTimeout,
    /// Nobody listens at the upstream's address.
    #[error("connection refused by upstream")]
    ConnectRefused,
    /// No connection within the connect timeout.
    #[error("timed out connecting to upstream")]
    ConnectTimeout,
    /// The upstream's address cannot be reached.
    #[error("upstream unreachable")]
    Unreachable,
    /// The upstream's name has no address.
    #[error("upstream name not resolved")]
    Resolve,
    /// The upstream's name was not resolved within the connect timeout.
    #[error("timed out resolving upstream's name")]
    ResolveTimeout,
    /// The upstream closed or reset the connection before the response head.
    #[error("upstream closed the connection before answering")]
    Terminated,
    /// What the upstream sent is not HTTP.
    #[error("upstream broke the protocol")]
    Protocol,
    /// The upstream's response has a head over our limits.
    #[error("upstream's response head is over max_response_fields or max_response_header_bytes")]
    ResponseHeadTooLarge,
    /// No response head within the route's timeout.
    #[error("timed out waiting for upstream's response")]
    ResponseTimeout,
    /// The upstream's response ended before its body was complete.
    #[error("upstream's response is incomplete")]
    ResponseIncomplete,
    /// The upstream stopped sending its body.
    #[error("timed out waiting for upstream's response body")]
    ResponseBodyTimeout,
    /// The upstream switched protocols though it was not asked to.
    #[error("upstream switched protocols unasked")]
    UpgradeUnasked,
    /// Something that ought not to happen in the proxy did.
    #[error("internal error")]
    Internal,
}

impl ErrorKind {
    /// Returns who caused this.
    pub const fn fault(self) -> Fault {
        match self {
            Self::ClientGone
            | Self::RequestBodyMalformed
            | Self::RequestBodyTooLarge
            | Self::RequestBodyTimeout => Fault::Client,
            Self::ResponseHeadTooLarge | Self::Internal => Fault::Proxy,
            _ => Fault::Upstream,
        }
    }

    /// Returns the error type of RFC 9209, section 2.3; `error.type` in telemetry.
    pub const fn proxy_status(self) -> &'static str {
        match self {
            Self::ClientGone | Self::RequestBodyMalformed | Self::RequestBodyTimeout => {
                "http_request_error"
            }
            Self::RequestBodyTooLarge => "http_request_denied",
            Self::ConnectRefused => "connection_refused",
            Self::ConnectTimeout => "connection_timeout",
            Self::Unreachable => "destination_ip_unroutable",
            Self::Resolve => "dns_error",
            Self::ResolveTimeout => "dns_timeout",
            Self::Terminated => "connection_terminated",
            Self::ResponseHeadTooLarge => "http_response_header_section_size",
            Self::Protocol => "http_protocol_error",
            Self::ResponseTimeout => "http_response_timeout",
            Self::ResponseIncomplete => "http_response_incomplete",
            Self::ResponseBodyTimeout => "connection_read_timeout",
            Self::UpgradeUnasked => "http_upgrade_failed",
            Self::Internal => "proxy_internal_error",
        }
    }
}

/// An error of one request: its kind, and the cause if there is one below.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct ProxyError {
    kind: ErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ProxyError {
    /// Makes an error of `kind` that `source` caused.
    pub fn caused_by(kind: ErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind,
            source: Some(source.into()),
        }
    }

    /// Returns what went wrong.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns who caused it.
    pub const fn fault(&self) -> Fault {
        self.kind.fault()
    }
}

impl From<ErrorKind> for ProxyError {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, source: None }
    }
}
