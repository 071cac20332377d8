//! `deadline` of a route: what it may say, and what is said where it may not.

use std::path::Path;
use std::time::Duration;

use http::HeaderName;

use crate::config::Config;
use crate::proxy::DeadlineRules;

fn parsed(deadline: &str) -> Result<DeadlineRules, String> {
    let text = format!(
        "upstreams:\n  pay: {{ endpoints: [\"http://127.0.0.1:9001\"] }}\nroutes:\n  \
         - {{ name: pay, upstream: pay, deadline: {deadline} }}\n"
    );
    let config = Config::parse(&text, Some("b.yaml"), Path::new(""));
    let config = config.map_err(|error| error.to_string())?;
    Ok(config.routes()[0].deadline().clone())
}

#[test]
fn what_is_good_is_what_it_says() {
    let default = DeadlineRules::default();
    let named = |name| DeadlineRules {
        header: Some(HeaderName::from_static(name)),
        ..DeadlineRules::default()
    };
    let up_to = |max| DeadlineRules {
        max: Some(max),
        ..DeadlineRules::default()
    };
    for (deadline, expected) in [
        ("{}", default.clone()),
        ("{ grpc: true }", default.clone()),
        (
            "{ grpc: false }",
            DeadlineRules {
                grpc: false,
                ..default
            },
        ),
        (
            "{ header: x-request-timeout-ms }",
            named("x-request-timeout-ms"),
        ),
        ("{ header: X-Time }", named("x-time")),
        ("{ header: 'x!#$%&*+-.^_`|~1' }", named("x!#$%&*+-.^_`|~1")),
        ("{ max: 1ms }", up_to(Duration::from_millis(1))),
        ("{ max: 24h }", up_to(Duration::from_hours(24))),
        ("{ max: 1h30m }", up_to(Duration::from_mins(90))),
    ] {
        assert_eq!(parsed(deadline), Ok(expected), "{deadline}");
    }
}

#[test]
fn what_is_bad_has_a_place_a_field_and_a_rule() {
    let mut wrong = Vec::new();
    for (deadline, expected) in BAD {
        let found = parsed(deadline).map_or_else(|error| error, |rules| format!("{rules:?}"));
        if found != format!("b.yaml:{expected}") {
            wrong.push(format!("{deadline}: {found}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn fields_that_http_or_the_proxy_needs_are_no_deadlines() {
    for name in TAKEN {
        for name in [(*name).to_owned(), name.to_ascii_uppercase()] {
            let error = parsed(&format!("{{ header: {name} }}")).expect_err(&name);
            let rule = "must be a field of its own, not one that HTTP, gRPC or the proxy uses";
            let expected = format!("b.yaml:4:53: routes[0].deadline.header: {rule}");
            assert_eq!(error, expected, "{name}");
        }
    }
}

/// By the connection, by messages, by what the proxy adds, by the breaker, and by gRPC.
const TAKEN: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "http2-settings",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "content-type",
    "expect",
    "host",
    "via",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "proxy-status",
    "grpc-timeout",
    "grpc-status",
    "traceparent",
    "tracestate",
];

const A_MAPPING: &str = "4:43: routes[0].deadline: must be a mapping of fields";
const A_TIME: &str = "4:50: routes[0].deadline.max: must be a time with its unit, \
                      such as 250ms, 10s, 5m, 1h or 1m30s";
const A_NAME: &str = "4:53: routes[0].deadline.header: must be the name of a header";

/// The fields, and what is said behind the name of the file.
const BAD: &[(&str, &str)] = &[
    ("5", A_MAPPING),
    ("5s", A_MAPPING),
    ("true", A_MAPPING),
    ("[5s]", A_MAPPING),
    (
        "{ max: 5 }",
        "4:50: routes[0].deadline.max: must have a unit: write 5s, 5ms or 5m",
    ),
    ("{ max: soon }", A_TIME),
    ("{ max: '' }", A_TIME),
    ("{ max: -5s }", A_TIME),
    ("{ max: -5 }", A_TIME),
    ("{ max: .nan }", A_TIME),
    (
        "{ max: 0s }",
        "4:50: routes[0].deadline.max: must be 1ms to 24h",
    ),
    (
        "{ max: 0 }",
        "4:50: routes[0].deadline.max: must have a unit: write 0s, 0ms or 0m",
    ),
    (
        "{ max: 25h }",
        "4:50: routes[0].deadline.max: must be 1ms to 24h",
    ),
    ("{ max: 1us }", A_TIME),
    ("{ max: off }", A_TIME),
    (
        "{ max: [5s] }",
        "4:50: routes[0].deadline.max: must be a single value",
    ),
    (
        "{ max: { s: 5 } }",
        "4:50: routes[0].deadline.max: must be a single value",
    ),
    (
        "{ maximum: 5s }",
        "4:45: routes[0].deadline.maximum: is not a field here; the fields are grpc, header, max",
    ),
    (
        "{ timeout: 5s }",
        "4:45: routes[0].deadline.timeout: is not a field here; the fields are grpc, header, max",
    ),
    (
        "{ Max: 5s }",
        "4:45: routes[0].deadline.Max: is not a field here; did you mean max?",
    ),
    (
        "{ max: 5s, max: 6s }",
        "4:54: routes[0].deadline.max: is given twice",
    ),
    (
        "{ header: x-a, header: x-b }",
        "4:58: routes[0].deadline.header: is given twice",
    ),
    (
        "{ grpc: 1 }",
        "4:51: routes[0].deadline.grpc: must be true or false",
    ),
    (
        "{ grpc: maybe }",
        "4:51: routes[0].deadline.grpc: must be true or false",
    ),
    (
        "{ grpc: [true] }",
        "4:51: routes[0].deadline.grpc: must be a single value",
    ),
    ("{ header: 'x time' }", A_NAME),
    ("{ header: '' }", A_NAME),
    ("{ header: 'x-time:' }", A_NAME),
    ("{ header: \"x\\ttime\" }", A_NAME),
    ("{ header: x-zéit }", A_NAME),
    ("{ header: [x-time] }", A_NAME),
    ("{ header: { name: x-time } }", A_NAME),
    ("{ header: true }", A_NAME),
    ("{ header: 5 }", A_NAME),
    ("~", "4:43: routes[0].deadline: must have a value"),
    (
        "{ max: ~ }",
        "4:50: routes[0].deadline.max: must have a value",
    ),
    (
        "{ grpc: ~ }",
        "4:51: routes[0].deadline.grpc: must have a value",
    ),
    (
        "{ header: ~ , max: 0s }",
        "4:53: routes[0].deadline.header: must have a value",
    ),
    (
        "{ grpc: maybe, header: '', max: 0s }",
        "4:51: routes[0].deadline.grpc: must be true or false",
    ),
];
