//! A client with a breaker for each host: a host that refuses connections costs nothing after
//! twenty attempts.
//!
//! `cargo run -p breaker-tower --example client`

#![expect(clippy::print_stdout, reason = "an example")]

use breaker_tower::{BreakerLayer, BreakerSet, Policy, rejection};
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tower::{Layer, Service, ServiceExt};

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() {
    let hosts = BreakerSet::new(Policy::sensitive(), 1000);
    let by_host = |request: &Request<Empty<Bytes>>| {
        request
            .uri()
            .authority()
            .map_or_else(String::new, ToString::to_string)
    };
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut client = BreakerLayer::per_key(hosts, by_host).layer(client);

    let mut attempts = 0;
    let rejected = loop {
        // Nobody listens on port 1.
        let request = Request::get("http://127.0.0.1:1/").body(Empty::new());
        let request = request.expect("a good request");
        let ready = client.ready().await.expect("rejections come from `call`");
        let error = ready.call(request).await.expect_err("nobody listens");
        if let Some(rejected) = rejection(&*error) {
            break rejected.clone();
        }
        attempts += 1;
    };
    println!("after {attempts} attempts: {rejected}");
    assert_eq!(attempts, 20);
}
