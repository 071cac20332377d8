//! What happens to the service: scenarios as data.
//!
//! A scenario is a service in health ([`Conditions`]) and phases that change it for a time. Where
//! an incident lies, and how long it is, depends on the seed, so that no system profits from where
//! its windows happen to begin.

mod callers;
mod endpoints;
mod failing;
mod healthy;
mod overload;
mod played;
mod rare;
mod slow;
mod usual;

use std::fmt;

use crate::levels::Levels;
use crate::luck::RequestRng;
use crate::time::{Nanos, SECOND, Span, seconds};

/// A scenario's name, and how to make it for a seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamedScenario {
    /// By which it is called, such as `S04c`.
    pub(crate) id: &'static str,
    /// What happens.
    pub(crate) title: &'static str,
    /// What a good system does.
    pub(crate) wanted: &'static str,
    make: fn(&mut RequestRng) -> Scenario,
}

/// A scenario under one seed.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// The luck of its requests follows from it.
    pub(crate) seed: u64,
    /// When the run ends.
    pub(crate) duration: Nanos,
    /// When something is wrong; `None` where nothing is.
    pub(crate) incident: Option<Span>,
    /// Over how many endpoints a load balancer spreads the requests.
    pub(crate) endpoints: u8,
    /// How often a caller sends a request again that failed or was rejected.
    pub(crate) retries: u8,
    /// When other endpoints take the places of all, and whoever balances is told.
    pub(crate) replaced: Option<Nanos>,
    /// Whether spans of a dependency are exported, in batches.
    pub(crate) spans: bool,
    /// For how long after the incident losses are counted.
    pub(crate) aftermath: Nanos,
    /// When a request is given up, whatever the system says.
    pub(crate) timeout: Option<Nanos>,
    /// While these last, nothing completes.
    pub(crate) pauses: Vec<Span>,
    base: Conditions,
    phases: Vec<Phase>,
}

/// How the service is at one time.
#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    /// Arrivals a second; 0 is silence.
    pub(crate) rate: f64,
    /// The probability of a 5xx.
    pub(crate) errors: f64,
    /// Whether a 5xx comes after a millisecond.
    pub(crate) fast_failures: bool,
    /// The probability of a 4xx.
    pub(crate) client_errors: f64,
    /// The probability that no answer comes.
    pub(crate) hangs: f64,
    /// Where latencies were measured, they are as these say, and neither the factor nor the tail
    /// plays a part.
    pub(crate) levels: Option<Levels>,
    /// The factor on latencies.
    pub(crate) latency: f64,
    /// The probability of a latency from the tail, and the index of its Pareto distribution.
    pub(crate) tail: f64,
    /// See `tail`.
    pub(crate) tail_index: f64,
    /// The probability that a span of the dependency says failure.
    pub(crate) span_errors: f64,
    /// The endpoints that are not as the others.
    pub(crate) odd: Odd,
    /// Whether requests come at equal distances, and not by chance.
    pub(crate) regular: bool,
    /// The share of the callers that leave if no head has come, and after how many seconds: uniform
    /// in between.
    pub(crate) impatient: f64,
    /// See `impatient`.
    pub(crate) patience: (f64, f64),
    /// The probability that an answer is a stream: its head comes as any answer, its body takes
    /// minutes.
    pub(crate) streams: f64,
    /// The probability that a stream breaks off within seconds of its head.
    pub(crate) breaks: f64,
    /// The share of the requests that a cache does not have, and that take five times as long.
    pub(crate) misses: f64,
    /// How many requests a second the service gets done, one after the other; without end if
    /// `None`.
    pub(crate) capacity: Option<f64>,
}

/// Endpoints that are not as the others, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Odd {
    /// They refuse connections.
    pub(crate) dead: u16,
    /// They take ten times as long.
    pub(crate) slow: u16,
    /// They have just started, and take five times as long.
    pub(crate) cold: u16,
}

type Change = Box<dyn Fn(&mut Conditions, f64) + Send + Sync>;

/// For a time, something is different.
struct Phase {
    span: Span,
    /// Changes the conditions, knowing how much of the span has passed, 0..1.
    change: Change,
}

/// The conditions as time goes by.
#[derive(Debug)]
pub(crate) struct ConditionTimeline<'a> {
    scenario: &'a Scenario,
    /// The first phase that has not begun.
    next: usize,
    active: Vec<&'a Phase>,
    now: Conditions,
}

/// All scenarios, in order.
pub(crate) fn all() -> impl Iterator<Item = NamedScenario> {
    let mut entries = [
        healthy::ENTRIES,
        failing::ENTRIES,
        slow::ENTRIES,
        overload::ENTRIES,
        callers::ENTRIES,
        endpoints::ENTRIES,
        rare::ENTRIES,
        usual::ENTRIES,
    ]
    .concat();
    entries.sort_by_key(|entry| entry.id);
    entries.into_iter()
}

/// The scenario called `id`.
pub(crate) fn find(id: &str) -> Option<NamedScenario> {
    all().find(|entry| entry.id.eq_ignore_ascii_case(id))
}

impl NamedScenario {
    /// The scenario under `seed`.
    pub(crate) fn build(&self, seed: u64) -> Scenario {
        let purpose = self
            .id
            .bytes()
            .fold(0, |sum, byte| sum * 256 + u64::from(byte));
        let mut scenario = (self.make)(&mut RequestRng::named(seed, purpose));
        scenario.seed = seed;
        scenario.phases.sort_by_key(|phase| phase.span.from);
        scenario
    }
}

// === impl Scenario ===

impl Scenario {
    /// A healthy service that is watched for so many seconds.
    fn healthy(duration: f64) -> Self {
        Self {
            seed: 0,
            duration: crate::time::nanos(duration),
            incident: None,
            endpoints: 1,
            retries: 0,
            replaced: None,
            spans: false,
            aftermath: 300 * SECOND,
            timeout: None,
            pauses: Vec::new(),
            base: Conditions::default(),
            phases: Vec::new(),
        }
    }

    /// Fifteen minutes of health, an incident of 240 to 360 s during which `change` holds, fifteen
    /// minutes of health.
    fn incident(
        luck: &mut RequestRng,
        change: impl Fn(&mut Conditions, f64) + Send + Sync + 'static,
    ) -> Self {
        let length = luck.between(240.0, 360.0);
        Self::incident_of(length, luck, change)
    }

    /// The same with an incident of `length` seconds.
    fn incident_of(
        length: f64,
        luck: &mut RequestRng,
        change: impl Fn(&mut Conditions, f64) + Send + Sync + 'static,
    ) -> Self {
        // A whole period of every window that is in use, so that incidents fall anywhere in it.
        let from = HEALTH + luck.between(0.0, 60.0);
        let until = from + length;
        let mut scenario = Self::healthy(until + HEALTH);
        scenario.incident = Some(Span::of(from, until));
        scenario.phase(from, until, change);
        scenario
    }

    fn phase(
        &mut self,
        from: f64,
        until: f64,
        change: impl Fn(&mut Conditions, f64) + Send + Sync + 'static,
    ) {
        self.phases.push(Phase {
            span: Span::of(from, until),
            change: Box::new(change),
        });
    }

    /// When the incident begins and ends, in seconds.
    fn bounds(&self) -> (f64, f64) {
        let incident = self
            .incident
            .expect("asked only of a scenario that was made with one");
        (seconds(incident.from), seconds(incident.until))
    }

    /// Makes the service another in health.
    #[cfg(test)]
    pub(crate) fn set_base(&mut self, change: impl FnOnce(&mut Conditions)) {
        change(&mut self.base);
    }

    /// The rate in health, in requests a second.
    pub(crate) const fn rate(&self) -> f64 {
        self.base.rate
    }
}

/// Linear, from `start` to `end`.
fn ramp(start: f64, end: f64, progress: f64) -> f64 {
    (end - start).mul_add(progress, start)
}

/// How long, in seconds, the service is healthy before and after an incident.
const HEALTH: f64 = 900.0;

// === impl Conditions ===

impl Default for Conditions {
    /// 100 requests a second, 0.1 % errors, 2 % 4xx, 20 ms at the median and half a per cent far
    /// above it.
    fn default() -> Self {
        Self {
            rate: 100.0,
            errors: 0.001,
            fast_failures: false,
            client_errors: 0.02,
            hangs: 0.0,
            levels: None,
            latency: 1.0,
            tail: 0.005,
            tail_index: 2.0,
            span_errors: 0.001,
            odd: Odd::default(),
            regular: false,
            impatient: 0.0,
            patience: (0.0, 0.0),
            streams: 0.0,
            breaks: 0.0,
            misses: 0.0,
            capacity: None,
        }
    }
}

// === impl Odd ===

impl Odd {
    /// Whether `endpoint` refuses.
    pub(crate) const fn is_dead(self, endpoint: u8) -> bool {
        self.dead >> endpoint & 1 == 1
    }

    /// How long `endpoint` takes for what takes the others `latency`.
    pub(crate) const fn latency(self, endpoint: u8, latency: Nanos) -> Nanos {
        let slow = 1 + 9 * (self.slow >> endpoint & 1) as u64;
        let cold = 1 + 4 * (self.cold >> endpoint & 1) as u64;
        latency.saturating_mul(slow * cold)
    }
}

// === impl ConditionTimeline ===

impl<'a> ConditionTimeline<'a> {
    /// The weather of `scenario` from its beginning.
    pub(crate) fn new(scenario: &'a Scenario) -> Self {
        Self {
            scenario,
            next: 0,
            active: Vec::new(),
            now: scenario.base.clone(),
        }
    }

    /// The conditions at `at`, which is not before the time that was asked for last.
    pub(crate) fn at(&mut self, at: Nanos) -> &Conditions {
        let phases = &self.scenario.phases;
        let before = self.active.len();
        while let Some(phase) = phases.get(self.next).filter(|phase| phase.span.from <= at) {
            self.active.push(phase);
            self.next += 1;
        }
        self.active.retain(|phase| phase.span.until > at);
        if before + self.active.len() > 0 {
            self.now.clone_from(&self.scenario.base);
            for phase in &self.active {
                let passed = at - phase.span.from;
                let progress = passed as f64 / phase.span.length() as f64;
                (phase.change)(&mut self.now, progress);
            }
        }
        &self.now
    }

    /// When the conditions change next by a phase that begins or ends, after the time that was
    /// asked for last.
    pub(crate) fn next_change(&self) -> Option<Nanos> {
        let begin = self.scenario.phases.get(self.next);
        let ends = self.active.iter().map(|phase| phase.span.until);
        ends.chain(begin.map(|phase| phase.span.from)).min()
    }
}

// === impl Phase ===

impl fmt::Debug for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Phase")
            .field("span", &self.span)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::nanos;

    #[test]
    fn a_phase_holds_for_its_span_and_knows_its_progress() {
        let mut scenario = Scenario::healthy(100.0);
        scenario.phase(10.0, 20.0, |now, progress| {
            now.errors = ramp(0.0, 1.0, progress)
        });
        let mut weather = ConditionTimeline::new(&scenario);
        let mut errors = |at| weather.at(nanos(at)).errors;
        assert_eq!(errors(9.9), 0.001);
        assert_eq!(errors(15.0), 0.5);
        assert_eq!(errors(20.0), 0.001);
    }

    #[test]
    fn the_next_change_is_the_next_begin_or_end_of_a_phase() {
        let mut scenario = Scenario::healthy(100.0);
        scenario.phase(10.0, 20.0, |_, _| {});
        scenario.phase(15.0, 30.0, |_, _| {});
        let mut weather = ConditionTimeline::new(&scenario);
        let mut next = |at| {
            weather.at(nanos(at));
            weather.next_change().map(seconds)
        };
        assert_eq!(next(0.0), Some(10.0));
        assert_eq!(next(10.0), Some(15.0));
        assert_eq!(next(16.0), Some(20.0));
        assert_eq!(next(20.0), Some(30.0));
        assert_eq!(next(30.0), None);
    }

    #[test]
    fn scenarios_are_in_order_and_have_one_name_each() {
        let ids: Vec<_> = all().map(|entry| entry.id).collect();
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(ids, sorted);
        assert_eq!(ids.len(), 58);
    }

    #[test]
    fn incidents_last_240_to_360_seconds_by_the_seed() {
        let length = |seed| seconds(find("S04c").unwrap().build(seed).incident.unwrap().length());
        let lengths: Vec<_> = (1..=20).map(length).collect();
        assert!(
            lengths
                .iter()
                .all(|length| (240.0..=360.0).contains(length))
        );
        assert!(lengths.iter().any(|length| *length < 280.0));
        assert!(lengths.iter().any(|length| *length > 320.0));
    }
}
