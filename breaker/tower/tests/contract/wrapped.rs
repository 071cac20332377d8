//! `wrap_uploads`: the service's time runs while the service has what it needs, and stands still
//! while the caller is waited for.

use std::time::Duration;

use breaker_tower::{BreakerHandle, BreakerLayer, BreakerService, Fail, State, UploadBody, Wrap};
use http::{Request, Response};
use http_body_util::channel::Sender;
use http_body_util::{BodyExt, Full};
use tokio::time::{advance, sleep};
use tower::{Layer, Service, ServiceExt};
use tower_test::mock::{self, Handle, Mock};

use crate::harness::*;

type Wrapped = Request<UploadBody<Body>>;
type Service_ = BreakerService<
    Mock<Wrapped, Response<Body>>,
    BreakerHandle,
    breaker_tower::HttpClassifier,
    Fail,
    (),
    Wrap,
>;

fn wrapping() -> (Service_, Handle<Wrapped, Response<Body>>, BreakerHandle) {
    let breaker = BreakerHandle::new("test", sensitive());
    let (inner, upstream) = mock::pair();
    let layer = BreakerLayer::new(breaker.clone()).wrap_uploads();
    (layer.layer(inner), upstream, breaker)
}

type Sending = Sender<bytes::Bytes, breaker_tower::BoxError>;

#[tokio::test(start_paused = true)]
async fn sixty_slow_clients_open_nothing() {
    let (mut service, mut upstream, breaker) = wrapping();
    let mut clients: Vec<(Sending, _)> = Vec::new();
    for _ in 0..60 {
        let (sender, body) = streamed();
        let call = service.ready().await.unwrap().call(Request::new(body));
        let (request, answer) = upstream.next_request().await.unwrap();
        // A handler that reads all, and answers at once.
        tokio::spawn(async move {
            request.into_body().collect().await.unwrap();
            answer.send_response(response(200, empty()));
        });
        clients.push((sender, tokio::spawn(call)));
    }
    sleep(Duration::from_secs(30)).await;
    assert_eq!(breaker.state(), State::Closed);
    for (mut sender, call) in clients {
        sender.send_data("all".into()).await.unwrap();
        drop(sender);
        drop(call.await.unwrap().unwrap());
    }
    assert_eq!(
        (breaker.state(), counted(&breaker)),
        (State::Closed, (60, 0, 0))
    );
    let latency = breaker.snapshot().sources[0].latency.unwrap();
    assert!(latency.max < Duration::from_millis(100), "{latency:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_read_hangs() {
    let (mut service, mut upstream, breaker) = wrapping();
    let mut hung = Vec::new();
    for _ in 0..40 {
        let (sender, body) = streamed();
        let call = service.ready().await.unwrap().call(Request::new(body));
        hung.push((sender, call, upstream.next_request().await.unwrap()));
    }
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_does_with_a_whole_request_is_its_latency() {
    let (mut service, mut upstream, breaker) = wrapping();
    let body = Full::from("whole").map_err(Into::into).boxed();
    let call = service.ready().await.unwrap().call(Request::new(body));
    let (request, answer) = upstream.next_request().await.unwrap();
    assert_eq!(request.body().size_hint_exact(), Some(5));
    request.into_body().collect().await.unwrap();
    advance(Duration::from_millis(70)).await;
    answer.send_response(response(200, empty()));
    drop(call.await.unwrap());
    let latency = breaker.snapshot().sources[0].latency.unwrap();
    assert_eq!(latency.max.as_millis(), 70);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_breaks_off_is_not_the_services_failure() {
    let (mut service, mut upstream, breaker) = wrapping();
    let (sender, body) = streamed();
    let call = service.ready().await.unwrap().call(Request::new(body));
    let (request, answer) = upstream.next_request().await.unwrap();
    sender.abort("gone".into());
    request.into_body().collect().await.unwrap_err();
    advance(Duration::from_secs(30)).await;
    drop(answer);
    drop(call);
    assert_eq!(counted(&breaker), (0, 0, 1));
}

/// The exact size of a body.
trait Sized_ {
    fn size_hint_exact(&self) -> Option<u64>;
}

impl<B: http_body::Body> Sized_ for B {
    fn size_hint_exact(&self) -> Option<u64> {
        self.size_hint().exact()
    }
}
