//! The orders of both shops.

use std::time::Duration;

use breaker_sidecar::client::Client;
use breaker_sidecar::load::{self, Answer};
use http::Uri;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// An order as its customer saw it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// When it was due, since the start.
    pub(super) due: Duration,
    pub(super) took: Duration,
    pub(super) answer: Answer,
}

/// Sends `rate` orders a second to each of `entries`, for a time that starts at `began`. Reports
/// each order with the index of its shop.
pub(super) async fn run(
    client: Client,
    entries: Vec<Uri>,
    rate: u32,
    (began, lasts): (Instant, Duration),
    calls: mpsc::UnboundedSender<(usize, Call)>,
) {
    load::run(rate, began, began + lasts, |_, due| {
        for (shop, entry) in entries.iter().enumerate() {
            let (client, entry, calls) = (client.clone(), entry.clone(), calls.clone());
            tokio::spawn(async move {
                let call = Call {
                    answer: Answer::of(&client.get(&entry, PATIENCE).await),
                    due: due - began,
                    took: due.elapsed(),
                };
                // Nobody listens any more when the run has failed.
                let _ = calls.send((shop, call));
            });
        }
    })
    .await;
}

/// Of a customer.
const PATIENCE: Duration = Duration::from_secs(3);
