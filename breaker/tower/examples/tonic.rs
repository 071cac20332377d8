//! A tonic client and a tonic server, each behind a breaker.
//!
//! `cargo run -p breaker-tower --features tonic --example tonic`

#![expect(clippy::print_stdout, reason = "an example")]

use breaker_tower::{BreakerHandle, BreakerLayer, Mode, Policy, rejection};
use tokio::net::TcpListener;
use tonic::Code;
use tonic::transport::{Channel, Server, server::TcpIncoming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::Layer;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() {
    client().await;
    server().await;
}

/// A call that the client's breaker rejects is a `Status` that is `UNAVAILABLE` and has the
/// rejection as its source.
async fn client() {
    // Nobody listens on port 1: each call is UNAVAILABLE.
    let channel = Channel::from_static("http://127.0.0.1:1").connect_lazy();
    let breaker = BreakerHandle::new("health", Policy::sensitive());
    let mut client = HealthClient::new(BreakerLayer::new(breaker).layer(channel));

    let mut attempts = 0;
    loop {
        let status = client.check(HealthCheckRequest::default()).await;
        let status = status.expect_err("nobody listens");
        assert_eq!(status.code(), Code::Unavailable);
        if let Some(rejected) = rejection(&status) {
            println!("after {attempts} calls: {rejected}");
            break;
        }
        attempts += 1;
    }
    assert_eq!(attempts, 20);
}

/// A call that the server's breaker rejects comes back as `UNAVAILABLE`, with the time to wait.
async fn server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let breaker = BreakerHandle::new("health", Policy::sensitive());
    let (_, health) = tonic_health::server::health_reporter();
    let serving = Server::builder()
        .layer(BreakerLayer::server(breaker.clone()))
        .add_service(health)
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(serving);

    let channel = Channel::from_shared(format!("http://{address}"));
    let mut client = HealthClient::new(channel.expect("a good URL").connect_lazy());
    let answer = client.check(HealthCheckRequest::default()).await;
    answer.expect("the server is well");
    breaker.force(Mode::ForcedOpen);
    let status = client.check(HealthCheckRequest::default()).await;
    let status = status.expect_err("the breaker is open");
    assert_eq!(status.code(), Code::Unavailable);
    let wait = status.metadata().get("grpc-retry-pushback-ms");
    println!("the server rejects: {}; wait {wait:?} ms", status.message());
}
