//! What a breaker tells: transitions, alerts and changes, each with the numbers that justify it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::detector::{Anomaly, Creep, UsualChange};
use crate::policy::Condition;
use crate::ratio::Ratio;
use crate::state::{Mode, State};
use crate::time::{Timestamp, ToMillis};
use crate::trace::TraceId;

/// Something that a breaker did, for [`Breaker::poll_event`](crate::Breaker::poll_event).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The state changed. In shadow mode this is what would have happened.
    Transition(Transition),
    /// The probes succeeded and the ramp began; the state stays half-open.
    RampStarted {
        /// When.
        at: Timestamp,
        /// How many probes succeeded.
        succeeded: u32,
    },
    /// A trip entry with the action `alert` holds. Reported when it begins, and again after 1, 2, 4
    /// … minutes while it lasts, up to once an hour.
    Alert(Alert),
    /// An alert is over: its entry has not held for a minute (or the window, if that is longer),
    /// its source was silent for 5 minutes, or its entry or source was removed.
    AlertEnded {
        /// When.
        at: Timestamp,
        /// The source.
        source: Arc<str>,
        /// [`Alert::signal`].
        signal: &'static str,
        /// How long its entry held, from the first time to the last.
        lasted: Duration,
        /// How often it was told.
        alerts: u64,
    },
    /// A sequential recovery closed the breaker although more requests fail than usual, but not
    /// enough to open it.
    ClosedWithErrors {
        /// When.
        at: Timestamp,
        /// The share of the trial's requests that failed.
        share: Ratio,
        /// The share that is usual.
        usual: Ratio,
        /// Requests of the trial.
        samples: u64,
    },
    /// A new baseline is accepted: a share of hits was steady for two hours (or 600 requests, if
    /// those take longer). Or an accepted baseline no longer holds. An alarm about it ends.
    UsualChanged {
        /// When.
        at: Timestamp,
        /// The source.
        source: Arc<str>,
        /// What has changed.
        change: UsualChange,
    },
    /// A trip entry with the action `shed` holds, and requests above a concurrency limit are
    /// rejected; the state stays. In shadow mode this is what would have happened.
    SheddingStarted {
        /// When.
        at: Timestamp,
        /// The reason.
        reason: Arc<Reason>,
        /// How many requests may be in flight at first.
        limit: u64,
    },
    /// No entry has held and no request was rejected for a while: the limit ends.
    SheddingEnded {
        /// When.
        at: Timestamp,
        /// How long it lasted.
        lasted: Duration,
        /// Requests that were admitted meanwhile.
        admitted: u64,
        /// Requests that were rejected for the limit.
        rejected: u64,
    },
    /// The mode changed.
    ModeChanged {
        /// When.
        at: Timestamp,
        /// The mode before.
        from: Mode,
        /// The mode now.
        to: Mode,
    },
    /// The breaker was reset: its windows, back-off and baselines are discarded.
    Reset {
        /// When.
        at: Timestamp,
        /// The state before.
        from: State,
    },
}

/// A change of state.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Transition {
    /// When.
    pub at: Timestamp,
    /// The state before.
    pub from: State,
    /// The state now.
    pub to: State,
    /// Why.
    pub reason: Arc<Reason>,
    /// How long the state before had lasted.
    pub lasted: Duration,
    /// How long the breaker will stay open, when that is its state now.
    pub open_for: Option<Duration>,
    /// For a trip: up to five traces of requests that failed or were slow, oldest first, as far as
    /// traces are known.
    pub traces: Vec<TraceId>,
}

/// A trip entry that holds, with the action `alert`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Alert {
    /// When.
    pub at: Timestamp,
    /// When it began: [`Self::at`], unless it is repeated.
    pub since: Timestamp,
    /// The source of the outcomes.
    pub source: Arc<str>,
    /// The conditions and their numbers.
    pub evidence: Vec<Evidence>,
    /// Up to five traces of requests that failed or were slow, oldest first, as far as traces are
    /// known.
    pub traces: Vec<TraceId>,
}

/// Why the state changed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing has happened yet.
    Initial,
    /// All conditions of a trip entry hold.
    Tripped {
        /// Where the outcomes were observed.
        source: Arc<str>,
        /// The conditions and their numbers.
        evidence: Vec<Evidence>,
    },
    /// The upstream asked for a pause.
    RetryAfter {
        /// For how long.
        asked: Duration,
    },
    /// The open time has passed.
    OpenElapsed {
        /// How long it was.
        open_for: Duration,
    },
    /// Too few probes can still succeed.
    ProbesFailed {
        /// Probes that succeeded.
        succeeded: u32,
        /// Probes that failed, late ones included.
        failed: u32,
        /// Of those that failed, how many were abandoned by their callers while nobody was
        /// answered.
        abandoned: u32,
        /// How many had to succeed.
        needed: u32,
    },
    /// The feed that tripped the breaker has not looked healthy since the half-open state began.
    FeedUnhealthy {
        /// The feed.
        source: Arc<str>,
        /// Of its requests since then, how many succeeded.
        succeeded: u64,
        /// How many failed.
        failed: u64,
        /// The share that had to succeed.
        needed: Ratio,
    },
    /// Too small a share of the ramp's requests succeeded.
    RampFailed {
        /// The share that did.
        succeeded: Ratio,
        /// Of how many.
        samples: u64,
        /// The share that had to.
        needed: Ratio,
    },
    /// The ramp reached 100 % without a trip.
    RampCompleted {
        /// Requests of the ramp that ended well.
        succeeded: u64,
        /// Requests of the ramp that failed.
        failed: u64,
    },
    /// The ramp is over, and its limit still rejects requests.
    RampLimit,
    /// The fleet led the recovery and has fallen silent: the breaker goes on by itself, from open.
    FleetSilent,
    /// A brain held the breaker open and has fallen silent: the breaker goes on by itself, from
    /// open.
    BrainSilent,
    /// An operator set the mode.
    Forced(Mode),
    /// An operator reset the breaker.
    Reset,
}

/// A condition that holds, with what was observed.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Evidence {
    /// The condition.
    pub condition: Condition,
    /// What was observed: a share (0..=1), seconds, or a count, depending on the condition. For an
    /// anomaly, the estimated share of hits.
    pub observed: f64,
    /// The condition's threshold, in the same unit. For an anomaly, the upper bound of the normal
    /// share.
    pub threshold: f64,
    /// The number of observations.
    pub samples: u64,
    /// The length of the window. For an anomaly, the time since the change.
    pub window: Duration,
    /// How many of the failures in the policy's window are requests that their callers abandoned
    /// while no caller was answered. Zero if the condition is not on failures.
    pub abandoned: u64,
    /// The detector's result, if the condition is on an anomaly.
    pub anomaly: Option<Anomaly>,
}

// === impl Alert ===

impl Alert {
    /// The signal of the first condition, in one word.
    pub fn signal(&self) -> &'static str {
        signal_of(self.evidence.iter().map(|evidence| &evidence.condition))
    }
}

/// What the first of `conditions` watches, in one word. A trip entry has one at least.
pub(crate) fn signal_of<'a>(conditions: impl IntoIterator<Item = &'a Condition>) -> &'static str {
    let first = conditions.into_iter().next();
    first.map_or("none", Condition::signal)
}

// === impl Reason ===

impl Reason {
    /// Whether it is that a trial did not go well: why there was one is another reason.
    pub(crate) const fn is_of_trial(&self) -> bool {
        matches!(
            self,
            Self::ProbesFailed { .. }
                | Self::FeedUnhealthy { .. }
                | Self::RampFailed { .. }
                | Self::FleetSilent
                | Self::BrainSilent
        )
    }

    /// A word for metrics: the name of the first condition, or of the reason.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Tripped { evidence, .. } => evidence
                .first()
                .map_or("tripped", |first| first.condition.name()),
            Self::RetryAfter { .. } => "retry_after",
            Self::OpenElapsed { .. } => "open_elapsed",
            Self::ProbesFailed { .. } => "probes_failed",
            Self::FeedUnhealthy { .. } => "feed_unhealthy",
            Self::RampFailed { .. } => "ramp_failed",
            Self::RampCompleted { .. } => "ramp_completed",
            Self::RampLimit => "ramp_limit",
            Self::FleetSilent => "fleet_silent",
            Self::BrainSilent => "brain_silent",
            Self::Forced(_) => "forced",
            Self::Reset => "reset",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Initial => f.write_str("nothing has happened yet"),
            Self::Tripped { source, evidence } => {
                for (index, evidence) in evidence.iter().enumerate() {
                    let and = if index == 0 { "" } else { " and " };
                    write!(f, "{and}{evidence}")?;
                }
                write!(f, " (source {source})")
            }
            Self::RetryAfter { asked } => {
                write!(f, "the upstream asked to be left alone for {asked:?}")
            }
            Self::OpenElapsed { open_for } => write!(f, "open for {}", ToMillis(*open_for)),
            Self::ProbesFailed {
                succeeded,
                failed,
                abandoned,
                needed,
            } => {
                write!(f, "{failed} probes failed")?;
                if *abandoned > 0 {
                    write!(f, " ({abandoned} abandoned by their callers)")?;
                }
                write!(f, ", {succeeded} succeeded, {needed} were needed")
            }
            Self::FeedUnhealthy {
                source,
                succeeded,
                failed,
                needed,
            } => write!(
                f,
                "{succeeded} of {} requests succeeded since the trial began, {needed} were needed (source {source})",
                succeeded + failed
            ),
            Self::RampFailed {
                succeeded,
                samples,
                needed,
            } => write!(
                f,
                "{succeeded} of {samples} requests of the ramp succeeded, {needed} were needed"
            ),
            Self::RampCompleted { succeeded, failed } => {
                write!(f, "ramp completed: {succeeded} succeeded, {failed} failed")
            }
            Self::RampLimit => f.write_str("the limit of the ramp still binds"),
            Self::FleetSilent => f.write_str("no verdict of the fleet for 3s"),
            Self::BrainSilent => f.write_str("no word of the brain for 3s"),
            Self::Forced(mode) => write!(f, "mode set to {mode}"),
            Self::Reset => f.write_str("reset"),
        }
    }
}

// === impl Evidence ===

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.numbers(f)?;
        match self.abandoned {
            0 => Ok(()),
            abandoned => write!(f, ", {abandoned} abandoned by their callers"),
        }
    }
}

impl Evidence {
    fn numbers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let creep = self.anomaly.and_then(|anomaly| anomaly.crept);
        if let Some(Creep { from, to }) = creep {
            let (from, to) = (ToMillis(from), ToMillis(to));
            let share = Ratio::new(self.observed).unwrap_or(Ratio::ONE);
            write!(f, "the P95 has crept from {from} to {to}: {share} ")?;
            f.write_str("of the requests take twice as long as it was, or longer")?;
        } else {
            self.condition
                .write_reached(f, self.observed, self.threshold)?;
        }
        if let Some(anomaly) = &self.anomaly {
            return self.of_anomaly(f, anomaly);
        }
        if self.condition.is_guarded() {
            write!(f, ", {} requests in {:?}", self.samples, self.window)?;
        }
        Ok(())
    }

    fn of_anomaly(&self, f: &mut fmt::Formatter<'_>, anomaly: &Anomaly) -> fmt::Result {
        write!(f, " ({} to {})", anomaly.low, anomaly.high)?;
        if anomaly.slow && anomaly.crept.is_none() {
            match anomaly.share.get() / anomaly.usual.get() {
                times if times < 1e6 => write!(f, ", {times:.0} times what is usual")?,
                _ => f.write_str(", where nothing is usual")?,
            }
        }
        let normal = Ratio::new(self.threshold).unwrap_or(Ratio::ONE);
        let (samples, window) = (self.samples, ToMillis(self.window));
        write!(f, ", {normal} is normal, {samples} requests in {window}")?;
        let (evidence, line) = (anomaly.evidence, anomaly.line);
        write!(f, ", evidence {evidence:.1}, alarm at {line:.1}")
    }
}
