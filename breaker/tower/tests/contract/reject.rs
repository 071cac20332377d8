//! What becomes of a rejected request, and of breakers in series.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use breaker_tower::breaker_core::policy::Builder;
use breaker_tower::{
    BreakerHandle, BreakerLayer, Mode, OnDrop, Rejected, RejectedExt, State, rejection,
};
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::time::{advance, sleep};
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
async fn an_answer_is_marked_for_the_breakers_before_it_and_needs_no_body() {
    let mut service = BreakerLayer::new(open())
        .answer()
        .layer(service_fn(unreachable));
    let Ok(answer) = service.ready().await.unwrap().call(request()).await;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "10");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let marked = answer.headers()["proxy-status"].to_str().unwrap();
    assert!(marked.starts_with("breaker; error=destination_unavailable; details=\""));
    assert!(answer.body().get_ref().is_none());
    assert!(http_body::Body::is_end_stream(answer.body()));

    let mut call = request();
    let media_type = "application/grpc+proto".parse().unwrap();
    call.headers_mut().insert("content-type", media_type);
    let Ok(answer) = service.ready().await.unwrap().call(call).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["grpc-status"]),
        (200, &"14".parse().unwrap())
    );
    assert_eq!(answer.headers()["grpc-retry-pushback-ms"], "10000");
    assert!(answer.headers().contains_key("proxy-status"));
}

#[tokio::test(start_paused = true)]
async fn the_policy_says_status_and_body_of_a_rejection() {
    let mut reject = breaker_core::policy::Reject::default();
    (reject.status, reject.body) = (599, Some("come back later".into()));
    let policy = Builder::from(touchy()).reject(reject).build().unwrap();
    let breaker = BreakerHandle::new("test", policy);
    breaker.force(Mode::ForcedOpen);
    let rejected = breaker.try_acquire(OnDrop::Ignored).unwrap_err();
    let answer: Response<String> = rejected.http_response();
    assert_eq!(answer.status(), 599);
    assert_eq!(answer.body(), "come back later");
    let answer: Response<String> = open()
        .try_acquire(OnDrop::Ignored)
        .unwrap_err()
        .http_response();
    assert!(
        answer
            .body()
            .starts_with("rejected by the circuit breaker, which is open")
    );
    let answer: Response<String> = rejected.grpc_response();
    assert_eq!(answer.headers()["grpc-status"], "14");
}

#[tokio::test(start_paused = true)]
async fn a_fallback_answers_what_is_rejected_and_is_not_counted() {
    let breaker = BreakerHandle::new("test", touchy());
    let fallback = service_fn(async |request: Request<Body>| {
        let rejected = request.extensions().get::<Rejected>().unwrap();
        assert_eq!(rejected.state, State::Open);
        sleep(Duration::from_secs(1)).await;
        Ok::<_, Infallible>(response(500, full("of the fallback")))
    });
    let failing = async |_: Request<Body>| Ok::<_, Infallible>(response(500, empty()));
    let mut service = BreakerLayer::new(breaker.clone())
        .fallback(fallback)
        .layer(service_fn(failing));
    let Ok(answer) = service.ready().await.unwrap().call(request()).await;
    drop(answer);
    assert_eq!(
        (breaker.state(), counted(&breaker)),
        (State::Open, (0, 1, 0))
    );
    let Ok(answer) = service.ready().await.unwrap().call(request()).await;
    assert!(answer.extensions().get::<Rejected>().is_some());
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(
        (&*text, counted(&breaker)),
        (&b"of the fallback"[..], (0, 1, 0))
    );
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
