//! One attempt to have a request answered by an endpoint, told to telemetry however it ends.
//!
//! It goes where the request goes: from the forwarder, while a connection and then the response's
//! head are waited for, into the response's body. So its end is told when it happens, also when the
//! caller drops either of them.

use std::rc::Rc;

use http::{Method, Response, StatusCode, Version};
use tokio::time::Instant;

use super::decision::Decided;
use super::error::{ErrorKind, ProxyError};
use super::record::{Recorder, Sent};

/// An attempt under way. Dropped before its end, it counts as given up by the caller.
pub(crate) struct Attempt {
    recorder: Rc<dyn Recorder>,
    method: Method,
    /// The index of the upstream's first endpoint in the table.
    first_endpoint: usize,
    /// The endpoint's position in the upstream.
    position: usize,
    version: Version,
    started: Instant,
    status: Option<StatusCode>,
    /// What went wrong if nothing more comes.
    error: Option<ErrorKind>,
    /// Who else wants to know the endpoint.
    decided: Option<Decided>,
}

impl Attempt {
    /// Begins an attempt at the endpoint at a position of its upstream, whose first one has an
    /// index in the table. Until it has answered, `version` is what is spoken to it.
    pub(crate) fn begin(
        recorder: Rc<dyn Recorder>,
        method: Method,
        (first_endpoint, position): (usize, usize),
        version: Version,
        decided: Option<Decided>,
    ) -> Self {
        let attempt = Self {
            recorder,
            method,
            first_endpoint,
            position,
            version,
            started: Instant::now(),
            status: None,
            error: Some(ErrorKind::ClientGone),
            decided,
        };
        attempt.goes();
        attempt
    }

    /// Notes the head of the response.
    pub(crate) fn answered<T>(&mut self, response: &Response<T>) {
        self.status = Some(response.status());
        self.version = response.version();
    }

    /// Notes what went wrong, and hands it on.
    pub(crate) fn failed(&mut self, error: ProxyError) -> ProxyError {
        self.error = Some(error.kind());
        error
    }

    /// Ends the attempt as failed and begins another one, at the endpoint at `position`.
    pub(crate) fn again(&mut self, failed: ErrorKind, position: usize) {
        self.error = Some(failed);
        self.tell();
        self.position = position;
        self.started = Instant::now();
        self.error = Some(ErrorKind::ClientGone);
        self.goes();
    }

    /// Ends the attempt with a complete response.
    pub(crate) fn complete(mut self) {
        self.error = None;
    }

    fn endpoint(&self) -> usize {
        self.first_endpoint + self.position
    }

    fn goes(&self) {
        if let Some(decided) = &self.decided {
            decided.goes_to(self.endpoint());
        }
    }

    fn tell(&self) {
        self.recorder.sent(&Sent {
            endpoint: self.endpoint(),
            method: &self.method,
            version: self.version,
            status: self.status,
            duration: self.started.elapsed(),
            error: self.error,
        });
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.tell();
    }
}
