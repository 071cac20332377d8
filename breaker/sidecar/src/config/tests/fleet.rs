//! `fleet`: what is taken, and what is said of what is not.

use std::fs;
use std::path::Path;

use crate::config::{Config, ConfigError, Fleet};

fn parsed(fleet: &str, folder: &Path) -> Result<Config, ConfigError> {
    let text = format!(
        "upstreams:\n  pay: {{ endpoints: ['http://127.0.0.1:1'] }}\n\
         routes:\n  - {{ name: pay, upstream: pay, match: {{ path: /pay }} }}\n  \
         - {{ name: seen, feeds: [{{ name: f, service: shop }}] }}\n\
         fleet: {fleet}\ntelemetry: {{ receive: {{ grpc: 127.0.0.1:1 }} }}\n"
    );
    Config::parse(&text, Some("b.yaml"), folder)
}

fn said(fleet: &str) -> String {
    let error = parsed(fleet, Path::new("")).expect_err(fleet);
    error.to_string().replace("b.yaml:", "")
}

#[test]
fn all_routes_are_in_it_unless_some_are_named() {
    let all = parsed("{ name: shop, engine: 'redis://localhost' }", Path::new("")).unwrap();
    let named = "{ name: shop, engine: 'redis://localhost', routes: [pay] }";
    let named = parsed(named, Path::new("")).unwrap();
    let (all, named) = (all.fleet().unwrap(), named.fleet().unwrap());
    assert!(all.has("pay") && all.has("other") && named.has("pay") && !named.has("other"));
    assert_eq!((&**all.name(), all.engine().port()), ("shop", 6379));
}

#[test]
fn an_engine_elsewhere_needs_tls_a_key_or_consent() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("key"),
        "0123456789abcdef0123456789abcdef\n",
    )
    .unwrap();
    for more in [
        "rediss://redis.example'",
        "redis://10.0.0.1', key_file: key",
        "redis://10.0.0.1', allow_remote: true",
        "redis://[::1]:7000'",
    ] {
        let config = parsed(&format!("{{ name: shop, engine: '{more} }}"), folder.path());
        let config = config.unwrap_or_else(|error| panic!("{more}: {error}"));
        let key = config
            .fleet()
            .and_then(Fleet::key)
            .map(|key| key.as_bytes().to_vec());
        assert!(key.is_none_or(|key| key == b"0123456789abcdef0123456789abcdef"));
    }
    fs::write(folder.path().join("key"), "short").unwrap();
    let short = parsed(
        "{ name: a, engine: 'redis://[::1]', key_file: key }",
        folder.path(),
    );
    let short = short.unwrap_err().to_string();
    assert!(
        short.ends_with("fleet.key_file: must hold a key of 32 to 4096 bytes"),
        "{short}"
    );
}

#[test]
fn a_wrong_value_is_told_with_its_place_field_and_rule() {
    for (fleet, expected) in SAID {
        assert_eq!(said(fleet), *expected, "{fleet}");
    }
}

const SAID: &[(&str, &str)] = &[
    (
        "{ name: '', engine: 'redis://localhost' }",
        "6:16: fleet.name: must be 1 to 64 of a-z, 0-9, '.', '_' and '-'",
    ),
    (
        "{ name: shop, engine: 'http://localhost' }",
        "6:30: fleet.engine: must be a URL such as redis://127.0.0.1:6379, \
         rediss://user:password@redis:6379 or nats://127.0.0.1:4222, without a path",
    ),
    (
        "{ name: shop, engine: 'redis://10.0.0.1' }",
        "6:30: fleet.engine: must be on a loopback address, or have TLS (rediss:// or tls://) \
         or a key_file beside it: whoever can publish there can open breakers; allow_remote: true \
         beside it allows that",
    ),
    (
        "{ name: shop, engine: 'redis://localhost', routes: [pya] }",
        "6:60: fleet.routes[0]: must name a route that has an upstream; did you mean pay?",
    ),
    (
        "{ name: shop, engine: 'redis://localhost', routes: [seen] }",
        "6:60: fleet.routes[0]: must name a route that has an upstream: pay",
    ),
    (
        "{ name: shop, engine: 'redis://localhost', routes: [pay, pay] }",
        "6:65: fleet.routes[1]: must not name a route again",
    ),
    (
        "{ name: shop, engine: 'redis://localhost', routes: [] }",
        "6:51: fleet.routes: must have 1 to 200 entries",
    ),
];
