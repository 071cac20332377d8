//! OpenTelemetry's SDK for Python opens breakers, by its spans and by its histograms, over every
//! protocol it has.

use std::time::Duration;

use breaker_tests::{Answer, Sidecar, calmly, eventually, get};
use serde_json::Value;
use tokio::time::{self, Instant};

use crate::shop::{Environment, Receive, Redis, Shop, report, telemetry_only, variable};
use crate::tools::free_ports;

/// A sidecar in front of the shop, whose breaker also hears of the calls to the cache.
async fn in_front_of(shop: &Shop, receive: Receive, matching: &str) -> Sidecar {
    let (shop, receive) = (shop.address(), receive.yaml());
    Sidecar::start(format!(
        "listen: 127.0.0.1:0\n\
         admin: 127.0.0.1:0\n\
         telemetry: {{ receive: {{ {receive} }} }}\n\
         upstreams: {{ shop: {{ endpoints: [\"http://{shop}\"] }} }}\n\
         routes:\n\
         \x20 - name: shop\n\
         \x20   match: {{ path: \"/shop/{{*rest}}\" }}\n\
         \x20   upstream: shop\n\
         \x20   policy: {{ base: sensitive, open: {{ for: 2s, factor: 1, jitter: 0% }}, ramp: {{ for: 2s }} }}\n\
         \x20   feeds: [{{ name: cache, service: shop, span: client, match: {{ {matching} }} }}]\n"
    ))
    .await
}

/// A visitor every 20 ms.
#[derive(Debug, Default)]
struct Visits {
    served: u32,
    rejected: u32,
}

impl Visits {
    /// One visit. The shop itself never fails: who gets no 200 is refused by the breaker, which
    /// names the cache while it is open.
    async fn visit(&mut self, sidecar: &Sidecar) {
        time::sleep(Duration::from_millis(20)).await;
        let answer = get(sidecar.url("/shop/tea")).await;
        if answer.status == 200 {
            self.served += 1;
        } else {
            is_refused(&answer);
            self.rejected += 1;
        }
    }

    /// Visits until the breaker is in that state; tells its report.
    async fn until(&mut self, sidecar: &Sidecar, state: &str) -> Value {
        let mut report_now;
        eventually!(
            {
                self.visit(sidecar).await;
                report_now = report(sidecar).await;
                report_now["state"] == state
            },
            "the breaker is not {state}: {report_now:#}"
        );
        report_now
    }
}

fn is_refused(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(problem["breaker"], "shop", "{problem}");
    if problem["state"] == "open" {
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("(source cache)"), "{detail}");
        let proxy_status = answer.header("proxy-status");
        assert!(proxy_status.contains("(source cache)"), "{proxy_status}");
    }
}

async fn is_open_for_the_cache(sidecar: &Sidecar) {
    let answer = get(sidecar.url("/shop/tea")).await;
    is_refused(&answer);
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(problem["state"], "open", "{problem}");
    assert_eq!(problem["reason"], "error_rate", "{problem}");
}

fn window(report: &Value, source: &str) -> Value {
    let sources = report["sources"].as_array().unwrap();
    let named = sources.iter().find(|window| window["source"] == source);
    named.unwrap().clone()
}

fn transitions(report: &Value) -> Vec<String> {
    let kinds = report["transitions"].as_array().unwrap().iter();
    kinds
        .map(|kind| {
            let word = |field: &str| kind[field].as_str().unwrap().to_owned();
            format!("{} {} {}", word("from"), word("to"), word("reason"))
        })
        .collect()
}

/// The whole story: the answers of the application stay good, its database does not.
#[tokio::test]
async fn failing_calls_of_the_database_open_the_breaker_and_its_return_closes_it() {
    calmly(async || {
        let receive = Receive::grpc();
        let [port] = free_ports();
        let redis = Redis::start(port).await;
        let shop = Shop::start(receive.advised().await, port).await;
        let sidecar = in_front_of(&shop, receive, "db.system.name: redis").await;

        let mut visits = Visits::default();
        eventually!({
            visits.visit(&sidecar).await;
            window(&report(&sidecar).await, "cache")["requests"].as_u64() >= Some(30)
        });
        let healthy = report(&sidecar).await;
        assert_eq!(healthy["state"], "closed");
        assert_eq!(window(&healthy, "cache")["failures"], 0, "{healthy:#}");
        assert_eq!(visits.rejected, 0);

        drop(redis);
        let open = visits.until(&sidecar, "open").await;
        assert_eq!(open["reason"]["label"], "error_rate");
        let detail = open["reason"]["detail"].as_str().unwrap();
        assert!(detail.contains("(source cache)"), "{detail}");
        assert_eq!(window(&open, "proxy")["failures"], 0, "{open:#}");
        is_open_for_the_cache(&sidecar).await;

        // The probes are answered 200, and it is no recovery all the same.
        visits.until(&sidecar, "half_open").await;
        let again = visits.until(&sidecar, "open").await;
        assert_eq!(again["reason"]["label"], "feed_unhealthy", "{again:#}");

        let _redis = Redis::start(port).await;
        let closed = visits.until(&sidecar, "closed").await;
        assert_eq!(closed["reason"]["label"], "ramp_completed", "{closed:#}");
        assert_eq!(
            closed["totals"]["failure"], 0,
            "the shop itself failed: {closed:#}"
        );
        let kinds = transitions(&closed);
        assert!(
            kinds.contains(&"half_open open feed_unhealthy".to_owned()),
            "{kinds:?}"
        );
        let before = visits.rejected;
        for _ in 0..30 {
            visits.visit(&sidecar).await;
        }
        assert_eq!(visits.rejected, before, "closed, and yet it rejects");
    })
    .await;
}

/// Without a database from the start: until the breaker is open.
async fn opens(receive: Receive, environment: Environment, matching: &str) {
    let [nobody] = free_ports();
    let shop = Shop::start(environment, nobody).await;
    let sidecar = in_front_of(&shop, receive, matching).await;
    let mut visits = Visits::default();
    let open = visits.until(&sidecar, "open").await;
    assert_eq!(open["reason"]["label"], "error_rate");
    assert_eq!(window(&open, "proxy")["failures"], 0, "{open:#}");
    assert!(visits.served >= 20, "{visits:?}");
    is_open_for_the_cache(&sidecar).await;
}

#[tokio::test]
async fn spans_over_http_as_protobuf_open_the_breaker() {
    calmly(async || {
        let receive = Receive::http();
        let environment = receive.advised().await;
        opens(receive, environment, "db.system.name: redis").await;
    })
    .await;
}

#[tokio::test]
async fn spans_over_http_as_json_open_the_breaker() {
    calmly(async || {
        let receive = Receive::http();
        let mut environment = receive.advised().await;
        environment.push(variable("OTEL_TRACES_EXPORTER", "otlp_json_http"));
        environment.push(variable("OTEL_METRICS_EXPORTER", "otlp_json_http"));
        environment.push(variable("OTEL_LOGS_EXPORTER", "otlp_json_http"));
        opens(receive, environment, "db.system.name: redis").await;
    })
    .await;
}

#[tokio::test]
async fn spans_of_an_sdk_with_its_defaults_open_the_breaker() {
    calmly(async || {
        let receive = Receive::grpc();
        opens(receive, receive.defaults(), "db.system: redis").await;
    })
    .await;
}

/// The breaker of a route without an upstream hears of a service that answers 500, and denies.
async fn histogram_opens(receive: Receive, environment: Environment, metric: &str) {
    let [nobody] = free_ports();
    let shop = Shop::start(environment, nobody).await;
    let feed = format!("{{ name: requests, service: shop, metric: {metric} }}");
    let yaml = telemetry_only("shop", &feed);
    let receive = receive.yaml();
    let yaml = format!("telemetry: {{ receive: {{ {receive} }} }}\n{yaml}");
    let sidecar = Sidecar::start(yaml).await;
    // A cumulative series must be known before its growth is: so first some good ones.
    let verdict = || get(sidecar.admin_url("/breakers/shop"));
    assert_eq!(verdict().await.status, 200);
    let begun = Instant::now();
    let mut failed = 0;
    let mut denied;
    eventually!(
        {
            assert_eq!(shop.get("/answer/200").await, 200);
            if begun.elapsed() > Duration::from_secs(2) {
                assert_eq!(shop.get("/answer/500").await, 500);
                failed += 1;
            }
            let answer = verdict().await;
            denied = (answer.status != 200).then_some(answer);
            denied.is_some()
        },
        "it is not denied"
    );
    let denied = denied.unwrap();
    assert_eq!(denied.status, 503);
    let problem: Value = serde_json::from_slice(&denied.body).unwrap();
    assert_eq!(problem["reason"], "error_rate");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("(source requests)"), "{detail}");
    let report = report(&sidecar).await;
    let told = window(&report, "requests");
    let failures = told["failures"].as_u64().unwrap();
    assert!((1..=failed).contains(&failures), "{failed}: {told}");
    let latency = told["latency"]["p99"].as_f64().unwrap();
    // The handler takes 30 ms; the bucket that such a latency is in begins at 25 ms.
    assert!((0.025..1.0).contains(&latency), "{latency} s");
}

#[tokio::test]
async fn delta_exponential_histograms_open_the_breaker() {
    let receive = Receive::grpc();
    let environment = receive.advised().await;
    histogram_opens(receive, environment, "http.server.request.duration").await;
}

/// Milliseconds, cumulative, explicit buckets, and `http.status_code`; only sent more often than
/// once a minute.
#[tokio::test]
async fn histograms_of_an_sdk_with_its_defaults_open_the_breaker() {
    let receive = Receive::grpc();
    let mut environment = receive.defaults();
    environment.push(variable("OTEL_METRIC_EXPORT_INTERVAL", "1000"));
    histogram_opens(receive, environment, "http.server.duration").await;
}

/// The new name and seconds, with buckets and temporality as the SDK has them.
#[tokio::test]
async fn cumulative_histograms_of_the_stable_conventions_open_the_breaker() {
    let receive = Receive::http();
    let mut environment = receive.defaults();
    environment.push(variable("OTEL_METRIC_EXPORT_INTERVAL", "1000"));
    environment.push(variable("OTEL_SEMCONV_STABILITY_OPT_IN", "http"));
    histogram_opens(receive, environment, "http.server.request.duration").await;
}
