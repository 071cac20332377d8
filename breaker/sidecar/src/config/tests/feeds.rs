//! `telemetry.receive`, `feeds`, and routes that have only these.

use super::*;
use breaker_otlp::SpanKind;
use breaker_otlp::matching::{Pattern, Takes, Test};

const ALONE: &str = "telemetry: { receive: {} }\nroutes:\n  - name: pay\n";

/// The only feed of a route that has it alone.
fn feed(fields: &str) -> Feed {
    let config = parsed(&format!("{ALONE}    feeds: [{{ name: db, {fields} }}]\n"));
    let [route] = config.routes() else {
        panic!("one route");
    };
    route.feeds()[0].clone()
}

fn received(receive: &str) -> Receive {
    let config = parsed(&format!("telemetry: {{ receive: {receive} }}\n{SMALL}"));
    config.receive().expect("received").clone()
}

fn any(tests: impl Into<Vec<Test>>) -> Pattern {
    Pattern::any(tests)
}

#[test]
fn nothing_is_received_unless_asked_for() {
    assert_eq!(parsed(SMALL).receive(), None);
}

#[test]
fn an_empty_receive_has_both_default_addresses() {
    for text in ["{}", "{ forward: 'http://collector:4317' }"] {
        let receive = received(text);
        assert_eq!(receive.grpc(), "127.0.0.1:4317".parse().ok());
        assert_eq!(receive.http(), "127.0.0.1:4318".parse().ok());
    }
    assert_eq!(received("{}").forward(), None);
}

#[test]
fn one_address_stands_alone() {
    let receive = received("{ grpc: localhost:14317 }");
    assert_eq!(receive.grpc(), "127.0.0.1:14317".parse().ok());
    assert_eq!(receive.http(), None);
    let remote = received("{ http: '[::]:4318', allow_remote: true }");
    assert_eq!(remote.http(), "[::]:4318".parse().ok());
}

#[test]
fn both_protocols_may_share_an_address() {
    let receive = received("{ grpc: 127.0.0.1:4317, http: 127.0.0.1:4317 }");
    assert_eq!(receive.grpc(), receive.http());
}

#[test]
fn a_forward_url_is_for_the_protocol_of_its_port() {
    let targets = |forward: &str| {
        let receive = received(&format!("{{ forward: {forward} }}"));
        let forward = receive.forward().expect("a target").clone();
        let text = |url: Option<&http::Uri>| url.map(ToString::to_string);
        (text(forward.grpc()), text(forward.http()))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        targets("'https://collector:4317'"),
        (some("https://collector:4317/"), None)
    );
    assert_eq!(
        targets("'http://collector:4318'"),
        (None, some("http://collector:4318/"))
    );
    assert_eq!(
        targets("'http://collector'"),
        (some("http://collector/"), None)
    );
    assert_eq!(
        targets("{ grpc: 'http://a:1', http: 'http://b:2/otlp' }"),
        (some("http://a:1/"), some("http://b:2/otlp"))
    );
}

#[test]
fn a_receiver_knows_its_own_addresses() {
    let receive = received("{ grpc: 127.0.0.1:4317, http: '0.0.0.0:80', allow_remote: true }");
    for (url, own) in [
        ("http://127.0.0.1:4317", true),
        ("http://localhost:4317/v1/traces", true),
        ("http://LOCALHOST:4317", true),
        ("http://0.0.0.0:4317", true),
        ("http://127.0.0.1:4318", false),
        ("http://10.0.0.1:4317", false),
        ("http://collector:4317", false),
        ("https://127.0.0.1", false),
        ("http://127.0.0.1", true),
        ("http://127.0.0.2", true),
        ("http://localhost", true),
        ("http://10.0.0.1", false),
    ] {
        assert_eq!(receive.is_own(&url.parse().unwrap()), own, "{url}");
    }
    let unknown = received("{ grpc: 127.0.0.1:0 }");
    assert!(!unknown.is_own(&"http://127.0.0.1:0".parse().unwrap()));
}

#[test]
fn a_feed_takes_client_and_server_spans_unless_told_otherwise() {
    let feed = feed("silence_timeout: 30s");
    assert_eq!(&**feed.name(), "db");
    let Takes::Spans(kinds) = feed.matcher().takes else {
        panic!("spans");
    };
    let all = [
        SpanKind::Unspecified,
        SpanKind::Internal,
        SpanKind::Server,
        SpanKind::Client,
        SpanKind::Producer,
        SpanKind::Consumer,
    ];
    let taken = all.into_iter().filter(|kind| kinds.contains(*kind));
    assert_eq!(
        taken.collect::<Vec<_>>(),
        [SpanKind::Server, SpanKind::Client]
    );
    assert_eq!(feed.matcher().resource, []);
    assert_eq!(feed.matcher().attributes, []);
    assert_eq!(feed.matcher().scope, None);
    assert_eq!(feed.policy(), None);
    assert_eq!(feed.silence_timeout(), Duration::from_secs(30));
}

#[test]
fn every_field_of_a_feed_is_read() {
    let feed = feed(
        "service: checkout, span: [consumer, internal], scope: { prefix: io. }, resource: { k8s.pod.name: { glob: 'pay-*' } },
      match: { server.port: 5432, db.namespace: [a, { glob: 'b*' }], error.type: { not: [timeout, { present: false }] }, retry: true },
      policy: { base: conservative, window: 5s }, silence_timeout: 1m",
    );
    let matcher = feed.matcher();
    let kinds = [SpanKind::Consumer, SpanKind::Internal];
    assert_eq!(matcher.takes, Takes::Spans(kinds.into_iter().collect()));
    assert_eq!(matcher.scope, Some(any([Test::prefix("io.")])));
    let named = |name: &str, pattern| (name.to_owned(), pattern);
    assert_eq!(
        matcher.resource,
        [
            named("k8s.pod.name", any([Test::glob("pay-*")])),
            named("service.name", any([Test::equal("checkout")])),
        ]
    );
    let not = [Test::equal("timeout"), Test::present(false)];
    assert_eq!(
        matcher.attributes,
        [
            named("db.namespace", any([Test::equal("a"), Test::glob("b*")])),
            named("error.type", Pattern::none(not)),
            named("retry", any([Test::equal("true")])),
            named("server.port", any([Test::equal("5432")])),
        ]
    );
    let policy = feed.policy().expect("a policy");
    assert_eq!(policy.name(), "db");
    assert_eq!(policy.window(), Duration::from_secs(5));
    assert_eq!(policy.trip(), Policy::conservative().trip());
    assert_eq!(feed.silence_timeout(), Duration::from_secs(60));
}

#[test]
fn numbers_and_truth_values_may_be_quoted_or_not() {
    let pattern = |text: &str| {
        let feed = feed(&format!("match: {{ a: {text} }}"));
        feed.matcher().attributes[0].1.clone()
    };
    assert_eq!(pattern("5432"), pattern("'5432'"));
    assert_eq!(pattern("-1"), pattern("'-1'"));
    assert_eq!(pattern("true"), pattern("'true'"));
    assert_eq!(pattern("'1.10'"), any([Test::equal("1.10")]));
}

#[test]
fn a_metric_is_a_name_or_a_glob() {
    let takes = |text: &str| feed(&format!("metric: {text}")).matcher().takes.clone();
    let name = "http.server.request.duration";
    assert_eq!(takes(name), Takes::Histogram(any([Test::equal(name)])));
    let glob = "http.*.duration";
    assert_eq!(takes(glob), Takes::Histogram(any([Test::glob(glob)])));
}

#[test]
fn a_route_without_an_upstream_is_fed_by_telemetry_alone() {
    let config = parsed(&format!(
        "{ALONE}    feeds: [{{ name: db }}]\n    policy: combined\n"
    ));
    let [route] = config.routes() else {
        panic!("one route");
    };
    assert!(route.upstream().is_none());
    assert_eq!(**route.policy(), Policy::combined());
    assert_eq!(route.feeds().len(), 1);
}

#[test]
fn routes_without_an_upstream_don_t_take_each_others_requests() {
    let feeds = "feeds: [{ name: db }]";
    let config = parsed(&format!(
        "telemetry: {{ receive: {{}} }}\n{SMALL}  - {{ name: a, {feeds} }}\n  - {{ name: b, {feeds} }}\n"
    ));
    let proxied = config
        .routes()
        .iter()
        .map(|route| route.upstream().is_some());
    assert_eq!(proxied.collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn feeds_and_their_conditions_are_bounded() {
    let many = |count: usize| {
        let feeds: Vec<_> = (0..count).map(|n| format!("{{ name: f{n} }}")).collect();
        let text = format!("{ALONE}    feeds: [{}]\n", feeds.join(", "));
        Config::parse(&text, None, &root()).map_err(|error| error.to_string())
    };
    assert!(many(16).is_ok());
    let error = many(17).unwrap_err();
    assert_eq!(error, "4:5: routes[0].feeds: must have 1 to 16 entries");

    let conditions = |count: usize| {
        let matches: Vec<_> = (0..count).map(|n| format!("a{n}: x")).collect();
        let matches = matches.join(", ");
        let text =
            format!("{ALONE}    feeds: [{{ name: f, service: s, match: {{ {matches} }} }}]\n");
        Config::parse(&text, None, &root()).map_err(|error| error.to_string())
    };
    assert!(conditions(31).is_ok());
    let error = conditions(32).unwrap_err();
    assert_eq!(
        error,
        "4:13: routes[0].feeds[0]: must have at most 32 conditions"
    );
}

#[test]
fn the_configurations_of_the_documentation_are_good() {
    let text = include_str!("../../../../../docs/feeds.md");
    let blocks = text.split("```yaml\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split_once("```").map(|(block, _)| block));
    let ours: Vec<_> = blocks
        .filter(|block| block.starts_with("telemetry:"))
        .collect();
    assert_eq!(ours.len(), 4);
    let is_built = |block: &&str| cfg!(feature = "kafka") || !block.contains("kafka:");
    for block in ours.into_iter().filter(is_built) {
        assert!(
            parsed(block)
                .routes()
                .iter()
                .all(|route| !route.feeds().is_empty())
        );
    }
}
