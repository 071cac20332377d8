//! Sending on what was received: the same bytes, with the same metadata, in the protocol by which
//! they came.
//!
//! A sender has its answer once its batch is queued. From then on the batch is ours: queued within
//! bounds, sent in the order in which it came, repeated while the target is not to be reached,
//! given up after a while. A full queue drops its oldest batches, as what is happening now is worth
//! more than what was; whoever sent them is not told, since sending again would not help.

mod pace;
mod queue;
mod sender;
mod target;

use std::array;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::queue::Queue;
use self::sender::Sender;
use super::batch::{Batch, Signal};
use super::settings::Forward;
use super::stats::{Lost, Stats};
use crate::message::headers::list;
use crate::random;

pub(super) use self::target::Targets;

/// The queues to the target, one for each signal. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Forwarder {
    queues: [Arc<Queue>; 3],
    stats: Arc<Stats>,
    marker: Marker,
    takes_json: bool,
    closing: watch::Sender<bool>,
}

/// The field by which this process knows what it sent itself.
#[derive(Clone, Debug)]
pub(super) struct Marker(HeaderValue);

// === impl Forwarder ===

impl Forwarder {
    /// Starts a task for each signal; they end when the set is dropped.
    pub(super) fn start(
        targets: Targets,
        forward: &Forward,
        stats: &Arc<Stats>,
        marker: &Marker,
    ) -> (Self, JoinSet<()>) {
        let queues = array::from_fn(|_| Arc::new(Queue::new(forward)));
        let forwarder = Self {
            queues,
            stats: stats.clone(),
            marker: marker.clone(),
            takes_json: targets.take_json(),
            closing: watch::Sender::new(false),
        };
        let targets = Arc::new(targets);
        let mut tasks = JoinSet::new();
        for signal in Signal::ALL {
            let sender = Sender {
                signal,
                queue: forwarder.queues[signal as usize].clone(),
                targets: targets.clone(),
                timeout: forward.timeout,
                retry: forward.retry.clone(),
                stats: stats.clone(),
                closing: forwarder.closing.subscribe(),
            };
            tasks.spawn(sender.run());
        }
        (forwarder, tasks)
    }

    /// Queues a batch.
    pub(super) fn offer(&self, mut batch: Batch) {
        let signal = batch.signal;
        if !self.takes_json && batch.encoding == super::batch::Encoding::Json {
            if self.stats.dropped(signal, Lost::NoTarget, 1) == 0 {
                tracing::warn!(
                    signal = signal.name(),
                    "JSON can't be sent on by OTLP/gRPC, and is dropped: set forward.http"
                );
            }
            return;
        }
        strip(&mut batch.headers);
        let (name, value) = self.marker.field();
        // The map has room for thousands of fields; without the mark the batch still goes out.
        batch.headers.try_append(name, value).ok();
        let queue = &self.queues[signal as usize];
        let dropped = queue.offer(batch);
        if dropped > 0 && self.stats.dropped(signal, Lost::QueueFull, dropped) == 0 {
            tracing::warn!(
                signal = signal.name(),
                "the queue to the forward target is full: batches are dropped"
            );
        }
        queue.tell(&self.stats, signal);
    }

    /// Takes no more, and gives `tasks` some time to send what waits.
    pub(super) async fn finish(self, mut tasks: JoinSet<()>, within: Duration) {
        for queue in &self.queues {
            queue.close();
        }
        self.closing.send_replace(true);
        let sent = async { while tasks.join_next().await.is_some() {} };
        let in_time = timeout(within, sent).await.is_ok();
        tasks.shutdown().await;
        let mut left = 0;
        for (signal, queue) in Signal::ALL.into_iter().zip(&self.queues) {
            let waiting = queue.clear();
            self.stats.dropped(signal, Lost::Shutdown, waiting);
            queue.tell(&self.stats, signal);
            left += waiting;
        }
        if !in_time || left > 0 {
            tracing::warn!(
                batches = left,
                ?within,
                "not all telemetry could be sent on in time"
            );
        }
    }
}

/// Removes what is about the way here and not about the batch.
fn strip(headers: &mut HeaderMap) {
    let listed: Vec<_> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(list)
        .filter_map(|name| HeaderName::try_from(name).ok())
        .collect();
    // What tells how to read the batch stays, whatever `Connection` says.
    let removable = |name: &HeaderName| !KEPT.contains(name);
    for name in listed.into_iter().filter(removable).chain(OF_THE_HOP) {
        headers.remove(name);
    }
}

// === impl Marker ===

impl Marker {
    /// A mark of this process, drawn by chance.
    pub(super) fn draw() -> Self {
        let value = format!("{:016x}{:016x}", random::bits(), random::bits());
        Self(HeaderValue::try_from(value).expect("digits are visible ASCII"))
    }

    pub(super) fn field(&self) -> (HeaderName, HeaderValue) {
        (FORWARDED, self.0.clone())
    }

    /// Whether this process has sent what came with `headers`.
    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        headers
            .get_all(FORWARDED)
            .iter()
            .flat_map(list)
            .any(|mark| mark.as_bytes() == self.0.as_bytes())
    }
}

const FORWARDED: HeaderName = HeaderName::from_static("x-breaker-forwarded");

const KEPT: [HeaderName; 3] = [
    http::header::CONTENT_TYPE,
    http::header::CONTENT_ENCODING,
    super::grpc::GRPC_ENCODING,
];

/// Fields of the connection, of the message's frame, and of the answer that the sender wants.
const OF_THE_HOP: [HeaderName; 14] = [
    CONNECTION,
    HOST,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    TE,
    TRAILER,
    UPGRADE,
    EXPECT,
    ACCEPT_ENCODING,
    HeaderName::from_static("grpc-accept-encoding"),
    // The sender's deadline was met when it was answered.
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

#[cfg(test)]
mod tests;
