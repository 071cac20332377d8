use std::time::Duration;

use axum::Router;
use breaker_sidecar::client::Client;
use http::{Request, StatusCode, Uri};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::collector::Collector;
use crate::service::{Service, ServiceSettings};

/// A running service, with one retry if it calls another.
struct Running {
    client: Client,
    orders: Uri,
    fault: Uri,
}

impl Running {
    async fn start(calls: Option<Uri>) -> Self {
        let any = "127.0.0.1:0".parse().unwrap();
        let service = Service::bind(ServiceSettings {
            name: "payments".to_owned(),
            listen: any,
            faults: any,
            calls,
            timeout: Duration::from_secs(5),
            retries: 1,
            workers: 4,
            queue: 4,
            takes: Duration::ZERO,
        });
        let service = service.await.unwrap();
        let (listen, faults) = service.addresses().unwrap();
        tokio::spawn(service.serve());
        Self {
            client: Client::new().unwrap(),
            orders: format!("http://{listen}/").parse().unwrap(),
            fault: format!("http://{faults}/fault").parse().unwrap(),
        }
    }

    async fn order(&self) -> StatusCode {
        let answer = self.client.get(&self.orders, LIMIT).await;
        answer.unwrap().status()
    }

    async fn set(&self, fault: Value) -> StatusCode {
        let answer = self.client.put(&self.fault, &fault, LIMIT).await;
        answer.unwrap().status()
    }
}

/// Serves it on a free port.
async fn serve(router: Router) -> Uri {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, router).await });
    format!("http://{address}/").parse().unwrap()
}

#[tokio::test]
async fn a_service_fails_while_its_fault_lasts() {
    let service = Running::start(None).await;
    assert_eq!(service.order().await, StatusCode::OK);
    let errors = json!({"kind": "errors", "share": 0.5});
    assert_eq!(service.set(errors).await, StatusCode::NO_CONTENT);
    let mut failed = 0;
    for _ in 0..10 {
        failed += u32::from(service.order().await == StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert_eq!(failed, 5);
    service.set(json!({"kind": "none"})).await;
    assert_eq!(service.order().await, StatusCode::OK);
}

#[tokio::test]
async fn a_bad_fault_is_refused_and_changes_nothing() {
    let service = Running::start(None).await;
    let refused = service.set(json!({"kind": "errors", "share": 2})).await;
    assert_eq!(refused, StatusCode::BAD_REQUEST);
    assert_eq!(service.order().await, StatusCode::OK);
}

#[tokio::test]
async fn who_hangs_is_let_go_when_the_fault_ends_and_the_queue_is_bounded() {
    let service = Running::start(None).await;
    service.set(json!({"kind": "hang"})).await;
    // Four workers and four places: one of nine is refused.
    let mut orders = JoinSet::new();
    for _ in 0..9 {
        let (client, orders_url) = (service.client.clone(), service.orders.clone());
        orders.spawn(async move { client.get(&orders_url, LIMIT).await.unwrap().status() });
    }
    let first = orders.join_next().await.unwrap().unwrap();
    assert_eq!(first, StatusCode::SERVICE_UNAVAILABLE);
    service.set(json!({"kind": "none"})).await;
    assert_eq!(orders.join_all().await, [StatusCode::OK; 8]);
}

#[tokio::test]
async fn a_refusal_by_a_breaker_is_passed_on_and_a_failure_is_not() {
    let fields = [
        ("retry-after", "3"),
        ("proxy-status", "breaker; error=destination_unavailable"),
    ];
    let refusal = async move || (StatusCode::SERVICE_UNAVAILABLE, fields);
    let refuses = serve(Router::new().fallback(refusal)).await;
    let service = Running::start(Some(refuses)).await;
    let answer = service.client.get(&service.orders, LIMIT).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    for (name, value) in fields {
        assert_eq!(answer.headers()[name], value);
    }

    let fails = serve(Router::new().fallback(async || StatusCode::INTERNAL_SERVER_ERROR)).await;
    let service = Running::start(Some(fails)).await;
    assert_eq!(service.order().await, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn the_collector_counts_trips_and_tells_events_once() {
    let collector = Collector::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let address = collector.address().unwrap();
    tokio::spawn(collector.serve());
    let client = Client::new().unwrap();
    let records = [
        ("closed", "open"),
        ("open", "half_open"),
        ("half_open", "open"),
    ];
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(Resource {
                attributes: vec![attribute("service.name", "ledger-breaker")],
                ..Resource::default()
            }),
            scope_logs: vec![ScopeLogs {
                log_records: records.map(transition).to_vec(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    let logs: Uri = format!("http://{address}/v1/logs").parse().unwrap();
    let post = async |body: Vec<u8>| {
        let request = Request::post(&logs).body(body.into());
        client.send(&logs, request, LIMIT).await.unwrap().status()
    };
    assert_eq!(post(request.encode_to_vec()).await, StatusCode::OK);
    assert_eq!(post(vec![0xff]).await, StatusCode::BAD_REQUEST);

    let read = async |path: &str| -> Value {
        let address = format!("http://{address}/{path}").parse().unwrap();
        let answer = client.get(&address, LIMIT).await.unwrap();
        serde_json::from_slice(answer.body()).unwrap()
    };
    let counts = &read("services").await["ledger-breaker"];
    assert_eq!(
        (&counts["transitions"], &counts["trips"]),
        (&json!(3), &json!(1))
    );
    let events = read("events/1").await;
    let numbers: Vec<_> = events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["number"])
        .collect();
    assert_eq!(numbers, [&json!(2), &json!(3)]);
    assert_eq!(events[0]["reason"], "because");
}

fn transition((from, to): (&str, &str)) -> LogRecord {
    LogRecord {
        event_name: "breaker.transition".to_owned(),
        body: attribute("", "because").value,
        attributes: vec![
            attribute("breaker.transition.from", from),
            attribute("breaker.transition.to", to),
        ],
        ..LogRecord::default()
    }
}

fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

const LIMIT: Duration = Duration::from_secs(10);
