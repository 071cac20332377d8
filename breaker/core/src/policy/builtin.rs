//! The shipped profiles. `policies/*.yaml` say the same, which a test sees to; they are code here
//! so that a user of the core without YAML has them too.

use std::time::Duration;

use super::{
    Builder, Condition, HalfOpen, Open, Policy, Quantile, Ramp, Recovery, Signal, TripEntry,
};
use crate::ratio::Ratio;

impl Policy {
    /// The names of the built-in policies.
    pub const BUILTIN: [&str; 4] = ["conservative", "sensitive", "combined", "adaptive"];

    /// The built-in policy called `name`.
    pub fn builtin(name: &str) -> Option<Self> {
        match name {
            "conservative" => Some(Self::conservative()),
            "sensitive" => Some(Self::sensitive()),
            "combined" => Some(Self::combined()),
            "adaptive" => Some(Self::adaptive()),
            _ => None,
        }
    }

    /// Opens at 3 % errors of at least 100 requests in 60 s, or if half of them take 2 s; recovers
    /// slowly.
    pub fn conservative() -> Self {
        built(
            Self::builder("conservative")
                .window(Duration::from_secs(60))
                .min_requests(100)
                .trip([
                    TripEntry::open([Condition::ErrorRate(Ratio::of(3, 100))]),
                    TripEntry::open([slow(Duration::from_secs(2))]),
                    TripEntry::alert([p99(Duration::from_secs(2))]),
                ])
                .open(Open {
                    period: Duration::from_secs(30),
                    max: Duration::from_secs(600),
                    ..Open::default()
                })
                .half_open(HalfOpen {
                    probes: 10,
                    success: Ratio::of(90, 100),
                    probe_timeout: Duration::from_secs(10),
                    ..HalfOpen::default()
                })
                .ramp(Ramp {
                    period: Duration::from_secs(30),
                    ..Ramp::default()
                }),
        )
    }

    /// Opens at 8 % errors of at least 20 requests in 10 s, or if half of them take 1 s.
    pub fn sensitive() -> Self {
        built(Self::builder("sensitive").trip([
            TripEntry::open([Condition::ErrorRate(Ratio::of(8, 100))]),
            TripEntry::open([slow(Duration::from_secs(1))]),
            TripEntry::alert([p99(Duration::from_secs(1))]),
        ]))
    }

    /// Opens at 5 % errors if the P99 has also reached 1 s, of at least 20 requests in 10 s.
    pub fn combined() -> Self {
        built(Self::builder("combined").trip([TripEntry::open([
            Condition::ErrorRate(Ratio::of(5, 100)),
            p99(Duration::from_secs(1)),
        ])]))
    }

    /// Opens if nearly all requests fail or miss the deadline of 1 s. Alerts if more requests fail
    /// or are slow than usual, by a learned baseline. Recovers as fast as its requests allow.
    pub fn adaptive() -> Self {
        built(
            Self::builder("adaptive")
                .trip([
                    TripEntry::open([near_total(Signal::Errors)]),
                    TripEntry::open([near_total(Signal::Deadline)]),
                    TripEntry::alert([anomaly(Signal::Errors)]),
                    TripEntry::shed([anomaly(Signal::Latency)]),
                ])
                .recovery(Recovery::Sequential)
                .open(Open {
                    period: Duration::from_secs(1),
                    max: Duration::from_secs(60),
                    ..Open::default()
                })
                .half_open(HalfOpen {
                    probe_timeout: Duration::from_secs(1),
                    ..HalfOpen::default()
                }),
        )
    }
}

fn slow(threshold: Duration) -> Condition {
    Condition::SlowRate {
        share: Ratio::of(50, 100),
        threshold,
    }
}

const fn p99(bound: Duration) -> Condition {
    Condition::Latency {
        quantile: Quantile::P99,
        bound,
    }
}

const fn anomaly(signal: Signal) -> Condition {
    Condition::Anomaly {
        signal,
        at_least: Ratio::ZERO,
        blip: Duration::ZERO,
    }
}

fn near_total(signal: Signal) -> Condition {
    Condition::Anomaly {
        signal,
        at_least: Ratio::of(40, 100),
        blip: Duration::ZERO,
    }
}

fn built(profile: Builder) -> Policy {
    profile.build().expect("a shipped profile keeps the rules")
}
