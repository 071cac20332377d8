//! The state machine.
//!
//! Three things happen to it, each at a time that the caller names: a request asks to be admitted
//! ([`Breaker::try_acquire`]), a request makes progress or ends ([`Breaker::responded`],
//! [`Breaker::record`]), or time passes ([`Breaker::handle_timeout`]). What a source's numbers mean
//! is decided in `trip`, what a trial has shown in `recovery`; where the state goes from there in
//! `transition`.

mod admission;
mod alerting;
mod baseline;
mod change;
mod counters;
mod detection;
mod diagnosis;
mod ending;
mod feeds;
mod fleet;
mod limiter;
mod pausing;
mod probing;
mod progress;
mod queueing;
mod ramp;
mod reading;
mod recovery;
mod requirements;
mod shedding;
mod timeouts;
mod transition;
mod trip;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use self::counters::Counters;
pub use self::diagnosis::{Diagnosis, SourceDiagnosis};
use self::fleet::FleetLink;
use self::probing::Probing;
use self::queueing::Unhelped;
use self::ramp::Ramp;
use self::reading::count_alert;
use self::requirements::PolicyRequirements;
use self::shedding::Shedding;
use self::trip::{Observation, Own};
use crate::adaptive_ramp::AdaptiveRamp;
use crate::event::{Event, Reason};
use crate::in_flight::InFlight;
use crate::permit::RejectionContext;
use crate::policy::{Action, Condition, Policy};
use crate::rate::ArrivalRate;
use crate::rng::Rng;
use crate::snapshot::{AlertCount, TransitionCount};
use crate::source::{Source, SourceId, find};
use crate::stall::Answers;
use crate::state::{Mode, State};
use crate::tally::Tally;
use crate::time::Timestamp;
use crate::trial::TrialResult;

/// A circuit breaker. See the [crate's documentation](crate) for the order of calls.
///
/// A clone is independent from then on. Permits belong to the breaker that issued them.
#[derive(Clone, Debug)]
pub struct Breaker {
    policy: Arc<Policy>,
    needs: PolicyRequirements,
    mode: Mode,
    /// When the policy decides again, if that was said.
    mode_until: Option<Timestamp>,
    /// While it is held closed: the mode that it would have. `mode_until` is about that then.
    beneath: Option<Mode>,
    phase: Phase,
    /// When `phase` began, for the duration of states.
    since: Timestamp,
    reason: Arc<Reason>,
    /// Why it opened, while it is not closed again: the first trip, whatever its trials then ran
    /// into; and when.
    tripped: Option<Arc<Reason>>,
    tripped_at: Timestamp,
    /// Of the last rejection; made anew when reason or policy are others.
    ground: Option<Arc<RejectionContext>>,
    /// Raised at every transition; permits carry it, and are to be small: they are moved several
    /// times a request.
    epoch: u32,
    /// The latest time seen: time never goes backwards here, whatever the caller says.
    now: Timestamp,
    rng: Rng,
    /// The proxy's own source, then the feeds.
    sources: Vec<Source>,
    /// The id of the next feed that is new.
    next_source: usize,
    /// All permits that are out, of whatever epoch.
    permits_out: u64,
    /// Of these, how many wait for their caller.
    callers_turn: u64,
    /// The waiting requests of this epoch: how many, and since when where that matters.
    waiting: u64,
    in_flight: InFlight,
    /// The limit of requests in flight, while one is in force.
    shedding: Option<Box<Shedding>>,
    /// Whether the upstream still answers.
    answers: Answers,
    /// What two thirds of the last latencies exceed, in seconds, kept where the policy sheds; 0
    /// while none is known.
    recent_latency: f32,
    /// When the youngest request was admitted that was answered well: those before it wait in no
    /// queue. Kept where the policy sheds.
    overtaken: Timestamp,
    /// What shedding was seen not to help.
    unhelped: Option<Box<Unhelped>>,
    failed_recoveries: u32,
    /// Kept where the open time or the limit follows the traffic.
    arrivals: ArrivalRate,
    /// The source that tripped last, by which the recovery is judged beside the probes.
    tripped_by: Option<SourceId>,
    /// The latency bound that the last trip was about: a request of the trial that reaches it has
    /// failed.
    tripped_latency: Option<Duration>,
    /// What a fleet has to do with it; `None` before the first verdict that does anything.
    fleet: Option<Box<FleetLink>>,
    /// Whether nobody asks for permits: the feeds alone show whether a trial goes well.
    telemetry_only: bool,
    /// How many requests ended of late that were not late failures.
    beside: u8,
    /// When a waiting request may next reach a latency bound: never later than it does.
    next_ageing: Option<Timestamp>,
    totals: Counters,
    alerts: Vec<AlertCount>,
    /// When an alert may next be over: never later than it is.
    alerts_due: Option<Timestamp>,
    transitions: Vec<TransitionCount>,
    events: VecDeque<Event>,
}

/// The state, with what belongs to it alone.
#[derive(Clone, Debug)]
enum Phase {
    Closed {
        /// The evidence of health that is still owed after a recovery.
        recovering: Option<Tally>,
    },
    Open {
        /// `None` when an operator decides.
        until: Option<Timestamp>,
        open_for: Duration,
    },
    Probing(Probing),
    Ramp(Ramp),
    AdaptiveRamp(Box<AdaptiveRamp>),
}

impl Breaker {
    /// A closed breaker. Its random numbers follow from `seed`.
    pub fn new(policy: impl Into<Arc<Policy>>, seed: u64, now: Timestamp) -> Self {
        let policy = policy.into();
        let needs = PolicyRequirements::of(&policy);
        Self {
            in_flight: InFlight::new(needs.resolution()),
            sources: vec![Source::proxy(&policy)],
            next_source: 1,
            needs,
            policy,
            mode: Mode::Auto,
            mode_until: None,
            beneath: None,
            phase: Phase::Closed { recovering: None },
            since: now,
            reason: Arc::new(Reason::Initial),
            tripped: None,
            tripped_at: Timestamp::ZERO,
            ground: None,
            epoch: 0,
            now,
            rng: Rng::new(seed),
            permits_out: 0,
            callers_turn: 0,
            waiting: 0,
            shedding: None,
            answers: Answers::new(),
            recent_latency: 0.0,
            overtaken: Timestamp::ZERO,
            unhelped: None,
            failed_recoveries: 0,
            arrivals: ArrivalRate::new(now),
            tripped_by: None,
            tripped_latency: None,
            fleet: None,
            telemetry_only: false,
            beside: 0,
            next_ageing: None,
            totals: Counters::default(),
            alerts: Vec::new(),
            alerts_due: None,
            transitions: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// The next event, in the order of occurrence.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether there is an event to [poll](Self::poll_event).
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    // --- getters

    /// The state.
    pub const fn state(&self) -> State {
        match self.phase {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::Probing(_) | Phase::Ramp(_) | Phase::AdaptiveRamp(_) => State::HalfOpen,
        }
    }

    /// The mode.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The policy.
    pub const fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    // --- conditions

    /// Whether the trip entries are on: an open breaker has tripped, and probes and the ramp of a
    /// sequential recovery are judged by themselves.
    const fn tries_conditions(&self) -> bool {
        matches!(self.phase, Phase::Closed { .. } | Phase::Ramp(_))
    }

    /// Tries the entries of its policy on a source: those on counts always, those on histograms
    /// when they are due.
    fn try_conditions(&mut self, id: SourceId, now: Timestamp) {
        if !self.tries_conditions() {
            return;
        }
        let in_flight = (id == SourceId::PROXY).then_some(Own {
            ages: &self.in_flight,
            permits: self.permits_out,
            callers_turn: self.callers_turn,
        });
        let Some(source) = find(&mut self.sources, id) else {
            return;
        };
        source.window.expire(now);
        let hangs = in_flight.is_some_and(|own| {
            let bound = self.needs.latency_bounds.first();
            bound.is_some_and(|bound| own.ages.has_reached(*bound, now))
        });
        // Nearly always: then no entry can hold, and none needs to end an alert.
        if !hangs && !self.needs.concurrency && self.alerts_due.is_none() && source.is_well(now) {
            #[cfg(test)]
            assert_nothing_holds(source, &self.policy, in_flight, now);
            return;
        }
        let own = source.policy.clone();
        let policy = own.as_ref().unwrap_or(&self.policy);
        if let Some(detectors) = &mut source.detectors {
            for change in detectors.take_changes() {
                self.events.push_back(Event::UsualChanged {
                    at: now,
                    source: source.name.clone(),
                    change,
                });
            }
        }
        let mut sheds = None;
        let mut alerts_changed = false;
        let histograms = source.take_histogram_turn(hangs, now);
        let mut observation = Observation::new(source, policy, in_flight, now);
        for (index, entry) in policy.trip().iter().enumerate() {
            if entry.conditions.iter().any(Condition::needs_histogram) && !histograms {
                continue;
            }
            let holds = observation.holds(entry);
            let tells = match entry.action {
                Action::Alert => true,
                Action::Open => {
                    holds && (observation.only_tells(entry) || observation.holds_slowly(entry))
                }
                Action::Shed => holds && observation.holds_slowly(entry),
            };
            match entry.action {
                _ if tells => {
                    if !holds || observation.is_silent() {
                        alerts_changed |= observation.clear_alert(index);
                        continue;
                    }
                    alerts_changed |= self.alerts_due.is_none();
                    if let Some(alert) = observation.alert(index, entry) {
                        self.totals.alerts += 1;
                        count_alert(&mut self.alerts, &alert.source, alert.signal(), 1);
                        self.events.push_back(Event::Alert(alert));
                    }
                }
                _ if !holds || self.mode == Mode::ForcedClosed => {
                    alerts_changed |= observation.clear_alert(index);
                }
                Action::Open if observation.is_fresh(entry) => {
                    let reason = observation.trip(entry);
                    let bound = policy.entry_bound(entry);
                    self.trip(id, reason, bound, now);
                    return;
                }
                Action::Shed if observation.is_fresh(entry) && !observation.only_tells(entry) => {
                    sheds.get_or_insert(index);
                }
                Action::Alert | Action::Open | Action::Shed => {}
            }
        }
        observation.judged();
        if let Some(entry) = sheds {
            alerts_changed |= self.shed_or_tell(id, entry, now);
        }
        if alerts_changed {
            self.end_alerts(now);
        }
    }
}

#[cfg(test)]
fn assert_nothing_holds(
    source: &mut Source,
    policy: &Policy,
    in_flight: Option<Own<'_>>,
    now: Timestamp,
) {
    let own = source.policy.clone();
    let policy = own.as_deref().unwrap_or(policy);
    let mut alerts = source.alerts.iter().flatten();
    assert!(!alerts.any(|alert| alert.stands()));
    let mut observation = Observation::new(source, policy, in_flight, now);
    for entry in policy.trip() {
        let is_due = !entry.conditions.iter().any(Condition::needs_histogram);
        assert!(!(is_due && observation.holds(entry)), "{entry:?}");
    }
}

#[cfg(test)]
mod tests;
