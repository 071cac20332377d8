//! In which order the routes stand.

use std::cmp::Ordering;

use breaker_sidecar::report::{Breaker, State};
use clap::ValueEnum;

/// What the table is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in super::super) enum Sort {
    /// Those in trouble first
    #[default]
    State,
    /// The busiest first
    Rate,
    /// The largest error rate first
    Errors,
    /// The slowest first
    P99,
    /// The most requests in flight first
    InFlight,
    /// By name
    Name,
}

/// What a route is sorted by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<'a> {
    pub(super) breaker: &'a Breaker,
    pub(super) rate: f64,
    pub(super) error_rate: f64,
    pub(super) p99: f64,
}

impl Sort {
    /// The one after it; after the last comes the first.
    pub(super) fn next(self) -> Self {
        let all = Self::value_variants();
        let next = all.iter().position(|&sort| sort == self).unwrap_or(0) + 1;
        all[next % all.len()]
    }

    /// Its word.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Rate => "rate",
            Self::Errors => "errors",
            Self::P99 => "p99",
            Self::InFlight => "in flight",
            Self::Name => "name",
        }
    }

    /// Which of two routes stands first; the name decides where nothing else does.
    pub(super) fn compare(self, a: &Key<'_>, b: &Key<'_>) -> Ordering {
        let errors = b.error_rate.total_cmp(&a.error_rate);
        let first = match self {
            Self::State => trouble(a.breaker).cmp(&trouble(b.breaker)).then(errors),
            Self::Rate => b.rate.total_cmp(&a.rate),
            Self::Errors => errors,
            Self::P99 => b.p99.total_cmp(&a.p99),
            Self::InFlight => b.breaker.in_flight.cmp(&a.breaker.in_flight),
            Self::Name => Ordering::Equal,
        };
        first.then_with(|| a.breaker.name.cmp(&b.breaker.name))
    }
}

/// How much trouble a route is in: 0 is the worst.
fn trouble(breaker: &Breaker) -> u8 {
    match breaker.state {
        State::Open => 0,
        State::HalfOpen => 1,
        _ if breaker.sheds() => 2,
        _ if breaker.alerting => 3,
        _ => 4,
    }
}
