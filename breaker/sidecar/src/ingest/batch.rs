//! What comes in, and what it is given to.

use bytes::Bytes;
use http::HeaderMap;

use super::decode::Coding;

/// What a batch tells about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Data points.
    Metrics,
    /// Log records.
    Logs,
}

/// How a batch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Protobuf's wire format.
    Protobuf,
    /// OTLP's JSON.
    Json,
}

/// What a batch is given to once it is complete and decompressed.
pub trait Sampler: Send + Sync + 'static {
    /// Takes a batch: an `Export…ServiceRequest` of `signal`.
    ///
    /// Must be quick and must not block: a small batch is given on the runtime that receives. What
    /// it returns as [`Accepted`] is told to the sender.
    ///
    /// # Errors
    ///
    /// [`Malformed`] when the payload is no such request. The sender is told, and does not send it
    /// again.
    fn sample(
        &self,
        signal: Signal,
        encoding: Encoding,
        payload: &[u8],
    ) -> Result<Accepted, Malformed>;
}

/// What became of a batch that could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Spans, data points or log records in it, the rejected ones included. Counted, not told.
    pub items: u64,
    /// How many of them were not taken; normally none.
    pub rejected: i64,
    /// Why, or, with none rejected, a warning. Empty for neither.
    pub message: String,
}

/// A payload that is no request of its signal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Malformed {
    /// What is wrong with it, for the sender.
    pub message: String,
}

/// The protocol by which a batch came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Grpc,
    Http,
}

/// A batch as it came.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) signal: Signal,
    pub(super) encoding: Encoding,
    pub(super) transport: Transport,
    /// How the message is compressed.
    pub(super) coding: Option<Coding>,
    /// gRPC's prefix, then the message as it came: both protocols send a slice of this, so neither
    /// copies.
    pub(super) frame: Bytes,
    /// The fields that came with it.
    pub(super) headers: HeaderMap,
}

// === impl Signal ===

impl Signal {
    /// All signals.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// Its name in OTLP: `traces`, `metrics` or `logs`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// The path of its method in OTLP/gRPC.
    pub(super) const fn grpc_path(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        }
    }

    /// Its path in OTLP/HTTP.
    pub(super) const fn http_path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
            Self::Logs => "/v1/logs",
        }
    }
}

// === impl Malformed ===

impl Malformed {
    /// A payload with something wrong, told to the sender as `message`.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

// === impl Transport ===

impl Transport {
    /// Bytes of a body that are not the batch's.
    pub(super) const fn prefix(self) -> usize {
        match self {
            Self::Grpc => PREFIX,
            Self::Http => 0,
        }
    }
}

// === impl Batch ===

impl Batch {
    /// The message as it came, without gRPC's prefix.
    pub(super) fn message(&self) -> Bytes {
        self.frame.slice(PREFIX..)
    }
}

/// The bytes of gRPC's prefix: a flag and a length.
pub(super) const PREFIX: usize = 5;
