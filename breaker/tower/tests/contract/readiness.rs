//! `poll_ready` and what it promises.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use breaker_tower::{BreakerHandle, BreakerLayer, BreakerService, Mode, State, rejection};
use http::{Request, Response};
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready, assert_ready_ok};
use tower::{Layer, Service, ServiceExt};
use tower_test::mock;

use crate::harness::*;

fn spawned(breaker: &BreakerHandle) -> (mock::Spawn<BreakerService<Inner>>, Upstream) {
    mock::spawn_layer(BreakerLayer::new(breaker.clone()))
}

/// Answers 200 to the clone that asked whether it is ready, and 500 to others.
#[derive(Default)]
struct Strict {
    asked: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<Request<Body>> for Strict {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.asked = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let status = if std::mem::take(&mut self.asked) {
            200
        } else {
            500
        };
        ready(Ok(response(status, empty())))
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_belongs_to_the_clone_that_asked() {
    let breaker = BreakerHandle::new("test", sensitive());
    let mut service = BreakerLayer::new(breaker).layer(Strict::default());
    service.ready().await.unwrap();
    let mut clone = service.clone();
    assert_eq!(clone.call(request()).await.unwrap().status(), 500);
    assert_eq!(service.call(request()).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn ready_and_dropped_before_a_call_takes_no_permit() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    trip(&mut service, &mut upstream).await;
    advance(OPEN_FOR).await;
    for _ in 0..3 {
        let mut clone = service.clone();
        clone.ready().await.unwrap();
        drop(clone);
    }
    assert_eq!(breaker.snapshot().in_flight, 0);
    let answer = exchange(&mut service, &mut upstream, response(200, empty())).await;
    assert_eq!(
        (answer.status().as_u16(), breaker.state()),
        (200, State::Closed)
    );
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_is_ready_without_asking_the_inner_service() {
    let breaker = BreakerHandle::new("test", touchy());
    let (mut service, mut upstream) = spawned(&breaker);
    upstream.allow(0);
    assert_pending!(service.poll_ready::<Request<Body>>());
    breaker.force(Mode::ForcedOpen);
    assert_ready_ok!(service.poll_ready::<Request<Body>>());
    let error = service.call(request()).await.unwrap_err();
    assert!(rejection(&*error).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_skipped_the_inner_readiness_is_rejected_though_the_breaker_went_half_open() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    trip(&mut service, &mut upstream).await;
    service.ready().await.unwrap();
    advance(OPEN_FOR).await;
    assert_eq!(breaker.snapshot().state, State::HalfOpen);
    let error = service.call(request()).await.unwrap_err();
    assert!(rejection(&*error).is_some());
    let answer = exchange(&mut service, &mut upstream, response(200, empty())).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_the_error_of_a_call_and_never_of_poll_ready() {
    let (mut service, mut upstream, _) = behind(touchy());
    trip(&mut service, &mut upstream).await;
    for _ in 0..100 {
        let ready = service.ready().await;
        let error = ready.unwrap().call(request()).await.unwrap_err();
        assert!(rejection(&*error).is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_inner_readiness_passes_through() {
    let breaker = BreakerHandle::new("test", touchy());
    let (mut service, mut upstream) = spawned(&breaker);
    upstream.send_error("worn out");
    let error = assert_ready!(service.poll_ready::<Request<Body>>()).unwrap_err();
    assert_eq!(error.to_string(), "worn out");
    assert_eq!(counted(&breaker), (0, 0, 0));
}
