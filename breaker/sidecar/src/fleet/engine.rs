//! What carries the messages of a fleet: at most once, and to whoever listens now.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::tls::failure::Failure;

/// A connection to a message broker that can also keep a lease.
pub(super) trait Engine {
    /// Sends `message` to those who listen to `topic`. Nobody may.
    ///
    /// # Errors
    /// When the engine does not take it: the connection is of no more use.
    async fn publish(&self, topic: &str, message: Bytes) -> Result<(), EngineError>;

    /// Listens to `topic` from now on. The receiver ends with the connection.
    ///
    /// # Errors
    /// When the engine refuses.
    async fn subscribe(&self, topic: &str) -> Result<Messages, EngineError>;

    /// Listens to `topic` no more.
    ///
    /// # Errors
    /// When the engine does not answer.
    async fn unsubscribe(&self, topic: &str) -> Result<(), EngineError>;

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
