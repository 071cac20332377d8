//! Endpoints of upstreams: read, ejected and admitted, as JSON and by gRPC.

use breaker_proto::v1;
use tonic::Code;

use super::*;

const POST: &str = "Content-Type: application/json";

/// The states of the endpoints of a list.
fn states(upstream: &Value) -> Vec<&str> {
    let endpoints = upstream["endpoints"].as_array().unwrap();
    let states = endpoints.iter().map(|one| one["state"].as_str().unwrap());
    states.collect()
}

#[tokio::test]
async fn an_endpoint_goes_out_for_a_while_and_comes_in_again() {
    let bench = Bench::new().await;
    let all = bench.ask("GET /api/v1/upstreams", &[], "").await;
    let upstream = &all.body["upstreams"][0];
    assert_eq!(upstream["name"], "pay");
    assert_eq!(states(upstream), ["in", "in", "in"]);

    let eject = "POST /api/v1/upstreams/pay/eject";
    let body = "{\"endpoint\":\"127.0.0.1:2\",\"for\":60,\"reason\":\"bad disk\"}";
    let ejected = bench.ask(eject, &[POST], body).await;
    assert_eq!(ejected.status, 200, "{}", ejected.body);
    assert_eq!(states(&ejected.body), ["in", "out", "in"]);
    let endpoint = &ejected.body["endpoints"][1];
    assert_eq!(endpoint["reason"]["label"], "operator");
    assert!(endpoint["out_remaining"].as_f64().unwrap() > 59.0);

    let admit = "POST /api/v1/upstreams/pay/admit";
    let body = "{\"endpoint\":\"127.0.0.1:2\"}";
    let admitted = bench.ask(admit, &[POST], body).await;
    assert_eq!(states(&admitted.body), ["in", "in", "in"]);
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_said() {
    let bench = Bench::new().await;
    let eject = "POST /api/v1/upstreams/pay/eject";
    for (line, body, status, says) in [
        (eject, "{\"endpoint\":\"10.0.0.1:9\"}", 422, "127.0.0.1:1"),
        (
            eject,
            "{\"endpoint\":\"127.0.0.1:2\",\"for\":0}",
            422,
            "0.1 to 604800",
        ),
        (
            eject,
            "{\"endpoint\":\"127.0.0.1:2\",\"reason\":\"\"}",
            422,
            "1 to 256",
        ),
        (
            "POST /api/v1/upstreams/serch/admit",
            "{}",
            404,
            "no upstream serch",
        ),
    ] {
        let answer = bench.ask(line, &[POST], body).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.body.to_string().contains(says), "{}", answer.body);
    }
}

#[tokio::test]
async fn grpc_says_and_does_the_same() {
    let bench = Bench::new().await;
    let mut client = bench.client().await;
    let eject = v1::EjectEndpointRequest {
        upstream: "pay".into(),
        endpoint: "127.0.0.1:3".into(),
        for_seconds: Some(60.0),
        reason: None,
    };
    let upstream = client.eject_endpoint(eject.clone()).await.unwrap();
    let states = |upstream: &v1::Upstream| -> Vec<_> {
        let endpoints = upstream.endpoints.iter();
        endpoints.map(v1::Endpoint::state).collect()
    };
    use v1::EndpointState::{In, Out};
    assert_eq!(states(upstream.get_ref()), [In, In, Out]);

    let get = v1::GetUpstreamRequest { name: "pay".into() };
    let upstream = client.get_upstream(get).await.unwrap().into_inner();
    assert_eq!(states(&upstream), [In, In, Out]);
    assert_eq!(
        upstream.endpoints[2].reason.as_ref().unwrap().label,
        "operator"
    );
    let list = v1::ListUpstreamsRequest {};
    let all = client.list_upstreams(list).await.unwrap().into_inner();
    assert_eq!(all.upstreams.len(), 1);

    let admit = v1::AdmitEndpointRequest {
        upstream: "pay".into(),
        endpoint: "127.0.0.1:3".into(),
        reason: None,
    };
    let upstream = client.admit_endpoint(admit).await.unwrap();
    assert_eq!(states(upstream.get_ref()), [In, In, In]);

    let unknown = v1::EjectEndpointRequest {
        upstream: "serch".into(),
        ..eject.clone()
    };
    let status = client.eject_endpoint(unknown).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let other = v1::EjectEndpointRequest {
        endpoint: "10.0.0.1:9".into(),
        ..eject
    };
    let status = client.eject_endpoint(other).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn steering_endpoints_by_grpc_needs_the_token_and_reading_does_not() {
    let bench = Bench::with(Some("s3cret"), None).await;
    let mut client = bench.client().await;
    let get = v1::GetUpstreamRequest { name: "pay".into() };
    client.get_upstream(get).await.unwrap();
    let list = v1::ListUpstreamsRequest {};
    client.list_upstreams(list).await.unwrap();
    let eject = v1::EjectEndpointRequest::default();
    let status = client.eject_endpoint(eject).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let admit = v1::AdmitEndpointRequest::default();
    let status = client.admit_endpoint(admit).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}
