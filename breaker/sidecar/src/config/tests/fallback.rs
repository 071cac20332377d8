//! `routes[].fallback`.

use std::path::Path;

use crate::config::{Config, Fallback};

/// With upstreams `pay`, `replica` and `archive`, in five lines.
fn parse(routes: &str) -> Result<Config, String> {
    let text = format!(
        "upstreams:
  pay: {{ endpoints: [http://pay:1] }}
  replica: {{ endpoints: [http://replica:1] }}
  archive: {{ endpoints: [http://archive:1] }}
routes:
{routes}"
    );
    let parsed = Config::parse(&text, Some("b.yaml"), Path::new(""));
    parsed.map_err(|error| error.to_string().replace("b.yaml:", ""))
}

fn of_pay(fields: &str) -> Result<Config, String> {
    parse(&format!(
        "  - {{ name: pay, upstream: pay, fallback: {{ {fields} }} }}\n"
    ))
}

#[test]
fn another_upstream_answers_or_an_answer_is_fixed() {
    let config = of_pay("upstream: replica").unwrap();
    let fallback = config.routes()[0].fallback().unwrap();
    assert_eq!(fallback.to_string(), "upstream replica");
    let names = |config: &Config| -> Vec<_> {
        let upstreams = config.routes()[0].upstreams();
        upstreams.map(|upstream| upstream.name.clone()).collect()
    };
    assert_eq!(names(&config), ["pay", "replica"]);
    // It is used: only the third is not.
    let warned: Vec<_> = config.warnings().iter().map(ToString::to_string).collect();
    let expected = "b.yaml:4:3: upstreams.archive: no route goes there";
    assert_eq!(warned, [expected]);

    for (fields, status, body, content_type) in [
        (
            "body: '[]', content_type: application/json",
            200,
            "[]",
            Some("application/json"),
        ),
        (
            "body: gone, status: 404",
            404,
            "gone",
            Some("text/plain; charset=utf-8"),
        ),
        ("status: 204", 204, "", None),
        ("body: ''", 200, "", None),
    ] {
        let config = of_pay(fields).unwrap();
        let Some(Fallback::Answer(answer)) = config.routes()[0].fallback() else {
            panic!("{fields}");
        };
        assert_eq!(answer.status.as_u16(), status, "{fields}");
        assert_eq!(answer.body, body, "{fields}");
        let told = answer.content_type.as_ref().map(|it| it.to_str().unwrap());
        assert_eq!(told, content_type, "{fields}");
        assert_eq!(names(&config), ["pay"], "{fields}");
    }
}

#[test]
fn the_other_upstream_has_a_breaker_with_the_routes_policy_or_its_own() {
    let name = |fields: &str, policy: &str| {
        let route = format!("name: pay, upstream: pay, policy: {policy}, fallback: {{ {fields} }}");
        let config = parse(&format!("  - {{ {route} }}\n")).unwrap();
        match config.routes()[0].fallback().unwrap() {
            Fallback::Upstream { policy, .. } => policy.name().to_string(),
            Fallback::Answer(_) => panic!("{fields}"),
        }
    };
    assert_eq!(name("upstream: replica", "sensitive"), "sensitive");
    assert_eq!(
        name("upstream: replica, policy: conservative", "sensitive"),
        "conservative"
    );
    let error = of_pay("upstream: replica, policy: { base: sensitive, open: { for: 1d } }");
    let error = error.unwrap_err();
    assert!(
        error.contains("routes[0].fallback.policy.open.for: must be"),
        "{error}"
    );
}

#[test]
fn bad_fallbacks_are_told_with_the_rule() {
    let large = format!("body: {}", "x".repeat(64 * 1024 + 1));
    for (fields, expected) in [
        (
            "",
            "6:33: routes[0].fallback: must have an upstream, or the status or body of an answer",
        ),
        (
            "upstream: nope",
            "6:55: routes[0].fallback.upstream: must name an upstream: archive, pay, replica",
        ),
        (
            "upstream: pay",
            "6:55: routes[0].fallback.upstream: must be another upstream than the route's own",
        ),
        (
            "upstream: replica, status: 200",
            "6:55: routes[0].fallback.upstream: must stand without status, body and content_type",
        ),
        (
            "body: x, policy: sensitive",
            "6:62: routes[0].fallback.policy: must stand with an upstream, whose breaker goes by it",
        ),
        (
            "upstream: replica, policy: nope",
            "6:72: routes[0].fallback.policy: must name a policy: conservative, sensitive, \
             combined, adaptive, or one of a file under policies",
        ),
        (
            "status: 199",
            "6:53: routes[0].fallback.status: must be 200 to 599",
        ),
        (
            "status: 600",
            "6:53: routes[0].fallback.status: must be 200 to 599",
        ),
        (
            "status: 304",
            "6:53: routes[0].fallback.status: must say all by itself: not 206, 300 to 399, 401, \
             405, 407, 416 or 426, which need fields",
        ),
        (
            "status: 204, body: x",
            "6:64: routes[0].fallback.body: must be empty: answers with this status have none",
        ),
        (
            &large,
            "6:51: routes[0].fallback.body: must be at most 64 KiB",
        ),
        (
            "status: 200, content_type: text/plain",
            "6:72: routes[0].fallback.content_type: must stand with a body",
        ),
        (
            "body: x, content_type: json",
            "6:68: routes[0].fallback.content_type: must be a media type, such as application/json",
        ),
        (
            "body: x, content_type: \"a/b\\r\\nx: y\"",
            "6:68: routes[0].fallback.content_type: must be a media type, such as application/json",
        ),
    ] {
        assert_eq!(of_pay(fields).expect_err(fields), expected, "{fields}");
    }
    assert!(of_pay(&large[..large.len() - 1]).is_ok());
}

#[test]
fn calls_of_grpc_are_not_answered_by_a_body() {
    let route = "  - { name: pay, upstream: pay, match: { grpc: { service: a.B } }, fallback: ";
    let error = parse(&format!("{route}{{ body: x }} }}\n")).unwrap_err();
    let rule = "must have an upstream: a fixed answer is no answer to a gRPC call";
    assert_eq!(error, format!("6:68: routes[0].fallback: {rule}"));
    assert!(parse(&format!("{route}{{ upstream: replica }} }}\n")).is_ok());
}

#[test]
fn a_route_without_an_upstream_has_none() {
    let text = "telemetry: { receive: { grpc: '127.0.0.1:0' } }
routes:
  - { name: db, feeds: [{ name: x }], fallback: { body: x } }";
    let error = Config::parse(text, None, Path::new("")).unwrap_err();
    let expected = "routes[0].fallback: needs an upstream beside it";
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn chains_and_circles_are_shown() {
    let routes = |first: &str, second: &str, third: &str| {
        let route = |name: &str, fallback: &str| {
            format!(
                "  - {{ name: {name}, upstream: {name}, match: {{ path: /{name} }}, \
                 fallback: {{ {fallback} }} }}\n"
            )
        };
        parse(
            &[
                route("pay", first),
                route("replica", second),
                route("archive", third),
            ]
            .concat(),
        )
    };
    let rule = "must not be an upstream with a fallback of its own, which route";
    let error = routes("upstream: replica", "upstream: pay", "body: x").unwrap_err();
    assert_eq!(
        error,
        format!(
            "6:78: routes[0].fallback.upstream: {rule} replica gives it: pay → replica → pay\n\
             7:90: routes[1].fallback.upstream: {rule} pay gives it: replica → pay → replica"
        )
    );
    let error = routes("upstream: replica", "upstream: archive", "body: x").unwrap_err();
    assert_eq!(
        error,
        format!(
            "6:78: routes[0].fallback.upstream: {rule} replica gives it: pay → replica → archive"
        )
    );
    let error = routes(
        "upstream: replica",
        "upstream: archive",
        "upstream: replica",
    )
    .unwrap_err();
    assert!(
        error.contains("pay → replica → archive → replica"),
        "{error}"
    );
    // What several have in common is no chain, nor is a body at its end.
    assert!(routes("upstream: archive", "upstream: archive", "body: x").is_ok());
}

#[test]
fn a_fallback_that_would_come_back_here_is_a_loop() {
    let text = "listen: 127.0.0.1:8080
upstreams: { pay: { endpoints: [http://a:1] }, self: { endpoints: [http://127.0.0.1:8080] } }
routes:
  - { name: pay, upstream: pay, fallback: { upstream: self } }";
    assert!(Config::parse(text, None, Path::new("")).is_err());
    let moved = text.replace("8080\nup", "8081\nup");
    let config = Config::parse(&moved, None, Path::new("")).unwrap();
    assert_eq!(config.loops(), None);
    let config = config.with_listen("127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.loops().map(|(route, _)| route), Some("pay"));
}
