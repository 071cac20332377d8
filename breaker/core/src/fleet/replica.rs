//! What an instance makes of verdicts: which it believes, and which not.

use std::time::Duration;

use super::acting::Asked;
use super::report::{InstanceId, RouteName};
use super::reporter::Reporter;
use super::track::LEAST_QUORUM;
use super::verdict::{Judge, RouteVerdict, Verdict};
use crate::detector::interval;
use crate::time::{Timestamp, nanos};

/// The receiving side of one instance: it remembers the newest verdict.
#[derive(Clone, Debug)]
pub struct Replica {
    me: InstanceId,
    newest: Option<(u64, u64)>,
    received: Timestamp,
}

/// A verdict that is in force.
#[derive(Clone, Copy, Debug)]
pub struct InForce<'a> {
    me: InstanceId,
    received: Timestamp,
    verdict: &'a Verdict,
}

/// What the verdict in force says of one route, for [`Breaker::follow_fleet`].
///
/// [`Breaker::follow_fleet`]: crate::Breaker::follow_fleet
#[derive(Clone, Copy, Debug)]
pub struct Instruction<'a> {
    pub(crate) judge: Judge,
    pub(crate) me: InstanceId,
    pub(crate) received: Timestamp,
    /// `None` if the route is quiet.
    pub(crate) verdict: Option<&'a RouteVerdict>,
    /// Whether that can be known yet.
    pub(crate) settled: bool,
    pub(crate) own: &'a Reporter,
}

/// Why a verdict, or what it says of a route, is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ignored {
    /// A newer aggregator has spoken.
    OldTerm,
    /// It was received before, or a newer one of its term was.
    Replayed,
    /// It was received more than 3 s ago.
    Stale,
    /// Too few instances report.
    Quorum,
    /// The share of hits is not surely as large as the policy asks for, or is one of too few
    /// requests.
    Weak,
    /// The instance's own requests go well.
    OwnEvidence,
    /// An operator decides.
    Forced,
    /// This instance's breaker has tripped again by itself since the fleet led it.
    Left,
}

impl Replica {
    /// The instance `me`, which has heard nothing yet.
    pub const fn new(me: InstanceId) -> Self {
        Self {
            me,
            newest: None,
            received: Timestamp::ZERO,
        }
    }

    /// Takes in a verdict that was `received` at a time of this instance's clock, and is looked at
    /// now.
    ///
    /// # Errors
    /// Says why it is ignored: another is newer, or it has waited for too long.
    pub fn verdict<'a>(
        &mut self,
        now: Timestamp,
        received: Timestamp,
        verdict: &'a Verdict,
    ) -> Result<InForce<'a>, Ignored> {
        if let Some((term, seq)) = self.newest {
            if verdict.term < term {
                return Err(Ignored::OldTerm);
            }
            if verdict.term == term && verdict.seq <= seq {
                return Err(Ignored::Replayed);
            }
        }
        if now.saturating_since(received) > FRESH {
            return Err(Ignored::Stale);
        }
        self.newest = Some((verdict.term, verdict.seq));
        self.received = received;
        Ok(InForce {
            me: self.me,
            received,
            verdict,
        })
    }

    /// How old the newest verdict is, if there is one.
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        self.newest.map(|_| now.saturating_since(self.received))
    }

    /// The newest term.
    pub fn term(&self) -> Option<u64> {
        self.newest.map(|(term, _)| term)
    }
}

impl<'a> InForce<'a> {
    /// The same, by the clock of a breaker whose time at the receipt was `received`.
    #[must_use]
    pub const fn received_at(self, received: Timestamp) -> Self {
        Self { received, ..self }
    }

    /// What it says of the route `name`, whose own evidence is `own`.
    pub fn of(&self, name: &RouteName, own: &'a Reporter) -> Instruction<'a> {
        let mut routes = self.verdict.routes.iter();
        self.saying(
            routes.find(|route| route.name == *name).map(|of| &**of),
            own,
        )
    }

    /// The same where what it says of the route is known: `None` if it leaves the route out.
    pub const fn saying(
        &self,
        said: Option<&'a RouteVerdict>,
        own: &'a Reporter,
    ) -> Instruction<'a> {
        Instruction {
            judge: self.verdict.judge,
            me: self.me,
            received: self.received,
            settled: self.verdict.settled,
            verdict: said,
            own,
        }
    }
}

impl Instruction<'_> {
    /// Whether a breaker may open by the entry that is `asked`. Own requests contradict that if
    /// they ended after `tried`, and after the change.
    pub(crate) fn may_open(
        &self,
        verdict: &RouteVerdict,
        asked: &Asked,
        tried: Timestamp,
    ) -> Result<(), Ignored> {
        self.has_quorum(verdict)?;
        let at_least = asked.at_least;
        // What a brain has seen is what one breaker has: its own policy may have asked for less.
        let too_few =
            self.judge == Judge::Brain && verdict.numbers.observations < asked.min_requests;
        if verdict.numbers.low < at_least || too_few {
            return Err(Ignored::Weak);
        }
        let changed = before(self.received, verdict.since);
        let changed = match self.judge {
            Judge::Fleet => changed,
            // It may have seen enough in a moment in which nothing ended here.
            Judge::Brain => changed.min(before(self.received, LEAST_OWN)),
        };
        let changed = changed.max(tried);
        let (observations, hits) = self.own.since(verdict.signal, changed);
        let (_, high) = interval(hits as f64, observations as f64);
        if observations >= ENOUGH_OWN && high < at_least.get() / 2.0 {
            return Err(Ignored::OwnEvidence);
        }
        Ok(())
    }

    /// Whether enough instances stand behind a verdict.
    pub(crate) fn has_quorum(&self, verdict: &RouteVerdict) -> Result<(), Ignored> {
        let needed = verdict.heard.div_ceil(2).max(LEAST_QUORUM as u32);
        if self.judge == Judge::Brain || verdict.reporting >= needed {
            Ok(())
        } else {
            Err(Ignored::Quorum)
        }
    }
}

fn before(at: Timestamp, passed: Duration) -> Timestamp {
    Timestamp::from_nanos(at.as_nanos().saturating_sub(nanos(passed)))
}

impl Ignored {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::OldTerm,
        Self::Replayed,
        Self::Stale,
        Self::Quorum,
        Self::Weak,
        Self::OwnEvidence,
        Self::Forced,
        Self::Left,
    ];

    /// The attribute `reason` of metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OldTerm => "old_term",
            Self::Replayed => "replayed",
            Self::Stale => "stale",
            Self::Quorum => "quorum",
            Self::Weak => "weak",
            Self::OwnEvidence => "own_evidence",
            Self::Forced => "forced",
            Self::Left => "left",
        }
    }
}

/// How long a verdict is in force.
pub const FRESH: Duration = Duration::from_secs(3);
/// Own requests are asked for of that time at least where a brain judges.
const LEAST_OWN: Duration = Duration::from_secs(2);
/// Own requests since the change that can contradict the fleet.
const ENOUGH_OWN: u64 = 20;
