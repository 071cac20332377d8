//! gRPC: the status is in the trailers.

use breaker_tower::State;
use bytes::Bytes;
use http::{Response, header};
use http_body_util::BodyExt;
use tokio::time::advance;
use tower::{Service, ServiceExt};

use crate::harness::*;

fn grpc(body: Body) -> Response<Body> {
    let mut response = response(200, body);
    let value = "application/grpc".parse().unwrap();
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

#[tokio::test(start_paused = true)]
async fn unavailable_in_the_trailers_is_a_failure_though_the_head_was_200() {
    for (status, counts) in [("0", (1, 0, 0)), ("5", (1, 0, 0)), ("14", (0, 1, 0))] {
        let (mut service, mut upstream, breaker) = behind(touchy());
        let (mut sender, body) = streamed();
        let answer = exchange(&mut service, &mut upstream, grpc(body)).await;
        sender.send_data(Bytes::from("message")).await.unwrap();
        sender
            .send_trailers(headers(&[("grpc-status", status)]))
            .await
            .unwrap();
        assert_eq!(counted(&breaker), (0, 0, 0));
        drop(sender);
        let trailers = answer.into_body().collect().await.unwrap();
        assert_eq!(trailers.trailers().unwrap()["grpc-status"], status);
        assert_eq!(counted(&breaker), counts, "grpc-status {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn late_trailers_count_under_the_epoch_of_their_admission() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    let (mut sender, body) = streamed();
    let early = exchange(&mut service, &mut upstream, grpc(body)).await;
    trip(&mut service, &mut upstream).await;
    advance(OPEN_FOR).await;
    let probe = service.ready().await.unwrap().call(request());
    let answer = accept(&mut upstream).await;
    sender
        .send_trailers(headers(&[("grpc-status", "14")]))
        .await
        .unwrap();
    drop(sender);
    early.into_body().collect().await.unwrap();
    assert_eq!(breaker.state(), State::HalfOpen);
    answer.send_response(response(200, empty()));
    drop(probe.await.unwrap());
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(counted(&breaker), (1, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_trailers_only_answer_is_classified_by_its_head() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    let mut answer = grpc(empty());
    answer
        .headers_mut()
        .insert("grpc-status", "14".parse().unwrap());
    drop(exchange(&mut service, &mut upstream, answer).await);
    assert_eq!(counted(&breaker), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_without_a_status_is_a_failure() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    let (mut sender, body) = streamed();
    let answer = exchange(&mut service, &mut upstream, grpc(body)).await;
    sender.send_data(Bytes::from("cut")).await.unwrap();
    drop(sender);
    answer.into_body().collect().await.unwrap();
    assert_eq!(counted(&breaker), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_a_stream_is_ignored() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    let (mut sender, body) = streamed();
    let answer = exchange(&mut service, &mut upstream, grpc(body)).await;
    sender.send_data(Bytes::from("message")).await.unwrap();
    drop(answer);
    assert_eq!(counted(&breaker), (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_that_a_stream_passes_on_at_its_end_is_ignored() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    let (mut sender, body) = streamed();
    let answer = exchange(&mut service, &mut upstream, grpc(body)).await;
    sender.send_data(Bytes::from("message")).await.unwrap();
    let rejected = "breaker; error=destination_unavailable; details=\"x\"";
    let trailers = headers(&[("grpc-status", "14"), ("proxy-status", rejected)]);
    sender.send_trailers(trailers).await.unwrap();
    drop(sender);
    answer.into_body().collect().await.unwrap();
    assert_eq!(
        (breaker.state(), counted(&breaker)),
        (State::Closed, (0, 0, 1))
    );
}
