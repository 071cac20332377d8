//! The words of the documents: a type each, for JSON, messages, the command line and the pages.

use std::fmt;

use breaker_proto::v1;
use breaker_tower::breaker_core;
use breaker_tower::breaker_core::policy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::registry;

/// An enumeration whose values are words.
macro_rules! words {
    ($(#[$of:meta])* $name:ident { $($(#[$each:meta])* $value:ident = $word:literal,)+ }) => {
        $(#[$of])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema,
        )]
        pub enum $name {
            $($(#[$each])* #[serde(rename = $word)] $value,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$value),+];

            /// One word, as in JSON.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

words! {
    /// The state of a breaker, in the electric sense.
    State {
        /// Traffic flows.
        Closed = "closed",
        /// Traffic is rejected.
        Open = "open",
        /// A trial: some traffic is admitted, to see how it fares.
        HalfOpen = "half_open",
    }
}

words! {
    /// Whether an endpoint gets requests.
    EndpointState {
        /// It does.
        In = "in",
        /// It does not.
        Out = "out",
        /// It gets one at a time.
        Probing = "probing",
    }
}

words! {
    /// Who decides.
    Mode {
        /// The policy.
        Auto = "auto",
        /// The operator: rejects all.
        ForcedOpen = "forced_open",
        /// The operator: admits all.
        ForcedClosed = "forced_closed",
        /// The policy decides and reports, and nothing is rejected.
        Shadow = "shadow",
    }
}

words! {
    /// Where a policy comes from.
    Origin {
        /// The configuration.
        Configuration = "configuration",
        /// An operator, at run time.
        Override = "override",
    }
}

words! {
    /// What a trip entry does when its conditions hold.
    Action {
        /// Opens the breaker.
        Open = "open",
        /// Reports an alert, and rejects nothing.
        Alert = "alert",
        /// Admits no more requests at once than the upstream answers in time.
        Shed = "shed",
    }
}

words! {
    /// What the numbers of a condition are.
    Unit {
        /// A share of the requests, 0 to 1.
        Share = "share",
        /// Seconds.
        Seconds = "seconds",
        /// A count.
        Count = "count",
    }
}

words! {
    /// What a condition watches.
    Signal {
        /// The share of failures.
        ErrorRate = "error_rate",
        /// The median latency.
        P50 = "p50",
        /// The latency that 90 % are at or below.
        P90 = "p90",
        /// The latency that 95 % are at or below.
        P95 = "p95",
        /// The latency that 99 % are at or below.
        P99 = "p99",
        /// The latency that 99.9 % are at or below.
        P999 = "p999",
        /// The share of slow requests.
        SlowRate = "slow_rate",
        /// The share of requests that the route's timeout ended.
        TimeoutRate = "timeout_rate",
        /// Requests in flight.
        Concurrency = "concurrency",
        /// Failures without a success between them.
        ConsecutiveFailures = "consecutive_failures",
        /// Failures, beside what is usual.
        Errors = "errors",
        /// Slow requests, beside what is usual.
        Latency = "latency",
        /// Requests that miss the deadline, beside what is usual.
        Deadline = "deadline",
        /// One that this version does not know.
        #[serde(other)]
        Unknown = "unknown",
    }
}

words! {
    /// How far the fleet is with a route.
    FleetStage {
        /// There is nothing to tell.
        Quiet = "quiet",
        /// An alarm whose share of hits is too small to open.
        Alarm = "alarm",
        /// No requests.
        Open = "open",
        /// A few sidecars send probes.
        Probing = "probing",
        /// Each sidecar admits a share of its requests.
        Ramp = "ramp",
        /// No verdict is in force, or one that this version does not know.
        #[serde(other)]
        Unknown = "unknown",
    }
}

words! {
    /// Why a verdict, or what it says of a route, is not followed.
    Ignored {
        /// A newer aggregator has spoken.
        OldTerm = "old_term",
        /// It was received before, or a newer one was.
        Replayed = "replayed",
        /// It was received more than 3 s ago.
        Stale = "stale",
        /// Too few sidecars report.
        Quorum = "quorum",
        /// The share of hits is not surely as large as the policy asks for, or is one of too few
        /// requests.
        Weak = "weak",
        /// The sidecar's own requests go well.
        OwnEvidence = "own_evidence",
        /// An operator decides.
        Forced = "forced",
        /// The sidecar's breaker has tripped again by itself.
        Left = "left",
        /// A reason that this version does not know.
        #[serde(other)]
        Unknown = "unknown",
    }
}

impl From<breaker_core::fleet::Ignored> for Ignored {
    fn from(ignored: breaker_core::fleet::Ignored) -> Self {
        match ignored {
            breaker_core::fleet::Ignored::OldTerm => Self::OldTerm,
            breaker_core::fleet::Ignored::Replayed => Self::Replayed,
            breaker_core::fleet::Ignored::Stale => Self::Stale,
            breaker_core::fleet::Ignored::Quorum => Self::Quorum,
            breaker_core::fleet::Ignored::Weak => Self::Weak,
            breaker_core::fleet::Ignored::OwnEvidence => Self::OwnEvidence,
            breaker_core::fleet::Ignored::Forced => Self::Forced,
            breaker_core::fleet::Ignored::Left => Self::Left,
            _ => Self::Unknown,
        }
    }
}

impl From<breaker_core::EndpointState> for EndpointState {
    fn from(state: breaker_core::EndpointState) -> Self {
        match state {
            breaker_core::EndpointState::Out => Self::Out,
            breaker_core::EndpointState::Probing => Self::Probing,
            _ => Self::In,
        }
    }
}

impl From<breaker_core::State> for State {
    fn from(state: breaker_core::State) -> Self {
        match state {
            breaker_core::State::Closed => Self::Closed,
            breaker_core::State::Open => Self::Open,
            breaker_core::State::HalfOpen => Self::HalfOpen,
        }
    }
}

impl From<breaker_core::Mode> for Mode {
    fn from(mode: breaker_core::Mode) -> Self {
        match mode {
            breaker_core::Mode::ForcedOpen => Self::ForcedOpen,
            breaker_core::Mode::ForcedClosed => Self::ForcedClosed,
            breaker_core::Mode::Shadow => Self::Shadow,
            _ => Self::Auto,
        }
    }
}

impl From<Mode> for breaker_core::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Auto => Self::Auto,
            Mode::ForcedOpen => Self::ForcedOpen,
            Mode::ForcedClosed => Self::ForcedClosed,
            Mode::Shadow => Self::Shadow,
        }
    }
}

impl From<registry::Origin> for Origin {
    fn from(origin: registry::Origin) -> Self {
        match origin {
            registry::Origin::Configuration => Self::Configuration,
            registry::Origin::Override => Self::Override,
        }
    }
}

impl From<policy::Action> for Action {
    fn from(action: policy::Action) -> Self {
        match action {
            policy::Action::Alert => Self::Alert,
            policy::Action::Shed => Self::Shed,
            _ => Self::Open,
        }
    }
}

impl From<policy::Unit> for Unit {
    fn from(unit: policy::Unit) -> Self {
        match unit {
            policy::Unit::Seconds => Self::Seconds,
            policy::Unit::Count => Self::Count,
            _ => Self::Share,
        }
    }
}

impl From<&policy::Condition> for Signal {
    fn from(condition: &policy::Condition) -> Self {
        let named = |signal: &&Self| signal.name() == condition.signal();
        Self::ALL
            .iter()
            .find(named)
            .copied()
            .unwrap_or(Self::Unknown)
    }
}

impl From<policy::Signal> for Signal {
    fn from(signal: policy::Signal) -> Self {
        match signal {
            policy::Signal::Errors => Self::Errors,
            policy::Signal::Latency => Self::Latency,
            policy::Signal::Deadline => Self::Deadline,
            _ => Self::Unknown,
        }
    }
}

impl From<State> for v1::State {
    fn from(state: State) -> Self {
        match state {
            State::Closed => Self::Closed,
            State::Open => Self::Open,
            State::HalfOpen => Self::HalfOpen,
        }
    }
}

impl From<Mode> for v1::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Auto => Self::Auto,
            Mode::ForcedOpen => Self::ForcedOpen,
            Mode::ForcedClosed => Self::ForcedClosed,
            Mode::Shadow => Self::Shadow,
        }
    }
}

impl From<Origin> for v1::Origin {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Configuration => Self::Configuration,
            Origin::Override => Self::Override,
        }
    }
}

#[cfg(test)]
mod tests {
    use breaker_tower::breaker_core::policy::Condition;

    use super::*;

    #[test]
    fn every_word_of_the_core_is_the_same_word_here() {
        for state in breaker_core::State::ALL {
            assert_eq!(State::from(state).name(), state.name());
        }
        for mode in breaker_core::Mode::ALL {
            assert_eq!(Mode::from(mode).name(), mode.name());
            assert_eq!(breaker_core::Mode::from(Mode::from(mode)), mode);
        }
        for signal in policy::Signal::ALL {
            assert_eq!(Signal::from(signal).name(), signal.name());
        }
        for ignored in breaker_core::fleet::Ignored::ALL {
            assert_eq!(Ignored::from(ignored).name(), ignored.name());
        }
        for condition in &Condition::EXAMPLES {
            assert_eq!(Signal::from(condition).name(), condition.signal());
        }
    }

    #[test]
    fn words_are_read_as_they_are_written_and_unknown_signals_are_no_error() {
        for state in State::ALL {
            let word = serde_json::to_value(state).unwrap();
            assert_eq!(word, state.name());
            assert_eq!(serde_json::from_value::<State>(word).unwrap(), *state);
        }
        let signal: Signal = serde_json::from_str("\"of_tomorrow\"").unwrap();
        assert_eq!(signal, Signal::Unknown);
        assert!(serde_json::from_str::<State>("\"ajar\"").is_err());
    }
}
