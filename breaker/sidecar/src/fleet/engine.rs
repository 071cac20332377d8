//! What carries the messages of a fleet: at most once, and to whoever listens now.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::stats::{Dropping, Stats};
use crate::tls::failure::Failure;

/// A connection to a message broker that can also keep a lease.
pub(super) trait Engine {
    /// Sends `message` to those who listen to `topic`. Nobody may.
    ///
    /// # Errors
    /// When the engine does not take it: the connection is of no more use.
    async fn publish(&self, topic: &str, message: Bytes) -> Result<(), EngineError>;

    /// Listens to `topic` from now on, for messages of at most so many bytes. The receiver ends
    /// with the connection.
    ///
    /// # Errors
    /// When the engine refuses.
    async fn subscribe(&self, topic: &str, most: usize) -> Result<Messages, EngineError>;

    /// Listens to `topic` no more.
    ///
    /// # Errors
    /// When the engine does not answer.
    async fn unsubscribe(&self, topic: &str) -> Result<(), EngineError>;

    /// Why the connection has ended.
    fn why_ended(&self) -> EngineError {
        EngineError::Ended
    }

    /// Takes or renews the lease `key` for `ttl`, as `holder`; the term if it has it. A new holder
    /// gets a term that is higher than all before, and than `known`.
    ///
    /// # Errors
    /// When the engine does not answer.
    async fn lease(
        &self,
        key: &str,
        holder: &str,
        ttl: Duration,
        known: u64,
    ) -> Result<Option<u64>, EngineError>;
}

/// Messages of a topic. Those that don't fit are dropped: old evidence is worthless.
pub(super) type Messages = mpsc::Receiver<Bytes>;

/// What puts messages in the queue of a topic.
#[derive(Debug)]
pub(super) struct Queue {
    messages: mpsc::Sender<Bytes>,
    most: usize,
    stats: Stats,
}

impl Queue {
    /// A queue for messages of at most so many bytes.
    pub(super) fn new(most: usize, stats: &Stats) -> (Self, Messages) {
        let (messages, received) = mpsc::channel(UNREAD);
        let stats = stats.clone();
        let queue = Self {
            messages,
            most,
            stats,
        };
        (queue, received)
    }

    /// Puts a message there, or drops it. What is too long must not even wait: a broker lets
    /// messages through that are far longer than ours.
    pub(super) fn push(&self, message: Bytes) {
        if message.len() > self.most {
            self.stats.drop_one(Dropping::TooLarge);
        } else if self.messages.try_send(message).is_err() {
            self.stats.drop_one(Dropping::Overflow);
        }
    }
}

/// Why an engine is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    /// There is no connection.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// TLS fails.
    #[error("cannot connect by TLS")]
    Tls(#[source] Failure),
    /// It refuses, or does not answer.
    #[error(transparent)]
    Refused(#[from] redis::RedisError),
    /// NATS refuses, or does not answer.
    #[cfg(feature = "nats")]
    #[error("{0}")]
    Nats(String),
    /// Those who should know where it is don't, or lead to one that is not.
    #[error("{0}")]
    NotThere(&'static str),
    /// It takes too long.
    #[error("it does not answer in time")]
    Slow,
    /// It has ended the connection.
    #[error("the connection has ended")]
    Ended,
    /// What it has sent meanwhile is old.
    #[error("this process stood still for more than 3s")]
    StoodStill,
}

/// Messages that wait to be read, of a topic: two seconds of 500 instances.
pub(super) const UNREAD: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_does_not_wait_and_what_does_not_fit_is_dropped() {
        let stats = Stats::default();
        let (queue, mut received) = Queue::new(4, &stats);
        let dropped = |why: &str| {
            let numbers = stats.numbers();
            let mut dropped = numbers.dropped();
            dropped.find(|(name, _)| *name == why).unwrap().1
        };
        queue.push(Bytes::from_static(b"12345"));
        queue.push(Bytes::from_static(b"1234"));
        assert_eq!((dropped("too_large"), received.len()), (1, 1));
        assert_eq!(received.try_recv().unwrap(), "1234");
        for _ in 0..2050 {
            queue.push(Bytes::from_static(b"12"));
        }
        assert_eq!((dropped("overflow"), received.len()), (2, 2048));
        assert_eq!(dropped("too_large"), 1);
    }
}
