//! What a span costs to be matched to feeds and judged: ten attributes, of which three feeds ask
//! for some.

use std::hint::black_box;
use std::path::Path;

use breaker_otlp::convention::Facts;
use breaker_otlp::matching::MatchSet;
use breaker_otlp::{Attributes, SpanKind, StatusCode};
use breaker_sidecar::config::Config;
use breaker_tower::breaker_core::policy::FailureRules;
use criterion::{Criterion, criterion_group, criterion_main};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

const FEEDS: &str = "telemetry: { receive: {} }
routes:
  - name: checkout
    feeds:
      - { name: db, service: checkout, span: client, match: { db.system.name: postgresql, server.address: { prefix: ledger } } }
      - { name: payments, service: checkout, span: client, match: { server.address: pay, http.request.method: POST } }
      - { name: own, service: checkout, span: server }
";

/// A message whose first field has the attributes, as a resource has and as a span has in its
/// ninth.
fn message(attributes: &[(&str, Value)]) -> Vec<u8> {
    let attributes = attributes.iter().map(|(key, value)| KeyValue {
        key: (*key).to_owned(),
        value: Some(AnyValue {
            value: Some(value.clone()),
        }),
        ..KeyValue::default()
    });
    let resource = Resource {
        attributes: attributes.collect(),
        ..Resource::default()
    };
    resource.encode_to_vec()
}

fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

fn of_a_span(criterion: &mut Criterion) {
    let config = Config::parse(FEEDS, None, Path::new("")).expect("a configuration");
    let feeds = config.routes().iter().flat_map(|route| route.feeds());
    let set = MatchSet::new(feeds.map(|feed| feed.matcher()));
    let resource = message(&[("service.name", text("checkout"))]);
    let span = message(&[
        ("thread.id", Value::IntValue(31)),
        ("thread.name", text("http-nio-8080-exec-7")),
        ("db.namespace", text("ledger")),
        ("db.operation.name", text("SELECT")),
        (
            "db.query.text",
            text("SELECT balance FROM accounts WHERE id = ?"),
        ),
        ("db.collection.name", text("accounts")),
        ("server.address", text("ledger.internal")),
        ("server.port", Value::IntValue(5432)),
        ("network.peer.address", text("10.0.3.17")),
        ("db.system.name", text("postgresql")),
    ]);
    let mut matching = set.matching();
    assert!(matching.resource(Attributes::new(&resource, 1)) && matching.scope("jdbc"));
    let attributes = Attributes::new(&span, 1);
    assert_eq!(matching.span(SpanKind::Client, attributes), [0]);

    let mut group = criterion.benchmark_group("a span of ten attributes");
    group.bench_function("matched to three feeds", |bencher| {
        bencher.iter(|| matching.span(black_box(SpanKind::Client), attributes).len());
    });
    group.bench_function("of a kind that no feed takes", |bencher| {
        bencher.iter(|| {
            matching
                .span(black_box(SpanKind::Internal), attributes)
                .len()
        });
    });
    let rules = FailureRules::default();
    group.bench_function("judged", |bencher| {
        bencher.iter(|| Facts::of(black_box(attributes)).classification(StatusCode::Unset, &rules));
    });
    group.finish();
}

criterion_group!(benches, of_a_span);
criterion_main!(benches);
