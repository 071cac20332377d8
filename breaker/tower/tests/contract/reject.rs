//! What becomes of a rejected request, and of breakers in series.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use breaker_tower::core::policy::Builder;
use breaker_tower::{BreakerHandle, BreakerLayer, Mode, Rejected, State, rejection};
use http::{Request, Response};
use tokio::time::advance;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

use crate::harness::*;

fn open() -> BreakerHandle {
    let breaker = BreakerHandle::new("inner", touchy());
    breaker.force(Mode::ForcedOpen);
    breaker
}

async fn unreachable(_: Request<Body>) -> Result<Response<Body>, Infallible> {
    unreachable!("the breaker is open")
}

#[expect(clippy::needless_pass_by_value, reason = "what respond takes")]
fn unavailable(rejected: Rejected, _: Request<Body>) -> Response<Body> {
    let mut response = response(503, empty());
    let seconds = rejected.retry_after.as_secs().to_string();
    response
        .headers_mut()
        .insert("retry-after", seconds.parse().unwrap());
    response
}

#[tokio::test(start_paused = true)]
async fn respond_answers_and_leaves_the_inner_error_type_alone() {
    let mut service = BreakerLayer::new(open())
        .respond(unavailable)
        .layer(service_fn(unreachable));
    let answer: Result<_, Infallible> = service.ready().await.unwrap().call(request()).await;
    let Ok(answer) = answer;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "10");
    assert!(answer.extensions().get::<Rejected>().is_some());
}

#[tokio::test(start_paused = true)]
async fn rejections_are_counted_and_are_no_outcomes() {
    let breaker = open();
    let mut service = BreakerLayer::new(breaker.clone())
        .respond(unavailable)
        .layer(service_fn(unreachable));
    for _ in 0..50 {
        let Ok(_) = service.ready().await.unwrap().call(request()).await;
    }
    assert_eq!(breaker.snapshot().totals.rejected, 50);
    assert_eq!(counted(&breaker), (0, 0, 0));
    assert_eq!(breaker.snapshot().sources[0].requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_never_less_than_the_open_time_that_remains() {
    let (mut service, mut upstream, _) = behind(touchy());
    trip(&mut service, &mut upstream).await;
    advance(Duration::from_secs(4)).await;
    let error = service
        .ready()
        .await
        .unwrap()
        .call(request())
        .await
        .unwrap_err();
    let rejected = rejection(&*error).unwrap();
    assert_eq!(
        (rejected.state, rejected.retry_after),
        (State::Open, Duration::from_secs(6))
    );
}

#[derive(Debug)]
struct Wrapped(BoxError);

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wrapped")
    }
}

impl std::error::Error for Wrapped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn rejection_finds_the_cause_through_wrapped_errors() {
    let service = BreakerLayer::new(open()).layer(service_fn(unreachable));
    let error = service.oneshot(request()).await.unwrap_err();
    let error = Wrapped(Box::new(Wrapped(error)));
    assert_eq!(rejection(&error).unwrap().state, State::Open);
    assert!(rejection(&Wrapped("other".into())).is_none());
}

#[tokio::test(start_paused = true)]
async fn the_outer_breaker_of_two_does_not_count_the_inner_ones_error() {
    let outer = BreakerHandle::new("outer", touchy());
    let inner = BreakerLayer::new(open()).layer(service_fn(unreachable));
    let wrapping = inner.map_err(|error| BoxError::from(Wrapped(error)));
    let mut service = BreakerLayer::new(outer.clone()).layer(wrapping);
    for _ in 0..3 {
        service
            .ready()
            .await
            .unwrap()
            .call(request())
            .await
            .unwrap_err();
    }
    assert_eq!((outer.state(), counted(&outer)), (State::Closed, (0, 0, 3)));
}

#[tokio::test(start_paused = true)]
async fn the_outer_breaker_of_two_does_not_count_the_inner_ones_response() {
    let outer = BreakerHandle::new("outer", touchy());
    let inner = BreakerLayer::new(open())
        .respond(unavailable)
        .layer(service_fn(unreachable));
    let mut service = BreakerLayer::new(outer.clone()).layer(inner);
    for _ in 0..3 {
        drop(
            service
                .ready()
                .await
                .unwrap()
                .call(request())
                .await
                .unwrap(),
        );
    }
    assert_eq!((outer.state(), counted(&outer)), (State::Closed, (0, 0, 3)));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_of_a_breaker_in_another_process_is_told_by_proxy_status() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    let mut answer = response(503, empty());
    let value = "sidecar; error=destination_unavailable; details=\"open\"";
    answer
        .headers_mut()
        .insert("proxy-status", value.parse().unwrap());
    drop(exchange(&mut service, &mut upstream, answer).await);
    assert_eq!(counted(&breaker), (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_asks_to_be_left_alone_is_when_the_policy_honours_it() {
    for (honour, state) in [(true, State::Open), (false, State::Closed)] {
        let policy = Builder::from(sensitive()).honour_retry_after(honour);
        let (mut service, mut upstream, breaker) = behind(policy.build().unwrap());
        let mut answer = response(429, empty());
        answer
            .headers_mut()
            .insert("retry-after", "7".parse().unwrap());
        drop(exchange(&mut service, &mut upstream, answer).await);
        assert_eq!(breaker.state(), state);
    }
}

#[tokio::test(start_paused = true)]
async fn shadow_mode_rejects_nothing_and_counts_what_it_would_have() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    breaker.force(Mode::Shadow);
    trip(&mut service, &mut upstream).await;
    assert_eq!(breaker.state(), State::Open);
    let answer = exchange(&mut service, &mut upstream, response(200, empty())).await;
    assert_eq!(answer.status(), 200);
    let totals = breaker.snapshot().totals;
    assert_eq!((totals.rejected, totals.would_reject), (0, 1));
}
