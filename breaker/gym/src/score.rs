//! What is counted while a scenario runs, and what is said of it in the end.
//!
//! A *trip* is a change from closed (or shedding) to open. One outside the incident and the minute
//! after it is false.

use serde::Serialize;

use crate::scenario::Scenario;
use crate::system::{State, Status};
use crate::time::{DAY, Nanos, SECOND, Span, seconds};
use crate::traffic::CallerResult;

/// How a system did in one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Score {
    /// How long the service was healthy, in days.
    pub(crate) healthy_days: f64,
    /// Trips in that time.
    pub(crate) false_trips: u64,
    /// Alerts in that time.
    pub(crate) false_alerts: u64,
    /// From the incident's begin to the first alert or trip in it, in seconds.
    pub(crate) detect: Option<f64>,
    /// From the incident's begin to the first trip in it, in seconds.
    pub(crate) open: Option<f64>,
    /// Requests that arrived in the incident before it was opened, were sent, and were bad.
    pub(crate) bad_before_open: u64,
    /// The share of the incident's requests that were good; of all requests where there is no
    /// incident.
    pub(crate) goodput: f64,
    /// Requests that arrived in the incident, were rejected, and would have been good, in an empty
    /// queue.
    pub(crate) good_rejected: u64,
    /// The same of the five minutes after the incident, or of as long as the scenario counts.
    pub(crate) good_rejected_after: u64,
    /// From the incident's end until it was closed, in seconds.
    pub(crate) closed_after: Option<f64>,
    /// From the incident's end until at least 90 % of the requests of the next seconds were good,
    /// in seconds.
    pub(crate) good_after: Option<f64>,
    /// How often it closed and opened again within a minute.
    pub(crate) premature_closes: u64,
    /// Requests of the five minutes after the incident (in some scenarios longer) that were bad or
    /// rejected.
    pub(crate) lost_after: u64,
    /// Of the requests that arrived outside of the incident and would have been good, the share
    /// that was rejected.
    pub(crate) good_rejected_share: f64,
}

/// The counts of a run that goes on.
#[derive(Debug)]
pub(crate) struct Tally {
    incident: Option<Span>,
    score: Score,
    arrived: u64,
    good: u64,
    /// Outside of the incident: requests that were good, and rejected ones that would have been.
    outside: (u64, u64),
    aftermath: Nanos,
    /// When it was opened first in the incident.
    opened: Option<Nanos>,
    /// Whether it is open because of a false trip.
    falsely: bool,
    state: State,
    last_close: Option<Nanos>,
    /// When it closed last, of closings that belong to the incident.
    closed: Option<Nanos>,
    /// Requests and good ones, by the second after the incident's end in which they arrived.
    seconds_after: Vec<(u32, u32)>,
    /// Over how many of these seconds recovery is judged.
    judged_over: usize,
}

impl Tally {
    /// Nothing is counted yet.
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let after = scenario
            .incident
            .map_or(0, |incident| (scenario.duration - incident.until) / SECOND);
        Self {
            incident: scenario.incident,
            score: Score::default(),
            arrived: 0,
            good: 0,
            outside: (0, 0),
            aftermath: scenario.aftermath,
            opened: None,
            falsely: false,
            state: State::Closed,
            last_close: None,
            closed: None,
            seconds_after: vec![(0, 0); after as usize],
            judged_over: (20.0 / scenario.rate()).clamp(5.0, 100.0) as usize,
        }
    }

    /// A request that arrived at `at` has come to its end.
    pub(crate) fn count(&mut self, at: Nanos, fortune: CallerResult) {
        if fortune == CallerResult::Left {
            return;
        }
        let good = fortune == CallerResult::Good;
        let would_be_good = fortune == CallerResult::Rejected { good: true };
        if !self.incident.is_some_and(|incident| incident.contains(at)) {
            self.outside.0 += u64::from(good);
            self.outside.1 += u64::from(would_be_good);
        }
        let Some(incident) = self.incident else {
            self.arrived += 1;
            self.good += u64::from(good);
            self.score.good_rejected += u64::from(would_be_good);
            return;
        };
        if incident.contains(at) {
            self.arrived += 1;
            self.good += u64::from(good);
            self.score.good_rejected += u64::from(would_be_good);
            let before_open = self.opened.is_none_or(|opened| at <= opened);
            if fortune == CallerResult::Bad && before_open {
                self.score.bad_before_open += 1;
            }
        } else if at >= incident.until {
            let after = at - incident.until;
            if let Some(counts) = self.seconds_after.get_mut((after / SECOND) as usize) {
                counts.0 += 1;
                counts.1 += u32::from(good);
            }
            if after < self.aftermath {
                self.score.good_rejected_after += u64::from(would_be_good);
                self.score.lost_after += u64::from(!good);
            }
        }
    }

    /// The system shows another status.
    pub(crate) fn note(&mut self, from: Status, to: Status, now: Nanos) {
        let in_incident = self.incident.is_some_and(|incident| incident.contains(now));
        let excused = self
            .incident
            .is_some_and(|incident| incident.from <= now && now < incident.until + GRACE);
        let alerts = to.alerts - from.alerts;
        if alerts > 0 {
            if in_incident {
                self.detected(now);
            }
            if !excused {
                self.score.false_alerts += alerts;
            }
        }
        self.state = to.state;
        let tripped = from.state.is_closed() && to.state == State::Open;
        if tripped {
            if in_incident {
                self.detected(now);
            }
            self.falsely = !excused;
            self.score.false_trips += u64::from(!excused);
            if self.last_close.is_some_and(|close| now - close < GRACE) {
                self.score.premature_closes += 1;
            }
        }
        if to.state == State::Open && in_incident && self.opened.is_none() {
            self.opened = Some(now);
        }
        if !from.state.is_closed() && to.state.is_closed() {
            self.last_close = Some(now);
            if !self.falsely {
                self.closed = Some(now);
            }
        }
    }

    /// The run is over after `duration`.
    pub(crate) fn finish(mut self, duration: Nanos) -> Score {
        let mut healthy = duration;
        self.score.goodput = self.good as f64 / self.arrived.max(1) as f64;
        let (good, rejected) = self.outside;
        self.score.good_rejected_share = rejected as f64 / (good + rejected).max(1) as f64;
        if let Some(incident) = self.incident {
            healthy = healthy.saturating_sub(incident.length() + GRACE);
            self.score.open = self.opened.map(|at| seconds(at - incident.from));
            let still_open = !self.state.is_closed() && !self.falsely;
            self.score.closed_after = (!still_open).then(|| {
                self.closed
                    .map_or(0.0, |at| seconds(at.saturating_sub(incident.until)))
            });
            self.score.good_after = self.good_after();
        }
        self.score.healthy_days = healthy as f64 / DAY as f64;
        self.score
    }

    fn detected(&mut self, now: Nanos) {
        if let Some(incident) = self.incident {
            self.score
                .detect
                .get_or_insert(seconds(now - incident.from));
        }
    }

    fn good_after(&self) -> Option<f64> {
        let recovered = self
            .seconds_after
            .windows(self.judged_over)
            .position(|window| {
                let sum = |of: fn(&(u32, u32)) -> u32| window.iter().map(of).sum::<u32>();
                let (arrived, good) = (sum(|counts| counts.0), sum(|counts| counts.1));
                arrived > 0 && f64::from(good) >= 0.9 * f64::from(arrived)
            });
        recovered.map(|second| second as f64)
    }
}

/// A trip so soon after the incident is no false one, and a close so soon before a trip was
/// premature.
const GRACE: Nanos = 60 * SECOND;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::find;
    use crate::time::nanos;

    const fn state(state: State) -> Status {
        Status::of(state)
    }

    /// 100/s, an incident from 100 s to 200 s, over after 600 s.
    fn scenario() -> Scenario {
        let mut scenario = find("S04c").unwrap().build(1);
        scenario.incident = Some(Span::of(100.0, 200.0));
        scenario.duration = nanos(600.0);
        scenario
    }

    #[test]
    fn a_hand_made_run_has_the_scores_that_are_counted_by_hand() {
        let mut tally = Tally::new(&scenario());
        let at = nanos;
        tally.note(state(State::Closed), state(State::Open), at(20.0));
        tally.note(state(State::Open), state(State::HalfOpen), at(30.0));
        tally.note(state(State::HalfOpen), state(State::Closed), at(31.0));
        tally.count(at(99.0), CallerResult::Bad);
        tally.count(at(101.0), CallerResult::Good);
        tally.count(at(102.0), CallerResult::Bad);
        tally.count(at(103.0), CallerResult::Bad);
        let alerted = Status {
            state: State::Closed,
            alerts: 1,
        };
        tally.note(state(State::Closed), alerted, at(102.5));
        tally.note(
            alerted,
            Status {
                state: State::Open,
                alerts: 1,
            },
            at(104.0),
        );
        // Sent before it opened, so late that it ends after that.
        tally.count(at(103.9), CallerResult::Bad);
        tally.count(at(105.0), CallerResult::Rejected { good: true });
        tally.count(at(106.0), CallerResult::Rejected { good: false });
        tally.note(state(State::Open), state(State::HalfOpen), at(150.0));
        tally.count(at(150.0), CallerResult::Bad);
        tally.note(state(State::HalfOpen), state(State::Open), at(151.0));
        tally.count(at(201.0), CallerResult::Rejected { good: true });
        tally.note(state(State::Open), state(State::HalfOpen), at(205.0));
        tally.note(state(State::HalfOpen), state(State::Closed), at(210.0));
        for second in 211..600 {
            tally.count(at(f64::from(second)), CallerResult::Good);
        }
        let score = tally.finish(at(600.0));
        assert_eq!(
            score,
            Score {
                healthy_days: 440.0 / 86_400.0,
                false_trips: 1,
                false_alerts: 0,
                detect: Some(2.5),
                open: Some(4.0),
                bad_before_open: 3,
                goodput: 1.0 / 7.0,
                good_rejected: 1,
                good_rejected_after: 1,
                closed_after: Some(10.0),
                good_after: Some(7.0),
                premature_closes: 0,
                lost_after: 1,
                good_rejected_share: 1.0 / 390.0,
            }
        );
    }

    #[test]
    fn a_caller_that_left_a_good_service_counts_nowhere() {
        let mut tally = Tally::new(&scenario());
        for second in [50.0, 150.0, 250.0] {
            tally.count(nanos(second), CallerResult::Left);
        }
        tally.count(nanos(151.0), CallerResult::Good);
        let score = tally.finish(nanos(600.0));
        assert_eq!((score.goodput, score.lost_after), (1.0, 0));
    }

    #[test]
    fn a_close_that_is_followed_by_a_trip_was_premature() {
        let mut tally = Tally::new(&scenario());
        tally.note(state(State::Closed), state(State::Open), nanos(101.0));
        tally.note(state(State::Open), state(State::Closed), nanos(131.0));
        tally.note(state(State::Closed), state(State::Open), nanos(132.0));
        let score = tally.finish(nanos(600.0));
        assert_eq!(score.premature_closes, 1);
        assert_eq!(score.closed_after, None);
        assert_eq!(score.false_trips, 0);
    }

    #[test]
    fn what_never_opens_is_closed_at_once() {
        let score = Tally::new(&scenario()).finish(nanos(600.0));
        assert_eq!((score.open, score.closed_after), (None, Some(0.0)));
    }
}
