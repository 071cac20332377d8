//! A request is judged once: an observer gets what the breaker made of it, however it ends.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use breaker_tower::breaker_core::{Attribution, Classification};
use breaker_tower::{
    BreakerHandle, BreakerLayer, BreakerService, Decision, Mode, Observer, State, Witness,
};
use http::Request;
use http_body_util::BodyExt;
use tokio::time::advance;
use tower::{Layer, Service, ServiceExt};
use tower_test::mock;

use crate::harness::*;

/// Keeps what it gets to know.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<Decision>>>);

impl<B> Observer<B> for Kept {
    type Witness = Self;

    fn begin(&self, _: &Request<B>) -> Self {
        self.clone()
    }
}

impl Witness for Kept {
    fn decided(&mut self, decision: Decision) {
        self.0.lock().unwrap().push(decision);
    }
}

type Observed =
    BreakerService<Inner, BreakerHandle, breaker_tower::HttpClassifier, breaker_tower::Fail, Kept>;

fn observed() -> (Observed, Upstream, BreakerHandle, Kept) {
    let breaker = BreakerHandle::new("test", sensitive());
    let (inner, upstream) = mock::pair();
    let kept = Kept::default();
    let layer = BreakerLayer::new(breaker.clone()).with_observer(kept.clone());
    (layer.layer(inner), upstream, breaker, kept)
}

const TRACEPARENT: &str = "00-12345678901234567890123456789012-1234567890123456-01";

/// Begins a request, which belongs to a trace.
async fn begin(
    service: &mut Observed,
    upstream: &mut Upstream,
) -> (<Observed as Service<Request<Body>>>::Future, Answer) {
    let mut request = request();
    let traceparent = TRACEPARENT.parse().unwrap();
    request.headers_mut().insert("traceparent", traceparent);
    let call = service.ready().await.unwrap().call(request);
    (call, accept(upstream).await)
}

/// The only decision so far, which the breaker counted likewise.
fn only(kept: &Kept, breaker: &BreakerHandle) -> Decision {
    let decisions = kept.0.lock().unwrap();
    let [decision] = decisions[..] else {
        panic!("{decisions:?}");
    };
    let counts = match decision.classification() {
        Some(Classification::Success) => (1, 0, 0),
        Some(Classification::Failure) => (0, 1, 0),
        Some(_) => (0, 0, 1),
        None => (0, 0, 0),
    };
    assert_eq!(counted(breaker), counts);
    if decision.classification() == Some(Classification::Ignored) {
        let by = breaker
            .snapshot()
            .totals
            .ignored_by()
            .find(|(_, n)| *n == 1);
        assert_eq!(by.map(|(by, _)| by), decision.attribution());
    }
    decision
}

#[tokio::test(start_paused = true)]
async fn a_success_is_told_with_the_latency_of_its_head_and_its_trace() {
    let (mut service, mut upstream, breaker, kept) = observed();
    let (call, answer) = begin(&mut service, &mut upstream).await;
    advance(Duration::from_millis(30)).await;
    let (sender, body) = streamed();
    answer.send_response(response(200, body));
    let answer = call.await.unwrap();
    assert!(kept.0.lock().unwrap().is_empty());
    advance(Duration::from_millis(70)).await;
    drop(sender);
    answer.into_body().collect().await.unwrap();
    let decision = only(&kept, &breaker);
    let (classification, attribution) = decision.ending.unwrap();
    assert_eq!(
        (classification, attribution),
        (Classification::Success, Attribution::Upstream)
    );
    assert_eq!(decision.latency, Duration::from_millis(30));
    assert_eq!(decision.waited, Duration::from_millis(100));
    assert_eq!(decision.status.unwrap(), 200);
    assert_eq!(decision.state, State::Closed);
    let trace = decision.trace.unwrap().to_string();
    assert!(TRACEPARENT.contains(&trace), "{trace}");
}

#[tokio::test(start_paused = true)]
async fn a_status_is_told_only_where_it_decides() {
    let (mut service, mut upstream, breaker, kept) = observed();
    let (call, answer) = begin(&mut service, &mut upstream).await;
    let (sender, body) = streamed();
    answer.send_response(response(200, body));
    let answer = call.await.unwrap();
    sender.abort("cut".into());
    answer.into_body().collect().await.unwrap_err();
    let decision = only(&kept, &breaker);
    assert_eq!(decision.classification(), Some(Classification::Failure));
    assert_eq!(decision.status, None);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_and_a_rejection_further_in_are_told_as_theirs() {
    let (mut service, mut upstream, breaker, kept) = observed();
    let (call, _answer) = begin(&mut service, &mut upstream).await;
    drop(call);
    let gone = only(&kept, &breaker);
    assert_eq!(
        gone.ending,
        Some((Classification::Ignored, Attribution::Caller))
    );

    let (mut service, mut upstream, breaker, kept) = observed();
    let (call, answer) = begin(&mut service, &mut upstream).await;
    let mut rejection = response(503, full("open"));
    let says = "inner; error=destination_unavailable".parse().unwrap();
    rejection.headers_mut().insert("proxy-status", says);
    answer.send_response(rejection);
    call.await.unwrap().into_body().collect().await.unwrap();
    let inner = only(&kept, &breaker);
    let expected = Some((Classification::Ignored, Attribution::InnerBreaker));
    assert_eq!(inner.ending, expected);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_told_as_a_failure() {
    let breaker = BreakerHandle::new("test", sensitive());
    let kept = Kept::default();
    let layer = BreakerLayer::new(breaker.clone()).with_observer(kept.clone());
    let mut service = layer.layer(tower::service_fn(async |_: Request<Body>| {
        panic!("a bug");
        #[expect(unreachable_code, reason = "the type of the service")]
        Ok::<_, std::io::Error>(response(200, empty()))
    }));
    let call = service.ready().await.unwrap().call(request());
    tokio::spawn(call).await.unwrap_err();
    let decision = only(&kept, &breaker);
    assert_eq!(decision.classification(), Some(Classification::Failure));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_told_with_the_state_that_rejected() {
    let (mut service, _upstream, breaker, kept) = observed();
    breaker.force(Mode::ForcedOpen);
    service
        .ready()
        .await
        .unwrap()
        .call(request())
        .await
        .unwrap_err();
    let decision = only(&kept, &breaker);
    assert_eq!((decision.state, decision.ending), (State::Open, None));
}
