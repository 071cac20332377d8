//! Nothing that a client does grows without bound, or lasts for good. What holds over HTTP/2 and in
//! tunnels too is in `limits`.

use std::time::Duration;

use breaker_sidecar::proxy::Route;

use crate::harness::{GET, Origin, Sidecar, eventually, header, status};

#[tokio::test]
async fn a_connection_that_sends_nothing_is_closed() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::with(origin.address, |options| {
        options.limits.first_byte = Duration::from_millis(100);
    });
    let mut client = sidecar.connect().await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::with(origin.address, |options| {
        options.limits.keep_alive = Duration::from_millis(100);
        options.limits.park_after = Duration::from_millis(20);
    });
    assert!(sidecar.exchange(GET).await.ends_with("ok"));
}

#[tokio::test]
async fn a_header_section_that_does_not_arrive_is_408() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::with(origin.address, |options| {
        options.limits.header = Duration::from_millis(100);
        options.limits.park_after = Duration::from_millis(20);
    });
    let response = sidecar.exchange("GET / HTTP/1.1\r\nHost: a\r\n").await;
    assert_eq!(status(&response), "408");
    let mut client = sidecar.connect().await;
    client.send(format!("{GET}GET / HT")).await;
    assert!(client.response().await.ends_with("ok"));
    assert_eq!(status(&client.rest().await), "408");
}

fn bounded(route: Route) -> Route {
    let mut route = route;
    route.body.idle = Some(Duration::from_millis(100));
    route.body.response_idle = Some(Duration::from_millis(100));
    route.body.request_total = Some(Duration::from_millis(300));
    route.body.request_bytes = Some(1000);
    route
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_408_and_no_observation() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::with(origin.address, |options| options.route = bounded);
    let response = sidecar
        .exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\na")
        .await;
    assert_eq!(status(&response), "408", "{response}");
    assert_eq!(header(&response, "connection"), Some("close"));
    assert_eq!(sidecar.totals(), (0, 0, 1));
}

#[tokio::test]
async fn a_call_of_grpc_may_rest() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::with(origin.address, |options| {
        options.route = |mut route| {
            route.body.idle = Some(Duration::from_millis(50));
            route.body.response_idle = Some(Duration::from_millis(50));
            route
        };
    });
    let mut client = sidecar.connect().await;
    let head =
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 2\r\n\r\n";
    client.send(head).await;
    for byte in ["a", "b"] {
        tokio::time::sleep(Duration::from_millis(150)).await;
        client.send(byte).await;
    }
    assert_eq!(status(&client.response().await), "200");
}

#[tokio::test]
async fn a_body_that_trickles_is_408_in_the_end() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::with(origin.address, |options| options.route = bounded);
    let mut client = sidecar.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
        .await;
    let (mut read, mut write) = client.0.split();
    let trickle = async {
        use tokio::io::AsyncWriteExt;
        while write.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let answer = async {
        use tokio::io::AsyncReadExt;
        let mut head = [0; 12];
        read.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 408");
    };
    tokio::select! {
        () = trickle => panic!("closed without an answer"),
        () = answer => {}
    }
}

#[tokio::test]
async fn a_body_over_its_limit_is_413_and_no_observation() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::with(origin.address, |options| options.route = bounded);
    let body = "x".repeat(1001);
    let known = sidecar
        .exchange(&format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n{body}"
        ))
        .await;
    assert_eq!(status(&known), "413");
    assert_eq!(origin.connections(), 0);
    let chunked = sidecar
        .exchange(&format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n{body}\r\n0\r\n\r\n"
        ))
        .await;
    assert_eq!(status(&chunked), "413");
    assert_eq!(sidecar.totals(), (0, 0, 1));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let origin = Origin::answering(|_, _| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n{}",
            "x".repeat(20_000_000)
        )
    })
    .await;
    let sidecar = Sidecar::with(origin.address, |options| {
        options.limits.write = Duration::from_millis(100);
        options.limits.park_after = Duration::from_millis(20);
    });
    let mut client = sidecar.connect().await;
    client.send(GET).await;
    eventually("recorded", || sidecar.finished.lock().unwrap().len() == 1).await;
    assert!(client.rest().await.len() < 20_000_000);
    assert_eq!(sidecar.totals(), (0, 0, 1));
}

#[tokio::test]
async fn connections_over_the_limit_wait() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::with(origin.address, |options| {
        options.limits.connections = 2;
    });
    let mut clients = [sidecar.connect().await, sidecar.connect().await];
    for client in &mut clients {
        client.send(GET).await;
        client.response().await;
    }
    let mut third = sidecar.connect().await;
    third.send(GET).await;
    let [first, _second] = clients;
    drop(first);
    assert!(third.response().await.ends_with("ok"));
}

#[tokio::test]
async fn heads_that_are_nearly_as_large_as_they_may_be_pass() {
    for limit in [64, 300] {
        let large = "x".repeat((limit - 2) * 1024);
        let answer = format!("HTTP/1.1 200 OK\r\nX: {large}\r\nContent-Length: 2\r\n\r\nok");
        let origin = Origin::answering(move |_, _| answer.clone()).await;
        let sidecar = Sidecar::with(origin.address, |options| {
            options.limits.header_bytes = limit * 1024;
            options.limits.response.bytes = 300 * 1024;
        });
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {large}\r\n\r\n");
        let response = sidecar.ask(&request).await;
        assert_eq!(status(&response), "200", "{limit} KiB");
        assert_eq!(header(&response, "x").map(str::len), Some(large.len()));
        assert_eq!(header(&origin.heads()[0], "x"), Some(&*large));
        let larger = request.replace("X: ", &format!("X: {}", "x".repeat(4096)));
        assert_eq!(
            status(&sidecar.exchange(&larger).await),
            "431",
            "{limit} KiB"
        );
    }
}
