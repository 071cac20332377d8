//! The API over real sockets: what it answers, and to whom.

mod fleet;
mod grpc;
mod trust;
mod upstreams;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use breaker_tower::{BreakerHandle, Mode, OnDrop, Policy as Rules, State};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::admin::tests::Server;
use crate::config::Token;
use crate::registry::RegisteredBreaker;

/// A server with two breakers, and what it answers.
struct Bench {
    server: Server,
    pay: BreakerHandle,
}

/// What was answered.
struct Answer {
    status: u16,
    head: String,
    body: Value,
}

impl Bench {
    async fn new() -> Self {
        Self::with(None, None).await
    }

    async fn with(token: Option<&str>, reload: Option<Arc<dyn Reload>>) -> Self {
        let pay = BreakerHandle::new("pay", Rules::sensitive());
        let search = BreakerHandle::new("search", Rules::conservative());
        let registry = [&pay, &search]
            .map(RegisteredBreaker::from)
            .into_iter()
            .collect();
        let token = token.map(|token| Token::new(token).unwrap());
        let server = Server::steered(registry, token, reload).await;
        Self { server, pay }
    }

    async fn ask(&self, line: &str, headers: &[&str], body: &str) -> Answer {
        let address = self.server.address;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut request = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|header| header.starts_with("Host:")) {
            request += &format!("Host: {address}\r\n");
        }
        for header in headers {
            request += &format!("{header}\r\n");
        }
        request += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head[9..12].parse().unwrap(),
            head: head.to_owned(),
            body: serde_json::from_str(body).unwrap_or_else(|_| json!(body)),
        }
    }

    async fn put_json(&self, path: &str, body: &Value) -> Answer {
        let line = format!("PUT /api/v1/breakers/{path}");
        let body = body.to_string();
        self.ask(&line, &["Content-Type: application/json"], &body)
            .await
    }

    async fn put_yaml(&self, path: &str, body: &str) -> Answer {
        let line = format!("PUT /api/v1/breakers/{path}");
        self.ask(&line, &["Content-Type: application/yaml"], body)
            .await
    }
}

/// Loads anew as it is told to.
#[derive(Debug, Default)]
struct Loader(AtomicBool);

#[async_trait]
impl Reload for Loader {
    fn configuration(&self) -> Configuration {
        Configuration {
            file: Some("breaker.yaml".into()),
            hash: "abc".into(),
            ..Configuration::default()
        }
    }

    fn identities(&self) -> Vec<Identity> {
        vec![Identity {
            agent: "unix:///run/agent.sock".into(),
            error: Some("the agent says nothing".into()),
            ..Identity::default()
        }]
    }

    async fn reload(&self) -> Result<Reloaded, ReloadRefused> {
        if self.0.load(Ordering::Relaxed) {
            let refused = "breaker.yaml:3:1: routes: is required";
            return Err(ReloadRefused(refused.to_owned()));
        }
        Ok(Reloaded {
            changed: true,
            added: vec!["new".into()],
            ..Reloaded::default()
        })
    }
}

#[tokio::test]
async fn breakers_are_told_with_policy_and_mode() {
    let bench = Bench::new().await;
    let all = bench.ask("GET /api/v1/breakers", &[], "").await;
    assert_eq!(all.status, 200);
    let one = bench.ask("GET /api/v1/breakers/pay", &[], "").await;
    assert_eq!(one.body["name"], all.body["breakers"][0]["name"]);
    let policy = json!({ "name": "sensitive", "origin": "configuration" });
    assert_eq!(one.body["policy"], policy);
    assert_eq!(one.body["mode_remaining"], Value::Null);
    assert_eq!(one.body["alerting"], false);
}

#[tokio::test]
async fn a_mode_is_set_for_good_or_for_a_while() {
    let bench = Bench::new().await;
    let mode = json!({ "mode": "forced_open", "for": 30 });
    let answer = bench.put_json("pay/mode", &mode).await;
    assert_eq!(
        (answer.status, &answer.body["state"]),
        (200, &json!("open"))
    );
    let remaining = answer.body["mode_remaining"].as_f64().unwrap();
    assert!((29.0..=30.0).contains(&remaining), "{remaining}");
    assert_eq!(bench.pay.mode(), Mode::ForcedOpen);
    let answer = bench
        .put_json("pay/mode", &json!({ "mode": "shadow" }))
        .await;
    assert_eq!(answer.body["mode_remaining"], Value::Null);
    assert_eq!(bench.pay.mode(), Mode::Shadow);
}

#[tokio::test]
async fn a_mode_that_breaks_a_rule_is_422_and_no_json_400() {
    let bench = Bench::new().await;
    let period = "must be 0.1 to 604800 seconds";
    for (body, path, rule) in [
        (
            json!({ "mode": "auto", "for": 1 }),
            "for",
            "must be left out",
        ),
        (json!({ "mode": "shadow", "for": 0 }), "for", period),
        (json!({ "mode": "shadow", "for": 604_801 }), "for", period),
        (
            json!({ "mode": "shadow", "reason": "" }),
            "reason",
            "must be 1 to 256 characters on one line",
        ),
        (
            json!({ "mode": "shadow", "reason": "a\nb" }),
            "reason",
            "must be 1 to 256 characters on one line",
        ),
        (
            json!({ "mode": "shadow", "reason": "x".repeat(257) }),
            "reason",
            "must be 1 to 256 characters on one line",
        ),
        (json!({ "mode": "open" }), "mode", "unknown variant `open`"),
        (
            json!({ "mode": "auto", "fro": 1 }),
            "fro",
            "unknown field `fro`",
        ),
        (json!({}), "", "missing field `mode`"),
    ] {
        let Answer {
            status,
            head,
            body: problem,
        } = bench.put_json("pay/mode", &body).await;
        assert_eq!((status, &problem["path"]), (422, &json!(path)), "{problem}");
        let said = problem["rule"].as_str().unwrap();
        assert!(said.contains(rule), "{said}");
        assert!(head.contains("application/problem+json"), "{head}");
    }
    for body in ["", "{", "{\"mode\":\"auto\"} x", "mode: auto"] {
        let line = "PUT /api/v1/breakers/pay/mode";
        let answer = bench
            .ask(line, &["Content-Type: application/json"], body)
            .await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.body);
    }
    assert_eq!(bench.pay.mode(), Mode::Auto);
}

#[tokio::test]
async fn an_unknown_name_is_404_with_those_that_are_near() {
    let bench = Bench::new().await;
    for line in [
        "GET /api/v1/breakers/serch",
        "PUT /api/v1/breakers/serch/mode",
        "POST /api/v1/breakers/serch/reset",
        "GET /api/v1/breakers/serch/policy",
        "PUT /api/v1/breakers/serch/policy",
        "DELETE /api/v1/breakers/serch/policy",
        "GET /api/v1/breakers/serch/history",
    ] {
        let answer = bench.ask(line, &[], "").await;
        assert_eq!(answer.status, 404, "{line}");
        assert_eq!(answer.body["nearest"], json!(["search"]), "{line}");
        let detail = "no breaker is called 'serch'; did you mean search?";
        assert_eq!(answer.body["detail"], detail);
    }
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_for_a_resource_are_problems_too() {
    let bench = Bench::new().await;
    let answer = bench.ask("GET /api/v1/nothing", &[], "").await;
    assert_eq!((answer.status, &answer.body["status"]), (404, &json!(404)));
    let answer = bench
        .ask("PATCH /api/v1/breakers/pay/policy", &[], "")
        .await;
    assert_eq!((answer.status, &answer.body["status"]), (405, &json!(405)));
    let head = answer.head.to_ascii_lowercase();
    assert!(head.contains("allow: get,head,put,delete"), "{head}");
}

#[tokio::test]
async fn a_reset_closes_and_forgets() {
    let bench = Bench::new().await;
    for _ in 0..20 {
        let request = bench.pay.try_acquire(OnDrop::Ignored).unwrap();
        request.finish(breaker_tower::breaker_core::Classification::Failure);
    }
    assert_eq!(bench.pay.state(), State::Open);
    let answer = bench.ask("POST /api/v1/breakers/pay/reset", &[], "").await;
    assert_eq!(
        (answer.status, &answer.body["state"]),
        (200, &json!("closed"))
    );
    assert_eq!(answer.body["sources"][0]["requests"], 0);
    assert_eq!(answer.body["totals"]["failure"], 20);
}

#[tokio::test]
async fn a_policy_is_put_in_force_and_the_state_stays() {
    let bench = Bench::new().await;
    let before = bench.ask("GET /api/v1/breakers/pay/policy", &[], "").await;
    assert_eq!(before.body["origin"], "configuration");
    assert_eq!(
        (&before.body["window"], &before.body["min_requests"]),
        (&json!(10.0), &json!(20))
    );
    let condition = json!({
        "entry": 0, "action": "open", "text": "error rate ≥ 8%", "metric": "error_rate", "threshold": 0.08,
    });
    assert_eq!(before.body["conditions"][0], condition);

    bench.pay.force(Mode::ForcedOpen);
    let answer = bench
        .put_yaml(
            "pay/policy",
            "name: strict\nbase: sensitive\ntrip: [{ p99: 250ms }]\n",
        )
        .await;
    assert_eq!(
        (answer.status, &answer.body["origin"]),
        (200, &json!("override"))
    );
    let condition = json!({
        "entry": 0, "action": "open", "text": "p99 ≥ 250ms", "metric": "p99", "threshold": 0.25,
    });
    assert_eq!(answer.body["conditions"], json!([condition]));
    assert_eq!(bench.pay.policy().name(), "strict");
    assert_eq!(bench.pay.state(), State::Open);

    // What is told can be put again.
    let yaml = answer.body["yaml"].as_str().unwrap();
    let again = bench.put_json("pay/policy", &json!({ "yaml": yaml })).await;
    assert_eq!(again.body, answer.body);

    let answer = bench
        .put_json("pay/policy", &json!({ "name": "conservative" }))
        .await;
    assert_eq!(answer.body["name"], "conservative");
    let dropped = bench
        .ask("DELETE /api/v1/breakers/pay/policy", &[], "")
        .await;
    assert_eq!((dropped.status, dropped.body), (200, before.body));
    assert_eq!(*bench.pay.policy(), Rules::sensitive());
}

#[tokio::test]
async fn a_policy_that_breaks_a_rule_is_422_with_its_place_and_changes_nothing() {
    let bench = Bench::new().await;
    let bad = "name: strict\ntrip:\n  - error_rate: 8\n";
    for answer in [
        bench.put_yaml("pay/policy", bad).await,
        bench.put_json("pay/policy", &json!({ "yaml": bad })).await,
    ] {
        assert_eq!(answer.status, 422);
        let problem = answer.body;
        assert_eq!(problem["path"], "trip[0].error_rate");
        assert_eq!(
            (&problem["line"], &problem["column"]),
            (&json!(3), &json!(17))
        );
        assert_eq!(problem["rule"], "must be a share: write 8% or 0.08");
        let detail = "3:17: trip[0].error_rate: must be a share: write 8% or 0.08";
        assert_eq!(problem["detail"], detail);
    }
    let answer = bench
        .put_json("pay/policy", &json!({ "name": "sensitiv" }))
        .await;
    assert_eq!(
        answer.body["rule"],
        "must name a policy; did you mean sensitive?"
    );
    let answer = bench
        .put_json("pay/policy", &json!({ "nam": "sensitive" }))
        .await;
    assert_eq!(answer.status, 422);
    let large = "#".repeat(1024 * 1024 + 1);
    assert_eq!(bench.put_yaml("pay/policy", &large).await.status, 413);
    assert_eq!(*bench.pay.policy(), Rules::sensitive());
}

#[tokio::test]
async fn a_reload_tells_what_changed_or_why_not() {
    let loader = Arc::new(Loader::default());
    let bench = Bench::with(None, Some(loader.clone())).await;
    for line in ["POST /api/v1/reload", "POST /reload"] {
        let answer = bench.ask(line, &[], "").await;
        let expected = json!({ "changed": true, "added": ["new"], "removed": [], "updated": [] });
        assert_eq!((answer.status, answer.body), (200, expected), "{line}");
    }
    loader.0.store(true, Ordering::Relaxed);
    let answer = bench.ask("POST /api/v1/reload", &[], "").await;
    let detail = "breaker.yaml:3:1: routes: is required";
    assert_eq!(
        (answer.status, &answer.body["detail"]),
        (422, &json!(detail))
    );

    let fixed = Bench::new().await;
    assert_eq!(fixed.ask("POST /api/v1/reload", &[], "").await.status, 501);
}

#[tokio::test]
async fn the_status_tells_version_readiness_and_configuration() {
    let bench = Bench::with(Some("s3cret"), Some(Arc::new(Loader::default()))).await;
    let status = bench.ask("GET /api/v1/status", &[], "").await.body;
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (&status["readiness"], &status["token_required"]),
        (&json!("starting"), &json!(true))
    );
    assert_eq!(status["configuration"]["hash"], "abc");
    assert!(status["started"].as_f64().unwrap() > 1.7e9, "{status}");
}

/// Router and document are made of one list; this says what is in it.
#[tokio::test]
async fn the_document_has_every_operation_and_all_that_it_refers_to() {
    // Without a fleet there is nothing at its path.
    let bench = fleet::bench().await;
    let document = bench.ask("GET /api/v1/openapi.json", &[], "").await.body;
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, operations)| {
        let methods = operations.as_object().unwrap().keys();
        methods.map(move |method| format!("{method} {path}"))
    });
    let operations: Vec<_> = operations.collect();
    assert_eq!(
        operations,
        [
            "get /api/v1/breakers",
            "get /api/v1/breakers/{name}",
            "get /api/v1/breakers/{name}/explanation",
            "get /api/v1/breakers/{name}/history",
            "put /api/v1/breakers/{name}/mode",
            "delete /api/v1/breakers/{name}/policy",
            "get /api/v1/breakers/{name}/policy",
            "put /api/v1/breakers/{name}/policy",
            "post /api/v1/breakers/{name}/reset",
            "get /api/v1/fleet",
            "put /api/v1/panic",
            "post /api/v1/reload",
            "get /api/v1/status",
            "get /api/v1/upstreams",
            "get /api/v1/upstreams/{name}",
            "post /api/v1/upstreams/{name}/admit",
            "post /api/v1/upstreams/{name}/eject",
            "get /api/v1/watch",
        ]
    );
    // Each is answered by something that knows it.
    for operation in &operations {
        let (method, path) = operation.split_once(' ').unwrap();
        if path.ends_with("/watch") {
            continue;
        }
        let line = format!(
            "{} {}",
            method.to_ascii_uppercase(),
            path.replace("{name}", "pay")
        );
        let answer = bench.ask(&line, &[], "").await;
        assert!(
            ![404, 405].contains(&answer.status),
            "{line}: {}",
            answer.status
        );
    }
    let text = document.to_string();
    for reference in text.split("\"#/").skip(1) {
        let pointer = format!("/{}", reference.split('"').next().unwrap());
        assert!(document.pointer(&pointer).is_some(), "{pointer}");
    }
    let breaker = &document["components"]["schemas"]["Breaker"]["properties"];
    assert_eq!(breaker["mode_remaining"]["type"], json!(["number", "null"]));
}

#[tokio::test]
async fn endpoints_are_listed_ejected_and_admitted() {
    let bench = Bench::new().await;
    let all = bench.ask("GET /api/v1/upstreams", &[], "").await;
    assert_eq!(
        (all.status, &all.body["upstreams"][0]["name"]),
        (200, &json!("pay"))
    );
    let eject = r#"{ "endpoint": "127.0.0.1:2", "for": 60, "reason": "it is drained" }"#;
    let ejected = bench
        .ask(
            "POST /api/v1/upstreams/pay/eject",
            &["Content-Type: application/json"],
            eject,
        )
        .await;
    assert_eq!(ejected.status, 200, "{:?}", ejected.body);
    let second = &ejected.body["endpoints"][1];
    assert_eq!(
        (&second["state"], &second["endpoint"]),
        (&json!("out"), &json!("127.0.0.1:2"))
    );
    assert_eq!(second["reason"]["label"], "operator");
    assert!(second["out_remaining"].as_f64().unwrap() > 50.0);
    let admit = r#"{ "endpoint": "127.0.0.1:2" }"#;
    let admitted = bench
        .ask(
            "POST /api/v1/upstreams/pay/admit",
            &["Content-Type: application/json"],
            admit,
        )
        .await;
    assert_eq!(admitted.body["endpoints"][1]["state"], "in");
}

#[tokio::test]
async fn what_is_wrong_with_a_change_of_endpoints_is_named() {
    let bench = Bench::new().await;
    for (path, body, status, said) in [
        (
            "pay/eject",
            r#"{ "endpoint": "127.0.0.1:9" }"#,
            422,
            "must be an endpoint of pay: 127.0.0.1:1",
        ),
        (
            "pay/eject",
            r#"{ "endpoint": "127.0.0.1:1", "for": 0 }"#,
            422,
            "must be 0.1 to 604800 seconds",
        ),
        (
            "pay/eject",
            r#"{ "endpoint": "127.0.0.1:1", "reason": "" }"#,
            422,
            "must be 1 to 256",
        ),
        (
            "pay/admit",
            r#"{ "endpoint": "127.0.0.1:1", "for": 1 }"#,
            422,
            "for",
        ),
        (
            "none/eject",
            r#"{ "endpoint": "127.0.0.1:1" }"#,
            404,
            "no upstream none",
        ),
    ] {
        let line = format!("POST /api/v1/upstreams/{path}");
        let answer = bench
            .ask(&line, &["Content-Type: application/json"], body)
            .await;
        assert_eq!(answer.status, status, "{path} {body}");
        assert!(
            answer.body["detail"].as_str().unwrap().contains(said),
            "{:?}",
            answer.body
        );
    }
}
