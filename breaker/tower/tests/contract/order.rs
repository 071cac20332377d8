//! What the breaker counts when another layer is inside or outside of it: the rows of the chapter
//! "The order of layers".

use std::future::{Ready, ready};
use std::time::Duration;

use breaker_tower::{BoxError, BreakerHandle, BreakerLayer, State, rejection};
use http::{Request, Response};
use tokio::time::{advance, sleep};
use tower::buffer::BufferLayer;
use tower::limit::ConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::retry::{Policy, RetryLayer};
use tower::timeout::TimeoutLayer;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_test::mock;

use crate::harness::*;

const SECOND: Duration = Duration::from_secs(1);

/// Answers 500 after two seconds.
async fn slow(_: Request<Body>) -> Result<Response<Body>, BoxError> {
    sleep(2 * SECOND).await;
    Ok(response(500, empty()))
}

async fn failing(_: Request<Body>) -> Result<Response<Body>, BoxError> {
    Ok(response(500, empty()))
}

fn breaker() -> (BreakerHandle, BreakerLayer) {
    let breaker = BreakerHandle::new("test", sensitive());
    (breaker.clone(), BreakerLayer::new(breaker))
}

/// The first call of `service`.
async fn call<S, B>(service: S) -> Result<Response<B>, BoxError>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
{
    service.oneshot(request()).await.map_err(Into::into)
}

#[tokio::test(start_paused = true)]
async fn a_timeout_inside_is_a_failure() {
    let (breaker, layer) = breaker();
    let inside = TimeoutLayer::new(SECOND).layer(service_fn(slow));
    call(layer.layer(inside)).await.unwrap_err();
    assert_eq!(counted(&breaker), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_outside_is_a_caller_that_went_away() {
    let (breaker, layer) = breaker();
    let service = TimeoutLayer::new(SECOND).layer(layer.layer(service_fn(slow)));
    call(service).await.unwrap_err();
    assert_eq!(counted(&breaker), (0, 0, 1));
}

/// While nothing is answered, that is no way to hide an outage.
#[tokio::test(start_paused = true)]
async fn timeouts_outside_open_the_breaker_if_nothing_is_answered() {
    let (breaker, layer) = breaker();
    let service = TimeoutLayer::new(SECOND).layer(layer.layer(service_fn(slow)));
    let calls = (0..40).map(|_| tokio::spawn(service.clone().oneshot(request())));
    for call in calls.collect::<Vec<_>>() {
        drop(call.await.unwrap());
    }
    assert_eq!(breaker.state(), State::Open);
}

/// Tries three times, but not what the breaker rejects.
#[derive(Clone)]
struct Thrice(u32);

impl<B> Policy<Request<Body>, Response<B>, BoxError> for Thrice {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<Body>,
        result: &mut Result<Response<B>, BoxError>,
    ) -> Option<Ready<()>> {
        let retry = match result {
            Ok(response) => response.status() == 500,
            Err(error) => rejection(&**error).is_none(),
        };
        self.0 += 1;
        (retry && self.0 < 3).then(|| ready(()))
    }

    fn clone_request(&mut self, _: &Request<Body>) -> Option<Request<Body>> {
        Some(request())
    }
}

#[tokio::test(start_paused = true)]
async fn of_retries_outside_each_attempt_counts() {
    let (breaker, layer) = breaker();
    let service = RetryLayer::new(Thrice(0)).layer(layer.layer(service_fn(failing)));
    drop(call(service).await);
    assert_eq!(counted(&breaker), (0, 3, 0));
}

#[tokio::test(start_paused = true)]
async fn retries_inside_count_as_one_request() {
    let (breaker, layer) = breaker();
    let inside = RetryLayer::new(Thrice(0)).layer(service_fn(failing));
    drop(call(layer.layer(inside)).await);
    assert_eq!(counted(&breaker), (0, 1, 0));
}

/// One request that hangs, and the error of a second one.
async fn second_of_two<S, B>(service: S) -> BoxError
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError> + Clone,
{
    let mut first = tokio_test::task::spawn(call(service.clone()));
    assert!(first.poll().is_pending());
    let second = call(service).await;
    second.err().unwrap()
}

#[tokio::test(start_paused = true)]
async fn load_shed_outside_is_not_counted() {
    let (breaker, layer) = breaker();
    let service = ServiceBuilder::new()
        .layer(LoadShedLayer::new())
        .layer(ConcurrencyLimitLayer::new(1))
        .layer(layer)
        .service_fn(slow);
    second_of_two(service).await;
    assert_eq!(counted(&breaker), (0, 0, 1));
}

#[cfg(feature = "tower")]
#[tokio::test(start_paused = true)]
async fn load_shed_inside_is_ignored() {
    use breaker_tower::breaker_core::Attribution;

    let (breaker, layer) = breaker();
    let service = ServiceBuilder::new()
        .layer(layer)
        .layer(LoadShedLayer::new())
        .layer(ConcurrencyLimitLayer::new(1))
        .service_fn(slow);
    let error = second_of_two(service).await;
    assert!(error.is::<tower::load_shed::error::Overloaded>());
    assert_eq!(counted(&breaker), (0, 0, 2));
    let totals = breaker.snapshot().totals;
    let by_limit = totals
        .ignored_by()
        .find(|(by, _)| *by == Attribution::Proxy);
    assert_eq!(by_limit.unwrap().1, 1);
}

#[cfg(not(feature = "tower"))]
#[tokio::test(start_paused = true)]
async fn load_shed_inside_is_a_failure_without_the_feature() {
    let (breaker, layer) = breaker();
    let service = ServiceBuilder::new()
        .layer(layer)
        .layer(LoadShedLayer::new())
        .layer(ConcurrencyLimitLayer::new(1))
        .service_fn(slow);
    second_of_two(service).await;
    assert_eq!(counted(&breaker), (0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn to_wait_for_a_concurrency_limit_is_no_latency_inside_or_outside() {
    for is_inside in [false, true] {
        let (breaker, layer) = breaker();
        let limit = ConcurrencyLimitLayer::new(1);
        let service = match is_inside {
            true => tower::util::BoxCloneService::new(
                layer
                    .layer(limit.layer(service_fn(slow)))
                    .map_response(|_| ()),
            ),
            false => tower::util::BoxCloneService::new(
                limit
                    .layer(layer.layer(service_fn(slow)))
                    .map_response(|_| ()),
            ),
        };
        let calls = (0..4).map(|_| tokio::spawn(service.clone().oneshot(request())));
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap().unwrap();
        }
        let latency = breaker.snapshot().sources[0].latency.unwrap();
        assert!(latency.max < 3 * SECOND, "{is_inside}: {latency:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn to_wait_in_a_buffer_is_latency_inside_and_none_outside() {
    for (is_inside, expected) in [(false, 2), (true, 8)] {
        let (breaker, layer) = breaker();
        let buffer = BufferLayer::<Request<Body>>::new(16);
        let limit = ConcurrencyLimitLayer::new(1);
        let service = match is_inside {
            true => {
                let inside = buffer.layer(limit.layer(service_fn(slow)));
                tower::util::BoxCloneService::new(layer.layer(inside).map_response(|_| ()))
            }
            false => {
                let inside = layer.layer(limit.layer(service_fn(slow)));
                tower::util::BoxCloneService::new(buffer.layer(inside).map_response(|_| ()))
            }
        };
        let calls = (0..4).map(|_| tokio::spawn(service.clone().oneshot(request())));
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap().unwrap();
        }
        let latency = breaker.snapshot().sources[0].latency.unwrap();
        assert_eq!(
            latency.max.as_secs_f64().round() as u64,
            expected,
            "{is_inside}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_found_through_a_buffer() {
    let (breaker, layer) = breaker();
    breaker.force(breaker_tower::Mode::ForcedOpen);
    let buffer = BufferLayer::<Request<Body>>::new(16);
    let service = buffer.layer(layer.layer(service_fn(failing)));
    let error = call(service).await.unwrap_err();
    assert!(rejection(&*error).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_balancer_above_breakers_avoids_the_endpoint_that_is_open() {
    use tower::balance::p2c::Balance;
    use tower::discover::ServiceList;
    use tower::load::{CompleteOnResponse, PendingRequests};

    let mut breakers = Vec::new();
    let mut handles = Vec::new();
    let services = (0..2).map(|_| {
        let breaker = BreakerHandle::new("endpoint", touchy());
        let (inner, handle) = mock::pair::<Request<Body>, Response<Body>>();
        let layer = BreakerLayer::new(breaker.clone()).unready_while_open();
        breakers.push(breaker);
        handles.push(handle);
        PendingRequests::new(layer.layer(inner), CompleteOnResponse::default())
    });
    let services: Vec<_> = services.collect();
    let mut balance = Balance::new(ServiceList::new::<Request<Body>>(services));
    for (index, handle) in handles.into_iter().enumerate() {
        tokio::spawn(async move {
            let mut handle = handle;
            while let Some((_, answer)) = handle.next_request().await {
                let status = [500, 200][index];
                answer.send_response(response(status, empty()));
            }
        });
    }
    for _ in 0..50 {
        let answer = balance.ready().await.unwrap().call(request()).await;
        drop(answer.unwrap());
        advance(Duration::from_millis(1)).await;
    }
    assert_eq!(breakers[0].state(), State::Open);
    assert_eq!(counted(&breakers[0]), (0, 1, 0));
    assert_eq!(counted(&breakers[1]), (49, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_observes_sees_rejections_only_outside() {
    let (breaker, layer) = breaker();
    breaker.force(breaker_tower::Mode::ForcedOpen);
    let (seen_inside, seen_outside) = (Seen::default(), Seen::default());
    let service = ServiceBuilder::new()
        .map_request(seen_outside.clone().counting())
        .layer(layer)
        .map_request(seen_inside.clone().counting())
        .service_fn(failing);
    call(service).await.unwrap_err();
    assert_eq!((seen_outside.count(), seen_inside.count()), (1, 0));
}

/// As tower-http's `TraceLayer` does: notes what passes.
#[derive(Clone, Default)]
struct Seen(std::sync::Arc<std::sync::atomic::AtomicU64>);

impl Seen {
    fn counting(self) -> impl Fn(Request<Body>) -> Request<Body> + Clone {
        move |request| {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            request
        }
    }

    fn count(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}
