//! A tonic client behind a breaker: a call that it rejects is a `Status` with the rejection as its
//! source.
//!
//! `cargo run -p breaker-tower --example tonic`

#![expect(clippy::print_stdout, reason = "an example")]

use breaker_tower::{BreakerHandle, BreakerLayer, Policy, rejection};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::Layer;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() {
    // Nobody listens on port 1: each call is UNAVAILABLE.
    let channel = Channel::from_static("http://127.0.0.1:1").connect_lazy();
    let breaker = BreakerHandle::new("health", Policy::sensitive());
    let mut client = HealthClient::new(BreakerLayer::new(breaker).layer(channel));

    let mut attempts = 0;
    loop {
        let status = client.check(HealthCheckRequest::default()).await;
        let status = status.expect_err("nobody listens");
        if let Some(rejected) = rejection(&status) {
            println!("after {attempts} calls: {rejected}");
            break;
        }
        attempts += 1;
    }
    assert_eq!(attempts, 20);
}
