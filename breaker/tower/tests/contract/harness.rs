//! A mock upstream, and a breaker that one failure opens.

use std::time::Duration;

use breaker_tower::breaker_core::policy::{Condition, HalfOpen, Open, Ramp, TripEntry};
use breaker_tower::breaker_core::{Ratio, Totals};
use breaker_tower::{BoxError, BreakerBody, BreakerHandle, BreakerLayer, BreakerService, Policy};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::channel::Sender;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Channel, Empty, Full};
use tower::{Layer, Service, ServiceExt};
use tower_test::mock::{self, Mock, SendResponse};

pub(crate) type Body = BoxBody<Bytes, BoxError>;
pub(crate) type Inner = Mock<Request<Body>, Response<Body>>;
pub(crate) type Upstream = mock::Handle<Request<Body>, Response<Body>>;
pub(crate) type Answer = SendResponse<Response<Body>>;

pub(crate) const OPEN_FOR: Duration = Duration::from_secs(10);
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// One failure opens, one good probe closes; no jitter.
pub(crate) fn touchy() -> Policy {
    Policy::builder("touchy")
        .trip([TripEntry::open([Condition::ConsecutiveFailures(1)])])
        .open(Open {
            period: OPEN_FOR,
            jitter: Ratio::ZERO,
            ..Open::default()
        })
        .half_open(HalfOpen {
            probes: 1,
            concurrent: 1,
            probe_timeout: PROBE_TIMEOUT,
            ..HalfOpen::default()
        })
        .ramp(Ramp {
            period: Duration::ZERO,
            ..Ramp::default()
        })
        .build()
        .unwrap()
}

/// `sensitive`, without jitter.
pub(crate) fn sensitive() -> Policy {
    let builder: breaker_core::policy::Builder = Policy::sensitive().into();
    builder
        .open(Open {
            jitter: Ratio::ZERO,
            ..Open::default()
        })
        .build()
        .unwrap()
}

pub(crate) fn behind(policy: Policy) -> (BreakerService<Inner>, Upstream, BreakerHandle) {
    let breaker = BreakerHandle::new("test", policy);
    let (inner, upstream) = mock::pair();
    let service = BreakerLayer::new(breaker.clone()).layer(inner);
    (service, upstream, breaker)
}

pub(crate) fn request() -> Request<Body> {
    Request::new(empty())
}

pub(crate) fn empty() -> Body {
    Empty::new().map_err(Into::into).boxed()
}

pub(crate) fn full(data: &'static str) -> Body {
    Full::from(data).map_err(Into::into).boxed()
}

/// A body that is sent piece by piece.
pub(crate) fn streamed() -> (Sender<Bytes, BoxError>, Body) {
    let (sender, body) = Channel::new(4);
    (sender, body.boxed())
}

pub(crate) fn response(status: u16, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

pub(crate) fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect()
}

/// The next request that reaches the upstream, to be answered later.
pub(crate) async fn accept(upstream: &mut Upstream) -> Answer {
    let (_, answer) = upstream.next_request().await.unwrap();
    answer
}

/// Sends a request, and answers it with `answer`.
pub(crate) async fn exchange(
    service: &mut BreakerService<Inner>,
    upstream: &mut Upstream,
    answer: Response<Body>,
) -> Response<BreakerBody<Body>> {
    let call = service.ready().await.unwrap().call(request());
    accept(upstream).await.send_response(answer);
    call.await.unwrap()
}

/// Makes a breaker with the policy [`touchy`] open.
pub(crate) async fn trip(service: &mut BreakerService<Inner>, upstream: &mut Upstream) {
    drop(exchange(service, upstream, response(500, empty())).await);
}

/// Successes, failures and ignored ends.
pub(crate) fn counted(breaker: &BreakerHandle) -> (u64, u64, u64) {
    let Totals {
        success,
        failure,
        ignored,
        ..
    } = breaker.snapshot().totals;
    (success, failure, ignored)
}
