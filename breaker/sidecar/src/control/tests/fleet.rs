//! The fleet: in the status, on its page, in explanations, as JSON and by gRPC.

use breaker_proto::v1;
use tonic::Code;

use super::*;
use crate::report::{FleetOverview, FleetStatus};

/// A fleet that opened `pay` a while ago.
#[derive(Debug)]
struct KnownFleet;

#[async_trait]
impl Pooling for KnownFleet {
    fn fleet(&self) -> FleetStatus {
        serde_json::from_value(fleet()).unwrap()
    }

    async fn overview(&self) -> Option<FleetOverview> {
        Some(serde_json::from_value(overview()).unwrap())
    }
}

fn evidence() -> Value {
    json!({
        "signal": "errors", "lasted": 2.5, "requests": 14, "hits": 13, "low": 0.68, "high": 0.98,
        "normal": 0.015, "evidence": 24.0, "line": 21.5, "reporting": 8, "heard": 8,
    })
}

fn fleet() -> Value {
    let own = json!([{ "signal": "errors", "requests": 6, "hits": 2 }]);
    json!({
        "name": "shop", "engine": "redis://127.0.0.1:6379", "connected": true,
        "instance": "0000000000000001", "term": 7, "members": 8, "verdict_age": 0.4, "fresh": true,
        "aggregator": { "instance": "0000000000000003", "host": "web-3", "here": false },
        "reports": 90, "dropped": [], "ignored": [{ "reason": "quorum", "count": 2 }],
        "routes": [{
            "name": "pay", "stage": "open", "open_remaining": 4.2, "share": null, "prober": false,
            "led": true, "ignored": null, "evidence": evidence(), "own": own,
            "opened": { "ago": 12.0, "evidence": evidence(), "own": own[0] },
        }],
    })
}

fn overview() -> Value {
    json!({
        "age": 0.5, "term": 7, "more_members": 0,
        "members": [{
            "instance": "0000000000000003", "host": "web-3", "silent": 0.2, "counts_in": 0.0,
            "not_closed": 1, "outlier": 0,
        }],
        "routes": [{
            "name": "pay", "stage": "open", "rate": 1.6, "reporting": 8, "heard": 8,
            "not_closed": 8, "led": 8, "evidence": evidence(),
            "signals": [{
                "signal": "errors", "requests": 48, "hits": 14, "normal": 0.015, "evidence": 24.0,
                "line": 21.5,
            }],
        }],
    })
}

pub(super) async fn bench() -> Bench {
    let pay = BreakerHandle::new("pay", Rules::sensitive());
    let search = BreakerHandle::new("search", Rules::conservative());
    let registry = [&pay, &search]
        .map(RegisteredBreaker::from)
        .into_iter()
        .collect();
    let server = Server::pooled(registry, None, None, Some(Arc::new(KnownFleet))).await;
    Bench { server, pay }
}

#[tokio::test]
async fn the_fleet_is_in_the_status_and_has_a_page() {
    let bench = bench().await;
    let status = bench.ask("GET /api/v1/status", &[], "").await;
    assert_eq!(status.body["fleet"], fleet());
    let page = bench.ask("GET /api/v1/fleet", &[], "").await;
    let whole = json!({ "fleet": fleet(), "overview": overview() });
    assert_eq!((page.status, page.body), (200, whole));
}

#[tokio::test]
async fn without_a_fleet_there_is_no_page() {
    let bench = Bench::new().await;
    let status = bench.ask("GET /api/v1/status", &[], "").await;
    assert!(status.body.get("fleet").is_none(), "{}", status.body);
    let page = bench.ask("GET /api/v1/fleet", &[], "").await;
    assert_eq!(page.status, 404);
    let detail = page.body["detail"].as_str().unwrap();
    assert!(detail.contains("in no fleet"), "{detail}");
    let mut client = bench.client().await;
    let status = client.get_fleet(v1::GetFleetRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn the_same_is_told_by_grpc() {
    let bench = bench().await;
    let mut client = bench.client().await;
    let status = client.get_status(v1::GetStatusRequest {}).await.unwrap();
    let fleet = status.into_inner().fleet.unwrap();
    assert_eq!(
        (&*fleet.name, fleet.members, fleet.fresh),
        ("shop", Some(8), true)
    );
    let page = client.get_fleet(v1::GetFleetRequest {}).await.unwrap();
    let page = page.into_inner();
    assert_eq!(page.fleet, Some(fleet));
    let overview = page.overview.unwrap();
    assert_eq!(
        (overview.members[0].host.as_str(), overview.routes[0].led),
        ("web-3", 8)
    );
    assert_eq!(overview.routes[0].signals[0].signal, "errors");
}

#[tokio::test]
async fn an_explanation_says_when_the_fleet_opened_the_breaker_and_by_whose_evidence() {
    let bench = bench().await;
    let told = bench
        .ask("GET /api/v1/breakers/pay/explanation", &[], "")
        .await;
    let text = told.body["text"].as_str().unwrap();
    let expected = "
Fleet shop: the route is open there for another 4.2s, and leads the recovery of this breaker. \
(8 sidecars; 0000000000000003 on web-3 aggregates.)
It last opened this breaker 12s ago, by the evidence of 8 sidecars: 13 of 14 requests failed within \
2.5s, surely 68% or more, where 1.5% is normal (without the sidecars that add most). This sidecar's \
own part of that: 2 of 6 requests failed in 30s.
";
    assert!(text.contains(expected), "{text}");
    // Its evidence is not pooled.
    let told = bench
        .ask("GET /api/v1/breakers/search/explanation", &[], "")
        .await;
    let text = told.body["text"].as_str().unwrap();
    assert!(!text.contains("Fleet"), "{text}");
}
