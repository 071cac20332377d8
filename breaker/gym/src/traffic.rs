//! Traffic: Poisson arrivals, and what would become of each request if it were sent.
//!
//! All luck of a request is drawn when it arrives, before anybody decides anything. A rejected
//! request therefore has a known counterfactual, and all systems see the same requests.

use crate::luck::RequestRng;
use crate::scenario::{ConditionTimeline, Conditions, Odd, Scenario};
use crate::time::{MILLI, NEVER, Nanos, nanos, seconds};

/// A request, and its fate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Request {
    /// When it arrives.
    pub(crate) at: Nanos,
    /// Which request of the run it is.
    pub(crate) id: u64,
    /// By which a load balancer picks an endpoint.
    pub(crate) pick: u32,
    /// What the service does with it.
    pub(crate) fate: Fate,
}

/// What the service does with an attempt, before queues and timeouts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fate {
    /// How long the service takes; [`NEVER`] for one that hangs.
    pub(crate) latency: Nanos,
    /// It ends as a 5xx.
    pub(crate) fails: bool,
    /// It ends as a 4xx.
    pub(crate) client_error: bool,
    /// Its span of the dependency says failure, whatever the caller is told.
    pub(crate) span_fails: bool,
    /// The endpoints that are not as the others.
    pub(crate) odd: Odd,
    /// For how long the caller waits for the head; [`NEVER`] for one that waits as long as it
    /// takes.
    pub(crate) patience: Nanos,
    /// A streamed answer: what follows the head.
    pub(crate) body: Option<Body>,
}

/// What became of a request, all attempts considered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallerResult {
    /// Answered in time and not by a failure.
    Good,
    /// Sent, and it failed or took too long.
    Bad,
    /// Sent, and its caller left before an answer that would have been good: nobody's loss.
    Left,
    /// Rejected.
    Rejected {
        /// Whether it would have been good.
        good: bool,
    },
}

/// The body of a streamed answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Body {
    /// How long it takes.
    pub(crate) length: Nanos,
    /// It breaks off rather than ends.
    pub(crate) breaks: bool,
}

/// The arrivals of one scenario under one seed, in order.
#[derive(Debug)]
pub(crate) struct Traffic<'a> {
    scenario: &'a Scenario,
    weather: ConditionTimeline<'a>,
    now: f64,
    next: u64,
    /// The first pause that is not over.
    pause: usize,
}

impl<'a> Traffic<'a> {
    /// The traffic of `scenario`.
    pub(crate) fn new(scenario: &'a Scenario) -> Self {
        Self {
            scenario,
            weather: ConditionTimeline::new(scenario),
            now: 0.0,
            next: 0,
            pause: 0,
        }
    }

    /// Later than `at` by the length of the pause that a request sent at `at` with `latency` runs
    /// into.
    fn delay(&mut self, at: Nanos, latency: Nanos) -> Nanos {
        let pauses = &self.scenario.pauses;
        while pauses
            .get(self.pause)
            .is_some_and(|pause| pause.until <= at)
        {
            self.pause += 1;
        }
        match pauses.get(self.pause) {
            Some(pause) if pause.from < at.saturating_add(latency) => {
                pause.until - pause.from.max(at)
            }
            _ => 0,
        }
    }
}

impl Iterator for Traffic<'_> {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        let id = self.next;
        self.next += 1;
        let mut luck = RequestRng::of(self.scenario.seed, id, 0);
        loop {
            let now = self.weather.at(nanos(self.now));
            if now.rate <= 0.0 {
                // Silence, until something changes: a microsecond later, so that rounding can't lie
                // before.
                self.now = seconds(self.weather.next_change()? + MILLI / 1000);
                continue;
            }
            // A gap is drawn at the rate of its beginning: rates change slowly against gaps, or
            // jump once.
            let gap = luck.exponential();
            self.now += if now.regular { 1.0 } else { gap } / now.rate;
            let at = nanos(self.now);
            if at >= self.scenario.duration {
                return None;
            }
            let pick = luck.bits() as u32;
            let conditions = self.weather.at(at);
            if conditions.rate <= 0.0 {
                continue;
            }
            let mut fate = Fate::draw(&mut luck, conditions);
            fate.latency = fate.latency.saturating_add(self.delay(at, fate.latency));
            return Some(Request { at, id, pick, fate });
        }
    }
}

impl Fate {
    /// What becomes of an attempt under `conditions`.
    pub(crate) fn draw(luck: &mut RequestRng, conditions: &Conditions) -> Self {
        let fails = luck.unit() < conditions.errors;
        let client_error = luck.unit() < conditions.client_errors;
        let hangs = luck.unit() < conditions.hangs;
        let span_fails = luck.unit() < conditions.span_errors;
        let takes = match &conditions.levels {
            Some(levels) => levels.latency(luck.unit()),
            None => factor(luck, conditions) * seconds(MEDIAN),
        };
        let latency = if hangs {
            NEVER
        } else if fails && conditions.fast_failures {
            FAST_FAILURE
        } else {
            // An hour stands for the far end of the heaviest tail: it is beyond every timeout.
            nanos(takes.min(3600.0))
        };
        Self {
            latency,
            fails,
            client_error,
            span_fails,
            odd: conditions.odd,
            patience: patience(luck, conditions),
            body: body(luck, conditions).filter(|_| !fails && !client_error),
        }
    }

    /// Whether the caller would be content, if it were sent to `endpoint` and found no queue.
    pub(crate) fn good(&self, endpoint: u8) -> bool {
        self.would_be_good(endpoint) && self.latency <= self.patience
    }

    /// The same, were the caller a patient one.
    pub(crate) fn would_be_good(&self, endpoint: u8) -> bool {
        let breaks = self.body.is_some_and(|body| body.breaks);
        let latency = self.odd.latency(endpoint, self.latency);
        !self.fails && !breaks && !self.odd.is_dead(endpoint) && latency <= PATIENCE
    }
}

/// How many times the median a request takes.
fn factor(luck: &mut RequestRng, conditions: &Conditions) -> f64 {
    let mut factor = conditions.latency * (SIGMA * luck.normal()).exp();
    let misses = conditions.misses > 0.0 && luck.unit() < conditions.misses;
    if misses {
        factor *= MISS_FACTOR;
    }
    if luck.unit() < conditions.tail {
        factor *= TAIL_FACTOR * luck.pareto(conditions.tail_index);
    }
    factor
}

fn patience(luck: &mut RequestRng, conditions: &Conditions) -> Nanos {
    if conditions.impatient > 0.0 && luck.unit() < conditions.impatient {
        let (from, to) = conditions.patience;
        nanos(luck.between(from, to))
    } else {
        NEVER
    }
}

fn body(luck: &mut RequestRng, conditions: &Conditions) -> Option<Body> {
    if conditions.streams <= 0.0 || luck.unit() >= conditions.streams {
        return None;
    }
    let breaks = luck.unit() < conditions.breaks;
    let (from, to) = if breaks { BROKEN_BODY } else { BODY };
    Some(Body {
        length: nanos(luck.between(from, to)),
        breaks,
    })
}

/// A request that takes longer is bad, though it succeed.
pub(crate) const PATIENCE: Nanos = 250 * MILLI;
/// How soon a service that fails fast, or a dead endpoint, says so.
pub(crate) const FAST_FAILURE: Nanos = MILLI;

/// The latency is lognormal with this median and sigma; in the tail it is multiplied by so much,
/// and by a Pareto variable.
const MEDIAN: Nanos = 20 * MILLI;
const SIGMA: f64 = 0.5;
const TAIL_FACTOR: f64 = 5.0;
/// What the cache does not have takes so many times as long.
const MISS_FACTOR: f64 = 5.0;
/// How long the body of a stream takes, and one that breaks off, in seconds.
const BODY: (f64, f64) = (60.0, 180.0);
const BROKEN_BODY: (f64, f64) = (1.0, 10.0);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::find;

    #[test]
    fn the_same_seed_is_the_same_traffic_and_another_is_another() {
        let requests = |seed| {
            let scenario = find("S04b").unwrap().build(seed);
            Traffic::new(&scenario).take(1000).collect::<Vec<_>>()
        };
        assert_eq!(requests(3), requests(3));
        assert_ne!(requests(3), requests(4));
    }

    #[test]
    fn healthy_traffic_has_the_numbers_of_its_description() {
        let scenario = find("S04a").unwrap().build(1);
        let healthy = scenario.incident.unwrap().from;
        let requests: Vec<_> = Traffic::new(&scenario)
            .take_while(|request| request.at < healthy)
            .collect();
        let share = |holds: fn(&Request) -> bool| {
            requests.iter().filter(|request| holds(request)).count() as f64 / requests.len() as f64
        };
        let rate = requests.len() as f64 / seconds(healthy);
        assert!((95.0..105.0).contains(&rate), "{rate}");
        assert!((0.0005..0.0015).contains(&share(|request| request.fate.fails)));
        assert!((0.018..0.022).contains(&share(|request| request.fate.client_error)));
        assert!((0.48..0.52).contains(&share(|request| request.fate.latency > MEDIAN)));
        assert!(share(|request| request.fate.good(0)) > 0.995);
    }

    #[test]
    fn a_pause_delays_those_who_arrive_in_it_and_those_it_finds_in_flight() {
        let mut scenario = find("S01").unwrap().build(1);
        scenario.pauses = vec![crate::time::Span::of(10.0, 11.0)];
        let mut traffic = Traffic::new(&scenario);
        let delay = |traffic: &mut Traffic, at: f64| {
            traffic.pause = 0;
            seconds(traffic.delay(nanos(at), 20 * MILLI))
        };
        assert_eq!(delay(&mut traffic, 9.97), 0.0);
        assert_eq!(delay(&mut traffic, 9.99), 1.0);
        assert_eq!(delay(&mut traffic, 10.75), 0.25);
        assert_eq!(delay(&mut traffic, 11.0), 0.0);
    }
}
