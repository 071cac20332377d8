//! Endpoints: where they are found, how one is chosen, checked and retried.

use std::path::Path;
use std::time::Duration;

use breaker_tower::breaker_core::Balance;

use crate::config::Config;
use crate::upstream::{Check, Endpoint, Subset};

fn parsed(upstream: &str, route: &str) -> Result<Config, String> {
    let text = format!(
        "routes:\n  - {{ name: pay, upstream: pay{route} }}\nupstreams:\n  pay: {{ {upstream} }}\n"
    );
    let parsed = Config::parse(&text, Some("b.yaml"), Path::new(""));
    parsed.map_err(|error| error.to_string().replace("b.yaml:", ""))
}

const ENDPOINTS: &str = "endpoints: ['http://a:1', 'http://b:1']";

#[test]
fn the_defaults() {
    let config = parsed(ENDPOINTS, "").unwrap();
    let upstream = config.routes()[0].upstream().unwrap();
    assert_eq!(upstream.balancing.balance, Balance::P2c);
    assert!(upstream.balancing.eject && !upstream.discovered);
    assert_eq!(upstream.balancing.open.period, Duration::from_secs(5));
    assert_eq!((&upstream.health, upstream.subset), (&None, Subset::OfMany));
    assert_eq!(upstream.max_connection_age, Some(Duration::from_secs(600)));
    assert_eq!(config.routes()[0].retry(), None);
}

#[test]
fn all_that_can_be_said_of_endpoints() {
    let config = parsed(
        "discover: { name: pay.shop.svc, port: 9001 }, balance: round_robin, subset: 8, \
         eject: { max_ejected: 30%, deadline: 300ms, open: { for: 1s, factor: 3, max: 1m, \
         jitter: 0% }, half_open: { probes: 4, probe_timeout: 2s }, ramp: { start: 20%, for: 5s } }, \
         health: { path: '/healthz?full', interval: 2s, timeout: 500ms, unhealthy: 5, healthy: 4 }, \
         max_connection_age: off",
        ", retry: { attempts: 3, on: [reset, 503, 500-502, UNAVAILABLE], per_try: 800ms, \
         budget: 10%, body: 1KiB, methods: [GET, POST] }",
    );
    let config = config.unwrap();
    let upstream = config.routes()[0].upstream().unwrap();
    assert_eq!(
        upstream.endpoints,
        [Endpoint::Name("pay.shop.svc".to_owned(), 9001)]
    );
    assert!(upstream.discovered);
    let settings = &upstream.balancing;
    assert_eq!(settings.balance, Balance::RoundRobin);
    assert_eq!(settings.max_ejected.get(), 0.3);
    assert_eq!(settings.deadline, Duration::from_millis(300));
    assert_eq!(
        (settings.open.factor, settings.open.jitter.get()),
        (3.0, 0.0)
    );
    assert_eq!(
        (settings.probes, settings.probe_timeout),
        (4, Duration::from_secs(2))
    );
    assert_eq!(settings.ramp.period, Duration::from_secs(5));
    assert_eq!((settings.unhealthy, settings.healthy), (5, 4));
    let health = upstream.health.as_ref().unwrap();
    assert_eq!(health.check, Check::Http("/healthz?full".parse().unwrap()));
    assert_eq!(health.timeout, Duration::from_millis(500));
    assert_eq!(
        (upstream.subset, upstream.max_connection_age),
        (Subset::Of(8), None)
    );
    let retry = config.routes()[0].retry().unwrap();
    assert_eq!((retry.attempts, retry.body), (3, 1024));
    assert_eq!(retry.per_try, Some(Duration::from_millis(800)));
    assert!(retry.on.reset && !retry.on.connect && !retry.on.timeout);
    assert_eq!(retry.on.http, [503..=503, 500..=502]);
}

#[test]
fn records_of_services_and_checks_by_grpc() {
    let config = parsed(
        "discover: { name: _pay._tcp.shop, record: srv }, health: { grpc: '' }, eject: false",
        ", retry: {}",
    );
    let config = config.unwrap();
    let upstream = config.routes()[0].upstream().unwrap();
    assert_eq!(
        upstream.endpoints,
        [Endpoint::Service("_pay._tcp.shop".to_owned())]
    );
    assert_eq!(
        upstream.health.as_ref().unwrap().check,
        Check::Grpc(String::new())
    );
    assert!(!upstream.balancing.eject);
    assert_eq!(config.routes()[0].retry().unwrap().attempts, 2);
}

#[test]
fn what_is_wrong_is_named() {
    for (upstream, expected) in UPSTREAMS {
        assert_eq!(parsed(upstream, "").unwrap_err(), *expected, "{upstream}");
    }
    for (route, expected) in ROUTES {
        assert_eq!(parsed(ENDPOINTS, route).unwrap_err(), *expected, "{route}");
    }
}

const UPSTREAMS: &[(&str, &str)] = &[
    (
        "endpoints: ['http://a:1'], discover: { name: a, port: 1 }",
        "4:37: upstreams.pay.discover: must not be there together with endpoints",
    ),
    (
        "balance: p2c",
        "4:3: upstreams.pay.endpoints: is required, or discover is",
    ),
    (
        "discover: { name: a }",
        "4:10: upstreams.pay.discover.port: is required with record a",
    ),
    (
        "discover: { name: a, port: 0 }",
        "4:37: upstreams.pay.discover.port: must be 1 to 65535",
    ),
    (
        "discover: { name: a, port: 1, record: srv }",
        "4:37: upstreams.pay.discover.port: must not be there with record srv: the records have the ports",
    ),
    (
        "discover: { name: 10.0.0.1, port: 1 }",
        "4:28: upstreams.pay.discover.name: must be a name that DNS can look up",
    ),
    (
        "discover: { name: 'a:1', port: 1 }",
        "4:28: upstreams.pay.discover.name: must be a name that DNS can look up",
    ),
    (
        "discover: { name: a, port: 1, record: aaaa }",
        "4:48: upstreams.pay.discover.record: must be a or srv",
    ),
    (
        "endpoints: ['http://a:1'], balance: random",
        "4:46: upstreams.pay.balance: must be p2c or round_robin",
    ),
    (
        "endpoints: ['http://a:1'], eject: { max_ejected: 120% }",
        "4:59: upstreams.pay.eject.max_ejected: must be 0% to 100%",
    ),
    (
        "endpoints: ['http://a:1'], eject: { open: { for: 2h } }",
        "4:59: upstreams.pay.eject.open.for: must be 10ms to 1h",
    ),
    (
        "endpoints: ['http://a:1'], eject: { open: { factor: 0.5 } }",
        "4:62: upstreams.pay.eject.open.factor: must be 1 to 10",
    ),
    (
        "endpoints: ['http://a:1'], eject: { half_open: { probes: 0 } }",
        "4:67: upstreams.pay.eject.half_open.probes: must be 1 to 1000",
    ),
    (
        "endpoints: ['http://a:1'], eject: never",
        "4:44: upstreams.pay.eject: must be false, or a mapping of fields",
    ),
    (
        "endpoints: ['http://a:1'], eject: { openn: {} }",
        "4:46: upstreams.pay.eject.openn: is not a field here; did you mean open?",
    ),
    (
        "endpoints: ['http://a:1'], health: {}",
        "4:37: upstreams.pay.health.path: is required, or grpc is",
    ),
    (
        "endpoints: ['http://a:1'], health: { path: healthz }",
        "4:53: upstreams.pay.health.path: must be a path that starts with /",
    ),
    (
        "endpoints: ['http://a:1'], health: { path: /, grpc: '' }",
        "4:62: upstreams.pay.health.grpc: must not be there together with path",
    ),
    (
        "endpoints: ['http://a:1'], health: { path: /, interval: 1ms }",
        "4:66: upstreams.pay.health.interval: must be 100ms to 1h",
    ),
    (
        "endpoints: ['http://a:1'], health: { path: /, unhealthy: 0 }",
        "4:67: upstreams.pay.health.unhealthy: must be 1 to 1000",
    ),
    (
        "endpoints: ['http://a:1'], subset: 0",
        "4:45: upstreams.pay.subset: must be 1 to 1024",
    ),
    (
        "endpoints: ['http://a:1'], subset: many",
        "4:45: upstreams.pay.subset: must be a whole number, or off",
    ),
    (
        "endpoints: ['http://a:1'], max_connection_age: 1ms",
        "4:57: upstreams.pay.max_connection_age: must be 1s to 24h",
    ),
];

const ROUTES: &[(&str, &str)] = &[
    (
        ", retry: { attempts: 100 }",
        "2:52: routes[0].retry.attempts: must be 1 to 5",
    ),
    (
        ", retry: { attempts: 0 }",
        "2:52: routes[0].retry.attempts: must be 1 to 5",
    ),
    (
        ", retry: { on: [] }",
        "2:42: routes[0].retry.on: must not be empty; without retry nothing is sent again",
    ),
    (
        ", retry: { on: [refused] }",
        "2:47: routes[0].retry.on[0]: must be connect, reset, timeout, a status such as 503 or 502-504, or a gRPC code such as UNAVAILABLE",
    ),
    (
        ", retry: { on: [200] }",
        "2:47: routes[0].retry.on[0]: must be connect, reset, timeout, a status such as 503 or 502-504, or a gRPC code such as UNAVAILABLE",
    ),
    (
        ", retry: { on: [OK, NOPE] }",
        "2:47: routes[0].retry.on[0]: must be connect, reset, timeout, a status such as 503 or 502-504, or a gRPC code such as UNAVAILABLE\n2:51: routes[0].retry.on[1]: must be connect, reset, timeout, a status such as 503 or 502-504, or a gRPC code such as UNAVAILABLE",
    ),
    (
        ", timeout: 1s, retry: { per_try: 2s }",
        "2:64: routes[0].retry.per_try: must not be more than the route's timeout, which all attempts share",
    ),
    (
        ", retry: { per_try: 0ms }",
        "2:51: routes[0].retry.per_try: must be 1ms to 1h",
    ),
    (
        ", retry: { budget: 200% }",
        "2:50: routes[0].retry.budget: must be 0% to 100%",
    ),
    (
        ", retry: { body: 2MiB }",
        "2:48: routes[0].retry.body: must be 0 to 64KiB",
    ),
    (
        ", retry: { methods: [] }",
        "2:42: routes[0].retry.methods: must not be empty",
    ),
    (
        ", retry: { methods: [get] }",
        "2:52: routes[0].retry.methods[0]: must be a method in capitals, such as POST, or idempotent for all of those",
    ),
    (
        ", retry: { tries: 2 }",
        "2:42: routes[0].retry.tries: is not a field here; the fields are attempts, on, per_try, budget, body, methods",
    ),
];
