//! The service that hyper calls with each request: check, route, and the route's stack.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use breaker_tower::core::Classification;
use breaker_tower::{CallerDeadline, Rejected, TraceContext};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;
use tower_service::Service;

use super::body::ResponseBody;
use super::check;
use super::deadline::DeadlinedBody;
use super::fallback::{Later, Substituted};
use super::generation::Observing;
use super::respond::{self, Form};
use super::route::Target;
use super::stack::{Called, Place, RouteBody, RouteService};
use super::stream;
use super::tape::Exchange;
use super::trace::{self, Span};
use super::worker::Worker;
use crate::access::Entry;
use crate::message::RequestBody;
use crate::message::client::{Client, InFlight};
use crate::message::decision::Decided;
use crate::message::error::{ErrorKind, ProxyError};
use crate::message::headers::Fields;
use crate::message::limited::Limit;
use crate::message::record::Finished;

/// The service of one client connection.
pub(crate) struct RequestService {
    worker: Rc<Worker>,
    client: Rc<Client>,
}

/// A request in flight.
pub(crate) enum FrontFuture {
    /// Answered without the route's stack.
    Answered(Option<(Response<ResponseBody>, RequestLog)>),
    /// On its way through the stack.
    Routed {
        future: <RouteService as Service<Request<RequestBody>>>::Future,
        form: Form,
        account: Option<RequestLog>,
    },
    /// Rejected, and on its way to the fallback.
    FallsBack {
        future: Later,
        form: Form,
        account: Option<RequestLog>,
    },
}

/// The body of a response, and the account of its request.
pub(crate) struct FrontBody {
    content: Content,
    /// Over HTTP/2: what is left of a piece that is handed on in smaller ones.
    rest: Bytes,
    account: RequestLog,
}

#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are of a route: a box would cost each an allocation"
)]
enum Content {
    Route(RouteBody),
    Local(DeadlinedBody),
}

/// What is told to telemetry when a request is over, however it ends.
pub(crate) struct RequestLog {
    worker: Rc<Worker>,
    observing: Rc<Observing>,
    route: Option<usize>,
    method: Method,
    version: Version,
    started: Instant,
    status: Option<StatusCode>,
    error: Option<ErrorKind>,
    is_complete: bool,
    /// Whether the request was sent on, or was to be.
    is_forwarded: bool,
    /// While tracing is on, and the trace recorded.
    span: Option<Box<dyn Span>>,
    /// What the breaker makes of it.
    decided: Decided,
    /// While there is an access log.
    path: Option<PathAndQuery>,
    trace: Option<TraceContext>,
    _place: Option<Place>,
    in_flight: InFlight,
}

// === impl RequestService ===

impl RequestService {
    pub(crate) fn new(worker: Rc<Worker>, client: Rc<Client>) -> Self {
        Self { worker, client }
    }

    fn call(&self, request: Request<Incoming>) -> FrontFuture {
        let (mut parts, incoming) = request.into_parts();
        let generation = self.worker.generation();
        let tracer = generation.observing.tracer.as_deref();
        let span =
            tracer.and_then(|tracer| trace::begin(tracer, &mut parts, self.client.address()));
        let mut account = RequestLog {
            worker: self.worker.clone(),
            observing: generation.observing.clone(),
            route: None,
            method: parts.method.clone(),
            version: parts.version,
            started: Instant::now(),
            status: None,
            error: None,
            is_complete: false,
            is_forwarded: false,
            span,
            decided: Decided::default(),
            path: None,
            trace: TraceContext::of(&parts.headers),
            _place: None,
            in_flight: self.client.begin(!incoming.is_end_stream()),
        };
        let checked = check::check(&mut parts, &self.worker.limits);
        if account.observing.access.is_some() {
            account.path = parts.uri.path_and_query().cloned();
        }
        let fields = match checked {
            Ok(fields) => fields,
            Err((status, detail)) => {
                let form = Form::of(Fields::of(&parts.headers), parts.version);
                self.client.linger();
                return FrontFuture::answered(respond::refused(form, status, detail), account);
            }
        };
        if check::ends_here(&mut parts) {
            return FrontFuture::answered(respond::options(), account);
        }
        let form = Form::of(fields, parts.version);
        let target = Target {
            method: &parts.method,
            path: parts.uri.path(),
            headers: &parts.headers,
            is_grpc: fields.has(Fields::GRPC),
            peer: self.client.certificate().and_then(|peer| peer.id.as_ref()),
        };
        let index = match generation.table.find(target) {
            Ok(index) => index,
            Err(unrouted) => {
                return FrontFuture::answered(respond::unrouted(form, &unrouted), account);
            }
        };
        account.route = Some(index);
        let found = &generation.table.routes()[index];
        let limits = &found.body;
        if let Some(limit) = limits.request_bytes
            && fields.has(Fields::CONTENT_LENGTH)
            && incoming.size_hint().lower() > limit
        {
            let error = ErrorKind::RequestBodyTooLarge.into();
            account.error = Some(ErrorKind::RequestBodyTooLarge);
            Limit::MaxBodyBytes.acts();
            return FrontFuture::answered(respond::failed(form, &error), account);
        }
        let stack = generation.stack(index);
        match stack.admit() {
            Ok(place) => account._place = place,
            Err(_full) => {
                Limit::MaxInFlight.acts();
                return FrontFuture::answered(respond::busy(form), account);
            }
        }
        let mut fields = fields;
        let stated = found.deadline.read(&mut parts.headers, fields);
        if stated.is_malformed {
            generation.observing.recorder.malformed_deadline(index);
        }
        if let Some(whole) = stated.whole
            && let Some((time, of_caller)) =
                found.deadline.apply(whole, account.started, found.timeout)
        {
            if stated.by_grpc && found.deadline.extends_timeout {
                fields.add(Fields::UNTIMED);
            }
            // Before the breaker is asked: a probe that never reaches the upstream tells nothing.
            if !found.deadline.pass_on(&mut parts.headers, time) {
                let late = ErrorKind::DeadlineExceeded;
                stack.ends_before(late);
                account.error = Some(late);
                return FrontFuture::answered(respond::failed(form, &late.into()), account);
            }
            parts.extensions.insert(time);
            parts.extensions.insert(of_caller);
        } else if fields.has(Fields::GRPC) && !found.deadline.grpc {
            parts.extensions.insert(CallerDeadline::NONE);
        }
        let route = stack.name.clone();
        let body = RequestBody::new(self.client.clone(), fields, route, account.started).with(
            incoming,
            limits,
            &self.worker.timers,
        );
        let body = body.decided_in(account.decided.clone());
        match stack.call(Request::from_parts(parts, body)) {
            Called::Routed(future) => FrontFuture::Routed {
                future,
                form,
                account: Some(account),
            },
            Called::Rejected(Substituted::Now(response)) => {
                FrontFuture::answered(*response, account)
            }
            Called::Rejected(Substituted::Later(future)) => FrontFuture::FallsBack {
                future,
                form,
                account: Some(account),
            },
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for RequestService {
    type Response = Response<FrontBody>;
    type Error = ProxyError;
    type Future = FrontFuture;

    fn call(&self, request: Request<Incoming>) -> FrontFuture {
        self.call(request)
    }
}

// === impl FrontFuture ===

impl FrontFuture {
    fn answered(response: Response<ResponseBody>, account: RequestLog) -> Self {
        Self::Answered(Some((response, account)))
    }
}

impl Future for FrontFuture {
    type Output = Result<Response<FrontBody>, ProxyError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (response, account) = match self.get_mut() {
            Self::Answered(answer) => {
                let Some((response, account)) = answer.take() else {
                    return Poll::Pending;
                };
                (response.map(Content::local), account)
            }
            Self::Routed {
                future,
                form,
                account,
            } => {
                let result = ready!(Pin::new(future).poll(cx));
                let Some(mut account) = account.take() else {
                    return Poll::Pending;
                };
                match result {
                    Ok(response) => {
                        let rejected = response.extensions().get::<Rejected>();
                        account.is_forwarded = rejected.is_none();
                        (response.map(Content::Route), account)
                    }
                    Err(error) => return Poll::Ready(account.failed(*form, error)),
                }
            }
            Self::FallsBack {
                future,
                form,
                account,
            } => {
                let result = ready!(future.as_mut().poll(cx));
                let Some(mut account) = account.take() else {
                    return Poll::Pending;
                };
                match result {
                    Ok(response) => {
                        account.is_forwarded = true;
                        (response.map(Content::Local), account)
                    }
                    Err(error) => return Poll::Ready(account.failed(*form, error)),
                }
            }
        };
        Poll::Ready(Ok(account.enclose(response)))
    }
}

// === impl RequestLog ===

impl RequestLog {
    /// Answers a request that was sent on and failed, unless nobody waits for the answer.
    fn failed(mut self, form: Form, error: ProxyError) -> Result<Response<FrontBody>, ProxyError> {
        self.error = Some(error.kind());
        self.is_forwarded = true;
        if error.kind() == ErrorKind::ClientGone {
            return Err(error);
        }
        let response = respond::failed(form, &error);
        Ok(self.enclose(response.map(Content::local)))
    }

    fn enclose(mut self, mut response: Response<Content>) -> Response<FrontBody> {
        stream::hands_on();
        self.status = Some(response.status());
        self.is_complete = response.body().is_end_stream();
        let ends = self.worker.is_draining()
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
            access.tell(&Entry {
                finished: &finished,
                path: self.path.as_ref().map_or("", PathAndQuery::path),
                decision: judged.map(|judged| judged.decision),
                endpoint: self.decided.endpoint(),
            });
        }
    }
}

// === impl FrontBody ===

impl Body for FrontBody {
    type Data = Bytes;
    type Error = ProxyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ProxyError>>> {
        let this = self.get_mut();
        stream::is_asked();
        let mut polled = if this.rest.is_empty() {
            match &mut this.content {
                Content::Route(body) => Pin::new(body).poll_frame(cx),
                Content::Local(body) => Pin::new(body).poll_frame(cx),
            }
        } else {
            Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.rest)))))
        };
        if polled.is_ready() {
            stream::hands_on();
        }
        if this.account.version == Version::HTTP_2
            && let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Some(data) = frame.data_mut()
        {
            this.rest = stream::split(data);
        }
        match &polled {
            Poll::Ready(None) => this.account.is_complete = true,
            Poll::Ready(Some(Ok(_))) if this.is_end_stream() => this.account.is_complete = true,
            Poll::Ready(Some(Err(error))) => this.account.error = Some(error.kind()),
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.content.size_hint();
        let rest = self.rest.len() as u64;
        match hint.exact() {
            Some(exact) => SizeHint::with_exact(exact + rest),
            None => hint,
        }
    }
}

impl Content {
    fn local(body: ResponseBody) -> Self {
        Self::Local(body.into())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Route(body) => body.size_hint(),
            Self::Local(body) => body.size_hint(),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Route(body) => body.is_end_stream(),
            Self::Local(body) => body.is_end_stream(),
        }
    }
}
