//! A circuit breaker as a state machine: error rate, latency quantiles and concurrency of a route
//! in HDR histograms, a closed / open / half-open state, and policies that say when to trip and how
//! to recover.
//!
//! Nothing here reads a clock, does I/O, waits, or starts a thread: **time is an argument**, random
//! numbers follow from a seed. Same inputs, same outputs, always. `breaker-tower` drives it as
//! middleware, the sidecar as a proxy, a backtest from recorded traffic.
//!
//! # The four kinds of method
//! After quinn-proto, [`Breaker`] has
//! * **commands**: [`try_acquire`](Breaker::try_acquire), [`force`](Breaker::force),
//!   [`set_policy`](Breaker::set_policy), [`reset`](Breaker::reset),
//!   [`restore_baseline`](Breaker::restore_baseline);
//! * **events in**: [`responded`](Breaker::responded), [`begun`](Breaker::begun),
//!   [`record`](Breaker::record), [`observe`](Breaker::observe),
//!   [`handle_timeout`](Breaker::handle_timeout);
//! * **polls**: [`poll_timeout`](Breaker::poll_timeout), [`poll_event`](Breaker::poll_event);
//! * **getters**: [`state`](Breaker::state), [`snapshot`](Breaker::snapshot),
//!   [`outlook`](Breaker::outlook), [`baseline`](Breaker::baseline), [`policy`](Breaker::policy).
//!
//! A driver calls a command or an event, then drains `poll_event`, then arms one timer for
//! `poll_timeout`, at which it calls `handle_timeout`. Times that go backwards are taken as the
//! latest time seen.
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

mod alert;
mod baseline;
mod breaker;
mod detector;
mod event;
mod feed;
mod in_flight;
mod latency_counts;
mod outcome;
mod permit;
pub mod policy;
mod rate;
mod ratio;
pub mod replay;
mod rng;
mod row;
mod snapshot;
mod source;
mod stall;
mod state;
mod tally;
mod time;
mod trace;
mod window;

pub use baseline::{Baseline, BaselineError, LatencyBounds, SourceBaseline, StreamBaseline};
pub use breaker::{Breaker, Outlook, SourceOutlook};
pub use detector::{Anomaly, Creep, UsualChange};
pub use event::{Alert, Event, Evidence, Reason, Transition};
pub use feed::{Feed, Observed, Sample};
pub use latency_counts::LatencyCounts;
pub use outcome::{Attribution, Outcome, Verdict};
pub use permit::{Cause, Permit, Rejected, Shed};
pub use policy::Policy;
pub use ratio::Ratio;
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
