//! Telemetry in: what applications tell by OTLP becomes samples of feeds, and feeds are sources of
//! breakers.
//!
//! [`Receiver`] takes it in by OTLP/gRPC and OTLP/HTTP. The way of a request:
//!
//! * `connection`: HTTP/1.1 and HTTP/2 on every port.
//! * `intake`: the steps below, in order; `grpc` and `http` know what the two protocols say
//!   differently.
//! * `overload`: a place, or a refusal before anything was read.
//! * `decode`: the body, and what it is when decompressed.
//! * `batch`: the [`Sampler`] that it is given to.
//! * `forward`: the queue from which it is sent on, byte for byte.
//! * `reply`: the answer; `refusal` has why there is none but an error.
//!
//! With the feature `kafka`, batches also come from topics of Kafka: `kafka`.
//!
//! The [`FeedSampler`] tells breakers what batches say about their feeds, which `breaker_otlp`
//! reads.

mod batch;
mod connection;
mod decode;
mod forward;
mod grpc;
mod guard;
mod http;
mod intake;
#[cfg(feature = "kafka")]
mod kafka;
mod overload;
mod receiver;
mod refusal;
mod reply;
mod sampler;
mod settings;
mod stats;

pub use self::batch::{Accepted, Encoding, Malformed, Sampler, Signal};
#[cfg(feature = "kafka")]
pub use self::kafka::{KafkaSettings, KafkaStats};
pub use self::receiver::{Addresses, Receiver, ReceiverError};
pub use self::refusal::Reason;
pub use self::sampler::{FeedBinding, FeedSampler, SampleCounts, SampleDisposition};
pub use self::settings::{Forward, Limits, ReceiverSettings, Retry, Tls, loops_back};
pub use self::stats::{Lost, SignalSnapshot, Snapshot, Stats};
