//! The service that hyper calls with each request: check, route, and the route's stack.

mod body;
mod log;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use breaker_tower::{CallerDeadline, Rejected, TraceContext};
use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::Instant;
use tower_service::Service;

use self::body::Content;
use self::log::RequestLog;
use super::body::ResponseBody;
use super::check;
use super::fallback::{Later, Substituted};
use super::respond::{self, Form};
use super::route::Target;
use super::stack::{Called, RouteService};
use super::trace;
use super::worker::Worker;
use crate::message::RequestBody;
use crate::message::client::Client;
use crate::message::decision::Decided;
use crate::message::error::{ErrorKind, ProxyError};
use crate::message::headers::Fields;
use crate::message::limited::Limit;

pub(crate) use self::body::FrontBody;

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
                        (response.map(Content::from), account)
                    }
                    Err(error) => return Poll::Ready(account.failed(*form, error)),
                }
            }
        };
        Poll::Ready(Ok(account.enclose(response)))
    }
}
