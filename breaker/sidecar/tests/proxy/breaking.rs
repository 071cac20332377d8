//! The breaker on the data path: faults of the upstream, faults of the caller, rejections.

use std::time::Duration;

use breaker_sidecar::proxy::Route;
use breaker_tests::calmly;
use breaker_tower::breaker_core::Ratio;
use breaker_tower::breaker_core::policy::{Condition, TripEntry};
use breaker_tower::{Mode, Policy, State};
use tokio::io::AsyncWriteExt;

use crate::harness::{
    Client, GET, OK, Options, Origin, Sidecar, eventually, header, nobody, read_head, status,
};

fn impatient() -> Options {
    Options {
        route: |route| Route {
            timeout: Some(Duration::from_millis(100)),
            ..route
        },
        ..Options::default()
    }
}

#[tokio::test]
async fn a_refused_connection_is_502_and_a_failure() {
    let nobody = nobody();
    let sidecar = Sidecar::start(nobody, Options::default());
    let response = sidecar.ask(GET).await;
    assert_eq!(status(&response), "502");
    let marker = header(&response, "proxy-status").unwrap();
    assert!(
        marker.starts_with("breaker; error=connection_refused; details="),
        "{marker}"
    );
    assert_eq!(sidecar.totals(), (0, 1, 0));
}

#[tokio::test]
async fn an_upstream_that_closes_unasked_is_502_and_a_failure() {
    let origin = Origin::raw(|mut stream| async move {
        read_head(&mut stream).await;
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let response = sidecar.ask(GET).await;
    assert_eq!(status(&response), "502");
    assert!(
        response.contains("error=connection_terminated"),
        "{response}"
    );
    assert_eq!(sidecar.totals(), (0, 1, 0));
}

#[tokio::test]
async fn an_upstream_that_answers_garbage_is_502_and_a_failure() {
    let origin = Origin::answering(|_, _| "SSH-2.0-OpenSSH\r\n\r\n".to_owned()).await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let response = sidecar.ask(GET).await;
    assert_eq!(status(&response), "502");
    assert!(response.contains("error=http_protocol_error"), "{response}");
    assert_eq!(sidecar.totals(), (0, 1, 0));
}

#[tokio::test]
async fn an_upstream_that_hangs_is_504_and_a_failure() {
    let origin = Origin::raw(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let sidecar = Sidecar::start(origin.address, impatient());
    let response = sidecar.ask(GET).await;
    assert_eq!(status(&response), "504");
    assert!(
        response.contains("error=http_response_timeout"),
        "{response}"
    );
    assert_eq!(sidecar.totals(), (0, 1, 0));
}

#[tokio::test]
async fn a_slow_upload_is_not_the_upstreams_time() {
    calmly(async || {
        let origin = Origin::ok().await;
        let sidecar = Sidecar::start(origin.address, impatient());
        let mut client = sidecar.connect().await;
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
            .await;
        for byte in ["a", "b", "c", "d"] {
            tokio::time::sleep(Duration::from_millis(60)).await;
            client.send(byte).await;
        }
        assert_eq!(status(&client.response().await), "200");
        assert_eq!(sidecar.totals(), (1, 0, 0));
        let slowest = sidecar.breaker.snapshot();
        let window = slowest.sources[0].latency.as_ref().unwrap();
        assert!(window.max < Duration::from_millis(60), "{window:?}");
    })
    .await;
}

#[tokio::test]
async fn a_response_that_breaks_off_is_never_whole() {
    for broken in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let origin = Origin::raw(move |mut stream| async move {
            read_head(&mut stream).await;
            stream.write_all(broken.as_bytes()).await.unwrap();
        })
        .await;
        let sidecar = Sidecar::start(origin.address, Options::default());
        let response = sidecar.exchange(GET).await;
        // As much as had been written when the connection was reset.
        assert!(!response.contains("\r\n0\r\n"), "{response}");
        eventually("a failure", || sidecar.totals() == (0, 1, 0)).await;
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_is_no_failure_and_cancels_the_request() {
    let (gone, mut told) = tokio::sync::mpsc::unbounded_channel();
    let origin = Origin::raw(move |mut stream| {
        let gone = gone.clone();
        async move {
            read_head(&mut stream).await;
            // Ends when the proxy closes its side.
            read_head(&mut stream).await;
            let _ = gone.send(());
        }
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let mut client = sidecar.connect().await;
    client.send(GET).await;
    eventually("in flight", || origin.connections() == 1).await;
    drop(client);
    told.recv().await.unwrap();
    eventually("ignored", || sidecar.totals() == (0, 0, 1)).await;
    assert_eq!(sidecar.breaker.snapshot().in_flight, 0);
    eventually("recorded", || {
        *sidecar.finished.lock().unwrap() == ["Some(0) GET 0 Some(ClientGone)"]
    })
    .await;
}

#[tokio::test]
async fn a_breaker_that_opens_rejects_and_says_why() {
    let origin =
        Origin::answering(|_, _| "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_owned()).await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let mut client = sidecar.connect().await;
    for _ in 0..20 {
        client.send(GET).await;
        assert_eq!(status(&client.response().await), "500");
    }
    assert_eq!(sidecar.breaker.state(), State::Open);
    client.send(GET).await;
    let response = client.response().await;
    assert_eq!(status(&response), "503");
    assert!(
        header(&response, "retry-after")
            .unwrap()
            .parse::<u64>()
            .unwrap()
            >= 8,
        "{response}"
    );
    assert_eq!(header(&response, "cache-control"), Some("no-store"));
    assert_eq!(
        header(&response, "content-type"),
        Some("application/problem+json")
    );
    let marker = header(&response, "proxy-status").unwrap();
    assert!(
        marker.starts_with(
            "breaker; error=destination_unavailable; details=\"breaker all is open: error rate 100"
        ),
        "{marker}"
    );
    for member in [
        "\"status\":503",
        "\"breaker\":\"all\"",
        "\"state\":\"open\"",
        "\"reason\":\"error_rate\"",
        "\"retry_after\":",
    ] {
        assert!(response.contains(member), "{member}: {response}");
    }
    assert_eq!(origin.heads().len(), 20);
    assert_eq!(sidecar.totals(), (0, 20, 0));
}

#[tokio::test]
async fn an_open_breaker_asks_for_no_body() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    sidecar.breaker.force(Mode::ForcedOpen);
    let response = sidecar
        .exchange("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\n")
        .await;
    assert!(response.starts_with("HTTP/1.1 503"), "{response}");
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn the_rejections_of_a_breaker_further_in_are_not_counted() {
    // As the breaker further in answers (tests/e2e/neutral.rs has two processes: one that meets
    // itself answers 508).
    let inner = Origin::answering(|_, _| {
        "HTTP/1.1 503 Service Unavailable\r\nproxy-status: inner; error=destination_unavailable\r\n\
         content-length: 0\r\n\r\n"
            .to_owned()
    })
    .await;
    let outer = Sidecar::start(inner.address, Options::default());
    for _ in 0..30 {
        assert_eq!(status(&outer.ask(GET).await), "503");
    }
    assert_eq!(outer.breaker.state(), State::Closed);
    assert_eq!(outer.totals(), (0, 0, 30));
}

#[tokio::test]
async fn a_hang_opens_the_breaker_though_nothing_completes() {
    let origin = Origin::raw(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = sidecar.connect().await;
        client.send(GET).await;
        clients.push(client);
    }
    eventually("open", || sidecar.breaker.state() == State::Open).await;
    assert_eq!(sidecar.totals(), (0, 0, 0));
}

#[tokio::test]
async fn timeouts_of_the_route_open_the_breaker_and_other_failures_do_not() {
    calmly(async || {
        let policy = || {
            let timeouts = TripEntry::open([Condition::TimeoutRate(Ratio::of(1, 2))]);
            let policy = Policy::builder("timeouts").min_requests(4).trip([timeouts]);
            policy.build().unwrap()
        };
        let options = || Options {
            policy: policy(),
            route: |mut route| {
                route.timeout = Some(Duration::from_millis(200));
                route
            },
            ..Options::default()
        };
        let hangs = Origin::raw(|stream| async move {
            std::future::pending::<()>().await;
            drop(stream);
        })
        .await;
        let sidecar = Sidecar::start(hangs.address, options());
        for _ in 0..4 {
            assert_eq!(status(&sidecar.ask(GET).await), "504");
        }
        assert_eq!(status(&sidecar.ask(GET).await), "503");
        let reason = sidecar.breaker.snapshot().reason.to_string();
        assert!(
            reason.starts_with("100% ≥ 50% of the requests timed out, 4 requests"),
            "{reason}"
        );

        let cuts = Origin::raw(|stream| async move { drop(stream) }).await;
        let sidecar = Sidecar::start(cuts.address, options());
        for _ in 0..8 {
            assert_eq!(status(&sidecar.ask(GET).await), "502");
        }
    })
    .await;
}

/// Sheds as soon as a request takes 50 ms.
fn shedding() -> Policy {
    let slow = TripEntry::shed([Condition::SlowRate {
        share: Ratio::of(1, 2),
        threshold: Duration::from_millis(50),
    }]);
    let policy = Policy::builder("shedding").min_requests(1).trip([slow]);
    policy.build().unwrap()
}

/// Sends `request` until it is refused. One that is admitted, as none was for a while, waits with
/// the others.
async fn refused(sidecar: &Sidecar, request: &str, waiting: &mut Vec<Client>) -> Client {
    let counts = || {
        let snapshot = sidecar.breaker.snapshot();
        (snapshot.in_flight, snapshot.totals.rejected)
    };
    loop {
        let (in_flight, rejected) = counts();
        let mut client = sidecar.connect().await;
        client.send(request).await;
        eventually("a decision", || counts() != (in_flight, rejected)).await;
        if counts().1 > rejected {
            return client;
        }
        waiting.push(client);
    }
}

#[tokio::test]
async fn a_shed_request_is_503_with_the_limit_and_soon_a_retry() {
    let origin = Origin::raw(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let options = Options {
        policy: shedding(),
        ..Options::default()
    };
    let sidecar = Sidecar::start(origin.address, options);
    // A queue: nobody comes back, and more wait than usual.
    let mut waiting = Vec::new();
    let sheds = || sidecar.breaker.snapshot().shedding.is_some();
    while !sheds() && waiting.len() < 200 {
        let mut client = sidecar.connect().await;
        client.send(GET).await;
        waiting.push(client);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(sheds(), "{:?}", sidecar.breaker.snapshot());
    // It decides on the last of them meanwhile.
    let now = || sidecar.breaker.snapshot();
    let decided = || now().in_flight + now().totals.rejected;
    eventually("decisions", || decided() == waiting.len() as u64).await;
    let before = now().totals.rejected;

    let response = refused(&sidecar, GET, &mut waiting).await.response().await;
    assert_eq!(status(&response), "503");
    assert_eq!(header(&response, "retry-after"), Some("1"));
    let marker = header(&response, "proxy-status").unwrap();
    let error =
        "breaker; error=connection_limit_reached; details=\"breaker all is closed: shedding: ";
    assert!(marker.starts_with(error), "{marker}");
    assert!(marker.contains(" in flight of at most "), "{marker}");
    assert!(response.contains("\"reason\":\"shedding\""), "{response}");
    assert!(response.contains("application/problem+json"), "{response}");

    let call = GET.replace(
        "\r\n\r\n",
        "\r\nContent-Type: application/grpc\r\nConnection: close\r\n\r\n",
    );
    let response = refused(&sidecar, &call, &mut waiting).await.rest().await;
    assert_eq!(header(&response, "grpc-status"), Some("14"));
    let pushback = header(&response, "grpc-retry-pushback-ms").unwrap();
    let millis: u64 = pushback.parse().unwrap();
    assert!((500..=1000).contains(&millis), "{millis}");

    let snapshot = sidecar.breaker.snapshot();
    assert_eq!(
        (snapshot.totals.rejected - before, snapshot.state),
        (2, State::Closed)
    );
    assert_eq!(sidecar.totals(), (0, 0, 0));
}

#[tokio::test]
async fn an_upstream_that_pauses_in_its_body_is_cut_off() {
    let origin = Origin::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream
            .write_all(&OK.as_bytes()[..OK.len() - 1])
            .await
            .unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let options = Options {
        route: |mut route| {
            route.body.response_idle = Some(Duration::from_millis(100));
            route
        },
        ..Options::default()
    };
    let sidecar = Sidecar::start(origin.address, options);
    let response = sidecar.exchange(GET).await;
    assert!(response.ends_with("\r\n\r\no"), "{response}");
    // By our limit, which says nothing of it.
    eventually("the end", || sidecar.totals() == (0, 0, 1)).await;
}
