//! Sends a request to its upstream: the innermost service of a route, below the breaker.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use breaker_tower::BreakerHandle;
use http::{Request, Response, Version};
use tokio::time::Instant;
use tower_service::Service;

use self::pending::Pending;
use self::retry::Retrying;
use super::body::ResponseBody;
use super::deadline::DeadlineRules;
use super::retry::Retries;
use super::route::Route;
use super::via;
use crate::message::RequestBody;
use crate::message::error::ProxyError;
use crate::message::forwarded;
use crate::message::headers::{self, Fields};
use crate::message::record::Recorder;
use crate::message::timers::{Deadline, Timers};
use crate::upstream::Protocol;
use crate::upstream::attempt::Attempt;
use crate::upstream::connections::Connections;
use crate::upstream::pool::{Chosen, Pool};

mod form;
mod http2;
mod pending;
mod retry;
mod spare;
mod wait;

/// Sends requests to one upstream within the bounds of one route.
#[derive(Clone)]
pub struct Forward(Rc<ForwardState>);

struct ForwardState {
    pool: Rc<Pool>,
    /// The index of the upstream's first endpoint among those of all upstreams.
    first_endpoint: usize,
    timeout: Option<Duration>,
    body_idle: Option<Duration>,
    timers: Rc<Timers>,
    recorder: Rc<dyn Recorder>,
    /// Says what a failure of an endpoint is.
    breaker: BreakerHandle,
    /// Where a request says how long it may take.
    deadline: DeadlineRules,
    retries: Option<Arc<Retries>>,
}

type Answer = Result<Response<ResponseBody>, ProxyError>;

impl Forward {
    pub(crate) fn new(
        pool: Rc<Pool>,
        first_endpoint: usize,
        route: &Route,
        timers: Rc<Timers>,
        recorder: Rc<dyn Recorder>,
    ) -> Self {
        Self(Rc::new(ForwardState {
            pool,
            first_endpoint,
            timeout: route.timeout,
            body_idle: route.body.response_idle,
            timers,
            recorder,
            breaker: route.breaker.clone(),
            deadline: route.deadline.clone(),
            retries: route.retries.clone(),
        }))
    }

    /// The same for another upstream in the place of the route's, which has another `breaker`. What
    /// the other answers is passed on: retries are the route's, whose budget is of its requests.
    pub(crate) fn in_place(
        pool: Rc<Pool>,
        first_endpoint: usize,
        route: &Route,
        breaker: &BreakerHandle,
        timers: Rc<Timers>,
        recorder: Rc<dyn Recorder>,
    ) -> Self {
        let route = Route {
            breaker: breaker.clone(),
            retries: None,
            ..route.clone()
        };
        Self::new(pool, first_endpoint, &route, timers, recorder)
    }

    fn is_multiplexed(&self, connections: &Connections, request: &Request<RequestBody>) -> bool {
        let fields = request.body().fields();
        match self.0.pool.upstream().protocol {
            Protocol::Http1 => false,
            Protocol::H2c => true,
            Protocol::Auto if connections.chose_http2() => !fields.has(Fields::SWITCH),
            Protocol::Auto => fields.has(Fields::GRPC) && request.version() == Version::HTTP_2,
        }
    }
}

impl Service<Request<RequestBody>> for Forward {
    type Response = Response<ResponseBody>;
    type Error = ProxyError;
    type Future = Pin<Box<dyn Future<Output = Answer>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        Poll::Ready(Ok(()))
    }

    /// Sends at once over a connection that is there already. What can be done here is done here,
    /// before the future is made: a future that held the request would be copied with it.
    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        match self.0.pool.pick(&[]) {
            Some(chosen) => self.begin(chosen, request),
            None => Box::pin(self.clone().find(request)),
        }
    }
}

impl Forward {
    /// Waits for endpoints that are found by name, and sends then.
    async fn find(self, request: Request<RequestBody>) -> Answer {
        let chosen = self.0.pool.found().await?;
        self.begin(chosen, request).await
    }

    fn begin(
        &self,
        chosen: Chosen,
        request: Request<RequestBody>,
    ) -> Pin<Box<dyn Future<Output = Answer>>> {
        match Retrying::of(self, &request) {
            Some(retrying) => Box::pin(retrying.run(chosen, request)),
            None => self.send(chosen, request, None, true),
        }
    }

    /// The time for the head of an answer to `request`.
    fn timeout_of(&self, request: &Request<RequestBody>) -> Option<Duration> {
        let is_timed = !request.body().fields().has(Fields::UNTIMED);
        self.0.timeout.filter(|_| is_timed)
    }

    /// How long an attempt may wait for the head of its answer, from the end of the upload on, and
    /// until when at the soonest.
    fn limit(
        &self,
        request: &Request<RequestBody>,
        per_try: Option<Duration>,
    ) -> Option<(Duration, Deadline)> {
        let timeout = self.timeout_of(request);
        let own = timeout.map(|timeout| (timeout, request.body().started() + timeout));
        let limit = match (own, per_try) {
            (own, None) => own,
            (None, Some(per_try)) => Some((per_try, Instant::now() + per_try)),
            (Some((timeout, at)), Some(per_try)) => {
                let first = Instant::now() + per_try;
                Some(if first < at {
                    (per_try, first)
                } else {
                    (timeout, at)
                })
            }
        };
        limit.map(|(time, at)| (time, Deadline::new(at, &self.0.timers)))
    }

    /// Sends it to an endpoint, which has `per_try` if it does not have all the time of the route.
    fn send(
        &self,
        chosen: Chosen,
        mut request: Request<RequestBody>,
        per_try: Option<Duration>,
        is_first: bool,
    ) -> Pin<Box<dyn Future<Output = Answer>>> {
        let connections = chosen.connections.clone();
        let is_multiplexed = self.is_multiplexed(&connections, &request);
        let version = if is_multiplexed {
            Version::HTTP_2
        } else {
            Version::HTTP_11
        };
        let recorder = self.0.recorder.clone();
        let method = request.method().clone();
        let first = self.0.first_endpoint;
        let decided = request.body().decided().cloned();
        let mut attempt = Attempt::begin(recorder, method, first, chosen, version, decided);
        attempt.judged_by(&self.0.breaker, request.body());
        let limit = self.limit(&request, per_try);
        let pending = Pending::new(self.0.clone(), attempt, is_first, limit, &mut request);
        let fields = request.body().fields();
        let client = request.body().client().clone();
        headers::strip_request(request.headers_mut(), fields);
        forwarded::add(request.headers_mut(), fields, &client);
        via::add(request.headers_mut(), fields);
        if is_multiplexed {
            return Box::pin(pending.multiplex(connections, request));
        }
        form::for_http1(&mut request, &connections);
        let idle = match request.method().is_idempotent() {
            true => connections.take_idle(),
            false => connections.take_recent(),
        };
        match idle {
            Some(exchange) => Box::pin(pending.reuse(exchange, connections, request)),
            None => Box::pin(pending.open(connections, request)),
        }
    }
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Forward")
            .field(&self.0.pool.upstream().name)
            .finish()
    }
}
