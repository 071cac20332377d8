//! Sends a request to its upstream: the innermost service of a route, below the breaker.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, TE, TRANSFER_ENCODING};
use http::uri::Scheme;
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::Instant;
use tower_service::Service;

use super::body::request::Upload;
use super::body::response::Streamed;
use super::body::{RequestBody, ResponseBody};
use super::error::{ErrorKind, ProxyError};
use super::headers::{self, Fields};
use super::timers::{Deadline, Timers};
use crate::upstream::Protocol;
use crate::upstream::exchange::Exchange;
use crate::upstream::multiplex::Multiplex;
use crate::upstream::pool::{Connections, Pool};

/// Sends requests to one upstream within the bounds of one route.
#[derive(Clone)]
pub struct Forward(Rc<Shared>);

struct Shared {
    pool: Rc<Pool>,
    timeout: Option<Duration>,
    body_idle: Option<Duration>,
    timers: Rc<Timers>,
}

/// What is needed once the response's head is there.
struct Pending {
    upload: Option<Rc<Upload>>,
    fields: Fields,
    deadline: Option<Deadline>,
}

impl Forward {
    pub(crate) fn new(
        pool: Rc<Pool>,
        timeout: Option<Duration>,
        body_idle: Option<Duration>,
        timers: Rc<Timers>,
    ) -> Self {
        Self(Rc::new(Shared {
            pool,
            timeout,
            body_idle,
            timers,
        }))
    }
}

impl Service<Request<RequestBody>> for Forward {
    type Response = Response<ResponseBody>;
    type Error = ProxyError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, ProxyError>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let shared = self.0.clone();
        Box::pin(async move { shared.forward(request).await })
    }
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Forward")
            .field(&self.0.pool.upstream().name)
            .finish()
    }
}

// === impl Shared ===

impl Shared {
    async fn forward(
        &self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, ProxyError> {
        let fields = request.body().fields();
        let is_multiplexed = match self.pool.upstream().protocol {
            Protocol::Http1 => false,
            Protocol::H2c => true,
            Protocol::Auto => fields.has(Fields::GRPC) && request.version() == Version::HTTP_2,
        };
        let mut pending = Pending {
            upload: request.body().upload(),
            fields,
            deadline: self
                .timeout
                .map(|timeout| Deadline::new(Instant::now() + timeout, &self.timers)),
        };
        let client = request.body().client().clone();
        headers::strip_request(request.headers_mut(), fields);
        headers::add_forwarded(request.headers_mut(), fields, client.address());
        if is_multiplexed {
            for_http2(&mut request)?;
            self.multiplex(request, pending).await
        } else {
            for_http1(&mut request);
            self.exchange(request, &mut pending).await
        }
    }

    async fn exchange(
        &self,
        request: Request<RequestBody>,
        pending: &mut Pending,
    ) -> Result<Response<ResponseBody>, ProxyError> {
        let client = request.body().client().clone();
        let (mut exchange, connections, response) = self.exchange_once(request, pending).await?;
        let status = response.status();
        let is_switch = status == StatusCode::SWITCHING_PROTOCOLS;
        if is_switch {
            if !pending.fields.has(Fields::SWITCH) {
                return Err(ErrorKind::UpgradeUnasked.into());
            }
            client.offer_upgrade(exchange.upgrade().await?);
            return Ok(Self::head(response, true)
                .0
                .map(|_| ResponseBody::local("")));
        }
        let (response, kept) = Self::head(response, false);
        // A second early, or a request races with the upstream's close.
        exchange.idle_until =
            kept.map(|kept| Instant::now() + Duration::from_secs(kept.saturating_sub(1)));
        Ok(response.map(|incoming| self.body(incoming, Some((exchange, connections)), pending)))
    }

    /// Sends the request, once more if a reused connection turns out to be closed before it could do any harm.
    async fn exchange_once(
        &self,
        request: Request<RequestBody>,
        pending: &mut Pending,
    ) -> Result<(Box<Exchange>, Rc<Connections>, Response<Incoming>), ProxyError> {
        let (mut exchange, connections) = match self
            .pool
            .pick()
            .and_then(|it| Some((it.take_idle()?, it.clone())))
        {
            Some(idle) => idle,
            None => {
                pending
                    .within(self.timeout, self.pool.take(), ErrorKind::ConnectTimeout)
                    .await?
            }
        };
        let spare = spare(&request, exchange.idle_since());
        let sent = pending
            .within_try(self.timeout, exchange.send(request))
            .await?;
        let mut failed = match sent {
            Ok(response) => return Ok((exchange, connections, response)),
            Err(failed) => failed,
        };
        let retried = failed
            .take_message()
            .or(spare)
            .filter(|_| exchange.idle_since().is_some());
        let Some(request) = retried else {
            return Err(pending.error(failed.into_error()));
        };
        let mut exchange = pending
            .within(self.timeout, connections.open(), ErrorKind::ConnectTimeout)
            .await?;
        match pending
            .within_try(self.timeout, exchange.send(request))
            .await?
        {
            Ok(response) => Ok((exchange, connections, response)),
            Err(failed) => Err(pending.error(failed.into_error())),
        }
    }

    async fn multiplex(
        &self,
        mut request: Request<RequestBody>,
        mut pending: Pending,
    ) -> Result<Response<ResponseBody>, ProxyError> {
        let connections = self.pool.pick().ok_or(ErrorKind::Internal)?;
        let mut is_retry = false;
        let response = loop {
            let opening = Multiplex::of(connections);
            let mut shared = pending
                .within(self.timeout, opening, ErrorKind::ConnectTimeout)
                .await?;
            match pending
                .within_try(self.timeout, shared.send(request))
                .await?
            {
                Ok(response) => break response,
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) if !is_retry => request = unsent,
                    _ => return Err(pending.error(failed.into_error())),
                },
            }
            is_retry = true;
        };
        let (response, _) = Self::head(response, false);
        Ok(response.map(|incoming| self.body(incoming, None, &mut pending)))
    }

    /// Brings a response's head into the form that the caller gets.
    fn head(
        mut response: Response<Incoming>,
        is_switch: bool,
    ) -> (Response<Incoming>, Option<u64>) {
        *response.version_mut() = Version::HTTP_11;
        let kept = headers::strip_response(response.headers_mut(), is_switch);
        headers::canonical_length(response.headers_mut());
        (response, kept)
    }

    fn body(
        &self,
        incoming: Incoming,
        exchange: Option<(Box<Exchange>, Rc<Connections>)>,
        pending: &mut Pending,
    ) -> ResponseBody {
        ResponseBody::upstream(Streamed {
            incoming,
            exchange,
            upload: pending.upload.take(),
            idle: self.body_idle.filter(|_| !pending.fields.has(Fields::GRPC)),
            stalled: None,
            timers: self.timers.clone(),
        })
    }
}

// === impl Pending ===

impl Pending {
    /// Waits for `future`, but not beyond the deadline, which is `kind` of error.
    async fn within<T>(
        &mut self,
        timeout: Option<Duration>,
        future: impl Future<Output = Result<T, ProxyError>>,
        kind: ErrorKind,
    ) -> Result<T, ProxyError> {
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => self.poll_late(timeout, cx).map(|()| Err(kind.into())),
        })
        .await
    }

    /// Waits for the response's head.
    async fn within_try<T, F>(
        &mut self,
        timeout: Option<Duration>,
        sent: F,
    ) -> Result<F::Output, ProxyError>
    where
        F: Future<Output = Result<Response<Incoming>, TrySendError<T>>>,
    {
        self.within(
            timeout,
            async { Ok::<_, ProxyError>(sent.await) },
            ErrorKind::ResponseTimeout,
        )
        .await
    }

    /// Ready when the upstream is late; the time of the caller's upload is not the upstream's.
    fn poll_late(&mut self, timeout: Option<Duration>, cx: &mut Context<'_>) -> Poll<()> {
        let (Some(deadline), Some(timeout)) = (&mut self.deadline, timeout) else {
            return Poll::Pending;
        };
        loop {
            std::task::ready!(deadline.poll(cx));
            let Some(upload) = &self.upload else {
                return Poll::Ready(());
            };
            let since = upload.ended().unwrap_or_else(Instant::now);
            if since + timeout <= deadline.at() {
                return Poll::Ready(());
            }
            deadline.set(since + timeout);
        }
    }

    fn error(&self, error: hyper::Error) -> ProxyError {
        let fault = self.upload.as_ref().and_then(|upload| upload.fault());
        ProxyError::caused_by(fault.unwrap_or_else(|| kind_of(&error)), error)
    }
}

/// A copy of a request that may be sent twice, if it goes over a connection that may just have been closed.
fn spare(
    request: &Request<RequestBody>,
    idle_since: Option<Instant>,
) -> Option<Request<RequestBody>> {
    if !request.method().is_idempotent() || idle_since?.elapsed() < SURELY_OPEN {
        return None;
    }
    let mut spare = Request::new(request.body().twin()?);
    *spare.method_mut() = request.method().clone();
    *spare.uri_mut() = request.uri().clone();
    *spare.headers_mut() = request.headers().clone();
    Some(spare)
}

/// Brings a request into the form that HTTP/1.1 upstreams get.
fn for_http1(request: &mut Request<RequestBody>) {
    let fields = request.body().fields();
    if request.version() == Version::HTTP_2 && fields.has(Fields::COOKIES) {
        headers::join_cookies(request.headers_mut());
    }
    *request.version_mut() = Version::HTTP_11;
    if fields.has(Fields::TRAILERS) && !fields.has(Fields::SWITCH) {
        request
            .headers_mut()
            .insert(TE, HeaderValue::from_static("trailers"));
        request
            .headers_mut()
            .insert(http::header::CONNECTION, HeaderValue::from_static("te"));
    }
    let has_content = !request.body().is_end_stream();
    if has_content && !fields.has(Fields::CONTENT_LENGTH) && !fields.has(Fields::TRANSFER_ENCODING)
    {
        // Said here, since hyper would send a GET of unknown length without its body.
        request
            .headers_mut()
            .insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Brings a request into the form that HTTP/2 upstreams get.
fn for_http2(request: &mut Request<RequestBody>) -> Result<(), ProxyError> {
    let fields = request.body().fields();
    if fields.has(Fields::TRANSFER_ENCODING) {
        request.headers_mut().remove(TRANSFER_ENCODING);
        request.headers_mut().remove(CONTENT_LENGTH);
    }
    if fields.has(Fields::TRAILERS) {
        request
            .headers_mut()
            .insert(TE, HeaderValue::from_static("trailers"));
    }
    let host = request
        .headers_mut()
        .remove(http::header::HOST)
        .unwrap_or(HeaderValue::from_static("localhost"));
    let path = request.uri_mut().path_and_query().cloned();
    let uri = Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(host.as_bytes());
    let uri = uri
        .path_and_query(path.map_or_else(|| "/".to_owned(), |path| path.to_string()))
        .build();
    *request.uri_mut() = uri.map_err(|error| ProxyError::caused_by(ErrorKind::Internal, error))?;
    *request.version_mut() = Version::HTTP_2;
    Ok(())
}

/// What went wrong, by what hyper tells of it.
fn kind_of(error: &hyper::Error) -> ErrorKind {
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return ErrorKind::Terminated;
    }
    if error.is_parse() {
        return ErrorKind::Protocol;
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.is::<io::Error>() {
            return ErrorKind::Terminated;
        }
        source = cause.source();
    }
    ErrorKind::Protocol
}

/// Idle time up to which an upstream is taken to keep its connections.
const SURELY_OPEN: Duration = Duration::from_secs(1);
