//! One of five endpoints has a fault: its callers hardly see it.

use std::fs;

use breaker_tests::{Sidecar, calmly, eventually, get};
use serde_json::Value;

use super::load::{Load, Shape};
use super::nginx::{Nginx, before, five};
use crate::tools::free_ports;

const GOOD: &str = "return 200 ok;";

/// What the sidecar says of an endpoint.
async fn endpoint(sidecar: &Sidecar, nginx: &Nginx) -> Value {
    let known = get(sidecar.admin_url("/api/v1/upstreams")).await;
    let known: Value = serde_json::from_slice(&known.body).unwrap();
    let endpoints = known["upstreams"][0]["endpoints"].as_array().unwrap();
    let address = nginx.address().to_string();
    let mut own = endpoints.iter();
    let own = own.find(|it| {
        it["endpoint"]
            .as_str()
            .is_some_and(|it| it.contains(&address))
    });
    own.unwrap_or_else(|| panic!("no {address}: {known}"))
        .clone()
}

fn addresses(all: &[Nginx]) -> impl Iterator<Item = std::net::SocketAddr> {
    all.iter().map(Nginx::address)
}

#[tokio::test]
async fn nobody_notices_an_endpoint_that_is_dead() {
    let mut all = five(GOOD).await;
    let sidecar = before(addresses(&all), "", "").await;
    let load = Load::start(&sidecar.url("/"), &Shape::gets(20, 500));
    load.more(500).await;
    all[2].quit().await;
    let sick = &all[2];
    eventually!(endpoint(&sidecar, sick).await["state"] == "out");
    let told = endpoint(&sidecar, sick).await;
    load.more(1000).await;
    let tally = load.end().await;
    assert!(tally.bad.is_empty(), "{tally:?}");
    assert_eq!(told["reason"]["label"], "unreachable", "{told}");
}

#[tokio::test]
async fn an_endpoint_that_fails_is_out_after_a_few_requests_and_comes_back_when_it_is_well() {
    calmly(async || {
        let all = five("if (-f @/sick) { return 500; } return 200 ok;").await;
        let sidecar = before(addresses(&all), ", eject: { open: { for: 1s } }", "").await;
        let load = Load::start(&sidecar.url("/"), &Shape::gets(20, 200));
        load.more(400).await;
        let address = all[2].address();
        let sick = all[2].directory().join("sick");
        fs::write(&sick, "").unwrap();
        eventually!(endpoint(&sidecar, &all[2]).await["state"] == "out");
        let tally = load.more(100).await;
        let bad = tally.bad.len();
        assert!((1..=15).contains(&bad), "{bad} bad: {tally:?}");
        // Until it is well, only its probes are lost.
        let tally = load.more(600).await;
        assert!(tally.bad.len() <= bad + 5, "{tally:?}");
        fs::remove_file(&sick).unwrap();
        eventually!(endpoint(&sidecar, &all[2]).await["state"] == "in");
        let tally = load.more(200).await;
        let well = load.more(800).await;
        assert_eq!(well.bad.len(), tally.bad.len(), "{well:?}");
        assert!(well.of(address) > tally.of(address), "{well:?}");
    })
    .await;
}

/// Too few hang to prove anything soon: the balancer sees them hang, and sends no more.
#[tokio::test]
async fn an_endpoint_that_hangs_holds_few_requests() {
    calmly(async || {
        let all = five(GOOD).await;
        let sidecar = before(addresses(&all), "", ", timeout: 2s").await;
        // Callers enough that the others go on asking.
        let load = Load::start(&sidecar.url("/"), &Shape::gets(40, 400));
        load.more(500).await;
        all[2].freeze();
        let tally = load.more(3000).await;
        assert!(
            (1..=15).contains(&tally.bad.len()),
            "{}: {tally:?}",
            tally.bad.len()
        );
        let late = |(_, what): &(String, String)| what.starts_with("504 ");
        assert!(tally.bad.iter().all(late), "{tally:?}");
    })
    .await;
}

#[tokio::test]
async fn with_retries_nobody_notices_an_endpoint_that_hangs() {
    calmly(async || {
        let all = five(GOOD).await;
        let route = ", timeout: 3s, retry: { per_try: 500ms }";
        let sidecar = before(addresses(&all), "", route).await;
        let load = Load::start(&sidecar.url("/"), &Shape::gets(40, 400));
        load.more(500).await;
        all[2].freeze();
        load.more(3000).await;
        let tally = load.end().await;
        assert!(tally.bad.is_empty(), "{tally:?}");
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_that_fails_at_times_is_out() {
    calmly(async || {
        let ports = free_ports::<5>();
        let mut all = Vec::new();
        for (index, port) in ports.into_iter().enumerate() {
            let location = match index {
                2 => "if ($third) { return 500; } return 200 ok;",
                _ => GOOD,
            };
            all.push(Nginx::start(port, location).await);
        }
        let sidecar = before(addresses(&all), "", "").await;
        let load = Load::start(&sidecar.url("/"), &Shape::gets(20, 300));
        eventually!(endpoint(&sidecar, &all[2]).await["state"] == "out");
        let tally = load.end().await;
        assert!(tally.bad.len() <= 40, "{}: {tally:?}", tally.bad.len());
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_that_is_ten_times_slower_gets_a_smaller_share() {
    calmly(async || {
        let ports = free_ports::<5>();
        let mut all = Vec::new();
        for (index, port) in ports.into_iter().enumerate() {
            let location = match index {
                2 => "echo_sleep 0.1; echo ok;",
                _ => "echo_sleep 0.01; echo ok;",
            };
            all.push(Nginx::start(port, location).await);
        }
        let sidecar = before(addresses(&all), "", "").await;
        let load = Load::start(&sidecar.url("/"), &Shape::gets(20, 300));
        let early = load.more(500).await;
        let tally = load.more(2000).await;
        let share = tally.share(all[2].address(), &early);
        assert!(tally.bad.is_empty(), "{tally:?}");
        assert!(share < 0.1, "{share}: {tally:?}");
        assert_eq!(endpoint(&sidecar, &all[2]).await["state"], "in");
    })
    .await;
}
