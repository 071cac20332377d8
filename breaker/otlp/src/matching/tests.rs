use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::encode::{self, Sent};

const NONE: [usize; 0] = [];

fn feed(takes: Takes, attributes: &[(&str, Pattern)]) -> FeedMatcher {
    FeedMatcher {
        takes,
        resource: Vec::new(),
        scope: None,
        attributes: named(attributes),
    }
}

fn named(conditions: &[(&str, Pattern)]) -> Vec<(String, Pattern)> {
    let conditions = conditions.iter().cloned();
    conditions
        .map(|(name, pattern)| (name.to_owned(), pattern))
        .collect()
}

fn is(text: &str) -> Pattern {
    Pattern::any([Test::equal(text)])
}

fn spans(kinds: &[SpanKind]) -> Takes {
    Takes::Spans(kinds.iter().copied().collect())
}

fn attributes(message: &[u8]) -> Attributes<'_> {
    Attributes::new(message, encode::FIELD)
}

#[test]
fn a_feed_takes_the_spans_of_its_kinds_for_which_all_conditions_hold() {
    let feed = feed(
        spans(&[SpanKind::Client]),
        &[
            ("db.system.name", is("postgresql")),
            ("server.port", is("5432")),
        ],
    );
    let both = encode::attributes(&[
        ("server.port", Sent::Int(5432)),
        ("db.system.name", Sent::Str("postgresql")),
    ]);
    let one = encode::attributes(&[("db.system.name", Sent::Str("postgresql"))]);
    assert!(feed.matches_span(SpanKind::Client, attributes(&both)));
    assert!(!feed.matches_span(SpanKind::Client, attributes(&one)));
    assert!(!feed.matches_span(SpanKind::Server, attributes(&both)));
    assert!(!feed.matches_span(SpanKind::Unspecified, attributes(&both)));
    assert!(!feed.matches_metric("db.client.operation.duration", attributes(&both)));
}

#[test]
fn a_feed_of_a_metric_takes_its_points_and_no_spans() {
    let feed = feed(
        Takes::Histogram(Pattern::any([Test::glob("http.*.duration")])),
        &[("http.route", is("/pay"))],
    );
    let pay = encode::attributes(&[("http.route", Sent::Str("/pay"))]);
    assert!(feed.matches_metric("http.server.request.duration", attributes(&pay)));
    assert!(!feed.matches_metric("http.server.active_requests", attributes(&pay)));
    assert!(!feed.matches_metric("http.server.request.duration", attributes(&[])));
    assert!(!feed.matches_span(SpanKind::Server, attributes(&pay)));
}

#[test]
fn resource_and_scope_narrow_what_a_set_looks_at() {
    let checkout = FeedMatcher {
        resource: named(&[("service.name", is("checkout"))]),
        scope: Some(Pattern::any([Test::prefix(
            "opentelemetry.instrumentation.",
        )])),
        ..feed(spans(&[SpanKind::Client]), &[])
    };
    let everything = feed(spans(&[SpanKind::Server]), &[]);
    let set = MatchSet::new([&checkout, &everything]);
    let mut matching = set.matching();
    let resource = encode::attributes(&[("service.name", Sent::Str("checkout"))]);

    assert!(matching.resource(attributes(&resource)));
    assert!(matching.scope("opentelemetry.instrumentation.psycopg"));
    assert_eq!(matching.span(SpanKind::Client, attributes(&[])), [0]);
    assert_eq!(matching.span(SpanKind::Server, attributes(&[])), [1]);
    assert_eq!(matching.span(SpanKind::Internal, attributes(&[])), NONE);
    assert!(matching.scope("own"));
    assert_eq!(matching.span(SpanKind::Client, attributes(&[])), NONE);

    let alone = MatchSet::new([&checkout]);
    let mut matching = alone.matching();
    assert!(!matching.resource(attributes(&[])));
    assert!(matching.resource(attributes(&resource)));
    assert!(!matching.scope("own"));
}

#[test]
fn a_set_without_feeds_wants_nothing() {
    let set = MatchSet::new([]);
    let mut matching = set.matching();
    assert!(!matching.resource(attributes(&[])));
    assert!(!matching.scope("x"));
    assert_eq!(matching.span(SpanKind::Server, attributes(&[])), NONE);
}

#[test]
fn a_span_before_any_resource_belongs_to_no_feed() {
    let all = feed(spans(&[SpanKind::Server]), &[]);
    let set = MatchSet::new([&all]);
    let mut matching = set.matching();
    assert_eq!(matching.span(SpanKind::Server, attributes(&[])), NONE);
}

#[test]
fn more_conditions_than_a_word_has_bits_are_kept_apart() {
    let feeds: Vec<_> = (0..200)
        .map(|n| {
            let route = is(&format!("/r{n}"));
            feed(spans(&[SpanKind::Server]), &[("http.route", route)])
        })
        .collect();
    let set = MatchSet::new(&feeds);
    let mut matching = set.matching();
    matching.resource(attributes(&[]));
    matching.scope("");
    for n in 0..200 {
        let route = format!("/r{n}");
        let message = encode::attributes(&[("http.route", Sent::Str(&route))]);
        assert_eq!(matching.span(SpanKind::Server, attributes(&message)), [n]);
    }
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let test = prop_oneof![
        select(vec!["x", "1", "true", ""]).prop_map(Test::equal),
        Just(Test::prefix("x")),
        Just(Test::glob("x*y")),
        any::<bool>().prop_map(Test::present),
    ];
    let tests = prop::collection::vec(test, 0..3);
    (tests, any::<bool>()).prop_map(|(tests, negated)| {
        if negated {
            Pattern::none(tests)
        } else {
            Pattern::any(tests)
        }
    })
}

fn conditions() -> impl Strategy<Value = Vec<(String, Pattern)>> {
    let name = select(vec!["a", "b", "ab", "http.route"]).prop_map(str::to_owned);
    prop::collection::vec((name, pattern()), 0..4)
}

fn matcher() -> impl Strategy<Value = FeedMatcher> {
    let kinds = select(vec![SpanKind::Server, SpanKind::Client]);
    let takes = prop_oneof![
        kinds.prop_map(|kind| spans(&[kind])),
        Just(Takes::Histogram(is("m"))),
    ];
    let scope = prop::option::of(pattern());
    (takes, conditions(), scope, conditions()).prop_map(|(takes, resource, scope, attributes)| {
        FeedMatcher {
            takes,
            resource,
            scope,
            attributes,
        }
    })
}

/// Names occur twice, and some are in no condition.
fn sent() -> impl Strategy<Value = Vec<u8>> {
    let name = select(vec!["a", "b", "ab", "http.route", "zz", ""]);
    let value = select(vec![
        Sent::Str("x"),
        Sent::Str("xy"),
        Sent::Str("1"),
        Sent::Int(1),
        Sent::Bool(true),
        Sent::Double(1.0),
        Sent::List,
    ]);
    prop::collection::vec((name, value), 0..6).prop_map(|sent| encode::attributes(&sent))
}

proptest! {
    #[test]
    fn a_set_gives_the_answers_of_its_matchers(
        feeds in prop::collection::vec(matcher(), 0..6),
        resource in sent(),
        scope in select(vec!["", "x", "xzy"]),
        items in prop::collection::vec(sent(), 1..4),
    ) {
        let (resource, set) = (attributes(&resource), MatchSet::new(&feeds));
        let mut matching = set.matching();
        let expected = |takes: &dyn Fn(&FeedMatcher) -> bool| {
            let feeds = feeds.iter().enumerate();
            let taking = feeds.filter(|(_, feed)| {
                feed.matches_resource(resource) && feed.matches_scope(scope) && takes(feed)
            });
            taking.map(|(index, _)| index).collect::<Vec<_>>()
        };
        let of_resource = feeds.iter().any(|feed| feed.matches_resource(resource));
        prop_assert_eq!(matching.resource(resource), of_resource);
        prop_assert_eq!(matching.scope(scope), !expected(&|_| true).is_empty());
        for item in &items {
            let item = attributes(item);
            for kind in [SpanKind::Server, SpanKind::Client, SpanKind::Producer] {
                let expected = expected(&|feed| feed.matches_span(kind, item));
                prop_assert_eq!(matching.span(kind, item), expected);
            }
            for name in ["m", "n"] {
                let expected = expected(&|feed| feed.matches_metric(name, item));
                prop_assert_eq!(matching.point(name, item), expected);
            }
        }
    }
}
