use std::net::IpAddr;
use std::path::{Path, PathBuf};

use breaker_tower::breaker_core::policy::yaml;

use super::*;
use crate::collector::{Compression, Protocol};
use crate::sockets::Peer;
use crate::upstream::{self, Endpoint, HeadLimits};

mod all;
mod bad;
mod deadline;
mod endpoints;
mod fallback;
mod feeds;
#[cfg(feature = "fleet")]
mod fleet;
#[cfg(feature = "fleet")]
mod follow;
mod kafka;
mod origin;
mod reference;
mod schema;
mod secrets;
mod tls;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn parsed(text: &str) -> Config {
    Config::parse(text, None, &root()).expect(text)
}

const SMALL: &str = "upstreams:\n  pay: { endpoints: [http://127.0.0.1:9001] }\nroutes:\n  - { name: pay, upstream: pay }\n";

#[test]
fn what_is_left_out_has_a_default() {
    let config = parsed(SMALL);
    assert_eq!(config.listen().to_string(), "127.0.0.1:8080");
    assert_eq!(config.admin().to_string(), "127.0.0.1:9900");
    assert_eq!(config.drain(), Duration::from_secs(10));
    assert_eq!(config.drain_delay(), Duration::from_secs(3));
    assert!(config.workers() >= 1);
    assert!(!config.watch(), "there is no file");
    assert!(config.export().is_none());
    let [route] = config.routes() else {
        panic!("one route");
    };
    assert_eq!(**route.policy(), Policy::adaptive());
    assert_eq!((config.state(), route.version()), (None, None));
    assert_eq!(route.mode(), Mode::Auto);
    assert_eq!(route.timeout(), Some(Duration::from_secs(15)));
    assert_eq!(route.matches().paths, [] as [String; 0]);
    assert_eq!(route.max_in_flight, None);
    assert_eq!(route.body.idle, Some(Duration::from_secs(60)));
    assert_eq!(
        route.body.response_idle, None,
        "quiet streams are not cut unless somebody asks for it"
    );
}

#[test]
fn a_drain_is_a_time_or_two() {
    for (drain, delay, timeout) in [
        ("{}", 3, 10),
        ("1s", 3, 1),
        ("{ delay: 0s }", 0, 10),
        ("{ timeout: 0s }", 3, 0),
        ("{ delay: 5s, timeout: 1m }", 5, 60),
    ] {
        let config = parsed(&format!("drain: {drain}\n{SMALL}"));
        let times = (config.drain_delay().as_secs(), config.drain().as_secs());
        assert_eq!(times, (delay, timeout), "{drain}");
    }
}

#[test]
fn every_field_is_read() {
    let config = parsed(
        "listen: 0.0.0.0:80
admin: '[::1]:9901'
workers: 3
drain: 1m
watch: false
trusted_proxies: [10.0.0.0/8, '2001:db8::1']
limits: { max_connections: 10, max_streams: 7, max_header_bytes: 16KiB, max_body_bytes: 2MB, header_timeout: 2s,
          body_idle_timeout: off, body_timeout: 1m, idle_timeout: 3s, write_timeout: 4s, encoded_slash: true,
          max_response_fields: 300, max_response_header_bytes: 32KiB, half_closed_timeout: 1s, tunnel_idle_timeout: off,
          tcp_keepalive: 30s, max_connection_age: 1h }
policies: [policies]
telemetry:
  export: { endpoint: 'http://127.0.0.1:4318', protocol: http/protobuf, interval: 5s, timeout: 3s,
            headers: { api-key: secret }, compression: gzip, certificate: LICENSE }
upstreams:
  pay: { endpoints: ['http://127.0.0.1:9001', 'http://localhost:9002/', 'http://pay'], protocol: http1,
         connect_timeout: 50ms, idle_timeout: 20s, max_idle: 8, reuse_after: 1s, http2_ping: 5m }
  bank: { endpoints: ['h2c://[::1]:50051'] }
routes:
  - name: pay
    match: { path: '/api/pay/{*rest}', host: '*.example.com', methods: [POST, PUT], headers: { x-debug: true, x-kind: 3 } }
    upstream: pay
    policy: { base: conservative, open: { max: 1h } }
    timeout: off
    mode: shadow
    max_in_flight: 50
  - { name: bank, match: { grpc: { service: bank.v1.Payments, method: Pay } }, upstream: bank, policy: combined, timeout: 2s }
",
    );
    assert_eq!(config.listen().to_string(), "0.0.0.0:80");
    assert_eq!(config.admin().to_string(), "[::1]:9901");
    assert_eq!(config.workers(), 3);
    assert_eq!(config.drain(), Duration::from_secs(60));
    assert_eq!(config.drain_delay(), Duration::from_secs(3));
    let trusted = |peer: &str| {
        config
            .trusted_proxies()
            .has(Peer::Tcp((peer.parse::<IpAddr>().unwrap(), 1).into()))
    };
    assert_eq!(
        ["10.9.9.9", "2001:db8::1", "2001:db8::2"].map(trusted),
        [true, true, false]
    );
    let limits = config.limits();
    assert_eq!((limits.connections, limits.streams), (10, 7));
    assert_eq!(limits.header_bytes, 16384);
    assert_eq!(limits.header, Duration::from_secs(2));
    assert_eq!(limits.first_byte, Duration::from_secs(2));
    assert_eq!(limits.keep_alive, Duration::from_secs(3));
    assert_eq!(limits.write, Duration::from_secs(4));
    assert!(limits.path.encoded_slash);
    let (fields, bytes) = (300, 32 << 10);
    assert_eq!(limits.response, HeadLimits { fields, bytes });
    assert_eq!(limits.half_closed, Duration::from_secs(1));
    assert_eq!(limits.tunnel_idle, None);
    assert_eq!(limits.tcp_keepalive, Some(Duration::from_secs(30)));
    assert_eq!(limits.age, Some(Duration::from_secs(3600)));

    let export = config.export().expect("an export");
    assert_eq!(export.endpoint.as_deref(), Some("http://127.0.0.1:4318"));
    assert_eq!(export.protocol, Some(Protocol::HttpProtobuf));
    assert_eq!(export.compression, Some(Compression::Gzip));
    assert_eq!(export.interval, Some(Duration::from_secs(5)));
    assert_eq!(export.timeout, Some(Duration::from_secs(3)));
    assert_eq!(export.headers.len(), 1);
    assert_eq!(export.headers["api-key"], "secret");
    assert_eq!(export.certificate, Some(root().join("LICENSE")));

    let [pay, bank] = config.routes() else {
        panic!("two routes");
    };
    assert_eq!(&**pay.name(), "pay");
    assert_eq!(pay.policy().name(), "pay");
    assert_eq!(pay.policy().open().max, Duration::from_secs(3600));
    assert_eq!(pay.policy().trip(), Policy::conservative().trip());
    assert_eq!((pay.mode(), pay.timeout()), (Mode::Shadow, None));
    assert_eq!(pay.max_in_flight, Some(50));
    assert_eq!(pay.body.request_bytes, Some(2_000_000));
    assert_eq!(pay.body.request_total, Some(Duration::from_secs(60)));
    assert_eq!(pay.body.idle, None);
    let matches = pay.matches();
    assert_eq!(matches.paths, ["/api/pay/{*rest}"]);
    assert_eq!(matches.host.as_deref(), Some("*.example.com"));
    assert_eq!(matches.methods, ["POST", "PUT"]);
    let headers = matches
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_ref()));
    let headers: Vec<_> = headers
        .map(|(name, value)| (name, value.map(|value| value.as_bytes())))
        .collect();
    assert_eq!(headers, [("x-debug", None), ("x-kind", Some(&b"3"[..]))]);

    let upstream = pay.upstream().expect("an upstream");
    assert_eq!(
        (upstream.name.as_str(), upstream.protocol),
        ("pay", upstream::Protocol::Http1)
    );
    assert_eq!(upstream.endpoints.len(), 3);
    assert_eq!(upstream.endpoints[2], Endpoint::Name("pay".to_owned(), 80));
    assert_eq!(upstream.connect_timeout, Duration::from_millis(50));
    assert_eq!(upstream.idle_timeout, Duration::from_secs(20));
    assert_eq!(upstream.idle_connections, 8);
    assert_eq!(upstream.reuse_after, Duration::from_secs(1));
    assert_eq!(upstream.http2_ping, Some(Duration::from_secs(300)));

    assert!(bank.matches().grpc);
    assert_eq!(bank.matches().paths, ["/bank.v1.Payments/Pay"]);
    let upstream = bank.upstream().expect("an upstream");
    assert_eq!(upstream.protocol, upstream::Protocol::H2c);
    assert_eq!(**bank.policy(), Policy::combined());
}

#[test]
fn routes_to_one_upstream_share_it() {
    let config = parsed(&format!(
        "{SMALL}  - {{ name: b, upstream: pay, match: {{ path: /b }} }}\n"
    ));
    let [a, b] = config.routes() else {
        panic!("two routes");
    };
    assert!(Arc::ptr_eq(
        a.upstream().expect("an upstream"),
        b.upstream().expect("an upstream")
    ));
}

#[test]
fn an_upstream_alone_is_a_configuration() {
    let upstream = "h2c://127.0.0.1:9001".parse().unwrap();
    let config = Config::of_upstream(upstream, Policy::combined())
        .unwrap()
        .with_listen("localhost:80".parse().unwrap())
        .with_admin("127.0.0.1:81".parse().unwrap());
    assert_eq!(config.listen().to_string(), "127.0.0.1:80");
    assert_eq!(config.admin().to_string(), "127.0.0.1:81");
    let [route] = config.routes() else {
        panic!("one route");
    };
    assert_eq!(&**route.name(), "default");
    let upstream = route.upstream().expect("an upstream");
    assert_eq!(upstream.protocol, upstream::Protocol::H2c);
    assert_eq!(**route.policy(), Policy::combined());
}

#[test]
fn the_schema_knows_the_fields() {
    let schema = schema().to_value();
    assert_eq!(schema["additionalProperties"], false);
    let fields: Vec<_> = schema["properties"].as_object().unwrap().keys().collect();
    assert_eq!(fields.len(), 21, "{fields:?}");
    assert_eq!(schema["required"], serde_json::json!(["routes"]));
    assert!(schema["$defs"]["Route"]["properties"]["policy"].is_object());
    assert!(schema["$defs"]["Route"]["properties"]["feeds"].is_object());
    assert!(schema["$defs"]["Telemetry"]["properties"]["receive"].is_object());
    let feed = schema["$defs"]["Feed"]["properties"].as_object().unwrap();
    let fields: Vec<_> = feed.keys().collect();
    assert_eq!(fields.len(), 9, "{fields:?}");
    assert_eq!(
        schema["$defs"]["Policy"]["properties"],
        yaml::schema().to_value()["properties"]
    );
}

#[test]
fn the_state_file_is_relative_to_the_configuration_and_a_version_is_a_text() {
    let text = SMALL.replace("upstream: pay }", "upstream: pay, version: v42 }");
    let text = format!("state: learned/state\n{text}");
    let config = Config::parse(&text, None, Path::new("etc")).unwrap();
    assert_eq!(config.state(), Some(Path::new("etc/learned/state")));
    assert_eq!(config.routes()[0].version().map(|v| &**v), Some("v42"));
}

#[test]
fn a_missing_file_is_told_by_name() {
    let error = Config::load(Path::new("no/such.yaml")).unwrap_err();
    assert_eq!(error.to_string(), "no/such.yaml: must exist");
}
