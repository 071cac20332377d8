//! What telemetry is told of each finished request.

use std::time::Duration;

use breaker_tower::TraceContext;
use http::{Method, StatusCode, Version};

use super::error::ErrorKind;

/// Takes what one worker's requests were like; never shared between threads.
pub trait Recorder {
    /// Records a request that is over: its response's body complete, failed or dropped.
    fn record(&self, finished: &Finished<'_>);

    /// Records an attempt to have a request answered by an endpoint, when that is over. A request
    /// has none if it was answered by the proxy itself, and several if the first endpoints could
    /// not be connected to.
    fn sent(&self, sent: &Sent<'_>);

    /// A caller's deadline was malformed, and is ignored; of a request of the route with this
    /// index.
    fn malformed_deadline(&self, _route: usize) {}
}

/// A request that is over.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished<'a> {
    /// The route's index in the configuration; `None` if none was found.
    pub route: Option<usize>,
    /// The request's method.
    pub method: &'a Method,
    /// The protocol version that the client spoke.
    pub version: Version,
    /// Whether the client spoke TLS.
    pub is_secure: bool,
    /// The status answered; `None` if the client went away before.
    pub status: Option<StatusCode>,
    /// Time from the request's head to the end of the response's body.
    pub duration: Duration,
    /// What went wrong; `None` if nothing did, and for upstreams' own errors, which the status
    /// tells.
    pub error: Option<ErrorKind>,
    /// Whether the breaker rejected it and the fallback answered.
    pub is_fallback: bool,
    /// The trace that it belongs to.
    pub trace: Option<TraceContext>,
}

/// An attempt to have a request answered by an endpoint.
#[derive(Debug)]
#[non_exhaustive]
pub struct Sent<'a> {
    /// The endpoint's index in `RouteTable::endpoints`.
    pub endpoint: usize,
    /// The request's method.
    pub method: &'a Method,
    /// The protocol version that the endpoint spoke, or was to be spoken to.
    pub version: Version,
    /// Whether the endpoint speaks TLS.
    pub is_secure: bool,
    /// The status that came back; `None` if none did.
    pub status: Option<StatusCode>,
    /// Time from when the request was ready to be sent, so with that of connecting, to the end of
    /// the response's body.
    pub duration: Duration,
    /// What went wrong; `None` if a response came to its end, whatever its status.
    pub error: Option<ErrorKind>,
    /// How many attempts of the same request went before.
    pub resends: u32,
}

/// Forgets everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRecorder;

impl Recorder for NoRecorder {
    fn record(&self, _: &Finished<'_>) {}

    fn sent(&self, _: &Sent<'_>) {}
}
