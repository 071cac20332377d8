//! The right to send one request, and its refusal.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::detector::Crossed;
use crate::event::Reason;
use crate::policy::Policy;
use crate::state::State;
use crate::time::Timestamp;

/// The right to send one request. Give it back with [`Breaker::record`](crate::Breaker::record), whatever became of the request.
///
/// It carries the epoch of its admission: an outcome of an earlier epoch never causes a transition. A probe's permit is a lease: not back
/// within `half_open.probe_timeout`, it counts as failed.
#[derive(Debug)]
#[must_use = "a permit that is not given back counts as a request in flight for ever"]
pub struct Permit {
    pub(crate) epoch: u64,
    pub(crate) admitted: Timestamp,
    pub(crate) kind: Kind,
    pub(crate) progress: Progress,
    /// Of a request that no longer waits: what it was observed for while it did.
    pub(crate) crossed: Crossed,
}

/// As what a request was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its outcome counts.
    Regular,
    /// It is a probe, with this lease.
    Probe(u64),
    /// Its outcome decides nothing: it is here because shadow mode let it through.
    Bypass,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The caller is still sending: the upstream's time has not begun.
    Uploading,
    /// The upstream owes an answer: the request ages.
    Waiting,
    /// The answer's head has come, and its latency is recorded.
    Responded,
}

/// A refusal: the breaker is open, or its trial has no room for the request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Rejected {
    /// The state: open or half-open.
    pub state: State,
    /// When to try again: at least the remaining open time, spread over callers by the policy's jitter.
    pub retry_after: Duration,
    pub(crate) ground: Arc<Ground>,
}

/// On what a breaker rejects: the same for all rejections of one state, so that each counts one reference and not two.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) reason: Arc<Reason>,
    pub(crate) policy: Arc<Policy>,
}

impl Permit {
    /// When the upstream's time began: at admission, or at the end of the upload.
    pub const fn admitted(&self) -> Timestamp {
        self.admitted
    }

    /// Whether the request is a probe of a half-open breaker.
    pub const fn is_probe(&self) -> bool {
        matches!(self.kind, Kind::Probe(_))
    }
}

impl Rejected {
    /// Why the breaker is in this state.
    pub fn reason(&self) -> &Arc<Reason> {
        &self.ground.reason
    }

    /// The policy, which says how a rejection is answered.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.ground.policy
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rejected by the circuit breaker, which is {}: {}",
            self.state,
            self.reason()
        )
    }
}

impl std::error::Error for Rejected {}
