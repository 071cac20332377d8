//! What of a request and its answer passes, and what is added.

use breaker_tests::{Script, Setup, Sidecar, Upstream, get, send};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, Full};

#[tokio::test]
async fn methods_paths_queries_and_bodies_pass() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    let request = Request::put(sidecar.url("/pay/1%20a?b=c&d"));
    send(request.body(Full::from("text")).unwrap())
        .await
        .unwrap();
    let seen = &upstream.seen()[0];
    assert_eq!(seen.method, "PUT");
    assert_eq!(seen.uri, "/pay/1%20a?b=c&d");
    assert_eq!(seen.body, "text");
}

#[tokio::test]
async fn hop_by_hop_fields_are_stripped_and_the_way_is_told() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    let request = Request::get(sidecar.url("/pay/x"))
        .header("connection", "x-mine, host, authorization")
        .header("x-mine", "1")
        .header("authorization", "secret")
        .header("keep-alive", "timeout=5")
        .header("te", "gzip")
        .header("traceparent", TRACE)
        .header("tracestate", "a=b");
    send(request.body(Empty::<Bytes>::new()).unwrap())
        .await
        .unwrap();
    let seen = &upstream.seen()[0];
    for stripped in ["x-mine", "keep-alive", "te", "proxy-connection"] {
        assert!(!seen.headers.contains_key(stripped), "{stripped}: {seen:?}");
    }
    assert_eq!(seen.headers["authorization"], "secret");
    assert_eq!(seen.headers["traceparent"], TRACE);
    assert_eq!(seen.headers["tracestate"], "a=b");
    assert_eq!(seen.headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(seen.headers["x-forwarded-proto"], "http");
    assert_eq!(
        seen.headers["x-forwarded-host"],
        sidecar.address().to_string().as_str()
    );
    assert!(
        seen.headers["via"].to_str().unwrap().starts_with("1.1 "),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_clients_own_proxy_status_is_not_believed() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    let request = Request::get(sidecar.url("/pay/x")).header("proxy-status", "breaker; error=x");
    send(request.body(Empty::<Bytes>::new()).unwrap())
        .await
        .unwrap();
    assert!(!upstream.seen()[0].headers.contains_key("proxy-status"));
}

#[tokio::test]
async fn answers_pass_with_their_fields() {
    let upstream = Upstream::start().await;
    upstream.play(Script::answer(|_| {
        let response = Response::builder().status(418).header("x-kind", "teapot");
        response
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .body("short".into())
            .unwrap()
    }));
    let sidecar = Setup::of(upstream.address()).start().await;
    let answer = get(sidecar.url("/pay/x")).await;
    assert_eq!(answer.status, 418);
    assert_eq!(answer.header("x-kind"), "teapot");
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
    assert_eq!(answer.text(), "short");
}

#[tokio::test]
async fn routes_by_method_and_answers_404_without_a_route() {
    let upstream = Upstream::start().await;
    let yaml = Setup::of(upstream.address()).yaml();
    let yaml = yaml.replace(
        "path: \"/{*rest}\"",
        "path: \"/pay/{*rest}\", methods: [POST]",
    );
    let sidecar = Sidecar::start(yaml).await;
    assert_eq!(get(sidecar.url("/other")).await.status, 404);
    assert_eq!(get(sidecar.url("/pay/x")).await.status, 405);
    let request = Request::post(sidecar.url("/pay/x"));
    let answer = send(request.body(Full::from("x")).unwrap()).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn a_path_that_hides_another_does_not_go_round_a_route() {
    let upstream = Upstream::start().await;
    let yaml = Setup::of(upstream.address())
        .yaml()
        .replace("/{*rest}", "/pay/{*rest}");
    let sidecar = Sidecar::start(yaml).await;
    for path in [
        "/pay/../admin",
        "/pay/%2e%2e/admin",
        "//pay/../admin",
        "/admin",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let quiet = std::time::Duration::from_secs(2);
        let answer = breaker_tests::raw(sidecar.address(), request, quiet).await;
        let refused = answer.starts_with("HTTP/1.1 404 ") || answer.starts_with("HTTP/1.1 400 ");
        assert!(refused, "{path}: {answer}");
    }
    assert_eq!(upstream.count(), 0);
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03";
