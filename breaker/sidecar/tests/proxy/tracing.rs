//! Spans are told what the breaker counted, however a request ends.

use breaker_tower::breaker_core::Classification;
use breaker_tower::{Decision, Mode, State};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use tokio::io::AsyncWriteExt;

use crate::harness::{GET, Options, Origin, Sidecar, eventually, header, read_head, status};
use crate::http2::{connect, grpc, grpc_origin};

fn traced() -> Options {
    Options {
        traced: true,
        ..Options::default()
    }
}

/// The only decision so far, and that the breaker counted the same.
async fn only_decision(sidecar: &Sidecar) -> Decision {
    let decisions = || sidecar.decisions.lock().unwrap().clone();
    eventually("a span", || !decisions().is_empty()).await;
    let [Some(decision)] = decisions()[..] else {
        panic!("{:?}", decisions());
    };
    let counted = match decision.classification() {
        Some(Classification::Success) => (1, 0, 0),
        Some(Classification::Failure) => (0, 1, 0),
        Some(_) => (0, 0, 1),
        None => (0, 0, 0),
    };
    eventually("the same count", || sidecar.totals() == counted).await;
    decision
}

#[tokio::test]
async fn a_grpc_call_counts_as_its_trailers_say() {
    for (code, classification) in [
        ("0", Classification::Success),
        ("14", Classification::Failure),
    ] {
        let sidecar = Sidecar::start(grpc_origin(code).await, traced());
        let mut sender = connect(&sidecar).await;
        let request = grpc("/shop.Pay/Do").body(Full::new(Bytes::from_static(b"\0\0\0\0\0")));
        let response = sender.send_request(request.unwrap()).await.unwrap();
        response.into_body().collect().await.unwrap();
        assert_eq!(
            only_decision(&sidecar).await.classification(),
            Some(classification)
        );
    }
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_a_failure() {
    let origin = Origin::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart";
        stream.write_all(head).await.unwrap();
    })
    .await;
    let sidecar = Sidecar::start(origin.address, traced());
    sidecar.exchange(GET).await;
    let decision = only_decision(&sidecar).await;
    assert_eq!(decision.classification(), Some(Classification::Failure));
}

#[tokio::test]
async fn a_caller_that_goes_away_is_ignored() {
    let origin = Origin::raw(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let sidecar = Sidecar::start(origin.address, traced());
    let mut client = sidecar.connect().await;
    client.send(GET).await;
    eventually("the request in flight", || origin.connections() == 1).await;
    drop(client);
    let decision = only_decision(&sidecar).await;
    assert_eq!(decision.classification(), Some(Classification::Ignored));
    assert_eq!(decision.state, State::Closed);
}

#[tokio::test]
async fn a_rejection_is_none_of_these_and_the_upstream_is_told_of_our_span() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::start(origin.address, traced());
    sidecar.breaker.force(Mode::ForcedOpen);
    assert_eq!(status(&sidecar.ask(GET).await), "503");
    let decision = only_decision(&sidecar).await;
    assert_eq!(
        (decision.state, decision.classification()),
        (State::Open, None)
    );

    sidecar.breaker.force(Mode::ForcedClosed);
    assert_eq!(status(&sidecar.ask(GET).await), "200");
    let ours = "00-00000000000000000000000000000001-0000000000000002-03";
    assert_eq!(header(&origin.heads()[0], "traceparent"), Some(ours));
}
