//! A circuit breaker as a tower layer, for any HTTP or gRPC [`Service`](tower_service::Service). It
//! trips on error rate, latency quantiles and concurrency.
//!
//! * Clients: [`BreakerLayer::new`]; with the feature `reqwest` also `BreakerHandle::send`.
//! * Servers (axum, tonic): [`BreakerLayer::server`].
//! * Anything that is a future, such as a query: [`BreakerHandle::call`].
//! * A breaker for each host or route: [`BreakerSet`].
//!
//! Those who come from resilience4j, Hystrix, Polly or tower-resilience find their words in
//! [`migration`].
//!
//! A request counts when its body ends, fails or is dropped, and is in flight until then. A hung
//! request counts as slow while it hangs. Rejections are errors (or responses) of `call`, never of
//! `poll_ready`, and no breaker counts them.
//!
//! ```
//! use breaker_tower::{BreakerHandle, BreakerLayer, Policy, State, rejection};
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{Layer, Service, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let breaker = BreakerHandle::new("pay", Policy::sensitive());
//! let mut service = BreakerLayer::new(breaker.clone()).layer(service_fn(
//!     async |_: Request<Full<&'static [u8]>>| {
//!         Err::<Response<Full<&'static [u8]>>, _>(std::io::Error::other("refused"))
//!     },
//! ));
//! for _ in 0..20 {
//!     let _ = service.ready().await.unwrap().call(Request::default()).await;
//! }
//! assert_eq!(breaker.state(), State::Open);
//! let error = service.ready().await.unwrap().call(Request::default()).await.unwrap_err();
//! assert!(rejection(&*error).is_some());
//! # }
//! ```
//!
//! A breaker for each key, and a custom classifier:
//!
//! ```
//! use breaker_tower::breaker_core::{Classification, policy::FailureRules};
//! use breaker_tower::{BreakerLayer, BreakerSet, Classified, Classify, Ending, HttpClassifier, Policy};
//! use http::{HeaderMap, Request, StatusCode};
//!
//! /// 429 is a failure too.
//! #[derive(Clone)]
//! struct Strict;
//!
//! impl Classify for Strict {
//!     fn head(&self, rules: &FailureRules, status: StatusCode, headers: &HeaderMap) -> Classified {
//!         match status {
//!             StatusCode::TOO_MANY_REQUESTS => Classified::Head(Classification::Failure.into()),
//!             _ => HttpClassifier.head(rules, status, headers),
//!         }
//!     }
//!
//!     fn trailers(&self, rules: &FailureRules, trailers: Option<&HeaderMap>) -> Ending {
//!         HttpClassifier.trailers(rules, trailers)
//!     }
//! }
//!
//! let hosts = BreakerSet::new(Policy::sensitive(), 1000);
//! let layer = BreakerLayer::per_key(hosts, |request: &Request<()>| {
//!     request.uri().host().unwrap_or_default().to_owned()
//! })
//! .classify(Strict);
//! # drop(layer);
//! ```
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
#![cfg_attr(doc, doc = include_str!("../docs/calls.md"))]
#![cfg_attr(doc, doc = include_str!("../docs/frameworks.md"))]
#![cfg_attr(doc, doc = include_str!("../docs/outcomes.md"))]
#![cfg_attr(doc, doc = include_str!("../docs/order.md"))]

mod answer;
mod any;
mod blame;
mod body;
mod call;
mod classify;
mod deadline;
mod decision;
mod exchange;
mod fallback;
mod future;
mod grpc;
mod handle;
mod layer;
mod observer;
mod proxy_status;
mod reject;
#[cfg(feature = "reqwest")]
mod reqwest_client;
mod select;
mod service;
mod set;
mod shared;
#[cfg(any(feature = "metrics", feature = "opentelemetry"))]
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
mod timeout;
mod trace_context;
mod uploads;

pub use breaker_core;
pub use breaker_core::{Mode, Policy, Rejected, Snapshot, State};

pub use answer::{RejectedExt, grpc_answer};
pub use any::{AnyFuture, AnyLayer, AnyService, ByResult, Judge};
pub use blame::{BoxError, TimedOut, rejection};
pub use body::BreakerBody;
pub use call::CallError;
pub use classify::{Classified, Classify, ClassifyFn, Ending, HttpClassifier, Seen};
pub use deadline::CallerDeadline;
pub use decision::Decision;
pub use fallback::{Fallback, FallbackFuture};
pub use future::ResponseFuture;
pub use grpc::{format_grpc_timeout, is_grpc, parse_grpc_timeout};
pub use handle::{BreakerHandle, Events, InFlight, OnDrop, Upload};
pub use layer::BreakerLayer;
pub use observer::{Observer, Witness};
pub use proxy_status::proxy_status;
pub use reject::{Answer, Fail, OnReject, Respond};
pub use select::{PerKey, Select};
pub use service::BreakerService;
pub use set::BreakerSet;
pub use shared::audience::{SetEvent, SetEvents};
pub use trace_context::TraceContext;
pub use uploads::{AsIs, UploadBody, Uploads, Wrap, WrapWith};

#[cfg(doc)]
#[doc = include_str!("../docs/migration.md")]
pub mod migration {}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
