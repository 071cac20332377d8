//! A circuit breaker as a state machine. It measures error rate, latency quantiles and concurrency
//! of a route in HDR histograms. It has the states closed, open and half-open, and policies that
//! say when to trip and how to recover.
//!
//! This crate reads no clock, does no I/O, never waits and starts no threads. **Time is an
//! argument**, and random numbers follow from a seed: the same inputs always give the same outputs.
//! `breaker-tower` drives it as middleware, the sidecar as a proxy, and a backtest from recorded
//! traffic.
//!
//! # The four kinds of method
//! Like quinn-proto's connection, [`Breaker`] has
//! * **commands**: [`try_acquire`](Breaker::try_acquire), [`force`](Breaker::force),
//!   [`set_policy`](Breaker::set_policy), [`reset`](Breaker::reset),
//!   [`restore_baseline`](Breaker::restore_baseline);
//! * **events in**: [`responded`](Breaker::responded), [`begun`](Breaker::begun),
//!   [`record`](Breaker::record), [`observe`](Breaker::observe),
//!   [`handle_timeout`](Breaker::handle_timeout);
//! * **polls**: [`poll_timeout`](Breaker::poll_timeout), [`poll_event`](Breaker::poll_event);
//! * **getters**: [`state`](Breaker::state), [`snapshot`](Breaker::snapshot),
//!   [`diagnosis`](Breaker::diagnosis), [`baseline`](Breaker::baseline),
//!   [`policy`](Breaker::policy).
//!
//! A driver calls a command or an event, then drains `poll_event`, then sets one timer to
//! `poll_timeout`, at which it calls `handle_timeout`. If time goes backwards, the latest time seen
//! is used.
//!
//! ```
//! use std::time::Duration;
//! use breaker_core::{Breaker, Outcome, Policy, State, Timestamp};
//!
//! let mut breaker = Breaker::new(Policy::sensitive(), 42, Timestamp::ZERO);
//! for request in 0..20 {
//!     let now = Timestamp::from_millis(request * 10);
//!     let permit = breaker.try_acquire(now)?;
//!     breaker.record(permit, Outcome::failure(Duration::from_millis(3)), now);
//! }
//! assert_eq!(breaker.state(), State::Open);
//! let rejected = breaker.try_acquire(Timestamp::from_millis(300)).unwrap_err();
//! assert_eq!(
//!     rejected.reason().to_string(),
//!     "error rate 100% ≥ 8%, 20 requests in 10s (source proxy)"
//! );
//! # Ok::<(), breaker_core::Rejected>(())
//! ```
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

mod adaptive_ramp;
mod alert;
mod baseline;
mod breaker;
mod detector;
mod endpoint;
mod event;
mod feed;
mod field;
pub mod fleet;
mod in_flight;
mod latency_counts;
mod outcome;
mod permit;
pub mod policy;
mod rate;
mod ratio;
pub mod replay;
mod retry_budget;
mod rng;
mod row;
mod snapshot;
mod source;
mod stall;
mod state;
mod tally;
mod time;
mod trace;
mod trial;
mod window;

pub use baseline::{Baseline, LatencyBounds, SignalBaseline, SourceBaseline};
pub use breaker::{Breaker, Diagnosis, SourceDiagnosis};
pub use detector::{Anomaly, Creep, Difference, UsualChange};
pub use endpoint::{
    Attempt, Balance, Candidate, EjectReason, EndpointEvent, EndpointId, EndpointSettings,
    EndpointSnapshot, EndpointState, EndpointTotals, Endpoints, EndpointsSnapshot, Load,
    MAX_ENDPOINTS, Pick, Readmission,
};
pub use event::{Alert, Event, Evidence, Reason, Transition};
pub use feed::{Feed, Observed, Sample};
pub use field::{InvalidField, InvalidValue};
pub use latency_counts::LatencyCounts;
pub use outcome::{Attribution, Classification, Outcome};
pub use permit::{Cause, Permit, Rejected, Shed};
pub use policy::Policy;
pub use ratio::Ratio;
pub use retry_budget::RetryBudget;
pub use snapshot::{
    AlertCount, AlertSnapshot, Concurrency, ConditionStatus, Latencies, SheddingSnapshot, Snapshot,
    SourceSnapshot, SourceTotals, Totals, TransitionCount,
};
pub use source::SourceId;
pub use state::{Mode, State};
pub use time::Timestamp;
pub use trace::TraceId;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
