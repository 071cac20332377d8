//! What became of the orders of one shop.

use std::time::Duration;

use breaker_sidecar::load::{Answer, p99};

use super::load::Call;
use super::script::Phase;

/// All orders of a shop.
#[derive(Debug, Default)]
pub(super) struct Tally {
    calls: Vec<Call>,
    /// How many of `calls` the lines have told.
    told: usize,
}

/// What was answered since the last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) served: usize,
    pub(super) failed: usize,
    pub(super) rejected: usize,
    pub(super) p99: Option<Duration>,
}

/// The figures of a whole run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Results {
    pub(super) orders: usize,
    pub(super) served: usize,
    pub(super) failed: usize,
    pub(super) rejected: usize,
    /// Of all answers.
    pub(super) p99: Duration,
    /// How long customers waited for answers that were none.
    pub(super) waited: Duration,
    pub(super) recoveries: Vec<Recovery>,
}

/// How a shop came back from an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recovery {
    pub(super) incident: &'static str,
    /// From the end of the fault until orders are served again; none if not before the next
    /// incident, or the end.
    pub(super) took: Option<Duration>,
    /// How long it could have been seen.
    pub(super) watched: Duration,
}

// === impl Tally ===

impl Tally {
    pub(super) fn add(&mut self, call: Call) {
        self.calls.push(call);
    }

    pub(super) fn line(&mut self) -> Line {
        let calls = &self.calls[self.told..];
        self.told = self.calls.len();
        Line {
            served: count(calls, Answer::Served),
            failed: count(calls, Answer::Failed),
            rejected: count(calls, Answer::Rejected),
            p99: p99(calls.iter().map(|call| call.took)),
        }
    }

    pub(super) fn results(&self, phases: &[Phase]) -> Results {
        let failed = self
            .calls
            .iter()
            .filter(|call| call.answer == Answer::Failed);
        Results {
            orders: self.calls.len(),
            served: count(&self.calls, Answer::Served),
            failed: count(&self.calls, Answer::Failed),
            rejected: count(&self.calls, Answer::Rejected),
            p99: p99(self.calls.iter().map(|call| call.took)).unwrap_or_default(),
            waited: failed.map(|call| call.took).sum(),
            recoveries: self.recoveries(phases),
        }
    }

    fn recoveries(&self, phases: &[Phase]) -> Vec<Recovery> {
        let end = phases.last().map(Phase::ends).unwrap_or_default();
        let incidents: Vec<_> = phases
            .iter()
            .filter(|phase| phase.service.is_some())
            .collect();
        let next = incidents.iter().skip(1).map(|incident| incident.begins);
        incidents
            .iter()
            .zip(next.chain([end]))
            .map(|(incident, until)| Recovery {
                incident: incident.name,
                took: self.recovery(incident.ends(), until),
                watched: until - incident.ends(),
            })
            .collect()
    }

    /// The time from `ended` to the first order that was served and begins a stretch of [`STEADY`]
    /// in which [`WELL`] of them were.
    fn recovery(&self, ended: Duration, until: Duration) -> Option<Duration> {
        let mut due: Vec<_> = self
            .calls
            .iter()
            .map(|call| (call.due, call.answer))
            .collect();
        due.sort_unstable_by_key(|(due, _)| *due);
        let mut from = ended;
        while from + STEADY <= until {
            let first = due.partition_point(|(due, _)| *due < from);
            let last = due.partition_point(|(due, _)| *due < from + STEADY);
            let orders = &due[first..last];
            let is_served = |order: &&(Duration, Answer)| order.1 == Answer::Served;
            let served = orders.iter().filter(is_served).count() as f64;
            let begins = orders.first().filter(is_served).is_some();
            if begins && served >= WELL * orders.len() as f64 {
                return Some(from - ended);
            }
            from += STEP;
        }
        None
    }
}

// === impl Results ===

impl Results {
    /// How long the shop took to come back from all incidents together: at least, where it did not
    /// come back in time.
    pub(super) fn recovered(&self) -> Duration {
        let times = self.recoveries.iter();
        times
            .map(|recovery| recovery.took.unwrap_or(recovery.watched))
            .sum()
    }
}

fn count(calls: &[Call], answer: Answer) -> usize {
    calls.iter().filter(|call| call.answer == answer).count()
}

/// The share of orders that a shop serves which is well.
const WELL: f64 = 0.95;
/// For how long it must be well.
const STEADY: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::super::script;
    use super::*;

    /// Ten orders a second for a minute (the script at twice its pace); `answer` tells how the one
    /// due at so many seconds went.
    fn tally(answer: impl Fn(f64) -> Answer) -> Tally {
        let mut tally = Tally::default();
        for number in 0..600 {
            let due = Duration::from_millis(number * 100);
            let answer = answer(due.as_secs_f64());
            let took = match answer {
                Answer::Served => Duration::from_millis(50),
                Answer::Failed => Duration::from_secs(3),
                Answer::Rejected => Duration::from_millis(1),
            };
            tally.add(Call { due, took, answer });
        }
        tally
    }

    fn recoveries(results: &Results) -> Vec<(&str, Option<f64>)> {
        let recoveries = results.recoveries.iter();
        let seconds = |recovery: &Recovery| recovery.took.map(|took| took.as_secs_f64());
        recoveries
            .map(|recovery| (recovery.incident, seconds(recovery)))
            .collect()
    }

    #[test]
    fn a_shop_that_serves_all_recovers_at_once() {
        let results = tally(|_| Answer::Served).results(&script::phases(2.0));
        assert_eq!((results.orders, results.served), (600, 600));
        assert_eq!(results.recovered(), Duration::ZERO);
        assert_eq!(results.p99, Duration::from_millis(50));
        assert_eq!(results.waited, Duration::ZERO);
    }

    #[test]
    fn recovery_is_from_the_end_of_the_fault_to_steady_service() {
        // The brownout is from 17 s to 24 s, the hang from 34 s to 40 s.
        let results = tally(|due| match due {
            _ if (17.0..28.5).contains(&due) => Answer::Failed,
            // One good second in between is not health.
            _ if (34.0..41.0).contains(&due) || (42.0..43.0).contains(&due) => Answer::Rejected,
            _ => Answer::Served,
        });
        let results = results.results(&script::phases(2.0));
        let expected = [
            ("error burst", Some(0.0)),
            ("brownout", Some(4.5)),
            ("hang", Some(3.0)),
            ("partial failure", Some(0.0)),
        ];
        assert_eq!(recoveries(&results), expected);
        assert_eq!((results.failed, results.rejected), (115, 80));
        assert_eq!(results.waited, Duration::from_secs(3 * 115));
        assert_eq!(results.p99, Duration::from_secs(3));
    }

    #[test]
    fn who_does_not_recover_before_the_next_incident_has_not() {
        let results = tally(|due| match due {
            _ if (17.0..39.0).contains(&due) => Answer::Failed,
            _ => Answer::Served,
        });
        let results = results.results(&script::phases(2.0));
        assert_eq!(recoveries(&results)[1], ("brownout", None));
        assert_eq!(results.recovered(), Duration::from_secs(10));
    }

    #[test]
    fn a_line_tells_what_is_new() {
        let mut tally = tally(|_| Answer::Served);
        assert_eq!(tally.line().served, 600);
        let due = Duration::from_secs(61);
        let took = Duration::from_secs(2);
        tally.add(Call {
            due,
            took,
            answer: Answer::Failed,
        });
        let line = tally.line();
        assert_eq!((line.served, line.failed, line.p99), (0, 1, Some(took)));
        assert_eq!(tally.line().p99, None);
    }
}
