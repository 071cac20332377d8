//! `follow`: what is taken, and what is said of what is not.

use std::fs;
use std::path::Path;

use crate::config::{Config, ConfigError};

fn parsed(follow: &str, folder: &Path) -> Result<Config, ConfigError> {
    let text = format!(
        "upstreams:\n  pay: {{ endpoints: ['http://127.0.0.1:1'] }}\n\
         routes:\n  - {{ name: pay, upstream: pay, match: {{ path: /pay }} }}\n  \
         - {{ name: seen, feeds: [{{ name: f, service: shop }}] }}\n\
         follow: {follow}\ntelemetry: {{ receive: {{ grpc: 127.0.0.1:1 }} }}\n"
    );
    Config::parse(&text, Some("b.yaml"), folder)
}

fn said(follow: &str) -> String {
    let error = parsed(follow, Path::new("")).expect_err(follow);
    error.to_string().replace("b.yaml:", "")
}

#[test]
fn all_routes_follow_unless_some_are_named() {
    let all = parsed("{ brain: 'http://127.0.0.1:9901' }", Path::new("")).unwrap();
    let named = "{ brain: 'http://[::1]:9901', routes: [pay] }";
    let named = parsed(named, Path::new("")).unwrap();
    let (all, named) = (all.follow().unwrap(), named.follow().unwrap());
    assert!(all.has("pay") && all.has("other") && named.has("pay") && !named.has("other"));
    assert_eq!((all.host(), named.host()), ("127.0.0.1", "::1"));
    assert!(all.tls().is_none());
}

#[test]
fn a_brain_elsewhere_needs_tls_or_consent() {
    for more in [
        "https://brain.example:9900'",
        "http://brain.example:9900', allow_remote: true",
        "http://localhost:9901'",
    ] {
        let config = parsed(&format!("{{ brain: '{more} }}"), Path::new(""));
        let config = config.unwrap_or_else(|error| panic!("{more}: {error}"));
        let is_secure = config
            .follow()
            .and_then(super::super::Follow::tls)
            .is_some();
        assert_eq!(is_secure, more.starts_with("https"));
    }
}

#[test]
fn its_token_is_sent_to_nobody_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), "xyzzy-plugh\n").unwrap();
    let with_token = |more: &str| {
        let follow = format!("{{ token_file: token, brain: '{more} }}");
        parsed(&follow, folder.path()).map_err(|error| error.to_string())
    };
    let error = with_token("http://brain.example:9900', allow_remote: true").unwrap_err();
    let expected = "6:23: follow.token_file: needs a brain with https://, or on a loopback address: \
                    anyone on the way could read the token";
    assert!(error.ends_with(expected), "{error}");
    for good in ["https://brain.example:9900'", "http://127.0.0.1:9901'"] {
        assert!(with_token(good).is_ok(), "{good}");
    }
}

#[test]
fn its_token_is_a_file_with_one() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), "two words\n").unwrap();
    let follow = "{ brain: 'http://127.0.0.1:9901', token_file: token }";
    let error = parsed(follow, folder.path()).unwrap_err().to_string();
    let expected = "6:55: follow.token_file: must hold a token: one line of 1 to 4096 visible ASCII \
                    characters";
    assert!(error.ends_with(expected), "{error}");
    fs::write(folder.path().join("token"), "xyzzy-plugh\n").unwrap();
    let config = parsed(follow, folder.path()).unwrap();
    assert!(!format!("{config:?}").contains("xyzzy"));
}

#[test]
fn a_wrong_value_is_told_with_its_place_field_and_rule() {
    for (follow, expected) in SAID {
        assert_eq!(said(follow), *expected, "{follow}");
    }
}

const SAID: &[(&str, &str)] = &[
    (
        "{ brain: 'grpc://127.0.0.1:9901' }",
        "6:18: follow.brain: must be a URL such as https://brain:9900 or http://127.0.0.1:9900, \
         without a path",
    ),
    (
        "{ brain: 'http://u:p@127.0.0.1:9901' }",
        "6:18: follow.brain: must be a URL such as https://brain:9900 or http://127.0.0.1:9900, \
         without a path",
    ),
    (
        "{ brain: 'http://127.0.0.1:9901/api' }",
        "6:18: follow.brain: must be a URL such as https://brain:9900 or http://127.0.0.1:9900, \
         without a path",
    ),
    (
        "{ brain: 'http://brain.example:9900' }",
        "6:18: follow.brain: must be on a loopback address, or have TLS (https://): whoever can \
         answer in its place can open breakers; allow_remote: true beside it allows that",
    ),
    (
        "{ brain: 'http://127.0.0.1:9900' }",
        "6:18: follow.brain: must not be the admin port of this sidecar itself",
    ),
    (
        "{ brain: 'http://127.0.0.1:9901', tls: {} }",
        "6:43: follow.tls: needs a brain with https://",
    ),
    (
        "{ brain: 'http://127.0.0.1:9901', token_file: nowhere }",
        "6:55: follow.token_file: must be a file that exists",
    ),
    (
        "{ brain: 'http://127.0.0.1:9901', routes: [seen] }",
        "6:52: follow.routes[0]: must name a route that has an upstream: pay",
    ),
    (
        "{ brain: 'http://127.0.0.1:9901' }\nfleet: { name: pay, engine: 'redis://localhost' }",
        "6:1: follow: must not be there together with fleet: a breaker follows one of them",
    ),
    (
        "{ brain: 'http://127.0.0.1:9901', brian: 1 }",
        "6:43: follow.brian: is not a field here; did you mean brain?",
    ),
];

#[test]
fn a_feed_must_not_be_called_as_the_source_is() {
    let text = "upstreams:\n  pay: { endpoints: ['http://127.0.0.1:1'] }\n\
                routes:\n  - { name: pay, upstream: pay, feeds: [{ name: brain, service: shop }] }\n\
                follow: { brain: 'http://127.0.0.1:9901' }\n\
                telemetry: { receive: { grpc: 127.0.0.1:1 } }\n";
    let error = Config::parse(text, Some("b.yaml"), Path::new("")).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("follow: must not be there together with a feed that is called brain"),
        "{error}"
    );
}
