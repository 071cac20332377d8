//! What is noted of one request, and told to telemetry when it is over.

use std::rc::Rc;

use breaker_tower::TraceContext;
use breaker_tower::breaker_core::Classification;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Response, StatusCode, Version};
use tokio::time::Instant;

use super::body::{Content, FrontBody};
use crate::access::LogEntry;
use crate::message::client::InFlight;
use crate::message::decision::Decided;
use crate::message::error::{ErrorKind, ProxyError};
use crate::message::record::Finished;
use crate::proxy::body::ResponseBody;
use crate::proxy::generation::Observing;
use crate::proxy::respond::{self, Form};
use crate::proxy::stack::RouteSlot;
use crate::proxy::stream;
use crate::proxy::tape::Exchange;
use crate::proxy::trace::Span;
use crate::proxy::worker::Worker;

/// What is told to telemetry when a request is over, however it ends.
pub(crate) struct RequestLog {
    pub(super) worker: Rc<Worker>,
    pub(super) observing: Rc<Observing>,
    pub(super) route: Option<usize>,
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) started: Instant,
    pub(super) status: Option<StatusCode>,
    pub(super) error: Option<ErrorKind>,
    pub(super) is_complete: bool,
    /// Whether the request was sent on, or was to be.
    pub(super) is_forwarded: bool,
    /// While tracing is on, and the trace recorded.
    pub(super) span: Option<Box<dyn Span>>,
    /// What the breaker makes of it.
    pub(super) decided: Decided,
    /// While there is an access log.
    pub(super) path: Option<PathAndQuery>,
    pub(super) trace: Option<TraceContext>,
    pub(super) _place: Option<RouteSlot>,
    pub(super) in_flight: InFlight,
}

// === impl RequestLog ===

impl RequestLog {
    /// Answers a request that was sent on and failed, unless nobody waits for the answer.
    pub(super) fn failed(
        mut self,
        form: Form,
        error: ProxyError,
    ) -> Result<Response<FrontBody>, ProxyError> {
        self.error = Some(error.kind());
        self.is_forwarded = true;
        if error.kind() == ErrorKind::ClientGone {
            return Err(error);
        }
        let response = respond::failed(form, &error);
        Ok(self.enclose(response.map(Content::local)))
    }

    pub(super) fn enclose(mut self, mut response: Response<Content>) -> Response<FrontBody> {
        stream::hands_on();
        self.status = Some(response.status());
        self.is_complete = response.body().is_end_stream();
        let over = self.in_flight.client().is_over();
        if self.version < Version::HTTP_2
            && let Some(limit) = over
        {
            limit.acts();
        }
        let ends = self.worker.is_draining() || over.is_some()
            // What follows on the connection is not the next request, or not for long (RFC 9112,
            // 9.6).
            || self.in_flight.client().owes_content() && self.is_forwarded
            // Its end is the connection's, and HTTP/1.0 knows no other.
            || self.version == Version::HTTP_10 && response.body().size_hint().exact().is_none();
        if self.version < Version::HTTP_2
            && ends
            && response.status() != StatusCode::SWITCHING_PROTOCOLS
        {
            if self.version == Version::HTTP_10 {
                // Or hyper adds what an answer of HTTP/1.1 to HTTP/1.0 needs to be kept alive.
                *response.version_mut() = Version::HTTP_10;
            }
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if self.method == Method::HEAD && self.version == Version::HTTP_2 {
            // Over HTTP/1.1 hyper does it.
            leave_out_content(&mut response);
        }
        response.map(|content| FrontBody {
            content,
            rest: Bytes::new(),
            account: self,
        })
    }
}

/// Makes an answer to GET one to HEAD.
fn leave_out_content(response: &mut Response<Content>) {
    let Some(length @ 1..) = response.body().size_hint().exact() else {
        return;
    };
    let headers = response.headers_mut();
    headers.entry(CONTENT_LENGTH).or_insert(length.into());
    *response.body_mut() = Content::local(ResponseBody::local(""));
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        let gone = Some(ErrorKind::ClientGone).filter(|_| !self.is_complete);
        let finished = Finished {
            route: self.route,
            method: &self.method,
            version: self.version,
            is_secure: self.in_flight.client().is_secure(),
            status: self.status,
            duration: self.started.elapsed(),
            error: self.error.or(gone),
            is_fallback: self.decided.is_fallback(),
            trace: self.trace,
        };
        self.observing.recorder.record(&finished);
        // By now the route's body is dropped, and with it the request's breaker has decided.
        let judged = self.decided.get();
        if let Some(span) = self.span.take() {
            span.end(&finished, judged.map(|judged| judged.decision));
        }
        if let (Some(judged), Some(route), Some(tape)) = (judged, self.route, &self.observing.tape)
            && let Some(exchange) = Exchange::of(route, judged)
        {
            tape.record(&exchange);
        }
        if let Some(judged) = judged
            && judged.decision.classification() == Some(Classification::Failure)
        {
            let observing = &self.observing;
            observing.blame(&finished, &self.decided, &judged.decision);
        }
        if let Some(access) = &self.observing.access {
            access.tell(&LogEntry {
                finished: &finished,
                path: self.path.as_ref().map_or("", PathAndQuery::path),
                decision: judged.map(|judged| judged.decision),
                endpoint: self.decided.endpoint(),
            });
        }
    }
}
