//! What the endpoints of an upstream tell, each with the numbers that justify it.

use std::fmt;
use std::time::Duration;

use super::EndpointId;
use crate::detector::Difference;
use crate::policy::Signal;
use crate::time::{Timestamp, ToMillis};

/// Something that happened to the endpoints of an upstream, for
/// [`Endpoints::poll_event`](super::Endpoints::poll_event).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EndpointEvent {
    /// An endpoint gets no requests from now on, but for probes.
    Ejected {
        /// When.
        at: Timestamp,
        /// Which.
        id: EndpointId,
        /// Why.
        reason: EjectReason,
        /// When it is probed first, or is in again if an operator ejected it; `None` if health
        /// checks decide.
        until: Option<Timestamp>,
    },
    /// An endpoint gets requests again, at first a small share.
    Readmitted {
        /// When.
        at: Timestamp,
        /// Which.
        id: EndpointId,
        /// How long it was out.
        after: Duration,
        /// What let it in.
        by: Readmission,
    },
    /// More endpoints are bad than may be out: all are in. What is wrong is a matter of the whole
    /// upstream, which the route's breaker judges.
    Panic {
        /// When.
        at: Timestamp,
        /// How many are bad.
        bad: usize,
        /// How many may be out.
        most: usize,
        /// Of how many.
        endpoints: usize,
        /// Whether health checks say so, which are not heeded now.
        by_checks: bool,
    },
    /// Endpoints may be ejected again.
    PanicEnded {
        /// When.
        at: Timestamp,
        /// How long it lasted.
        lasted: Duration,
    },
}

/// Why an endpoint is out.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum EjectReason {
    /// It fails, or misses the deadline, far oftener than the others.
    Worse(Difference),
    /// The same, and the last attempts could not even connect.
    Unreachable(Difference),
    /// So many health checks failed in a row.
    Checks(u32),
    /// An operator said so.
    Operator,
}

/// What let an endpoint in again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Readmission {
    /// Good probes, so many in a row.
    Probes(u32),
    /// Good health checks.
    Checks,
    /// An operator, or the end of the time that an operator set.
    Operator,
    /// A panic: too many are bad.
    Panic,
    /// Other settings, or fewer endpoints, so that fewer may be out.
    Change,
}

impl Readmission {
    /// One word, for events.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Probes(_) => "probes",
            Self::Checks => "checks",
            Self::Operator => "operator",
            Self::Panic => "panic",
            Self::Change => "change",
        }
    }
}

impl EjectReason {
    /// All words of [`Self::label`].
    pub const LABELS: [&'static str; 5] =
        ["errors", "deadline", "unreachable", "checks", "operator"];

    /// One word, for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Worse(difference) if matches!(difference.signal, Signal::Deadline) => "deadline",
            Self::Worse(_) => "errors",
            Self::Unreachable(_) => "unreachable",
            Self::Checks(_) => "checks",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for EjectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worse(difference) => difference.fmt(f),
            Self::Unreachable(difference) => write!(f, "cannot be reached: {difference}"),
            Self::Checks(1) => f.write_str("a health check failed"),
            Self::Checks(checks) => write!(f, "{checks} health checks failed"),
            Self::Operator => f.write_str("an operator ejected it"),
        }
    }
}

impl fmt::Display for Readmission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Probes(1) => f.write_str("a probe succeeded"),
            Self::Probes(probes) => write!(f, "{probes} probes succeeded"),
            Self::Checks => f.write_str("health checks succeeded"),
            Self::Operator => f.write_str("an operator admitted it"),
            Self::Panic => f.write_str("too many endpoints are bad"),
            Self::Change => f.write_str("fewer endpoints may be out"),
        }
    }
}

impl fmt::Display for EndpointEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ejected {
                at,
                id,
                reason,
                until,
            } => {
                write!(f, "endpoint {id} ejected: {reason}")?;
                match until {
                    Some(until) => write!(f, ", for {}", ToMillis(until.saturating_since(*at))),
                    None => Ok(()),
                }
            }
            Self::Readmitted { id, after, by, .. } => {
                write!(
                    f,
                    "endpoint {id} is in again after {}: {by}",
                    ToMillis(*after)
                )
            }
            Self::Panic {
                bad,
                most,
                endpoints,
                by_checks,
                ..
            } => {
                let checks = if *by_checks { " by health checks" } else { "" };
                write!(
                    f,
                    "{bad} of {endpoints} endpoints are bad{checks}, and at most {most} may be \
                     out: all are in"
                )
            }
            Self::PanicEnded { lasted, .. } => {
                write!(
                    f,
                    "endpoints may be ejected again after {}",
                    ToMillis(*lasted)
                )
            }
        }
    }
}
