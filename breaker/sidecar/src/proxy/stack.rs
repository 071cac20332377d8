//! What a request of a route passes through, from the outside in: the limit, the breaker, the
//! upstream.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use breaker_tower::{BreakerBody, BreakerHandle, BreakerLayer, BreakerService, Rejected, Respond};
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::body::ResponseBody;
use super::deadline::{Deadlined, DeadlinedBody};
use super::fallback::{Substitute, Substituted};
use super::forward::Forward;
use super::judge::Judge;
use super::respond::{self, Form};
use super::route::Route;
use crate::message::body::RequestBody;
use crate::message::decision::{Decided, Watcher};
use crate::message::error::ErrorKind;
use crate::message::record::Recorder;
use crate::message::timers::Timers;
use crate::upstream::pool::Pool;

/// The services of one route on one worker.
pub(crate) type RouteService =
    BreakerService<Deadlined<Forward>, BreakerHandle, Judge, Respond<Answer>, Watcher>;
/// The body of their responses.
pub(crate) type RouteBody = BreakerBody<DeadlinedBody, Judge, Option<Decided>>;
/// Answers a rejected request.
type Answer = fn(Rejected, Request<RequestBody>) -> Response<DeadlinedBody>;

/// One route on one worker.
pub(crate) struct Stack {
    service: RefCell<RouteService>,
    fallback: Option<Substitute>,
    pub(crate) name: Rc<str>,
    breaker: BreakerHandle,
    limit: Option<usize>,
    in_flight: Rc<Cell<usize>>,
}

/// What comes of a request.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are routed: a box would cost each an allocation"
)]
pub(crate) enum Called {
    /// It goes the way of its route.
    Routed(<RouteService as Service<Request<RequestBody>>>::Future),
    /// The breaker rejects it, and the fallback has it.
    Rejected(Substituted),
}

/// A request's place within its route's limit.
pub(crate) struct RouteSlot(Rc<Cell<usize>>);

/// A route has as many requests in flight as it may.
#[derive(Debug)]
pub(crate) struct Full;

// === impl Stack ===

impl Stack {
    pub(crate) fn new(
        route: &Route,
        pool: Rc<Pool>,
        first_endpoint: usize,
        timers: Rc<Timers>,
        recorder: Rc<dyn Recorder>,
    ) -> Self {
        let forward = Forward::new(pool, first_endpoint, route, timers.clone(), recorder);
        let forward = Deadlined::new(forward, timers);
        let answer: Answer = match route.fallback {
            Some(_) => hold,
            None => reject,
        };
        let layer = BreakerLayer::new(route.breaker.clone())
            .classify(Judge::default())
            .respond(answer)
            .with_observer(Watcher)
            .await_upload();
        Self {
            service: RefCell::new(layer.layer(forward)),
            fallback: None,
            name: Rc::from(&**route.name()),
            breaker: route.breaker.clone(),
            limit: route.max_in_flight,
            in_flight: Rc::default(),
        }
    }

    /// Has `fallback` answer what the breaker rejects.
    pub(crate) fn falling_back(self, fallback: Option<Substitute>) -> Self {
        Self { fallback, ..self }
    }

    /// Sends a request on its way. The service is not asked whether it is ready: the breaker
    /// rejects in the call, and the forwarder always is.
    pub(crate) fn call(&self, request: Request<RequestBody>) -> Called {
        let Some(fallback) = &self.fallback else {
            return Called::Routed(self.service.borrow_mut().call(request));
        };
        let decided = request.body().decided().cloned().unwrap_or_default();
        let future = self.service.borrow_mut().call(request);
        match decided.held() {
            Some(held) => Called::Rejected(fallback.answers(*held)),
            None => Called::Routed(future),
        }
    }

    /// Counts requests in flight by `count`, together with earlier stacks of the same route.
    pub(crate) fn counting_by(mut self, count: &Rc<Cell<usize>>) -> Self {
        self.in_flight = count.clone();
        self
    }

    /// Counts a request that ends with an error before the breaker is asked.
    pub(crate) fn ends_before(&self, error: ErrorKind) {
        self.breaker.ignore(error.attribution());
    }

    /// A place for one more request, unless the route is full.
    pub(crate) fn admit(&self) -> Result<Option<RouteSlot>, Full> {
        let Some(limit) = self.limit else {
            return Ok(None);
        };
        let in_flight = self.in_flight.get();
        if in_flight >= limit {
            return Err(Full);
        }
        self.in_flight.set(in_flight + 1);
        Ok(Some(RouteSlot(self.in_flight.clone())))
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature is the layer's"
)]
fn reject(rejected: Rejected, request: Request<RequestBody>) -> Response<DeadlinedBody> {
    let form = Form::of(request.body().fields(), request.version());
    respond::rejected(form, request.body().route(), &rejected).map(DeadlinedBody::from)
}

/// Lets the fallback have it. Nobody sees this response.
fn hold(rejected: Rejected, request: Request<RequestBody>) -> Response<DeadlinedBody> {
    let Some(decided) = request.body().decided().cloned() else {
        return reject(rejected, request);
    };
    decided.hold(rejected, request);
    Response::new(ResponseBody::local("").into())
}

impl Drop for RouteSlot {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
