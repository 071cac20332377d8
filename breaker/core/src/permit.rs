//! The right to send one request, and its refusal.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::detector::Crossed;
use crate::event::Reason;
use crate::policy::Policy;
use crate::state::State;
use crate::time::Timestamp;

/// The right to send one request. Return it with [`Breaker::record`](crate::Breaker::record),
/// however the request ends.
///
/// It carries the epoch of its admission: an outcome of an earlier epoch never causes a transition.
/// A probe's permit is a lease: if it is not returned within `half_open.probe_timeout`, it counts
/// as failed. A caller that goes away before the answer does not free the lease. The lease ends
/// when another probe is answered, or when it times out.
///
/// A request counts once. From [`Breaker::begun`](crate::Breaker::begun) on it is a success, which
/// a failure at its end replaces.
#[derive(Debug)]
#[must_use = "a permit that is not given back counts as a request in flight for ever"]
pub struct Permit {
    pub(crate) epoch: u32,
    pub(crate) admitted: Timestamp,
    pub(crate) kind: Kind,
    pub(crate) progress: Progress,
    pub(crate) reading: Reading,
    /// Of a request that no longer waits: what it was observed for while it did.
    pub(crate) crossed: Crossed,
    /// Whether the upstream has sent the head of an answer, be it good or bad.
    pub(crate) answered: bool,
    /// Whether the answer came later than the deadline that the policy watches.
    pub(crate) late: bool,
    /// How many answers the breaker had seen when the upstream's time began.
    pub(crate) answers_before: u32,
    /// Of an answer that has well begun: where it is counted as a success.
    pub(crate) begun: Option<Begun>,
}

/// Where an answer that has well begun is counted as a success, so that this can be taken back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    pub(crate) at: Timestamp,
    /// How many failures its source had counted before: its place among them.
    pub(crate) failures_before: u32,
    /// Of the source: what was observed under another is forgotten.
    pub(crate) generation: u8,
    pub(crate) counted: Counted,
}

/// Whether the phase has counted an answer that has well begun. Not an option, so that one of
/// [`Begun`] takes no room of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    NotYet,
    /// In this slice of the ramp of a sequential recovery.
    InSlice(u32),
}

impl Counted {
    pub(crate) const fn slice(self) -> Option<u32> {
        match self {
            Self::NotYet => None,
            Self::InSlice(slice) => Some(slice),
        }
    }
}

/// As what a request was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its outcome counts.
    Regular,
    /// It is a probe, with this lease.
    Probe(u32),
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
    /// The answer's head has come, and with it the latency that the policy measures.
    Responded,
}

/// Whether the caller takes what the upstream sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It does, as far as is known.
    Reads,
    /// It is being waited for: the upstream's time does not run.
    Paused,
    /// It reads again.
    ReadsAgain,
    /// The same, and the request was observed for its age before: nothing is observed twice, so it
    /// does not age any more.
    Observed,
}

/// A rejection: the breaker is open, has no free slot half-open, or sheds.
#[derive(Clone)]
#[non_exhaustive]
pub struct Rejected {
    /// The state: closed if the breaker sheds.
    pub state: State,
    /// When to try again. This is at least the remaining open time, spread over callers by the
    /// policy's jitter, and soon if the breaker sheds.
    pub retry_after: Duration,
    /// The concurrency limit, if that is the cause.
    pub shed: Option<Shed>,
    pub(crate) ground: Arc<RejectionContext>,
}

/// A concurrency limit without a free slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shed {
    /// Requests to which the upstream owes an answer.
    pub in_flight: u64,
    /// The limit.
    pub limit: u64,
}

/// On what a breaker rejects: the same for all rejections of one state, so that each counts one
/// reference and not two.
#[derive(Debug)]
pub(crate) struct RejectionContext {
    pub(crate) reason: Arc<Reason>,
    /// Why it opened, where that is another reason.
    pub(crate) tripped: Option<Arc<Reason>>,
    pub(crate) policy: Arc<Policy>,
}

impl Permit {
    /// When the upstream's time began: at admission, at the end of the upload, or when the caller
    /// read on after a pause.
    pub const fn admitted(&self) -> Timestamp {
        self.admitted
    }

    /// Whether the answer has begun well, and counts as a success unless it fails later.
    pub const fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Whether the caller is waited for, and not the upstream: it is still sending, or it does not
    /// read.
    pub(crate) fn awaits_caller(&self) -> bool {
        self.progress == Progress::Uploading || self.reading == Reading::Paused
    }

    /// Whether the upstream owes an answer, and its time is observed.
    pub(crate) fn ages(&self) -> bool {
        self.progress == Progress::Waiting
            && matches!(self.reading, Reading::Reads | Reading::ReadsAgain)
    }

    /// Whether the caller is still sending its request.
    pub fn is_uploading(&self) -> bool {
        self.progress == Progress::Uploading
    }

    /// Whether the request is a probe of a half-open breaker.
    pub const fn is_probe(&self) -> bool {
        matches!(self.kind, Kind::Probe(_))
    }
}

/// Why a request is rejected: the exhausted limit, the reason for the state, what tripped the
/// breaker.
#[derive(Clone, Copy, Debug)]
pub struct Cause<'a>(&'a Rejected);

impl Rejected {
    /// Why the breaker is in this state, or why it sheds.
    pub fn reason(&self) -> &Arc<Reason> {
        &self.ground.reason
    }

    /// Why the request is rejected, in words.
    pub const fn cause(&self) -> Cause<'_> {
        Cause(self)
    }

    /// The policy, which defines the answer to a rejection.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.ground.policy
    }
}

/// Without the policy, which would be most of it: a program that ends with an error prints it so.
impl fmt::Debug for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected")
            .field("state", &self.state)
            .field("retry_after", &self.retry_after)
            .field("cause", &format_args!("{}", self.cause()))
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rejected by the circuit breaker, which is {}: {}",
            self.state,
            self.cause()
        )
    }
}

impl Cause<'_> {
    /// One word: `shedding`, or the label of the reason.
    pub fn label(&self) -> &'static str {
        match self.0.shed {
            Some(_) => "shedding",
            None => self.0.reason().label(),
        }
    }
}

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Shed { in_flight, limit }) = self.0.shed {
            write!(f, "shedding: {in_flight} in flight of at most {limit}; ")?;
        }
        write!(f, "{}", self.0.reason())?;
        match &self.0.ground.tripped {
            Some(tripped) => write!(f, ", after {tripped}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Rejected {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_prints_its_cause_and_not_its_policy() {
        let now = Timestamp::ZERO;
        let mut breaker = crate::Breaker::new(Policy::sensitive(), 1, now);
        breaker.force(crate::Mode::ForcedOpen, now);
        let text = format!("{:?}", breaker.try_acquire(now).unwrap_err());
        let (head, tail) = text.split_once("retry_after: ").unwrap();
        assert_eq!(head, "Rejected { state: Open, ");
        let (_, tail) = tail.split_once(", ").unwrap();
        assert_eq!(tail, "cause: mode set to forced_open, .. }");
    }

    #[test]
    fn a_permit_has_56_bytes() {
        // A layer moves it several times a request.
        assert_eq!(size_of::<Permit>(), 56);
        assert_eq!(size_of::<Option<Permit>>(), 56);
    }
}
