//! One attempt to have a request answered by an endpoint, told to telemetry however it ends.
//!
//! It goes where the request goes: from the forwarder, while a connection and then the response's
//! head are waited for, into the response's body. So its end is told when it happens, also when the
//! caller drops either of them.

mod tracked;

use std::rc::Rc;

use breaker_tower::BreakerHandle;
use breaker_tower::breaker_core::Attribution;
use http::{HeaderMap, Method, Response, StatusCode, Version};
use http_body::Body;
use tokio::time::Instant;

pub(crate) use self::tracked::Tracked;
use super::pool::Chosen;
use crate::message::body::RequestBody;
use crate::message::decision::Decided;
use crate::message::error::{ErrorKind, ProxyError};
use crate::message::record::{Recorder, Sent};

/// Marks a response: its failure is the matter of one endpoint, of several that do not fail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfOneEndpoint;

/// An attempt under way. Dropped before its end, it counts as given up by the caller.
pub(crate) struct Attempt {
    recorder: Rc<dyn Recorder>,
    method: Method,
    /// The index of the upstream's first endpoint in the table.
    first_endpoint: usize,
    /// The endpoint's position in the upstream.
    position: usize,
    version: Version,
    /// Attempts of the request before this one.
    resends: u32,
    is_secure: bool,
    started: Instant,
    status: Option<StatusCode>,
    /// What went wrong if nothing more comes.
    error: Option<ErrorKind>,
    /// Who else wants to know the endpoint.
    decided: Option<Decided>,
    /// Who judges the endpoint, if there are others.
    tracked: Option<Tracked>,
}

impl Attempt {
    /// Begins an attempt at the endpoint at a position of its upstream, whose first one has an
    /// index in the table. Until it has answered, `version` is what is spoken to it.
    pub(crate) fn begin(
        recorder: Rc<dyn Recorder>,
        method: Method,
        first_endpoint: usize,
        chosen: Chosen,
        version: Version,
        decided: Option<Decided>,
    ) -> Self {
        let mut attempt = Self {
            recorder,
            method,
            first_endpoint,
            position: chosen.connections.position(),
            version,
            resends: 0,
            is_secure: chosen.connections.is_secure(),
            started: Instant::now(),
            status: None,
            error: Some(ErrorKind::ClientGone),
            decided,
            tracked: chosen.tracked,
        };
        attempt.goes();
        attempt
    }

    /// Lets a policy say what a failure is, and the upload of the request not count as a delay.
    pub(crate) fn judged_by(&mut self, breaker: &BreakerHandle, body: &RequestBody) {
        if let Some(tracked) = &mut self.tracked {
            tracked.judged_by(breaker, body.upload());
        }
    }

    /// Notes the head of the response.
    pub(crate) fn answered<T: Body>(&mut self, response: &mut Response<T>) {
        self.status = Some(response.status());
        self.version = response.version();
        if let Some(tracked) = &mut self.tracked
            && tracked.answered(response)
        {
            response.extensions_mut().insert(OfOneEndpoint);
        }
    }

    /// Notes the trailers of the response.
    pub(crate) fn ended_by(&mut self, trailers: &HeaderMap) {
        if let Some(tracked) = &mut self.tracked {
            tracked.ended_by(trailers);
        }
    }

    /// Notes what went wrong, and hands it on.
    pub(crate) fn failed(&mut self, error: ProxyError) -> ProxyError {
        self.error = Some(error.kind());
        let is_own = error.attribution() == Attribution::Upstream
            && self.tracked.as_mut().is_some_and(Tracked::is_own_failure);
        if is_own {
            return error.of_one_endpoint();
        }
        error
    }

    /// Ends the attempt as failed and begins another one, over a connection to the same endpoint.
    pub(crate) fn again_there(&mut self, failed: ErrorKind) {
        self.error = Some(failed);
        self.tell();
        self.begin_anew();
    }

    /// Ends the attempt as failed and begins another one, at the endpoint that was chosen.
    pub(crate) fn again(&mut self, failed: ErrorKind, chosen: Chosen) {
        self.error = Some(failed);
        self.tell();
        let judged_by = self
            .tracked
            .take()
            .and_then(|tracked| tracked.end(self.error));
        self.position = chosen.connections.position();
        self.tracked = chosen.tracked;
        if let (Some(tracked), Some(judged_by)) = (&mut self.tracked, judged_by) {
            tracked.as_before(judged_by);
        }
        self.begin_anew();
    }

    fn begin_anew(&mut self) {
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

    fn goes(&mut self) {
        if let Some(decided) = &self.decided {
            self.resends = decided.goes_to(self.endpoint());
        }
    }

    fn tell(&self) {
        self.recorder.sent(&Sent {
            endpoint: self.endpoint(),
            method: &self.method,
            version: self.version,
            is_secure: self.is_secure,
            status: self.status,
            duration: self.started.elapsed(),
            error: self.error,
            resends: self.resends,
        });
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.tell();
        if let Some(tracked) = self.tracked.take() {
            tracked.end(self.error);
        }
    }
}
