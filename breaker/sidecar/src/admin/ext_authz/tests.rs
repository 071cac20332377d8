use std::collections::HashMap;

use breaker_tower::{BreakerHandle, Mode, Policy};
use serde_json::Value;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::super::tests::Server;
use super::messages::{
    AttributeContext, AttributeRequest, CheckRequest, CheckResponse, DeniedHttpResponse,
    HttpRequest, HttpResponse,
};
use super::{CHECK, MAX_MESSAGE};
use crate::registry::RegisteredBreaker;

/// A breaker that admits, and one that refuses.
async fn pay_and_broken() -> Server {
    let pay = BreakerHandle::new("pay", Policy::sensitive());
    let broken = BreakerHandle::new("broken", Policy::sensitive());
    broken.force(Mode::ForcedOpen);
    Server::with(
        [&pay, &broken]
            .map(RegisteredBreaker::from)
            .into_iter()
            .collect(),
    )
    .await
}

async fn check(server: &Server, request: Request<CheckRequest>) -> Result<CheckResponse, Status> {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    // As Envoy does, whose name for the server is that of the cluster.
    let endpoint = endpoint.origin("http://breaker".parse().unwrap());
    let mut client = Grpc::new(endpoint.connect().await.unwrap());
    client.ready().await.unwrap();
    let codec = ProstCodec::default();
    let answer = client.unary(request, PathAndQuery::from_static(CHECK), codec);
    answer.await.map(tonic::Response::into_inner)
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> HashMap<String, String> {
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// A check of a request with these headers, on a route that says this.
fn request<const N: usize, const M: usize>(
    headers: [(&str, &str); N],
    extensions: [(&str, &str); M],
) -> Request<CheckRequest> {
    let http = HttpRequest {
        headers: pairs(headers),
    };
    Request::new(CheckRequest {
        attributes: Some(AttributeContext {
            request: Some(AttributeRequest { http: Some(http) }),
            context_extensions: pairs(extensions),
        }),
    })
}

fn denied(answer: CheckResponse) -> DeniedHttpResponse {
    assert_eq!(answer.status.unwrap().code, i32::from(Code::Unavailable));
    match answer.http_response {
        Some(HttpResponse::Denied(denied)) => denied,
        other => panic!("{other:?}"),
    }
}

fn is_allowed(answer: &CheckResponse) -> bool {
    let status = answer.status.as_ref().map(|status| status.code);
    status == Some(0) && matches!(answer.http_response, Some(HttpResponse::Ok(_)))
}

fn headers(denied: &DeniedHttpResponse) -> HashMap<&str, &str> {
    let headers = denied
        .headers
        .iter()
        .filter_map(|option| option.header.as_ref());
    headers
        .map(|header| (&*header.key, &*header.value))
        .collect()
}

#[tokio::test]
async fn the_route_names_the_breaker() {
    let server = pay_and_broken().await;
    let answer = check(&server, request([], [("breaker", "pay")])).await;
    assert!(is_allowed(&answer.unwrap()));

    let answer = check(&server, request([], [("breaker", "broken")])).await;
    let denied = denied(answer.unwrap());
    assert_eq!(denied.status.as_ref().unwrap().code, 503);
    let headers = headers(&denied);
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(headers["cache-control"], "no-store");
    assert!(headers["proxy-status"].contains("error=destination_unavailable"));
    let problem: Value = serde_json::from_str(&denied.body).unwrap();
    assert_eq!(
        (&problem["breaker"], &problem["state"]),
        (&"broken".into(), &"open".into())
    );
    assert_eq!(problem["retry_after"].to_string(), headers["retry-after"]);
}

#[tokio::test]
async fn the_listener_names_the_breaker_where_the_route_does_not() {
    let server = pay_and_broken().await;
    let with = |extension: Option<&str>| {
        let mut request = match extension {
            Some(name) => request([], [("breaker", name)]),
            None => request([], []),
        };
        let metadata = request.metadata_mut();
        metadata.insert("x-breaker", "broken".parse().unwrap());
        request
    };
    denied(check(&server, with(None)).await.unwrap());
    assert!(is_allowed(
        &check(&server, with(Some("pay"))).await.unwrap()
    ));
}

#[tokio::test]
async fn the_client_of_the_proxy_does_not_choose() {
    let server = pay_and_broken().await;
    let chosen = request([("x-breaker", "pay")], [("breaker", "broken")]);
    denied(check(&server, chosen).await.unwrap());
    let error = check(&server, request([("x-breaker", "pay")], [])).await;
    assert_eq!(error.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn the_only_breaker_needs_no_name_and_an_unknown_one_is_an_error() {
    let pay = BreakerHandle::new("pay", Policy::sensitive());
    let server = Server::with([RegisteredBreaker::from(&pay)].into_iter().collect()).await;
    assert!(is_allowed(&check(&server, request([], [])).await.unwrap()));
    let empty = Request::new(CheckRequest { attributes: None });
    assert!(is_allowed(&check(&server, empty).await.unwrap()));
    let unknown = check(&server, request([], [("breaker", "none")])).await;
    let status = unknown.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.message(), "no breaker is called 'none'");
}

#[tokio::test]
async fn a_grpc_call_is_denied_with_what_envoy_makes_a_grpc_status_of() {
    let server = pay_and_broken().await;
    let call = request(
        [("content-type", "application/grpc+proto")],
        [("breaker", "broken")],
    );
    let denied = denied(check(&server, call).await.unwrap());
    assert_eq!(denied.status.as_ref().unwrap().code, 503);
    assert_eq!(
        denied.body,
        "breaker broken is open: mode set to forced_open"
    );
    let headers = headers(&denied);
    let pushback: u64 = headers["grpc-retry-pushback-ms"].parse().unwrap();
    assert!((10_000..=12_000).contains(&pushback), "{pushback} ms");
    for envoys_own in ["content-type", "grpc-status", "grpc-message"] {
        assert!(!headers.contains_key(envoys_own), "{headers:?}");
    }
}

#[tokio::test]
async fn a_check_too_large_to_be_one_is_refused() {
    let server = pay_and_broken().await;
    let header = "x".repeat(MAX_MESSAGE);
    let request = request([("x-large", &header)], [("breaker", "pay")]);
    let status = check(&server, request).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
}
