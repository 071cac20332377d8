//! Endpoints that a name server tells: Knot DNS, whose zone changes while requests come.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use breaker_tests::{Answer, Sidecar, eventually, get};
use tokio::time::Instant;

use super::apart::is_apart;
use super::knot::Knot;
use super::load::{Load, Shape, Tally};
use super::nginx::Nginx;

const PORT: u16 = 8080;
/// As the loads of endpoints that are this fast are chance.
const IN_TURN: &str = ", balance: round_robin";

fn at(last: u8) -> SocketAddr {
    ([127, 0, 1, last], PORT).into()
}

/// An nginx at each of the addresses 127.0.1.1 and so on.
async fn some(count: u8) -> Vec<Nginx> {
    let mut all = Vec::new();
    for last in 1..=count {
        all.push(Nginx::start_at(at(last), "return 200 ok;", "").await);
    }
    all
}

/// With more fields of the upstream.
async fn sidecar(discover: &str, more: &str) -> Sidecar {
    Sidecar::start(format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nworkers: 2\n\
         upstreams: {{ pay: {{ discover: {{ {discover} }}{more} }} }}\n\
         routes: [{{ name: pay, upstream: pay }}]\n"
    ))
    .await
}

async fn by_addresses() -> Sidecar {
    sidecar(&format!("name: pay.shop.test, port: {PORT}"), "").await
}

/// Waits until no more requests go to any but these; how long it took until the first one went to
/// each of them, and until the last one went to another.
async fn moves_to(load: &Load, to: &[u8], since: Instant) -> (Duration, Duration) {
    let wanted: BTreeSet<String> = to.iter().map(|last| at(*last).to_string()).collect();
    let before = load.tally();
    let new = |tally: &Tally| -> BTreeSet<String> {
        let counts = tally.good.iter();
        let changed = counts.filter(|(from, count)| before.good.get(*from) != Some(*count));
        changed.map(|(from, _)| from.clone()).collect()
    };
    eventually!(
        new(&load.tally()).is_superset(&wanted),
        "{:?}",
        load.tally()
    );
    let arrived = since.elapsed();
    let mut last = since.elapsed();
    let others = |tally: &Tally| -> u64 {
        let others = tally
            .good
            .iter()
            .filter(|(from, _)| !wanted.contains(*from));
        others.map(|(_, count)| count).sum()
    };
    let mut seen = others(&load.tally());
    // Over when as much as a second goes by without one.
    eventually!(
        {
            let now = others(&load.tally());
            if now != seen {
                (seen, last) = (now, since.elapsed());
            }
            since.elapsed() > last + Duration::from_secs(1)
        },
        "{:?}",
        load.tally()
    );
    (arrived, last)
}

#[tokio::test]
#[expect(
    clippy::print_stderr,
    reason = "the time that it takes belongs to the result"
)]
async fn traffic_follows_the_addresses_of_a_name() {
    if !is_apart("endpoints::names::traffic_follows_the_addresses_of_a_name").await {
        return;
    }
    let all = some(3).await;
    let knot = Knot::start(&["pay 1 A 127.0.1.1"]).await;
    let sidecar = by_addresses().await;
    let load = Load::start(&sidecar.url("/"), &Shape::gets(10, 200));
    let tally = load.more(100).await;
    assert_eq!(tally.of(all[0].address()), tally.all(), "{tally:?}");
    for (changes, to) in [
        (&["add pay 1 A 127.0.1.2"][..], &[1, 2][..]),
        (&["del pay A", "add pay 1 A 127.0.1.3"], &[3]),
        (
            &["add pay 1 A 127.0.1.1", "add pay 1 A 127.0.1.2"],
            &[1, 2, 3],
        ),
        (&["del pay A 127.0.1.3"], &[1, 2]),
    ] {
        knot.change(changes).await;
        let since = Instant::now();
        let (arrived, left) = moves_to(&load, to, since).await;
        eprintln!(
            "{changes:?}: there after {arrived:.2?}, the last one elsewhere after {left:.2?}"
        );
        // The TTL and a second, on a machine that does much else.
        assert!(arrived.max(left) < Duration::from_secs(5), "{to:?}");
    }
    let tally = load.end().await;
    assert!(tally.bad.is_empty(), "{tally:?}");
}

#[tokio::test]
async fn srv_records_say_ports_and_weights() {
    if !is_apart("endpoints::names::srv_records_say_ports_and_weights").await {
        return;
    }
    let all = some(3).await;
    let mut knot = Knot::start(&[
        "one 1 A 127.0.1.1",
        "two 1 A 127.0.1.2",
        "three 1 A 127.0.1.3",
        &format!("_http._tcp.pay 1 SRV 1 10 {PORT} one"),
        &format!("_http._tcp.pay 1 SRV 1 30 {PORT} two"),
        &format!("_http._tcp.pay 1 SRV 2 99 {PORT} three"),
    ])
    .await;
    let sidecar = sidecar("name: _http._tcp.pay.shop.test, record: srv", IN_TURN).await;
    let load = Load::start(&sidecar.url("/"), &Shape::gets(10, 200));
    let start = load.more(1).await;
    let tally = load.more(800).await;
    let share = tally.share(all[1].address(), &start);
    assert!((0.7..0.8).contains(&share), "{share}: {tally:?}");
    assert_eq!(
        tally.of(all[2].address()),
        0,
        "of a later priority: {tally:?}"
    );

    knot.change(&[
        &format!("del _http._tcp.pay SRV 1 30 {PORT} two"),
        &format!("del _http._tcp.pay SRV 1 10 {PORT} one"),
    ])
    .await;
    moves_to(&load, &[3], Instant::now()).await;
    // What is known stays in use.
    knot.stop().await;
    let tally = load.more(600).await;
    assert!(tally.bad.is_empty(), "{tally:?}");
}

#[tokio::test]
async fn a_name_server_that_fails_takes_no_endpoint_away() {
    if !is_apart("endpoints::names::a_name_server_that_fails_takes_no_endpoint_away").await {
        return;
    }
    let all = some(3).await;
    let mut knot = Knot::start(&["pay 1 A 127.0.1.1", "pay 1 A 127.0.1.2"]).await;
    let sidecar = sidecar(&format!("name: pay.shop.test, port: {PORT}"), IN_TURN).await;
    let load = Load::start(&sidecar.url("/"), &Shape::gets(10, 200));
    load.more(200).await;
    knot.stop().await;
    // Several lookups fail meanwhile.
    let gone = load.more(1600).await;
    let later = load.more(400).await;
    assert!(later.bad.is_empty(), "{later:?}");
    for nginx in &all[..2] {
        let share = later.share(nginx.address(), &gone);
        assert!((0.3..0.7).contains(&share), "{share}: {later:?}");
    }
    knot.start_again().await;
    knot.change(&["del pay A", "add pay 1 A 127.0.1.3"]).await;
    moves_to(&load, &[3], Instant::now()).await;
    // Answers that there is no such name any more are not believed at once either.
    knot.change(&["del pay A"]).await;
    let tally = load.more(1000).await;
    assert!(tally.bad.is_empty(), "{tally:?}");
}

#[tokio::test]
async fn a_name_that_appears_later_is_found() {
    if !is_apart("endpoints::names::a_name_that_appears_later_is_found").await {
        return;
    }
    let _all = some(1).await;
    let knot = Knot::start(&[]).await;
    let sidecar = by_addresses().await;
    let ask = || async { get(sidecar.url("/x")).await };
    let unknown: Answer = ask().await;
    assert_eq!(unknown.status, 502, "{unknown:?}");
    let why = unknown.header("proxy-status");
    assert!(why.contains("error=dns_error"), "{why}");
    assert_eq!(get(sidecar.admin_url("/readyz")).await.status, 200);
    knot.change(&["add pay 1 A 127.0.1.1"]).await;
    // By the zone a negative answer may be kept for an hour.
    eventually!(ask().await.status == 200);
}
