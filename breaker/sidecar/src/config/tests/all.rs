//! All that is wrong is told at once.

use std::path::Path;

use crate::config::Config;

#[test]
fn each_wrong_value_is_told_in_the_order_of_the_file() {
    let error = Config::parse(FILE, Some("b.yaml"), Path::new("")).expect_err("it is wrong");
    let told = error.errors().iter();
    let told = told.map(|error| format!("{}:{} {}", error.line, error.column, error.field));
    assert_eq!(told.collect::<Vec<_>>(), TOLD);
}

const FILE: &str = "workers: 0
drain: 2h
limits:
  max_connections: 0
  max_header_bytes: 1KiB
  body_idle_timeout: 1ms
  idle_timeout: 2h
upstreams:
  pay:
    endpoints: [ftp://a, 'http://b:1', 'http://b:1', 'http://b:1/x']
    connect_timeout: 2m
    max_idle: 100000
telemetry:
  receive: { grpc: 10.0.0.1:1, cors: [a], forward: { grpc: 'http://a/x', http: a } }
  export: { endpoint: ftp://a, interval: 1ms, timeout: 1h, client_key: nosuch }
routes:
  - name: Pay
    upstream: pya
    timeout: 2h
    deadline: { header: host, max: 48h }
    max_in_flight: 0
    version: ''
    match: { path: pay, host: 'a:1', methods: [get, CONNECT], headers: { 'a b': x } }
    policy: sensible
    feeds:
      - { name: Db, service: checkout, silence_timeout: 2h, policy: nosuch }
      - { name: proxy, metric: 'a b', span: client }
";

/// The place and the field of each; what is said of it, `bad` has.
const TOLD: [&str; 38] = [
    "1:10 workers",
    "2:8 drain",
    "4:20 limits.max_connections",
    "5:21 limits.max_header_bytes",
    "6:22 limits.body_idle_timeout",
    "7:17 limits.idle_timeout",
    "10:17 upstreams.pay.endpoints[0]",
    "10:40 upstreams.pay.endpoints[2]",
    "10:54 upstreams.pay.endpoints[3]",
    "11:22 upstreams.pay.connect_timeout",
    "12:15 upstreams.pay.max_idle",
    "14:20 telemetry.receive.grpc",
    "14:39 telemetry.receive.cors[0]",
    "14:60 telemetry.receive.forward.grpc",
    "14:80 telemetry.receive.forward.http",
    "15:23 telemetry.export.endpoint",
    "15:42 telemetry.export.interval",
    "15:56 telemetry.export.timeout",
    "15:72 telemetry.export.client_key",
    "15:72 telemetry.export.client_key",
    "17:11 routes[0].name",
    "18:15 routes[0].upstream",
    "19:14 routes[0].timeout",
    "20:25 routes[0].deadline.header",
    "20:36 routes[0].deadline.max",
    "21:20 routes[0].max_in_flight",
    "22:14 routes[0].version",
    "23:20 routes[0].match.path",
    "23:31 routes[0].match.host",
    "23:48 routes[0].match.methods[0]",
    "23:53 routes[0].match.methods[1]",
    "23:81 routes[0].match.headers.a b",
    "24:13 routes[0].policy",
    "26:17 routes[0].feeds[0].name",
    "26:57 routes[0].feeds[0].silence_timeout",
    "26:69 routes[0].feeds[0].policy",
    "27:17 routes[0].feeds[1].name",
    "27:32 routes[0].feeds[1].metric",
];
