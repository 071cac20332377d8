//! What a request of a route passes through, from the outside in: the limit, the breaker, the
//! upstream.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use breaker_tower::core::policy::FailureRules;
use breaker_tower::core::{Attribution, Classification};
use breaker_tower::{
    BreakerBody, BreakerHandle, BreakerLayer, BreakerService, Classified, Classify, Ending,
    HttpClassifier, Rejected, Respond,
};
use http::{Extensions, HeaderMap, Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use super::body::ResponseBody;
use super::deadline::{Deadlined, DeadlinedBody};
use super::fallback::{Substitute, Substituted};
use super::forward::Forward;
use super::respond::{self, Form};
use super::route::Route;
use crate::message::body::RequestBody;
use crate::message::decision::{Decided, Watcher};
use crate::message::error::{ErrorKind, ProxyError};
use crate::message::record::Recorder;
use crate::message::timers::Timers;
use crate::upstream::attempt::OfOneEndpoint;
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
pub(crate) struct Place(Rc<Cell<usize>>);

/// A route has as many requests in flight as it may.
#[derive(Debug)]
pub(crate) struct Full;

/// Judges answers as HTTP and gRPC say, and errors by whose fault they are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Judge(HttpClassifier);

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
    pub(crate) fn admit(&self) -> Result<Option<Place>, Full> {
        let Some(limit) = self.limit else {
            return Ok(None);
        };
        let in_flight = self.in_flight.get();
        if in_flight >= limit {
            return Err(Full);
        }
        self.in_flight.set(in_flight + 1);
        Ok(Some(Place(self.in_flight.clone())))
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

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

// === impl Judge ===

impl Classify for Judge {
    fn head(&self, rules: &FailureRules, status: StatusCode, headers: &HeaderMap) -> Classified {
        self.0.head(rules, status, headers)
    }

    /// A failure of one endpoint, of several that do not fail, is the matter of who chooses among
    /// them.
    fn response(
        &self,
        rules: &FailureRules,
        status: StatusCode,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Classified {
        match self.head(rules, status, headers) {
            Classified::Head(ending)
                if ending.classification == Classification::Failure
                    && extensions.get::<OfOneEndpoint>().is_some() =>
            {
                Classified::Head(Ending::caused_by(Attribution::Proxy))
            }
            classified => classified,
        }
    }

    fn trailers(&self, rules: &FailureRules, trailers: Option<&HeaderMap>) -> Ending {
        self.0.trailers(rules, trailers)
    }

    fn error(&self, error: &dyn Any) -> Ending {
        let Some(error) = error.downcast_ref::<ProxyError>() else {
            return Classification::Failure.into();
        };
        match (error.kind(), error.attribution()) {
            (ErrorKind::ResponseTimeout, Attribution::Upstream) => Ending::TIMED_OUT,
            (_, Attribution::Upstream) => Classification::Failure.into(),
            (_, other) => Ending::caused_by(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_upstream_caused_is_a_failure() {
        let judge = Judge(HttpClassifier);
        for kind in ErrorKind::ALL {
            let ending = judge.error(&ProxyError::from(kind));
            let expected = match kind.attribution() {
                Attribution::Upstream => Classification::Failure,
                _ => Classification::Ignored,
            };
            assert_eq!(ending.classification, expected, "{kind}");
            assert_eq!(ending.attribution, kind.attribution(), "{kind}");
            let timed_out = kind == ErrorKind::ResponseTimeout;
            assert_eq!(ending.timed_out, timed_out, "{kind}");
        }
    }
}
