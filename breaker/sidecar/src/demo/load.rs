//! The load of the demo: open loop, so that a slow service does not slow the callers down.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::script::Fate;
use super::service::NUMBER;
use crate::message::PROXY_STATUS;

/// A request as its caller saw it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) took: Duration,
    pub(super) answer: Answer,
    /// What would have become of it, had it reached the service.
    pub(super) fate: Fate,
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Served,
    Failed,
    /// By the breaker.
    Rejected,
}

/// Sends [`RATE`] requests a second to `proxy` until `lasts` has passed since `began`; each is told
/// to `calls` when it is over.
pub(super) async fn run(
    proxy: SocketAddr,
    began: Instant,
    lasts: Duration,
    calls: mpsc::UnboundedSender<Call>,
) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut ticks = interval(Duration::from_secs(1) / RATE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0.. {
        ticks.tick().await;
        if began.elapsed() >= lasts {
            return;
        }
        let (client, calls) = (client.clone(), calls.clone());
        tokio::spawn(async move {
            let sent = began.elapsed();
            let answer = call(&client, proxy, number).await;
            // Nobody listens any more when the demo is over.
            let _ = calls.send(Call {
                took: began.elapsed() - sent,
                answer,
                fate: Fate::of(number, sent),
            });
        });
    }
}

async fn call(
    client: &Client<HttpConnector, Empty<Bytes>>,
    proxy: SocketAddr,
    number: u64,
) -> Answer {
    let request = Request::get(format!("http://{proxy}/work"))
        .header(NUMBER, number)
        .body(Empty::new())
        .expect("an address and a number make a good request");
    let Ok(response) = client.request(request).await else {
        return Answer::Failed;
    };
    let rejected = response.headers().contains_key(PROXY_STATUS);
    let status = response.status();
    match response.into_body().collect().await {
        Ok(_) if status.is_success() => Answer::Served,
        Ok(_) if status == StatusCode::SERVICE_UNAVAILABLE && rejected => Answer::Rejected,
        _ => Answer::Failed,
    }
}

/// Requests a second.
pub(super) const RATE: u32 = 100;
