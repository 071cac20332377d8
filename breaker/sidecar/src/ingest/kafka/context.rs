//! What the client of Kafka says beside its messages.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Statistics, TopicPartitionList};

use super::link::{Change, Link};
use super::stats::KafkaStats;

/// What the client calls, on the thread that reads.
#[derive(Debug)]
pub(super) struct Context {
    stats: Arc<KafkaStats>,
    link: Mutex<Link>,
    is_paused: AtomicBool,
    revoked: Mutex<Vec<Partition>>,
}

/// A topic, and the number of a partition of it.
pub(super) type Partition = (String, i32);

impl Context {
    pub(super) fn new(stats: Arc<KafkaStats>) -> Self {
        Self {
            stats,
            link: Mutex::default(),
            is_paused: AtomicBool::default(),
            revoked: Mutex::default(),
        }
    }

    /// Says whether partitions that come are to be paused; returns what was said before.
    pub(super) fn pause(&self, is_paused: bool) -> bool {
        self.is_paused.swap(is_paused, Ordering::Relaxed)
    }

    /// The partitions that went to other members since this was last asked.
    pub(super) fn revoked(&self) -> Vec<Partition> {
        std::mem::take(&mut *lock(&self.revoked))
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters of it comes as an error too, or as a change of the link.
        tracing::debug!(?level, facility, "Kafka: {message}");
    }

    fn stats(&self, statistics: Statistics) {
        let is_connected = self.stats.observe(&statistics);
        match lock(&self.link).observe(is_connected) {
            Some(Change::Up) => tracing::info!("a broker of Kafka answers"),
            Some(Change::Down(why)) => tracing::warn!(
                "no broker of Kafka answers; nothing is read of its topics until one does: {why}"
            ),
            None => {}
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        if code.is_some_and(is_of_link) {
            let is_sum = code == Some(RDKafkaErrorCode::AllBrokersDown);
            lock(&self.link).complained(reason, is_sum);
            tracing::debug!("Kafka: {reason}");
        } else {
            // Of a topic that is not there, it comes once.
            tracing::warn!("Kafka: {reason}");
        }
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(partitions) = rebalance {
            tracing::info!(
                "partitions of Kafka go to other members: {}",
                named(partitions)
            );
            let partitions = partitions.to_topic_map().into_keys();
            lock(&self.revoked).extend(partitions);
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                tracing::info!("partitions of Kafka are read here: {}", named(partitions));
                if self.is_paused.load(Ordering::Relaxed)
                    && let Err(error) = consumer.pause(partitions)
                {
                    // The reader tries again.
                    self.pause(false);
                    tracing::debug!("Kafka: {error}");
                }
            }
            Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => tracing::warn!("Kafka: {error}"),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        // They are committed again a second later, or their messages are read again.
        if let Err(error) = result {
            tracing::debug!("Kafka: {error}");
        }
    }
}

/// Whether an error is one of connections: the client tries them again.
fn is_of_link(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{
        AllBrokersDown, Authentication, BrokerTransportFailure, OperationTimedOut, Resolve,
    };
    matches!(
        code,
        AllBrokersDown | Authentication | BrokerTransportFailure | OperationTimedOut | Resolve
    )
}

fn named(partitions: &TopicPartitionList) -> String {
    let elements = partitions.elements();
    let names = elements
        .iter()
        .map(|partition| format!("{}/{}", partition.topic(), partition.partition()));
    let mut names: Vec<_> = names.take(SHOWN + 1).collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    if names.len() > SHOWN {
        names[SHOWN] = format!("and {} more", elements.len() - SHOWN);
    }
    names.join(", ")
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in them is left half done by a panic.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Partitions of which a line of the log has the names.
const SHOWN: usize = 16;
