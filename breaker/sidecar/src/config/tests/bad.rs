//! Bad configurations, and what is said about them.

use std::path::Path;

use crate::config::Config;

fn said(text: &str) -> String {
    let error = Config::parse(text, Some("b.yaml"), Path::new("")).expect_err(text);
    error.to_string().replace("b.yaml:", "")
}

#[test]
fn sections() {
    for (fields, expected) in SECTIONS {
        let text = format!("{UPSTREAM}routes:\n  - {{ name: pay, upstream: pay }}\n{fields}\n");
        assert_eq!(said(&text), *expected, "{fields}");
    }
}

#[test]
fn upstreams() {
    for (fields, expected) in UPSTREAMS {
        let text = format!(
            "routes:\n  - {{ name: pay, upstream: pay }}\nupstreams:\n  pay: {{ {fields} }}\n"
        );
        assert_eq!(said(&text), *expected, "{fields}");
    }
}

#[test]
fn routes() {
    for (fields, expected) in ROUTES {
        let text = format!("{UPSTREAM}routes:\n  - {{ name: pay, upstream: pay, {fields} }}\n");
        assert_eq!(said(&text), *expected, "{fields}");
    }
}

#[test]
fn feeds() {
    for (fields, expected) in FEEDS {
        let text = format!(
            "{UPSTREAM}telemetry: {{ receive: {{}} }}\nroutes:\n  - name: pay\n    feeds:\n      - {{ name: db, {fields} }}\n"
        );
        assert_eq!(said(&text), *expected, "{fields}");
    }
}

#[test]
fn routes_without_upstream() {
    for (fields, expected) in ALONE {
        let text =
            format!("telemetry: {{ receive: {{}} }}\nroutes:\n  - name: pay\n    {fields}\n");
        assert_eq!(said(&text), *expected, "{fields}");
    }
}

#[test]
fn whole_configurations_with_all_that_is_wrong() {
    for (text, expected) in WHOLE {
        assert_eq!(said(text), *expected, "{text}");
    }
}

const UPSTREAM: &str = "upstreams:\n  pay: { endpoints: [\"http://127.0.0.1:9001\"] }\n";

/// The fifth line of a configuration that is good without it.
const SECTIONS: &[(&str, &str)] = &[
    (
        "dashboard: { trace_url: 'javascript:alert({trace_id})' }",
        "5:25: dashboard.trace_url: must be a URL with http:// or https://, a host, and {trace_id} after it, such as https://jaeger.example/trace/{trace_id}",
    ),
    ("state: ''", "5:8: state: must be the path of a file"),
    (
        "listen: :8080",
        "5:9: listen: must be an address with a port, such as 127.0.0.1:8080, or a socket such as unix:/run/breaker.sock",
    ),
    (
        "listen: 127.0.0.1",
        "5:9: listen: must be an address with a port, such as 127.0.0.1:8080, or a socket such as unix:/run/breaker.sock",
    ),
    (
        "listen: 127.0.0.1:99999",
        "5:9: listen: must be an address with a port, such as 127.0.0.1:8080, or a socket such as unix:/run/breaker.sock",
    ),
    (
        "control: { token_file: nowhere/token }",
        "5:24: control.token_file: must be a file that exists",
    ),
    ("control: {}", "5:1: control.token_file: is required"),
    (
        "admin: 127.0.0.1:8080",
        "5:8: admin: must not be the address of listen",
    ),
    (
        "admin: off",
        "5:8: admin: must be an address with a port, such as 127.0.0.1:8080, or a socket such as unix:/run/breaker.sock",
    ),
    (
        "listen: unix:b.sock",
        "5:9: listen: must be unix: and an absolute path of at most 107 bytes",
    ),
    (
        "listen: unix:/b?mode=9",
        "5:9: listen: must have an octal mode, such as ?mode=0660",
    ),
    (
        "listen: unix:/b\nadmin: unix:/b?mode=0600",
        "6:8: admin: must not be the address of listen",
    ),
    ("workers: 0", "5:10: workers: must be 1 to 1024"),
    ("workers: 2000", "5:10: workers: must be 1 to 1024"),
    (
        "workers: auto",
        "5:10: workers: must be a whole number, at least 0",
    ),
    (
        "drain: 10",
        "5:8: drain: must have a unit: write 10s, 10ms or 10m",
    ),
    ("drain: 2h", "5:8: drain: must be 0s to 1h"),
    (
        "drain: { delay: 11m }",
        "5:17: drain.delay: must be 0s to 10m",
    ),
    (
        "drain: { timeout: 2h }",
        "5:19: drain.timeout: must be 0s to 1h",
    ),
    (
        "drain: [10s]",
        "5:8: drain: must be a time such as 10s, or a mapping of delay and timeout",
    ),
    (
        "telemetry: { receive: { cors: [\"*\"] } }",
        "5:32: telemetry.receive.cors[0]: must be an origin as browsers send it, such as https://shop.example.com",
    ),
    (
        "limits: { max_connections: 0 }",
        "5:28: limits.max_connections: must be 1 to 1000000",
    ),
    (
        "limits: { max_header_bytes: 1KiB }",
        "5:29: limits.max_header_bytes: must be 8KiB to 1MiB",
    ),
    (
        "limits: { max_header_bytes: 64 KiB }",
        "5:29: limits.max_header_bytes: must be a size, such as 65536, 64KiB or 10MiB",
    ),
    (
        "limits: { max_body_bytes: no }",
        "5:27: limits.max_body_bytes: must be a size, such as 65536, 64KiB or 10MiB, or off",
    ),
    (
        "limits: { header_timeout: 1ms }",
        "5:27: limits.header_timeout: must be 10ms to 10m",
    ),
    (
        "limits: { body_idle_timeout: 30 }",
        "5:30: limits.body_idle_timeout: must have a unit: write 30s, 30ms or 30m, or off",
    ),
    (
        "limits: { max_response_fields: 3 }",
        "5:32: limits.max_response_fields: must be 16 to 4096",
    ),
    (
        "limits: { max_response_header_bytes: 1KiB }",
        "5:38: limits.max_response_header_bytes: must be 8KiB to 1MiB",
    ),
    (
        "limits: { tunnel_idle_timeout: 48h }",
        "5:32: limits.tunnel_idle_timeout: must be 10ms to 24h",
    ),
    (
        "trusted_proxies: [10.0.0.0/8, 10.0.0.0/33]",
        "5:31: trusted_proxies[1]: must be an address or a network, such as 192.0.2.7 or 10.0.0.0/8, or unix:",
    ),
    (
        "trusted_proxies: [ingress]",
        "5:19: trusted_proxies[0]: must be an address or a network, such as 192.0.2.7 or 10.0.0.0/8, or unix:",
    ),
    (
        "limits: { tcp_keepalive: 1ms }",
        "5:26: limits.tcp_keepalive: must be 1s to 2h",
    ),
    (
        "limits: { max_connection_age: 10ms }",
        "5:31: limits.max_connection_age: must be 1s to 24h",
    ),
    (
        "limits: { half_closed_timeout: 2h }",
        "5:32: limits.half_closed_timeout: must be 0s to 1h",
    ),
    (
        "limits: { body_timeout: 48h }",
        "5:25: limits.body_timeout: must be 10ms to 24h",
    ),
    (
        "limits: { idle_timeout: off }",
        "5:25: limits.idle_timeout: must be a time with its unit, such as 250ms, 10s, 5m, 1h or 1m30s",
    ),
    (
        "limits: { max_streams: 100000 }",
        "5:24: limits.max_streams: must be 1 to 10000",
    ),
    (
        "limits: { max_conections: 5 }",
        "5:11: limits.max_conections: is not a field here; did you mean max_connections?",
    ),
    ("policies: ./policies", "5:11: policies: must be a list"),
    (
        "policies: [./no-such-directory]",
        "5:12: policies[0]: must exist",
    ),
    (
        "telemetry: { receive: { grpc: 0.0.0.0:4317 } }",
        "5:31: telemetry.receive.grpc: must be a loopback address: whoever can send telemetry can open breakers; allow_remote: true beside it allows that",
    ),
    (
        "telemetry: { receive: { http: '[::]:4318', allow_remote: false } }",
        "5:31: telemetry.receive.http: must be a loopback address: whoever can send telemetry can open breakers; allow_remote: true beside it allows that",
    ),
    (
        "telemetry: { receive: { grpc: 4317 } }",
        "5:31: telemetry.receive.grpc: must be an address with a port, such as 127.0.0.1:8080",
    ),
    (
        "telemetry: { receive: { grpc: 127.0.0.1:8080 } }",
        "5:31: telemetry.receive.grpc: must not be the address of listen",
    ),
    (
        "telemetry: { receive: { http: 127.0.0.1:9900 } }",
        "5:31: telemetry.receive.http: must not be the address of admin",
    ),
    (
        "telemetry: { receive: { forward: collector:4317 } }",
        "5:34: telemetry.receive.forward: must be a URL with the scheme http or https, such as http://collector:4317",
    ),
    (
        "telemetry: { receive: { forward: {} } }",
        "5:25: telemetry.receive.forward: must have grpc, http or both",
    ),
    (
        "telemetry: { receive: { forward: [] } }",
        "5:34: telemetry.receive.forward: must be a URL, or a mapping of grpc and http to URLs",
    ),
    (
        "telemetry: { receive: { forward: { htp: 'http://c' } } }",
        "5:36: telemetry.receive.forward.htp: is not a field here; did you mean http?",
    ),
    (
        "telemetry: { receive: { forward: { http: 'ftp://c' } } }",
        "5:42: telemetry.receive.forward.http: must be a URL with the scheme http or https, such as http://collector:4317",
    ),
    (
        "telemetry: { receive: { forward: 'http://c:4317/otlp' } }",
        "5:34: telemetry.receive.forward: must have no path: OTLP/gRPC has its own",
    ),
    (
        "telemetry: { receive: { forward: { grpc: 'http://c/otlp' } } }",
        "5:42: telemetry.receive.forward.grpc: must have no path: OTLP/gRPC has its own",
    ),
    (
        "telemetry: { receive: { forward: { http: 'http://c?a=b' } } }",
        "5:42: telemetry.receive.forward.http: must have no query",
    ),
    (
        "telemetry: { receive: { forward: 'http://localhost:4317' } }",
        "5:34: telemetry.receive.forward: must not be where telemetry is received: a loop",
    ),
    (
        "telemetry: { receive: { http: '[::1]:4318', forward: { http: 'http://[::1]:4318' } } }",
        "5:62: telemetry.receive.forward.http: must not be where telemetry is received: a loop",
    ),
    (
        "telemetry: { receive: { http: '0.0.0.0:80', allow_remote: true, forward: { http: 'http://127.0.0.1' } } }",
        "5:82: telemetry.receive.forward.http: must not be where telemetry is received: a loop",
    ),
    (
        "telemetry: { receive: {}, export: { endpoint: 'http://127.0.0.1:4317' } }",
        "5:47: telemetry.export.endpoint: must not be where telemetry is received: a loop",
    ),
    (
        "telemetry: { receive: { listen: 4317 } }",
        "5:25: telemetry.receive.listen: is not a field here; the fields are grpc, http, kafka, tls, forward, cors, max_connection_age, allow_remote",
    ),
    (
        "telemetry: { receive: true }",
        "5:23: telemetry.receive: must be a mapping of fields",
    ),
    (
        "telemetry: { export: { endpoint: 127.0.0.1:4317 } }",
        "5:34: telemetry.export.endpoint: must be a URL with the scheme http or https, such as http://127.0.0.1:4317",
    ),
    (
        "telemetry: { export: { endpoint: \"http://127.0.0.1:4317\", protocol: http/json } }",
        "5:69: telemetry.export.protocol: must be grpc or http/protobuf",
    ),
    (
        "telemetry: { export: { interval: 1ms } }",
        "5:34: telemetry.export.interval: must be 100ms to 1h",
    ),
    (
        "telemetry: { export: { headers: { \"a b\": c } } }",
        "5:42: telemetry.export.headers.a b: must be a header and its value",
    ),
    (
        "telemetry: { export: { headers: { a: \"x\u{1b}\" } } }",
        "5:40: unexpected character: `\\u{1b}'",
    ),
    (
        "telemetry: { export: { compression: zstd } }",
        "5:37: telemetry.export.compression: must be none or gzip",
    ),
    (
        "telemetry: { export: { certificate: nope.pem } }",
        "5:37: telemetry.export.certificate: must be a file that exists",
    ),
    (
        "telemetry: { exports: {} }",
        "5:14: telemetry.exports: is not a field here; did you mean export?",
    ),
    (
        "log: { access: all, file: b.yaml }",
        "5:27: log.file: must not be the configuration itself",
    ),
    (
        "state: a.json\nlog: { access: all, file: a.json }",
        "6:27: log.file: must not be the file of state",
    ),
    (
        "panel: true",
        "5:1: panel: is not a field here; the fields are listen, admin, tls, admin_tls, identity, control, dashboard, workers, drain, watch, limits, log, trusted_proxies, policies, state, sandbox, telemetry, fleet, follow, upstreams, routes",
    ),
];

/// The fields of an upstream in the fourth line.
const UPSTREAMS: &[(&str, &str)] = &[
    (
        "endpoints: [http://localhost:8080]",
        "4:22: upstreams.pay.endpoints[0]: must not be the address of listen: a loop",
    ),
    (
        "endpoints: [http://localhost:9900]",
        "4:22: upstreams.pay.endpoints[0]: must not be the address of admin: every caller of the proxy could control it",
    ),
    (
        "endpoints: []",
        "4:10: upstreams.pay.endpoints: must have 1 to 64 entries",
    ),
    (
        "endpoints: http://127.0.0.1:1",
        "4:21: upstreams.pay.endpoints: must be a list",
    ),
    (
        "endpoints: [\"http://127.0.0.1:9001/api\"]",
        "4:22: upstreams.pay.endpoints[0]: must have no path: requests keep their own",
    ),
    (
        "endpoints: [\"https://\"]",
        "4:22: upstreams.pay.endpoints[0]: must be http://host:port, https://host:port, h2c://host:port or unix:/path of a socket",
    ),
    (
        "endpoints: [\"127.0.0.1:9001\"]",
        "4:22: upstreams.pay.endpoints[0]: must be http://host:port, https://host:port, h2c://host:port or unix:/path of a socket",
    ),
    (
        "endpoints: [\"http://user:pw@127.0.0.1:9001\"]",
        "4:22: upstreams.pay.endpoints[0]: must be http://host:port, https://host:port, h2c://host:port or unix:/path of a socket",
    ),
    (
        "endpoints: [\"http://:9001\"]",
        "4:22: upstreams.pay.endpoints[0]: must be http://host:port, https://host:port, h2c://host:port or unix:/path of a socket",
    ),
    (
        "endpoints: [\"http://127.0.0.1:0\"]",
        "4:22: upstreams.pay.endpoints[0]: must be http://host:port, https://host:port, h2c://host:port or unix:/path of a socket",
    ),
    (
        "endpoints: [\"http://127.0.0.1:99999\"]",
        "4:22: upstreams.pay.endpoints[0]: must be http://host:port, https://host:port, h2c://host:port or unix:/path of a socket",
    ),
    (
        "endpoints: [\"http://a:1\", \"h2c://a:2\"]",
        "4:36: upstreams.pay.endpoints[1]: must have the scheme of the first one",
    ),
    (
        "endpoints: [\"http://a:1\", \"http://a:1\"]",
        "4:36: upstreams.pay.endpoints[1]: is given twice",
    ),
    (
        "endpoints: [\"h2c://a:1\"], protocol: http1",
        "4:46: upstreams.pay.protocol: must be h2c, as the endpoints are h2c://",
    ),
    (
        "endpoints: [\"http://a:1\"], protocol: h2",
        "4:47: upstreams.pay.protocol: must be h2c for HTTP/2 without TLS: h2 needs endpoints with https://",
    ),
    (
        "endpoints: [\"http://a:1\"], connect_timeout: 5m",
        "4:54: upstreams.pay.connect_timeout: must be 1ms to 1m",
    ),
    (
        "endpoints: [\"http://a:1\"], max_idle: 100000",
        "4:47: upstreams.pay.max_idle: must be 0 to 65536",
    ),
    (
        "endpoints: [\"http://a:1\"], http2_ping: 1s",
        "4:49: upstreams.pay.http2_ping: must be 10s to 1h",
    ),
    (
        "endpoints: [\"http://a:1\"], reuse_after: 2h",
        "4:50: upstreams.pay.reuse_after: must be 0s to 1h",
    ),
    (
        "endpoint: [\"http://a:1\"]",
        "4:10: upstreams.pay.endpoint: is not a field here; did you mean endpoints?",
    ),
    (
        "protocol: http1",
        "4:3: upstreams.pay.endpoints: is required, or discover is",
    ),
];

/// More fields of a route in the fourth line.
const ROUTES: &[(&str, &str)] = &[
    (
        "version: ''",
        "4:42: routes[0].version: must be 1 to 128 characters, and none of them a control character",
    ),
    ("name: b", "4:33: routes[0].name: is given twice"),
    (
        "policy: gentle",
        "4:41: routes[0].policy: must name a policy: conservative, sensitive, combined, adaptive, or one of a file under policies",
    ),
    (
        "policy: sensitiv",
        "4:41: routes[0].policy: must name a policy; did you mean sensitive?",
    ),
    (
        "policy: true",
        "4:41: routes[0].policy: must be the name of a policy, or a mapping of its fields",
    ),
    (
        "policy: [sensitive]",
        "4:41: routes[0].policy: must be the name of a policy, or a mapping of its fields",
    ),
    (
        "policy: { base: sensitive, open: { max: 1s } }",
        "4:73: routes[0].policy.open.max: must not be less than open.for",
    ),
    (
        "policy: { base: sensitive, open: { fro: 1s } }",
        "4:68: routes[0].policy.open.fro: is not a field here; did you mean for?",
    ),
    (
        "policy: { base: gentle }",
        "4:49: routes[0].policy.base: must name a known policy",
    ),
    (
        "policy: { window: 10s }",
        "4:33: routes[0].policy.trip: is required without a base",
    ),
    (
        "policy: { trip: [{ error_rate: 8 }] }",
        "4:64: routes[0].policy.trip[0].error_rate: must be a share: write 8% or 0.08",
    ),
    (
        "policy: { trip: [{ error_rate: 8%, slow_rate: 3% }] }",
        "4:79: routes[0].policy.trip[0].slow_rate: needs slow_threshold beside it",
    ),
    ("timeout: 0s", "4:42: routes[0].timeout: must be 1ms to 1h"),
    (
        "timeout: 2",
        "4:42: routes[0].timeout: must have a unit: write 2s, 2ms or 2m, or off",
    ),
    (
        "mode: open",
        "4:39: routes[0].mode: must be auto, shadow, forced_open or forced_closed",
    ),
    (
        "max_in_flight: 0",
        "4:48: routes[0].max_in_flight: must be 1 to 1000000",
    ),
    (
        "feeds: [{ name: db }]",
        "4:33: routes[0].feeds: needs telemetry.receive, where applications send their telemetry to",
    ),
    (
        "match: { path: [] }",
        "4:42: routes[0].match.path: must have 1 to 64 entries; leave it out for any path",
    ),
    (
        "match: { path: [/a, api, \"/users/*\", /a] }",
        "4:53: routes[0].match.path[1]: must be a path such as /api/pay, /users/{id} or /api/{*rest}\n4:58: routes[0].match.path[2]: is not written as patterns are here: write /users/{*rest}\n4:70: routes[0].match.path[3]: is given twice",
    ),
    (
        "match: { path: \"/users/:id\" }",
        "4:48: routes[0].match.path: is not written as patterns are here: write /users/{id}",
    ),
    (
        "match: { path: /a//b }",
        "4:48: routes[0].match.path: never matches, since paths are brought into one form first: write /a/b",
    ),
    (
        "match: { path: api }",
        "4:48: routes[0].match.path: must be a path such as /api/pay, /users/{id} or /api/{*rest}",
    ),
    (
        "match: { path: \"/api/{*rest}/x\" }",
        "4:48: routes[0].match.path: is not a pattern: catch-all parameters are only allowed at the end of a route",
    ),
    (
        "match: { path: \"/api/{\" }",
        "4:48: routes[0].match.path: is not a pattern: parameters must be registered with a valid name",
    ),
    (
        "match: { path: \"/api?x=1\" }",
        "4:48: routes[0].match.path: must be a path such as /api/pay, /users/{id} or /api/{*rest}",
    ),
    (
        "match: { host: \"a:80\" }",
        "4:48: routes[0].match.host: must be a host without port, or *. and a domain",
    ),
    (
        "match: { methods: [] }",
        "4:42: routes[0].match.methods: must have an entry; leave it out for any method",
    ),
    (
        "match: { methods: [get] }",
        "4:52: routes[0].match.methods[0]: must be a method in capitals, such as GET",
    ),
    (
        "match: { methods: [GET, CONNECT] }",
        "4:57: routes[0].match.methods[1]: is never forwarded",
    ),
    (
        "match: { headers: { \"x y\": a } }",
        "4:60: routes[0].match.headers.x y: must be the name of a header",
    ),
    (
        "match: { headers: { x-debug: false } }",
        "4:62: routes[0].match.headers.x-debug: must be a value, or true for any",
    ),
    (
        "match: { grpc: { service: bank.v1.Payments }, path: / }",
        "4:42: routes[0].match.grpc: must stand without path and methods",
    ),
    (
        "match: { grpc: { service: \"a/b\" } }",
        "4:59: routes[0].match.grpc.service: must be a service with its package, such as bank.v1.Payments",
    ),
    (
        "match: { grpc: { method: Pay } }",
        "4:42: routes[0].match.grpc.service: is required",
    ),
    (
        "match: { pth: /a }",
        "4:42: routes[0].match.pth: is not a field here; did you mean path?",
    ),
    (
        "match: { grpc: {} }",
        "4:42: routes[0].match.grpc.service: is required",
    ),
];

/// More fields of a feed in the seventh line.
const FEEDS: &[(&str, &str)] = &[
    ("name: x", "7:21: routes[0].feeds[0].name: is given twice"),
    (
        "silence_timeout: 10ms",
        "7:38: routes[0].feeds[0].silence_timeout: must be 1s to 1h",
    ),
    (
        "kind: client",
        "7:21: routes[0].feeds[0].kind: is not a field here; the fields are name, service, span, metric, scope, resource, match, policy, silence_timeout",
    ),
    (
        "span: clients",
        "7:27: routes[0].feeds[0].span: must be client, server, consumer, producer or internal",
    ),
    (
        "span: [client, sever]",
        "7:36: routes[0].feeds[0].span[1]: must be client, server, consumer, producer or internal",
    ),
    (
        "span: []",
        "7:21: routes[0].feeds[0].span: must have an entry",
    ),
    (
        "span: { client: true }",
        "7:27: routes[0].feeds[0].span: must be a word or a list",
    ),
    (
        "span: client, metric: http.server.request.duration",
        "7:43: routes[0].feeds[0].metric: must stand without span: a request that is told by both would count twice",
    ),
    (
        "metric: http server",
        "7:29: routes[0].feeds[0].metric: must be the name of a metric, such as http.server.request.duration",
    ),
    (
        "service: 1.10",
        "7:30: routes[0].feeds[0].service: must be quoted: \"1.10\" is the text and the number",
    ),
    (
        "service: checkout, resource: { service.name: checkout }",
        "7:30: routes[0].feeds[0].service: stands for resource.service.name, which is given too",
    ),
    (
        "match: { db.system.name: [] }",
        "7:30: routes[0].feeds[0].match.db.system.name: must have 1 to 64 entries",
    ),
    (
        "match: { db.system.name: [a, [b]] }",
        "7:50: routes[0].feeds[0].match.db.system.name[1]: must not be a list in a list",
    ),
    (
        "match: { db.system.name: { prefx: a } }",
        "7:48: routes[0].feeds[0].match.db.system.name.prefx: is not a field here; did you mean prefix?",
    ),
    (
        "match: { db.system.name: { prefix: a, glob: b } }",
        "7:30: routes[0].feeds[0].match.db.system.name: must have one of prefix, glob, present and not",
    ),
    (
        "match: { db.system.name: {} }",
        "7:30: routes[0].feeds[0].match.db.system.name: must have one of prefix, glob, present and not",
    ),
    (
        "match: { db.system.name: { prefix: '' } }",
        "7:56: routes[0].feeds[0].match.db.system.name.prefix: must have 1 to 256 bytes",
    ),
    (
        "match: { db.system.name: { present: yes } }",
        "7:57: routes[0].feeds[0].match.db.system.name.present: must be true or false",
    ),
    (
        "match: { db.system.name: { not: { not: a } } }",
        "7:60: routes[0].feeds[0].match.db.system.name.not.not: must stand alone: not in a list, nor in another not",
    ),
    (
        "match: { db.system.name: [{ not: a }] }",
        "7:54: routes[0].feeds[0].match.db.system.name[0].not: must stand alone: not in a list, nor in another not",
    ),
    (
        "match: { '': a }",
        "7:21: routes[0].feeds[0].match: must have attributes with names of 1 to 256 bytes",
    ),
    (
        "match: [db]",
        "7:28: routes[0].feeds[0].match: must be a mapping of fields",
    ),
    (
        "policy: gentle",
        "7:29: routes[0].feeds[0].policy: must name a policy: conservative, sensitive, combined, adaptive, or one of a file under policies",
    ),
    (
        "policy: { base: sensitive, window: 1ms }",
        "7:56: routes[0].feeds[0].policy.window: must be 100ms to 1h",
    ),
];

/// The fields of a route without an upstream from the fourth line on.
const ALONE: &[(&str, &str)] = &[
    (
        "mode: auto",
        "3:5: routes[0].upstream: is required without feeds",
    ),
    (
        "feeds: []",
        "4:5: routes[0].feeds: must have 1 to 16 entries",
    ),
    (
        "feeds: [{ name: db }]\n    match: { path: /pay }",
        "5:5: routes[0].match: needs an upstream beside it",
    ),
    (
        "feeds: [{ name: db }]\n    timeout: 1s",
        "5:14: routes[0].timeout: needs an upstream beside it",
    ),
    (
        "feeds: [{ name: db }]\n    max_in_flight: 5",
        "5:20: routes[0].max_in_flight: needs an upstream beside it",
    ),
    (
        "feeds: [{ name: proxy }]",
        "4:21: routes[0].feeds[0].name: must not be proxy, which is what the proxy itself observes",
    ),
    (
        "feeds: [{ name: DB }]",
        "4:21: routes[0].feeds[0].name: must be 1 to 64 of a-z, 0-9, '.', '_' and '-'",
    ),
    (
        "feeds: [{ name: db }, { name: x }, { name: db }]",
        "4:48: routes[0].feeds[2].name: must be unique; feeds[0] has it too",
    ),
    (
        "feeds: [db]",
        "4:13: routes[0].feeds[0]: must be a mapping of fields",
    ),
    (
        "feeds: { name: db }",
        "4:12: routes[0].feeds: must be a list",
    ),
];

const WHOLE: &[(&str, &str)] = &[
    ("", "1:1: must not be empty"),
    (
        "upstreams: {}\nroutes: []",
        "1:1: upstreams: must have 1 to 10000 entries\n2:1: routes: must have 1 to 10000 entries",
    ),
    ("routes: []", "1:1: routes: must have 1 to 10000 entries"),
    (
        "routes:\n  - { name: a, upstream: pay }",
        "2:26: routes[0].upstream: must name an upstream, and there is none",
    ),
    (
        "telemetry: { exporter: {} }\nroutes:\n  - { name: a, feeds: [{ name: x }] }",
        "1:14: telemetry.exporter: is not a field here; did you mean export?",
    ),
    (
        "telemetry: { export: { endpoint: x } }\nroutes:\n  - { name: a, feeds: [{ name: x }] }",
        "1:34: telemetry.export.endpoint: must be a URL with the scheme http or https, such as http://127.0.0.1:4317",
    ),
    ("routes: 3\nupstreams: {}", "1:9: routes: must be a list"),
    (
        "upstreams: { Pay: { endpoints: [http://a:1] } }\nroutes:\n  - { name: Pay Me, upstream: Pay }\n  - { name: b, upstream: nope }\n  - { name: b, upstream: Pay, timeout: 0s }",
        "3:13: routes[0].name: must be 1 to 64 of a-z, 0-9, '.', '_' and '-'\n4:5: routes[1].match: takes the same requests as route Pay Me before it\n4:26: routes[1].upstream: must name an upstream: Pay\n5:5: routes[2].match: takes the same requests as route Pay Me before it\n5:13: routes[2].name: must be unique; routes[1] has it too\n5:40: routes[2].timeout: must be 1ms to 1h",
    ),
    (
        "upstreams:\n  pay: { endpoints: [http://a:1] }\nroutes:\n  - { name: a, upstream: pay, match: { path: \"/a/{x}\" } }\n  - { name: b, upstream: pay, match: { path: \"/a/{y}\" } }\n  - { name: c, upstream: pay, match: { path: \"/a/{y}\" } }\n  - { name: d, upstream: pay, match: { path: \"/a/{y}\", methods: [GET] } }",
        "5:46: routes[1].match.path: can't stand beside /a/{x}\n6:31: routes[2].match: takes the same requests as route b before it",
    ),
    (
        "upstreams:\n  pay: { endpoints: [http://a:1] }\nroutes:\n  - { name: a, upstream: pay, match: { path: [/a, /b] } }\n  - { name: b, upstream: pay, match: { path: [/c, /b] } }\n  - { name: c, upstream: pay, match: { path: [/d, \"/c/{x}\"] } }\n  - { name: d, upstream: pay, match: { path: [/d/, \"/c/{*x}\"] } }",
        "5:51: routes[1].match.path[1]: takes the same requests as route a before it\n7:52: routes[3].match.path[1]: can't stand beside /c/{x}",
    ),
    (
        "upstreams:\n  pay: { endpoints: [nope] }\nroutes:\n  - { name: a, upstream: pay, policy: x }",
        "2:22: upstreams.pay.endpoints[0]: must be http://host:port, https://host:port, h2c://host:port or unix:/path of a socket\n4:39: routes[0].policy: must name a policy: conservative, sensitive, combined, adaptive, or one of a file under policies",
    ),
    (
        "upstreams:\n  pay: {}\nroutes: []",
        "2:3: upstreams.pay.endpoints: is required, or discover is\n3:1: routes: must have 1 to 10000 entries",
    ),
    (
        "upstreams:\n  pay:\n    protocol: http1\nroutes: []",
        "2:3: upstreams.pay.endpoints: is required, or discover is\n4:1: routes: must have 1 to 10000 entries",
    ),
    (
        "upstreams: { pay: { endpoints: [http://a:1] } }\nroutes:\n  - upstream: pay\n    timeout: 1s",
        "3:5: routes[0].name: is required",
    ),
];
