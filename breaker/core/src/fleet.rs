//! The evidence of many instances, pooled.
//!
//! An instance with a request each five seconds needs 18 to 37 s to see a total outage. 200 of them
//! together need one. So each instance reports its counts each half second, and sooner after a
//! silence; one of them, the aggregator, adds them up and publishes verdicts; and each breaker
//! takes verdicts as those of one more source, `fleet`. A breaker always works by itself: without a
//! fresh verdict it is alone.
//!
//! * [`pooled`](self#the-detector) evidence: counts, and never states or sums of local statistics.
//! * [`Aggregator`]: members and routes; it opens, names probers, ramps and closes.
//! * [`Reporter`]: what one instance reports of one route, and its own evidence.
//! * [`Overview`]: the whole fleet as the aggregator sees it, for people.
//! * [`Replica`] and [`Breaker::follow_fleet`]: which verdicts are followed.
//!
//! # The order of calls
//! ```
//! use std::sync::Arc;
//! use breaker_core::fleet::{
//!     Aggregator, AggregatorSettings, FleetEffect, FleetRoute, InstanceId, Replica, Report,
//!     Reporter, RouteName,
//! };
//! use breaker_core::{Breaker, Outcome, Policy, SourceId, State, Timestamp};
//! # use std::time::Duration;
//!
//! let pay = RouteName { route: "pay".into(), source: "proxy".into() };
//! let routes = [FleetRoute::new(pay.clone(), Policy::adaptive())];
//! let now = Timestamp::ZERO;
//! let mut aggregator = Aggregator::new(1, &AggregatorSettings::default(), routes, 7, now)?;
//!
//! // Ten instances. In each: a breaker, a reporter for each of its routes, and one replica.
//! let ids: Vec<_> = (0..10).map(|index| InstanceId([index; 8])).collect();
//! let mut breakers: Vec<_> = (0..10).map(|n| Breaker::new(Policy::adaptive(), n, now)).collect();
//! let mut reporters = vec![Reporter::default(); 10];
//! let mut replicas: Vec<_> = ids.iter().map(|id| Replica::new(*id)).collect();
//!
//! // Each sees one failure in three seconds: none can know.
//! for slice in 1..=20 {
//!     let now = Timestamp::from_millis(slice * 500);
//!     for (n, breaker) in breakers.iter_mut().enumerate() {
//!         if slice as usize % 6 == n % 6 && let Ok(permit) = breaker.try_acquire(now) {
//!             breaker.record(permit, Outcome::failure(Duration::from_millis(5)), now);
//!         }
//!         let counts = breaker.fleet_counts(SourceId::PROXY, now);
//!         let route = reporters[n].report(0, &counts, slice == 1, now);
//!         let report = Report {
//!             instance: ids[n],
//!             boot: 0,
//!             seq: slice,
//!             age: Duration::from_secs(3600),
//!             config: 1,
//!             names: (slice == 1).then(|| Arc::from([pay.clone()])),
//!             host: None,
//!             routes: route.into_iter().collect(),
//!         };
//!         aggregator.report(now, &report).expect("it is new");
//!     }
//!     // What is published reaches each instance, also the aggregator's own.
//!     let Some(verdict) = aggregator.slice(now) else { continue };
//!     for (n, breaker) in breakers.iter_mut().enumerate() {
//!         if let Ok(in_force) = replicas[n].verdict(now, now, &verdict) {
//!             let effect = breaker.follow_fleet(&in_force.of(&pay, &reporters[n]), now);
//!             assert!(effect.is_ok(), "{effect:?} of a metric breaker.fleet.ignored");
//!         }
//!     }
//! }
//! assert!(breakers.iter().all(|breaker| breaker.state() != State::Closed));
//! assert!(breakers[0].is_led());
//! # Ok::<(), breaker_core::InvalidField>(())
//! ```
//!
//! # The detector
//! For each route, source and signal, on slices of 0.5, 2, 5 and 10 s, which look for shares of
//! hits of 90, 50, 20 and 6 %. Instance i has nᵢ requests and xᵢ hits in a slice, and takes the
//! share p0ᵢ for normal. In nats, with the alternative q:
//!
//! ```text
//! lᵢ = xᵢ·ln(q/p0ᵢ) + (nᵢ − xᵢ)·ln((1 − q)/(1 − p0ᵢ))
//! Lᵢ = min(lᵢ, 2h/5),  L = min(Σ Lᵢ, h/2),  R = (1 + R)·exp(L),  cᵢ += Lᵢ,  W = Σ cᵢ
//! alarm: ln(1 + R) ≥ h  and  W − Σ top_f(cᵢ⁺) ≥ h,  where h = ln(J·ARL/Δ)
//! ```
//!
//! Δ is the slice, J the number of detectors of the route, ARL the run length of the policy's
//! budget (30 or 3 days), f how many of the instances that count may lie (1 up to 40, else 2). p0ᵢ
//! is what the instance has learned, or less by what all have learned together.
//!
//! **What is promised**: if instances are independent given the past, and each hits no oftener than
//! its p0ᵢ, then the probability of a false alarm of a route within t is at most t / ARL, also if
//! up to f instances send anything at all (Shin, Ramdas, Rinaldo, arXiv 2203.03532, on e-detectors;
//! Mei, Biometrika 97 (2010) 419, on sums of local statistics, which are slower here). The budget
//! is one for all instances, beside those of their own detectors.
//!
//! **What is not**: dependence (a short shock that all share is real trouble); more than f liars; a
//! p0 that was learned wrong; an instance that invents healthy requests, which can hide a fault:
//! then each breaker is as good as alone.
//!
//! # Another breaker as the judge
//! Without any fleet, a breaker can follow one elsewhere that sees more, such as one that telemetry
//! of all services feeds. What that one says is a [`Verdict`] of [`Judge::Brain`]: it opens by the
//! same rules, except for the quorum. It names no probers and no share: once it is not open any
//! more, each follower tries by itself.
//!
//! # What a request pays
//! Nothing: verdicts are events of the breaker, and counts are differences of counters that it has
//! anyway. Only latency and deadline signals add an increment to what a request costs, once
//! [`Breaker::fleet_counts`] was called.
//!
//! [`Breaker::follow_fleet`]: crate::Breaker::follow_fleet
//! [`Breaker::fleet_counts`]: crate::Breaker::fleet_counts

mod acting;
mod aggregator;
mod members;
mod overview;
mod pooled;
mod recovery;
mod replica;
mod report;
mod reporter;
mod track;
mod tripped;
mod verdict;

pub(crate) use self::acting::{Asked, asked, raised};
pub use self::aggregator::{Aggregator, AggregatorSettings, FleetEvent, FleetRoute};
pub use self::overview::{MemberOverview, Overview, RouteOverview, SignalOverview};
pub use self::replica::{FRESH, Ignored, InForce, Instruction, Replica};
pub use self::report::{
    Dropped, InstanceId, ProbeReport, Report, RouteName, RouteReport, SignalReport,
};
pub use self::reporter::{FleetCounts, Reporter, SignalCounts};
pub use self::tripped::TripNumbers;
pub use self::verdict::{FleetEffect, Judge, Numbers, RouteVerdict, Stage, Verdict};

#[cfg(test)]
mod tests;
