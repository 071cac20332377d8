//! What a request counts as, and when.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use breaker_tower::breaker_core::policy::FailureRules;
use breaker_tower::breaker_core::{Attribution, Classification};
use breaker_tower::{
    BoxError, BreakerHandle, BreakerLayer, Classified, Classify, Ending, HttpClassifier, Seen,
    State,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::time::advance;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::harness::*;

#[tokio::test(start_paused = true)]
async fn a_dropped_future_is_ignored_and_gives_its_permit_back() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    let call = service.ready().await.unwrap().call(request());
    let _answer = accept(&mut upstream).await;
    assert_eq!(breaker.snapshot().in_flight, 1);
    drop(call);
    assert_eq!(breaker.snapshot().in_flight, 0);
    assert_eq!(counted(&breaker), (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_never_polled_gives_its_permit_back() {
    let (mut service, _upstream, breaker) = behind(touchy());
    drop(service.ready().await.unwrap().call(request()));
    assert_eq!(breaker.snapshot().in_flight, 0);
    assert_eq!(counted(&breaker), (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_success_counts_at_the_end_of_its_body_only() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    let (mut sender, body) = streamed();
    let answer = exchange(&mut service, &mut upstream, response(200, body)).await;
    let mut body = pin!(answer.into_body());
    sender.send_data(Bytes::from("part")).await.unwrap();
    body.frame().await.unwrap().unwrap();
    assert_eq!(counted(&breaker), (0, 0, 0));
    drop(sender);
    assert!(body.frame().await.is_none());
    assert_eq!(counted(&breaker), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_of_known_length_counts_with_its_last_frame() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    let answer = exchange(&mut service, &mut upstream, response(200, full("all"))).await;
    let mut body = pin!(answer.into_body());
    body.frame().await.unwrap().unwrap();
    assert_eq!(counted(&breaker), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_body_counts_with_its_head() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    let answer = exchange(&mut service, &mut upstream, response(204, empty())).await;
    assert_eq!(counted(&breaker), (1, 0, 0));
    drop(answer);
    assert_eq!(counted(&breaker), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_head_counts_with_its_head_though_nobody_reads_the_body() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    let mut head = request();
    *head.method_mut() = Method::HEAD;
    let call = service.ready().await.unwrap().call(head);
    let answer = accept(&mut upstream).await;
    answer.send_response(response(200, full("never sent")));
    drop(call.await.unwrap());
    assert_eq!(counted(&breaker), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_body_is_ignored_and_gives_its_permit_back() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    let (_sender, body) = streamed();
    let answer = exchange(&mut service, &mut upstream, response(200, body)).await;
    assert_eq!(breaker.snapshot().in_flight, 1);
    drop(answer);
    assert_eq!(breaker.snapshot().in_flight, 0);
    assert_eq!(counted(&breaker), (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_failed_head_stays_a_failure_when_its_body_is_dropped() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    let (_sender, body) = streamed();
    drop(exchange(&mut service, &mut upstream, response(500, body)).await);
    assert_eq!(counted(&breaker), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_error_in_mid_stream_is_a_failure_though_the_head_was_200() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    let (mut sender, body) = streamed();
    let answer = exchange(&mut service, &mut upstream, response(200, body)).await;
    sender.send_data(Bytes::from("part")).await.unwrap();
    sender.abort("reset".into());
    let error = answer.into_body().collect().await.unwrap_err();
    assert_eq!(error.to_string(), "reset");
    assert_eq!(counted(&breaker), (0, 1, 0));
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn concurrency_counts_until_the_body_ends() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    let (sender, body) = streamed();
    let answer = exchange(&mut service, &mut upstream, response(200, body)).await;
    advance(Duration::from_secs(3)).await;
    assert_eq!(breaker.snapshot().in_flight, 1);
    drop(sender);
    answer.into_body().collect().await.unwrap();
    assert_eq!(breaker.snapshot().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn the_latency_is_that_of_the_head_however_long_the_body_takes() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    let call = service.ready().await.unwrap().call(request());
    let answer = accept(&mut upstream).await;
    advance(Duration::from_millis(100)).await;
    let (sender, body) = streamed();
    answer.send_response(response(200, body));
    let answer = call.await.unwrap();
    advance(Duration::from_secs(2)).await;
    drop(sender);
    answer.into_body().collect().await.unwrap();
    let latency = breaker.snapshot().sources[0].latency.unwrap();
    assert_eq!((latency.samples, latency.max.as_millis()), (1, 100));
}

#[derive(Debug, PartialEq)]
struct Refused(u16);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {} refused", self.0)
    }
}

impl std::error::Error for Refused {}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_inner_service_keeps_its_type_and_is_a_failure() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    let call = service.ready().await.unwrap().call(request());
    accept(&mut upstream).await.send_error(Refused(9001));
    let error = call.await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Refused(9001)));
    assert_eq!(counted(&breaker), (0, 1, 0));
}

/// Lays errors of type `Refused` to the caller's charge.
#[derive(Clone)]
struct Lenient;

impl Classify for Lenient {
    fn head(&self, rules: &FailureRules, status: StatusCode, headers: &HeaderMap) -> Classified {
        HttpClassifier.head(rules, status, headers)
    }

    fn trailers(&self, rules: &FailureRules, trailers: Option<&HeaderMap>) -> Ending {
        HttpClassifier.trailers(rules, trailers)
    }

    fn error(&self, error: &dyn std::any::Any) -> Ending {
        let boxed = error.downcast_ref::<BoxError>();
        match boxed.is_some_and(|error| error.is::<Refused>()) {
            true => Ending::caused_by(Attribution::Caller),
            false => HttpClassifier.error(error),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_classifier_says_whose_fault_an_error_is() {
    let breaker = BreakerHandle::new("test", touchy());
    let (inner, mut upstream) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    let mut service = BreakerLayer::new(breaker.clone())
        .classify(Lenient)
        .layer(inner);
    let call = service.ready().await.unwrap().call(request());
    accept(&mut upstream).await.send_error(Refused(1));
    call.await.unwrap_err();
    assert_eq!(counted(&breaker), (0, 0, 1));
    let call = service.ready().await.unwrap().call(request());
    accept(&mut upstream).await.send_error("else");
    call.await.unwrap_err();
    assert_eq!(counted(&breaker), (0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_inner_future_is_a_failure_and_gives_its_permit_back() {
    let breaker = BreakerHandle::new("test", touchy());
    let service = BreakerLayer::new(breaker.clone()).layer(service_fn(panics));
    let task = tokio::spawn(service.oneshot(request()));
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(breaker.snapshot().in_flight, 0);
    assert_eq!(counted(&breaker), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_panic_that_is_caught_is_a_failure_before_the_future_is_dropped() {
    let breaker = BreakerHandle::new("test", touchy());
    let service = BreakerLayer::new(breaker.clone()).layer(service_fn(panics));
    let mut call = Box::pin(service.oneshot(request()));
    let caught = std::future::poll_fn(|cx| {
        let poll = std::panic::AssertUnwindSafe(|| call.as_mut().poll(cx).is_pending());
        Poll::Ready(std::panic::catch_unwind(poll))
    });
    assert!(caught.await.is_err());
    assert_eq!(breaker.snapshot().in_flight, 0);
    assert_eq!(counted(&breaker), (0, 1, 0));
}

async fn panics(_: Request<Body>) -> Result<Response<Body>, Infallible> {
    panic!("as the test wants it")
}

#[tokio::test(start_paused = true)]
async fn nothing_but_404_and_nothing_but_cancelled_calls_never_trip() {
    let (mut service, mut upstream, breaker) = behind(sensitive());
    for _ in 0..200 {
        drop(exchange(&mut service, &mut upstream, response(404, empty())).await);
        advance(Duration::from_millis(10)).await;
    }
    for _ in 0..200 {
        let call = service.ready().await.unwrap().call(request());
        let _answer = accept(&mut upstream).await;
        drop(call);
        advance(Duration::from_millis(10)).await;
    }
    assert_eq!(counted(&breaker), (200, 0, 200));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_closure_classifies_by_head_extensions_trailers_and_error() {
    #[derive(Clone)]
    struct Degraded;

    let breaker = BreakerHandle::new("test", sensitive());
    let (inner, mut upstream) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    let layer = BreakerLayer::new(breaker.clone()).classify_fn(|seen| match seen {
        Seen::Head { status, .. } if status == 429 => Some(Classification::Failure.into()),
        Seen::Head { extensions, .. } if extensions.get::<Degraded>().is_some() => {
            Some(Classification::Failure.into())
        }
        Seen::Trailers {
            trailers: Some(trailers),
            ..
        } if trailers.contains_key("x-stale") => Some(Classification::Failure.into()),
        Seen::Error(_) => Some(Ending::caused_by(Attribution::Proxy)),
        _ => None,
    });
    let mut service = layer.layer(inner);
    let mut degraded = response(200, empty());
    degraded.extensions_mut().insert(Degraded);
    let mut stale = response(
        200,
        empty()
            .with_trailers(std::future::ready(Some(Ok(headers(&[
                ("grpc-status", "0"),
                ("x-stale", "1"),
            ])))))
            .boxed(),
    );
    let media_type = "application/grpc".parse().unwrap();
    stale.headers_mut().insert("content-type", media_type);
    let answers = [
        (response(200, empty()), (1, 0, 0)),
        (response(500, empty()), (1, 1, 0)),
        (response(429, empty()), (1, 2, 0)),
        (degraded, (1, 3, 0)),
        (stale, (1, 4, 0)),
    ];
    for (answer, expected) in answers {
        let call = service.ready().await.unwrap().call(request());
        accept(&mut upstream).await.send_response(answer);
        let body = call.await.unwrap().into_body();
        body.collect().await.unwrap();
        assert_eq!(counted(&breaker), expected);
    }
    let call = service.ready().await.unwrap().call(request());
    accept(&mut upstream).await.send_error("refused");
    call.await.unwrap_err();
    assert_eq!(counted(&breaker), (1, 4, 1));
}
