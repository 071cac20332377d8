//! The load of the demo.

use std::net::SocketAddr;
use std::time::Duration;

use http::{Request, Uri};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::script::Fate;
use super::service::NUMBER;
use crate::client::Client;
use crate::load::{self, Answer};

/// A request as its caller saw it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) took: Duration,
    pub(super) answer: Answer,
    /// What would have become of it, had it reached the service.
    pub(super) fate: Fate,
}

/// Sends [`RATE`] requests a second to `proxy` until `lasts` has passed since `began`; each is told
/// to `calls` when it is over.
pub(super) async fn run(
    client: Client,
    proxy: SocketAddr,
    began: Instant,
    lasts: Duration,
    calls: mpsc::UnboundedSender<Call>,
) {
    let address = format!("http://{proxy}/work");
    let address: Uri = address.parse().expect("an address makes a good URL");
    load::run(RATE, Instant::now(), began + lasts, |number, due| {
        let (client, address, calls) = (client.clone(), address.clone(), calls.clone());
        tokio::spawn(async move {
            let request = Request::get(&address).header(NUMBER, number);
            let answer = client.send(&address, request.body(<_>::default()), LIMIT);
            let answer = Answer::of(&answer.await);
            // Nobody listens any more when the demo is over.
            let _ = calls.send(Call {
                took: due.elapsed(),
                answer,
                fate: Fate::of(number, due - began),
            });
        });
    })
    .await;
}

/// Requests a second.
pub(super) const RATE: u32 = 100;
/// More than the proxy's own.
const LIMIT: Duration = Duration::from_secs(20);
