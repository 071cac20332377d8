use std::net::IpAddr;

use breaker_tower::breaker_core::EjectReason;

use super::*;
use crate::upstream::Names;
use crate::upstream::resolve::Target;

/// An address at which nothing listens.
fn target(last: u8) -> Target {
    Target {
        address: IpAddr::from([127, 0, 77, last]),
        port: None,
        weight: 1,
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_checked_while_others_come_and_go() {
    let upstream = Arc::new(Upstream {
        discovered: true,
        health: Some(HealthCheck::new(Check::Http("/".parse().unwrap()))),
        ..Upstream::new("pay", vec![Endpoint::new("pay.example", 1)])
    });
    let set = upstream.instances().clone();
    set.found(&upstream, &[target(1), target(2)]);
    let directory = Directory::start(Names::of("", "127.0.0.1:9".parse().unwrap())).unwrap();
    let flapping = async {
        for second in 0..30 {
            set.found(&upstream, &[target(1), target(2 + second % 2)]);
            sleep(Duration::from_secs(1)).await;
            // What checks say of the others is no matter here.
            let (current, _) = set.current();
            for it in &current.instances {
                if it.endpoint.host() != "127.0.77.1" {
                    set.state().checked(it.id, true, set.now());
                    set.state().checked(it.id, true, set.now());
                }
            }
        }
    };
    tokio::select! {
        () = flapping => {}
        () = run(&upstream, &set, &directory) => {}
    }
    let (current, snapshot) = set.snapshot();
    let out = snapshot.endpoints.iter().filter(|it| it.reason.is_some());
    let out: Vec<_> = out
        .map(|it| (current.instance(it.id).unwrap().endpoint.host(), it.reason))
        .collect();
    let [(host, Some(EjectReason::Checks(_)))] = &out[..] else {
        panic!("{out:?}");
    };
    assert_eq!(host, "127.0.77.1");
}

#[tokio::test(start_paused = true)]
async fn a_new_endpoint_is_checked_within_a_second() {
    let upstream = Arc::new(Upstream {
        discovered: true,
        health: Some(HealthCheck {
            interval: Duration::from_secs(3600),
            ..HealthCheck::new(Check::Http("/".parse().unwrap()))
        }),
        ..Upstream::new("pay", vec![Endpoint::new("pay.example", 1)])
    });
    let set = upstream.instances().clone();
    set.found(&upstream, &[target(1), target(2), target(3)]);
    let directory = Directory::start(Names::of("", "127.0.0.1:9".parse().unwrap())).unwrap();
    let out = || {
        let (_, snapshot) = set.snapshot();
        let endpoints = snapshot.endpoints.iter();
        endpoints.filter(|it| it.reason.is_some()).count()
    };
    assert_eq!(out(), 0, "until then it gets requests");
    let checked = async {
        while out() == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        found = timeout(Duration::from_secs(2), checked) => found.expect("a check"),
        () = run(&upstream, &set, &directory) => {}
    }
}
