//! The fleet: sidecars that pool their evidence by way of Redis, Valkey or NATS. And without a
//! fleet, a sidecar that follows another Breaker.
//!
//! * `member`: what this sidecar reports, believes and, while it has the lease, adds up. Time is an
//!   argument, and messages are bytes.
//! * `codec`: the messages; `seal`: their signatures; `lease`: who is the aggregator.
//! * `engine`: what carries the messages; `redis`: Redis and Valkey; `nats`: NATS.
//! * `session`: the task that connects all this; `backoff`: when it tries again; `pace`: its clock.
//! * `reported`: its routes.
//! * `follow`: the task of a sidecar that follows another Breaker.
//! * `stats`: what telemetry tells of it; `seen`: what people are shown beside that.
//!
//! Each task has a thread of its own. No request waits for it: the breakers that it reports of are
//! those that requests ask, and it holds their locks as briefly as requests do.

mod backoff;
mod codec;
mod engine;
mod follow;
mod ignored;
mod lease;
mod member;
#[cfg(feature = "nats")]
mod nats;
mod pace;
mod redis;
mod reported;
mod seal;
mod seen;
mod session;
mod stats;

pub(crate) use self::follow::{FollowNumbers, FollowStats, Followed, Follower};
pub(crate) use self::seen::{OverviewSeen, RouteSeen};
pub(crate) use self::session::{Session, Shown};
pub(crate) use self::stats::{Numbers, Stats};
