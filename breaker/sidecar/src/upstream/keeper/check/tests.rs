use std::net::IpAddr;

use breaker_tower::core::EjectReason;

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
    // Those that come and go were not there for long enough.
    let [(host, Some(EjectReason::Checks(failed)))] = &out[..] else {
        panic!("{out:?}");
    };
    assert!(host == "127.0.77.1" && *failed >= 3, "{out:?}");
}
