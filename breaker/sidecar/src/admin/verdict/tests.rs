use std::time::Duration;

use breaker_tower::breaker_core::policy::{self, HalfOpen, Reject};
use breaker_tower::{BreakerHandle, Mode, Policy, State};
use serde_json::{Value, json};

use super::super::tests::Server;
use crate::registry::RegisteredBreaker;

/// A server that has one breaker, `pay`.
async fn server(pay: &BreakerHandle) -> Server {
    Server::with([RegisteredBreaker::from(pay)].into_iter().collect()).await
}

fn open(policy: Policy) -> BreakerHandle {
    let pay = BreakerHandle::new("pay", policy);
    pay.force(Mode::ForcedOpen);
    pay
}

fn problem(body: &str) -> Value {
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn a_breaker_that_admits_says_200_and_what_it_knows() {
    let pay = BreakerHandle::new("pay", Policy::sensitive());
    let server = server(&pay).await;
    let (status, head, body) = server.get("/breakers/pay").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/json"), "{head}");
    assert_eq!(problem(&body)["state"], "closed");
    assert_eq!(server.get("/breakers/pay?deny=403").await.0, 200);
}

#[tokio::test]
async fn a_breaker_that_refuses_says_all_that_its_own_callers_are_told() {
    let pay = open(Policy::sensitive());
    let server = server(&pay).await;
    let (status, head, body) = server.get("/breakers/pay").await;
    assert_eq!(status, 503);
    for line in [
        "retry-after: 1",
        "proxy-status: breaker; error=destination_unavailable; details=\"breaker pay is open: mode set to forced_open\"",
        "cache-control: no-store",
        "content-type: application/problem+json",
    ] {
        assert!(head.contains(line), "{line}: {head}");
    }
    let problem = problem(&body);
    // `sensitive` is open for 10 s, told with up to 20 % more.
    let retry_after = problem["retry_after"].as_u64().unwrap();
    assert!((10..=12).contains(&retry_after), "{retry_after}");
    assert_eq!(
        problem,
        json!({
            "type": "about:blank", "title": "Service Unavailable", "status": 503, "breaker": "pay", "state": "open",
            "detail": "breaker pay is open: mode set to forced_open", "reason": "forced", "retry_after": retry_after,
        })
    );
    assert_eq!(pay.snapshot().totals.rejected, 1);
}

#[tokio::test]
async fn who_asks_chooses_the_status_of_a_refusal_among_those_that_proxies_understand() {
    let server = server(&open(Policy::sensitive())).await;
    for status in [401, 403, 429, 503] {
        let path = format!("/breakers/pay?deny={status}");
        let (answered, head, body) = server.get(&path).await;
        assert_eq!(answered, status);
        assert_eq!(problem(&body)["status"], status);
        assert!(head.contains("retry-after: "), "{head}");
    }
    for deny in ["200", "500", "", "0403"] {
        let path = format!("/breakers/pay?deny={deny}");
        assert_eq!(server.get(&path).await.0, 400, "{deny}");
    }
    // Caddy passes the query of its client on.
    let path = "/breakers/pay?q=%zz&&denying=1&deny=403";
    assert_eq!(server.get(path).await.0, 403);
}

#[tokio::test]
async fn the_policys_own_answer_is_given_where_nobody_chooses_another() {
    let reject = Reject {
        status: 429,
        body: Some("later\n".into()),
    };
    let policy = policy::Builder::from(Policy::sensitive())
        .reject(reject)
        .build()
        .unwrap();
    let server = server(&open(policy)).await;
    let (status, head, body) = server.get("/breakers/pay").await;
    assert_eq!((status, &*body), (429, "later\n"));
    assert!(head.contains("content-type: text/plain"), "{head}");
    let (status, _, body) = server.get("/breakers/pay?deny=503").await;
    assert_eq!((status, &*body), (503, "later\n"));
}

#[tokio::test]
async fn head_is_answered_without_a_body() {
    let pay = BreakerHandle::new("pay", Policy::sensitive());
    let server = server(&pay).await;
    let head = async || server.send("HEAD", "/breakers/pay", "localhost").await;
    let (status, _, body) = head().await;
    assert_eq!((status, &*body), (200, ""));
    pay.force(Mode::ForcedOpen);
    let (status, head, body) = head().await;
    assert_eq!((status, &*body), (503, ""));
    assert!(head.contains("retry-after: "), "{head}");
}

#[tokio::test]
async fn what_changes_nothing_is_no_question() {
    let half_open = HalfOpen {
        probes: 2,
        concurrent: 2,
        probe_timeout: Duration::from_secs(3600),
        ..HalfOpen::default()
    };
    let policy = policy::Builder::from(Policy::sensitive())
        .half_open(half_open)
        .build()
        .unwrap();
    let pay = open(policy);
    pay.force(Mode::Auto);
    assert_eq!(pay.state(), State::HalfOpen);
    let server = server(&pay).await;
    for _ in 0..10 {
        assert_eq!(server.get("/breakers/pay/report").await.0, 200);
        assert_eq!(server.get("/breakers").await.0, 200);
        assert_eq!(server.get("/breakers/pay?deny=200").await.0, 400);
    }
    let mut verdicts = Vec::new();
    for _ in 0..4 {
        verdicts.push(server.get("/breakers/pay").await.0);
    }
    assert_eq!(verdicts, [200, 200, 503, 503]);
    assert_eq!(pay.snapshot().totals.rejected, 2);
}

#[tokio::test]
async fn a_name_that_no_breaker_has_is_not_found() {
    let pay = BreakerHandle::new("pay", Policy::sensitive());
    let server = server(&pay).await;
    assert_eq!(server.get("/breakers/none").await.0, 404);
    assert_eq!(server.get("/breakers/none?deny=403").await.0, 404);
}
