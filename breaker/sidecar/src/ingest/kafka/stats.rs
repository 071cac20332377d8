//! How the reading of topics fares, in numbers.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use rdkafka::Statistics;

/// How the reading of topics fares. What is read is counted with all else that is received.
#[derive(Debug)]
pub struct KafkaStats {
    connected: AtomicBool,
    partitions: AtomicU64,
    /// Below zero: unknown.
    lag: AtomicI64,
    pauses: AtomicU64,
}

impl KafkaStats {
    /// Whether a broker answers.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Partitions that this member reads.
    pub fn partitions(&self) -> u64 {
        self.partitions.load(Ordering::Relaxed)
    }

    /// Messages in these partitions that have not been counted, at the last fetch; `None` while
    /// nobody can know.
    pub fn lag(&self) -> Option<u64> {
        u64::try_from(self.lag.load(Ordering::Relaxed)).ok()
    }

    /// How often reading paused because there was too much telemetry at once.
    pub fn pauses(&self) -> u64 {
        self.pauses.load(Ordering::Relaxed)
    }

    pub(super) fn paused(&self) {
        self.pauses.fetch_add(1, Ordering::Relaxed);
    }

    /// The client is no more.
    pub(super) fn gone(&self) {
        self.connected.store(false, Ordering::Relaxed);
        self.partitions.store(0, Ordering::Relaxed);
        self.lag.store(-1, Ordering::Relaxed);
    }

    /// Takes what the client says, and returns whether a broker answers.
    pub(super) fn observe(&self, statistics: &Statistics) -> bool {
        let is_connected = is_connected(statistics);
        self.connected.store(is_connected, Ordering::Relaxed);
        let group = statistics.cgrp.as_ref();
        let partitions = group.map_or(0, |group| group.assignment_size);
        let partitions = u64::try_from(partitions).unwrap_or_default();
        self.partitions.store(partitions, Ordering::Relaxed);
        let lag = lag(statistics).filter(|_| is_connected);
        self.lag.store(lag.unwrap_or(-1), Ordering::Relaxed);
        is_connected
    }
}

impl Default for KafkaStats {
    fn default() -> Self {
        Self {
            connected: AtomicBool::default(),
            partitions: AtomicU64::default(),
            lag: AtomicI64::new(-1),
            pauses: AtomicU64::default(),
        }
    }
}

fn is_connected(statistics: &Statistics) -> bool {
    let mut brokers = statistics.brokers.values();
    brokers.any(|broker| broker.state == "UP")
}

/// Of the partitions that are read and of which both ends are known.
fn lag(statistics: &Statistics) -> Option<i64> {
    let topics = statistics.topics.values();
    let partitions = topics.flat_map(|topic| topic.partitions.values());
    let read = partitions.filter(|partition| partition.fetch_state == "active");
    let lags = read.map(|partition| match partition.consumer_lag_stored {
        // Nothing of it has been counted yet.
        -1 => partition.consumer_lag,
        stored => stored,
    });
    lags.filter(|lag| *lag >= 0)
        .reduce(|sum, lag| sum.saturating_add(lag))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rdkafka::statistics::{Broker, ConsumerGroup, Partition, Topic};

    use super::*;

    fn statistics(state: &str, lags: &[(i64, i64)]) -> Statistics {
        let partition = |(stored, committed): &(i64, i64)| Partition {
            fetch_state: "active".to_owned(),
            consumer_lag_stored: *stored,
            consumer_lag: *committed,
            ..Partition::default()
        };
        let partitions = lags.iter().map(partition);
        let topic = Topic {
            partitions: (0..).zip(partitions).collect(),
            ..Topic::default()
        };
        let broker = Broker {
            state: state.to_owned(),
            ..Broker::default()
        };
        Statistics {
            brokers: HashMap::from([("b".to_owned(), broker)]),
            topics: HashMap::from([("t".to_owned(), topic)]),
            cgrp: Some(ConsumerGroup {
                assignment_size: 2,
                ..ConsumerGroup::default()
            }),
            ..Statistics::default()
        }
    }

    #[test]
    fn the_lag_is_what_is_not_counted_where_it_is_known() {
        let stats = KafkaStats::default();
        assert_eq!((stats.is_connected(), stats.lag()), (false, None));
        assert!(stats.observe(&statistics("UP", &[(3, 9), (-1, 4), (-1, -1)])));
        assert_eq!((stats.partitions(), stats.lag()), (2, Some(7)));
        stats.observe(&statistics("UP", &[(-1, -1)]));
        assert_eq!(stats.lag(), None);
    }

    #[test]
    fn no_lag_is_shown_of_brokers_that_do_not_answer() {
        let stats = KafkaStats::default();
        stats.observe(&statistics("UP", &[(3, 9)]));
        assert!(!stats.observe(&statistics("CONNECT", &[(3, 9)])));
        assert_eq!((stats.is_connected(), stats.lag()), (false, None));
    }
}
