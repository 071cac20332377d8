//! The load: open loop, so that a slow shop does not slow its customers down. A call's time counts
//! from when it was due, so none is left out of the figures because the one before it was late.

use std::time::Duration;

use http::Uri;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::client::Client;
use crate::message::PROXY_STATUS;

/// An order as its customer saw it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// When it was due, since the start.
    pub(super) due: Duration,
    pub(super) took: Duration,
    pub(super) answer: Answer,
}

/// How an order was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Served,
    /// With an error, or not in time.
    Failed,
    /// At once, by a breaker that says when to come back.
    Rejected,
}

/// Sends `rate` orders a second to each of `entries` from `began` for so long; each is told with
/// the index of its shop.
pub(super) async fn run(
    client: Client,
    entries: Vec<Uri>,
    rate: u32,
    (began, lasts): (Instant, Duration),
    calls: mpsc::UnboundedSender<(usize, Call)>,
) {
    let mut ticks = interval_at(began, Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        let at = ticks.tick().await;
        let due = at - began;
        if due >= lasts {
            return;
        }
        for (shop, entry) in entries.iter().enumerate() {
            let (client, entry, calls) = (client.clone(), entry.clone(), calls.clone());
            tokio::spawn(async move {
                let answer = order(&client, &entry).await;
                let took = at.elapsed();
                // Nobody listens any more when the run has failed.
                let _ = calls.send((shop, Call { due, took, answer }));
            });
        }
    }
}

async fn order(client: &Client, entry: &Uri) -> Answer {
    match client.get(entry, PATIENCE).await {
        Ok(answer) if answer.status().is_success() => Answer::Served,
        Ok(answer) if answer.headers().contains_key(PROXY_STATUS) && answer.status() == 503 => {
            Answer::Rejected
        }
        _ => Answer::Failed,
    }
}

/// Of a customer.
const PATIENCE: Duration = Duration::from_secs(3);
