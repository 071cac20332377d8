//! Telemetry from topics of Kafka, which are read by a consumer group.
//!
//! The client is librdkafka. Threads of its own connect, again and again if they must, fetch ahead
//! within bounds, and keep the membership of the group. Here is what becomes of the messages:
//!
//! * `reader`: each message goes the way of a batch, through the same limits; after that, and not
//!   before, its offset may be committed. While there is no room, the partitions are paused.
//! * `context`: what the client says meanwhile: partitions come and go, brokers too.
//! * `link`: whether a broker answers, said once each time that it changes.
//! * `stats`: the same for metrics.

mod context;
mod link;
mod reader;
mod stats;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

use self::reader::{Ended, Reader};
use super::batch::Signal;
use super::intake::Handler;
use crate::random;

pub use self::stats::KafkaStats;

/// Which topics are read. There is at least one, and at least one broker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by the composition root")]
pub struct KafkaSettings {
    /// Where the brokers are that are asked first: `host:port`.
    pub brokers: Vec<String>,
    /// The consumer group.
    pub group: String,
    /// Topics whose messages are batches of spans.
    pub traces: Vec<String>,
    /// Topics whose messages are batches of data points.
    pub metrics: Vec<String>,
    /// Whether a partition without a committed offset is read from its oldest message on, and not
    /// from its end.
    pub reads_all: bool,
}

/// Reads the topics until `stopping`, and leaves the group.
pub(super) async fn read(
    settings: KafkaSettings,
    handler: Arc<Handler>,
    stats: Arc<KafkaStats>,
    mut stopping: watch::Receiver<bool>,
) {
    loop {
        let member = member(
            settings.clone(),
            handler.clone(),
            stats.clone(),
            stopping.clone(),
        );
        // A panic in it is the end of this client only.
        let ended = tokio::spawn(member).await;
        stats.gone();
        let failed = match ended {
            Ok(Ended::Stopped) => return,
            Ok(Ended::Failed(error)) => error.to_string(),
            Err(panicked) => panicked.to_string(),
        };
        tracing::error!("the client of Kafka failed, and is made anew: {failed}");
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = sleep(ANEW.mul_f64(0.5 + random::unit())) => {}
        }
    }
}

/// One membership of the group.
async fn member(
    settings: KafkaSettings,
    handler: Arc<Handler>,
    stats: Arc<KafkaStats>,
    mut stopping: watch::Receiver<bool>,
) -> Ended {
    let reader = match Reader::new(settings, handler, stats) {
        Ok(reader) => reader,
        Err(error) => return Ended::Failed(error),
    };
    let (membership, has_left) = Membership::new(reader);
    let ended = membership.run(&mut stopping).await;
    drop(membership);
    if matches!(ended, Ended::Stopped) {
        has_left.await.ok();
    }
    ended
}

/// A reader that leaves the group when it is dropped, also by a panic: on a thread of its own, as
/// it waits for a broker.
struct Membership(Option<(Reader, oneshot::Sender<()>)>);

// === impl Membership ===

impl Membership {
    /// What is returned beside it ends when the reader has left.
    fn new(reader: Reader) -> (Self, oneshot::Receiver<()>) {
        let (left, has_left) = oneshot::channel();
        (Self(Some((reader, left))), has_left)
    }

    async fn run(&self, stopping: &mut watch::Receiver<bool>) -> Ended {
        let (reader, _) = self.0.as_ref().expect("only `drop` takes it");
        reader.run(stopping).await
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let member = self.0.take();
        let leave = move || {
            if let Some((reader, left)) = member {
                reader.leave();
                // Nobody may wait for it.
                left.send(()).ok();
            }
        };
        // Without a thread, it leaves here.
        let thread = thread::Builder::new().name("kafka".to_owned());
        thread.spawn(leave).ok();
    }
}

// === impl KafkaSettings ===

impl KafkaSettings {
    /// What the messages of `topic` tell about.
    fn signal(&self, topic: &str) -> Option<Signal> {
        let is_in = |topics: &[String]| topics.iter().any(|known| known == topic);
        match () {
            () if is_in(&self.traces) => Some(Signal::Traces),
            () if is_in(&self.metrics) => Some(Signal::Metrics),
            () => None,
        }
    }

    fn topics(&self) -> Vec<&str> {
        let topics = self.traces.iter().chain(&self.metrics);
        topics.map(String::as_str).collect()
    }

    /// The settings of the client for batches of at most `batch` bytes.
    fn client(&self, batch: usize) -> ClientConfig {
        let mut client = ClientConfig::new();
        let initial = match self.reads_all {
            true => "earliest",
            false => "latest",
        };
        let response = RESPONSE.max(batch + FRAMING);
        client
            .set("bootstrap.servers", self.brokers.join(","))
            .set("client.id", "breaker")
            .set("group.id", &self.group)
            .set("auto.offset.reset", initial)
            // What is stored is committed each second, when partitions go to another member, and
            // at the end. It is stored when its message has been counted.
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "1000")
            .set("enable.auto.offset.store", "false")
            // A member that comes or goes stops only what moves.
            .set("partition.assignment.strategy", "cooperative-sticky")
            // How long the partitions of a dead member are read by nobody.
            .set("session.timeout.ms", "10000")
            // Fetched ahead: so many bytes, and what one response of each broker has beyond.
            .set("queued.max.messages.kbytes", (AHEAD / 1024).to_string())
            .set("fetch.max.bytes", FETCH.to_string())
            .set("receive.message.max.bytes", response.to_string())
            .set("fetch.queue.backoff.ms", "50")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "10000")
            .set("socket.keepalive.enable", "true")
            // A topic that is made later is seen after this.
            .set("topic.metadata.refresh.interval.ms", "10000")
            .set("statistics.interval.ms", STATISTICS.as_millis().to_string())
            .set_log_level(RDKafkaLogLevel::Warning);
        client
    }
}

/// How often the client says what it does.
const STATISTICS: Duration = Duration::from_secs(1);
/// Between two clients, on average: none fails unless the process lacks threads or memory.
const ANEW: Duration = Duration::from_secs(10);
/// Bytes that are fetched ahead.
const AHEAD: usize = 16 << 20;
/// Bytes of a response, unless its first message is larger.
const FETCH: usize = 8 << 20;
/// Bytes of a response that are of no message.
const FRAMING: usize = 1 << 20;
/// Bytes of a response at most: a larger one breaks the connection again and again, so it is far
/// above what a broker takes as a rule. The first bytes of TLS and of HTTP, read as a size, are
/// above it.
const RESPONSE: usize = 256 << 20;

#[cfg(test)]
mod tests;
