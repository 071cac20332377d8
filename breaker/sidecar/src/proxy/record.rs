//! What telemetry is told of each finished request.

use std::time::Duration;

use http::{Method, StatusCode, Version};

use super::error::ErrorKind;

/// Takes what one worker's requests were like; never shared between threads.
pub trait Recorder {
    /// Records a request that is over: its response's body complete, failed or dropped.
    fn record(&self, finished: &Finished<'_>);
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
    /// The status answered; `None` if the client went away before.
    pub status: Option<StatusCode>,
    /// Time from the request's head to the end of the response's body.
    pub duration: Duration,
    /// What went wrong; `None` if nothing did, and for upstreams' own errors, which the status tells.
    pub error: Option<ErrorKind>,
}

/// Forgets everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRecorder;

impl Recorder for NoRecorder {
    fn record(&self, _: &Finished<'_>) {}
}
