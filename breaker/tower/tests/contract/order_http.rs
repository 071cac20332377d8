//! What the breaker counts beside the layers of tower-http: rows of the chapter "The order of
//! layers".

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use breaker_tower::{BoxError, BreakerHandle, BreakerLayer, Ending, Mode, Seen};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use crate::harness::*;

const SECOND: Duration = Duration::from_secs(1);

type Whole = http_body_util::Full<bytes::Bytes>;

/// Answers 200 after two seconds.
async fn slow(_: Request<Body>) -> Result<Response<Whole>, BoxError> {
    sleep(2 * SECOND).await;
    Ok(Response::new("late".into()))
}

async fn paid(_: Request<Body>) -> Result<Response<Body>, BoxError> {
    Ok(response(200, full("paid")))
}

fn breaker() -> (BreakerHandle, BreakerLayer) {
    let breaker = BreakerHandle::new("test", sensitive());
    (breaker.clone(), BreakerLayer::new(breaker))
}

/// The status of the first call of `service`, whose answer is read to its end.
async fn status<S, B>(service: S) -> StatusCode
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    B: http_body::Body,
{
    let answer = service.oneshot(request()).await.unwrap();
    let status = answer.status();
    assert!(answer.into_body().collect().await.is_ok());
    status
}

#[tokio::test(start_paused = true)]
async fn a_408_of_a_timeout_inside_is_a_success() {
    let (breaker, layer) = breaker();
    let inside = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, SECOND);
    let service = layer.layer(inside.layer(service_fn(slow)));
    assert_eq!(status(service).await, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(counted(&breaker), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_504_of_a_timeout_inside_is_a_failure() {
    let (breaker, layer) = breaker();
    let inside = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, SECOND);
    let service = layer.layer(inside.layer(service_fn(slow)));
    assert_eq!(status(service).await, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(counted(&breaker), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_408_of_a_timeout_inside_is_a_failure_if_the_classifier_says_so() {
    let (breaker, layer) = breaker();
    let layer = layer.classify_fn(|seen| match seen {
        Seen::Head { status, .. } if status == StatusCode::REQUEST_TIMEOUT => {
            Some(Ending::TIMED_OUT)
        }
        _ => None,
    });
    let inside = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, SECOND);
    let service = layer.layer(inside.layer(service_fn(slow)));
    assert_eq!(status(service).await, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(counted(&breaker), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_408_of_a_timeout_outside_is_a_caller_that_went_away() {
    let (breaker, layer) = breaker();
    let outside = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, SECOND);
    let service = outside.layer(layer.layer(service_fn(slow)));
    assert_eq!(status(service).await, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(counted(&breaker), (0, 0, 1));
}

/// The breaker and `TraceLayer` see each other's bodies, of which the ends matter to both.
#[tokio::test(start_paused = true)]
async fn beside_a_trace_layer_an_answer_counts_as_without_it() {
    let (inner, inner_layer) = breaker();
    let (outer, outer_layer) = breaker();
    let trace = TraceLayer::new_for_http;
    let inside = outer_layer.layer(trace().layer(service_fn(paid)));
    let outside = trace().layer(inner_layer.layer(service_fn(paid)));
    assert_eq!(status(inside).await, StatusCode::OK);
    assert_eq!(status(outside).await, StatusCode::OK);
    assert_eq!((counted(&inner), counted(&outer)), ((1, 0, 0), (1, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_trace_layer_sees_rejections_only_outside() {
    let (breaker, layer) = breaker();
    breaker.force(Mode::ForcedOpen);
    let [outside, inside] = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
    let tracing = |seen: &Arc<AtomicU64>| {
        let seen = seen.clone();
        TraceLayer::new_for_http().on_request(move |_: &Request<Body>, _: &tracing::Span| {
            seen.fetch_add(1, Ordering::Relaxed);
        })
    };
    let service = layer.layer(tracing(&inside).layer(service_fn(paid)));
    let service = tracing(&outside).layer(service);
    let rejected = service.oneshot(request()).await.err().unwrap();
    assert!(breaker_tower::rejection(&*rejected).is_some());
    let seen = [outside, inside].map(|seen| seen.load(Ordering::Relaxed));
    assert_eq!(seen, [1, 0]);
}
