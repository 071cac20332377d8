//! One request on its way over HTTP/1.1, from the choice of its connection to its answer.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::spare::Spare;
use super::wait::Wait;
use super::{Answer, ForwardState};
use crate::message::RequestBody;
use crate::message::client::Client;
use crate::message::error::{ErrorKind, ProxyError};
use crate::message::framing;
use crate::message::headers::{self, Fields};
use crate::message::timers::Deadline;
use crate::message::upgrade;
use crate::proxy::body::ResponseBody;
use crate::proxy::body::response::{Reading, Source, Streamed};
use crate::proxy::deadline::CallerTime;
use crate::proxy::interim::Interim;
use crate::upstream::attempt::Attempt;
use crate::upstream::connections::{Connections, Opened};
use crate::upstream::exchange::Exchange;

/// One request on its way.
pub(super) struct Pending {
    pub(super) shared: Rc<ForwardState>,
    pub(super) wait: Wait,
    pub(super) attempt: Attempt,
    /// Whether it is the first of the attempts that `retry` allows. What a connection in use may
    /// have delivered is sent again once for each request, not once for each attempt.
    pub(super) is_first: bool,
    pub(super) is_grpc: bool,
    /// The caller's deadline.
    pub(super) time: Option<CallerTime>,
    /// The client, and its interim responses, if it can take them.
    pub(super) interim: Option<(Interim, Rc<Client>)>,
    /// The client, if it wants to switch protocols, and what it offers.
    pub(super) switch: Option<(Rc<Client>, HeaderValue)>,
}

// === impl Pending ===

impl Pending {
    pub(super) fn new(
        shared: Rc<ForwardState>,
        attempt: Attempt,
        is_first: bool,
        limit: Option<(Duration, Deadline)>,
        request: &mut Request<RequestBody>,
    ) -> Self {
        let upload = request.body().upload();
        if let Some(upload) = &upload
            && let Some(pause) = request.extensions_mut().remove()
        {
            upload.pauses(Some(pause));
        }
        let fields = request.body().fields();
        let interim = (request.version() == Version::HTTP_11)
            .then(|| (Interim::of(request), request.body().client().clone()));
        Self {
            wait: Wait::new(limit, upload, &shared.timers),
            interim,
            attempt,
            is_first,
            shared,
            is_grpc: fields.has(Fields::GRPC),
            time: request.extensions().get().copied(),
            switch: fields
                .has(Fields::SWITCH)
                .then(|| upgrade::offered(request.headers()))
                .flatten()
                .map(|offered| (request.body().client().clone(), offered)),
        }
    }

    /// Says in `request`, which is about to be sent, how much is left of the caller's time.
    pub(super) fn passes_on(
        &mut self,
        request: &mut Request<RequestBody>,
    ) -> Result<(), ProxyError> {
        let Some(time) = self.time else {
            return Ok(());
        };
        match self.shared.deadline.pass_on(request.headers_mut(), time) {
            true => Ok(()),
            false => Err(self.attempt.failed(ErrorKind::DeadlineExceeded.into())),
        }
    }

    /// Sends over a connection that was used before; once more over a new one, if it turns out to
    /// be closed before the request can have had an effect.
    pub(super) fn reuse(
        mut self,
        mut exchange: Box<Exchange>,
        connections: Rc<Connections>,
        mut request: Request<RequestBody>,
    ) -> impl Future<Output = Answer> {
        let sent = self.passes_on(&mut request).map(|()| {
            let spare = Spare::of(&request);
            (exchange.send(request), spare)
        });
        async move {
            let (sent, spare) = sent?;
            let interim = self.interim.as_ref();
            let answer = self.wait.driving(&mut exchange, interim, sent).await;
            match answer.map_err(|error| self.attempt.failed(error))? {
                Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                    Box::pin(self.switch(response, exchange)).await
                }
                Ok(response) => self.stream(response, Source::Http1(exchange, connections)),
                Err(mut failed) => {
                    if let Some(unsent) = failed.take_message() {
                        return Box::pin(self.open(connections, unsent)).await;
                    }
                    let error = self.wait.error(failed.into_error());
                    let may_be_lost = self.is_first && !exchange.has_read();
                    if error.kind() != ErrorKind::Terminated || !may_be_lost {
                        return Err(self.attempt.failed(error));
                    }
                    Box::pin(self.lost(error, exchange, connections, spare)).await
                }
            }
        }
    }

    /// Deals with a request that a reused connection lost before a byte of its answer: sends it
    /// again if it had no effect or may have it twice. That an unused connection was closed just
    /// then says nothing of the upstream.
    async fn lost(
        mut self,
        mut error: ProxyError,
        exchange: Box<Exchange>,
        connections: Rc<Connections>,
        spare: Spare,
    ) -> Answer {
        let spare = spare.whole();
        let mut may_again = true;
        if !spare
            .as_ref()
            .is_some_and(|spare| spare.method().is_idempotent())
        {
            let was_closed_before = exchange.was_closed_before().await;
            may_again = was_closed_before;
            if was_closed_before || connections.excuses_loss() {
                error = ProxyError::caused_by(ErrorKind::Unreceived, error);
            }
        }
        let Some(request) = spare.filter(|_| may_again) else {
            return Err(self.attempt.failed(error));
        };
        // One that ends its connections may be about to stop. That it does says nothing of it.
        let connections = match self.shared.pool.pick(&[connections.id()]) {
            Some(other) => {
                let connections = other.connections.clone();
                self.attempt.again(ErrorKind::Unreceived, other);
                connections
            }
            None => {
                self.attempt.again_there(error.kind());
                connections
            }
        };
        self.open(connections, *request).await
    }

    /// Sends over a new connection, of another endpoint if this one can't be connected to.
    pub(super) async fn open(
        mut self,
        first: Rc<Connections>,
        request: Request<RequestBody>,
    ) -> Answer {
        let shared = self.shared.clone();
        let (mut first, mut request, mut tried) = (first, request, Vec::new());
        loop {
            let is_switch = self.switch.is_some();
            let opening = shared
                .pool
                .open(first, &mut self.attempt, &mut tried, is_switch);
            let opened = self.wait.within(ErrorKind::ConnectTimeout, opening).await;
            let (opened, connections) = opened.map_err(|error| self.attempt.failed(error))?;
            let mut exchange = match opened {
                Opened::Http1(exchange) => exchange,
                Opened::Http2 => return Box::pin(self.multiplex(connections, request)).await,
            };
            self.passes_on(&mut request)?;
            let is_idempotent = request.method().is_idempotent();
            let spare = connections.is_secure().then(|| Spare::of(&request));
            let sent = exchange.send(request);
            let interim = self.interim.as_ref();
            let answer = self.wait.driving(&mut exchange, interim, sent).await;
            let mut failed = match answer.map_err(|error| self.attempt.failed(error))? {
                Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                    return Box::pin(self.switch(response, exchange)).await;
                }
                Ok(response) => {
                    if !is_idempotent {
                        connections.is_proved();
                    }
                    return self.stream(response, Source::Http1(exchange, connections));
                }
                Err(failed) => failed,
            };
            let unsent = failed.take_message();
            let error = self.wait.error(failed.into_error());
            let Some(alert) = exchange.refusal() else {
                return Err(self.attempt.failed(error));
            };
            // As if it could not be connected to.
            let error = ProxyError::refused_by(alert, error);
            tried.push(connections.id());
            let again = unsent.or_else(|| spare?.whole().map(|whole| *whole));
            let (Some(next), Some(again)) = (shared.pool.pick(&tried), again) else {
                return Err(self.attempt.failed(error));
            };
            first = next.connections.clone();
            self.attempt.again(error.kind(), next);
            request = again;
        }
    }

    /// Hands the upstream's connection to the client's, which leaves HTTP too once this response is
    /// written.
    async fn switch(mut self, mut response: Response<Incoming>, exchange: Box<Exchange>) -> Answer {
        self.attempt.answered(&mut response);
        let switch = self.switch.take();
        let switch = switch.filter(|(_, offered)| upgrade::is_offered(response.headers(), offered));
        let Some((client, _)) = switch else {
            return Err(self.attempt.failed(ErrorKind::UpgradeUnasked.into()));
        };
        headers::strip_response(response.headers_mut(), true);
        // Not before the whole request is sent (RFC 9110, 7.8): until then it is an upload as any
        // other.
        let upgrade = async { Ok(exchange.upgrade().await) };
        let upgraded = self.wait.within(ErrorKind::ResponseTimeout, upgrade).await;
        let upgraded = upgraded.and_then(|done| done.map_err(|error| self.wait.error(error)));
        client.offer_upgrade(upgraded.map_err(|error| self.attempt.failed(error))?);
        self.attempt.complete();
        Ok(response.map(|_| ResponseBody::local("")))
    }

    pub(super) fn stream(mut self, mut response: Response<Incoming>, mut source: Source) -> Answer {
        self.attempt.answered(&mut response);
        if !response.body().is_end_stream() && !framing::is_decoded(response.headers()) {
            let error = ProxyError::caused_by(ErrorKind::Protocol, "unknown transfer coding");
            return Err(self.attempt.failed(error));
        }
        *response.version_mut() = Version::HTTP_11;
        let kept = headers::strip_response(response.headers_mut(), false);
        framing::settle_length(response.status(), response.headers_mut());
        if let (Some(kept), Source::Http1(exchange, _)) = (kept, &mut source) {
            // A second early, or a request races with the upstream's close.
            let kept = Duration::from_secs(kept.saturating_sub(1));
            exchange.idle_until = Some(Instant::now() + kept);
        }
        let rests = self.is_grpc || headers::is_event_stream(response.headers());
        let idle = self.shared.body_idle.filter(|_| !rests);
        let timers = self.shared.timers.clone();
        let upload = self.wait.into_upload();
        Ok(response.map(|incoming| {
            ResponseBody::upstream(Streamed {
                incoming,
                source,
                upload,
                attempt: Some(self.attempt),
                idle,
                stalled: None,
                timers,
                reading: Reading::begin(),
            })
        }))
    }
}
