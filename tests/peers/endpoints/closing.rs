//! Endpoints that close a connection soon after its last answer, which races with the next request.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;

use super::load::{Load, Shape};
use super::nginx::{Nginx, before};
use crate::tools::free_ports;

/// Two, as the choice among endpoints must not matter.
async fn two() -> Vec<Nginx> {
    let mut all = Vec::new();
    for port in free_ports::<2>() {
        let address = ([127, 0, 0, 1], port).into();
        all.push(Nginx::start_at(address, "return 200 ok;", "keepalive_timeout 50ms;").await);
    }
    all
}

/// Callers that ask when the connections of their last requests are about to be closed.
fn shape(method: Method, body: &'static [u8]) -> Shape {
    Shape {
        callers: 60,
        each: Duration::from_millis(51),
        method,
        body,
    }
}

#[tokio::test]
async fn no_get_fails_when_connections_are_closed_between_requests() {
    let all = two().await;
    let sidecar = before(all.iter().map(Nginx::address), "", "").await;
    let load = Load::start(&sidecar.url("/"), &shape(Method::GET, b""));
    load.more(8000).await;
    let tally = load.end().await;
    assert!(
        tally.bad.is_empty(),
        "{} bad: {:#?}",
        tally.bad.len(),
        tally.bad
    );
}

#[tokio::test]
async fn a_post_that_was_sent_is_answered_and_never_sent_twice() {
    let all = two().await;
    let sidecar = before(all.iter().map(Nginx::address), "", "").await;
    let shape = shape(Method::POST, b"amount=1");
    let load = Load::start(&sidecar.url("/"), &shape);
    load.more(8000).await;
    let tally = load.end().await;
    let mut received = BTreeMap::<String, u32>::new();
    for line in all.iter().flat_map(Nginx::asked) {
        let path = line.split(' ').nth(1).unwrap().to_owned();
        *received.entry(path).or_default() += 1;
    }
    let twice: Vec<_> = received.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    // What was received was answered.
    let lost =
        |(uri, _): &&(String, String)| received.keys().any(|path| uri.ends_with(path.as_str()));
    let lost: Vec<_> = tally.bad.iter().filter(lost).collect();
    assert!(lost.is_empty(), "{lost:#?}");
    // nginx that closes with a request unread resets the connection, as one that has read it and
    // dies may. It happens once to each endpoint of each worker, to those that are under way at
    // once then; for a minute after it no used connection is trusted with a POST.
    let bad = tally.bad.len();
    assert!(bad as u64 <= shape.callers, "{bad} bad: {:#?}", tally.bad);
}
