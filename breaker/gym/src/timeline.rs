//! What a run looked like, for the page: counts and latencies by bins of time, states, alerts.

use serde::Serialize;

use crate::scenario::Scenario;
use crate::system::State;
use crate::time::{MILLI, Nanos, SECOND, Span, seconds};
use crate::traffic::CallerResult;

/// A run as it goes on.
#[derive(Debug)]
pub(crate) struct Timeline {
    span: Span,
    width: Nanos,
    bins: Vec<Bin>,
    states: Vec<(f64, u8)>,
    alerts: Vec<f64>,
}

#[derive(Clone, Debug)]
struct Bin {
    arrived: u32,
    admitted: u32,
    bad: u32,
    /// How many latencies lie in each bucket of [`bucket`].
    latencies: [u32; BUCKETS],
}

/// A run, in arrays by bin.
#[derive(Debug, Serialize)]
pub(crate) struct TimelineData {
    /// When the first bin begins, and how wide they are, in seconds.
    pub(crate) from: f64,
    /// See `from`.
    pub(crate) width: f64,
    /// Requests that arrived.
    pub(crate) arrived: Vec<u32>,
    /// Of those, how many were sent.
    pub(crate) admitted: Vec<u32>,
    /// Of those, how many were bad.
    pub(crate) bad: Vec<u32>,
    /// The median latency of those that were sent, in milliseconds.
    pub(crate) p50: Vec<u32>,
    /// The 99th percentile.
    pub(crate) p99: Vec<u32>,
    /// From when on it was in which state: 0 closed, 1 shedding, 2 half-open, 3 open.
    pub(crate) states: Vec<(f64, u8)>,
    /// When it gave alerts.
    pub(crate) alerts: Vec<f64>,
}

impl Timeline {
    /// Of the incident, a minute before it and five after it; of the whole run where there is none.
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let span = match scenario.incident {
            Some(incident) => {
                let margin = (incident.length() / 5).max(60 * SECOND);
                Span {
                    from: incident.from.saturating_sub(margin),
                    until: (incident.until + 5 * margin).min(scenario.duration),
                }
            }
            None => Span {
                from: 0,
                until: scenario.duration,
            },
        };
        // A bin should hold some requests.
        let at_least = SECOND.max((5.0e9 / scenario.rate().max(0.01)) as Nanos);
        let width = (span.length() / BINS).max(at_least);
        // Whole bins only: half a bin would look like half the traffic.
        let bins = (span.length() / width).max(1);
        Self {
            span: Span {
                until: span.from + bins * width,
                ..span
            },
            width,
            bins: vec![Bin::EMPTY; bins as usize],
            states: vec![(seconds(span.from), code(State::Closed))],
            alerts: Vec::new(),
        }
    }

    /// A request that arrived at `at` has come to its end, after `latency` if it was sent.
    pub(crate) fn count(&mut self, at: Nanos, fortune: CallerResult, latency: Option<Nanos>) {
        if !self.span.contains(at) {
            return;
        }
        let bin = &mut self.bins[((at - self.span.from) / self.width) as usize];
        bin.arrived += 1;
        bin.bad += u32::from(fortune == CallerResult::Bad);
        if let Some(latency) = latency {
            bin.admitted += 1;
            bin.latencies[bucket(latency)] += 1;
        }
    }

    /// The system enters `state`.
    pub(crate) fn enter(&mut self, state: State, now: Nanos) {
        if now < self.span.from {
            self.states[0].1 = code(state);
        } else if now < self.span.until && self.states.len() < MAX_MARKS {
            self.states.push((seconds(now), code(state)));
        }
    }

    /// The system gives an alert.
    pub(crate) fn alert(&mut self, now: Nanos) {
        if self.span.contains(now) && self.alerts.len() < MAX_MARKS {
            self.alerts.push(seconds(now));
        }
    }

    /// The run is over.
    pub(crate) fn finish(self) -> TimelineData {
        let each = |of: &dyn Fn(&Bin) -> u32| self.bins.iter().map(of).collect();
        TimelineData {
            from: seconds(self.span.from),
            width: seconds(self.width),
            arrived: each(&|bin| bin.arrived),
            admitted: each(&|bin| bin.admitted),
            bad: each(&|bin| bin.bad),
            p50: each(&|bin| bin.quantile(0.5)),
            p99: each(&|bin| bin.quantile(0.99)),
            states: self.states,
            alerts: self.alerts,
        }
    }
}

impl Bin {
    const EMPTY: Self = Self {
        arrived: 0,
        admitted: 0,
        bad: 0,
        latencies: [0; BUCKETS],
    };

    /// In milliseconds; 0 if nothing was sent.
    fn quantile(&self, quantile: f64) -> u32 {
        let rank = (f64::from(self.admitted) * quantile).ceil() as u32;
        let mut seen = 0;
        let found = self.latencies.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        match found {
            Some(bucket) if self.admitted > 0 => {
                2f64.powf(bucket as f64 / PER_OCTAVE).ceil() as u32
            }
            _ => 0,
        }
    }
}

/// Eight buckets an octave from 1 ms on: latencies to a tenth, in little memory, which a histogram
/// for each bin would not be.
fn bucket(latency: Nanos) -> usize {
    let millis = latency as f64 / MILLI as f64;
    ((millis.max(1.0).log2() * PER_OCTAVE) as usize).min(BUCKETS - 1)
}

const fn code(state: State) -> u8 {
    match state {
        State::Closed => 0,
        State::Shedding => 1,
        State::HalfOpen => 2,
        State::Open => 3,
    }
}

/// About how many bins a timeline has, as many as a page shows well.
const BINS: u64 = 400;
const PER_OCTAVE: f64 = 8.0;
/// Up to 5 s, the timeout: 2^12.3 ms.
const BUCKETS: usize = 104;
/// States and alerts beyond these are left out.
const MAX_MARKS: usize = 2000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::find;

    #[test]
    fn bins_count_what_arrived_in_them() {
        let scenario = find("S04c").unwrap().build(1);
        let mut timeline = Timeline::new(&scenario);
        let (from, width) = (timeline.span.from, timeline.width);
        timeline.count(from, CallerResult::Good, Some(20 * MILLI));
        timeline.count(from + width - 1, CallerResult::Bad, Some(5000 * MILLI));
        timeline.count(from + width, CallerResult::Rejected { good: true }, None);
        timeline.count(from - 1, CallerResult::Good, Some(MILLI));
        timeline.enter(State::Open, from - 1);
        timeline.enter(State::Closed, from + 1);
        let data = timeline.finish();
        assert_eq!((data.arrived[0], data.admitted[0], data.bad[0]), (2, 2, 1));
        assert_eq!((data.arrived[1], data.admitted[1]), (1, 0));
        assert!((19..=22).contains(&data.p50[0]), "{}", data.p50[0]);
        assert!((4500..=5500).contains(&data.p99[0]), "{}", data.p99[0]);
        assert_eq!(
            data.states.iter().map(|state| state.1).collect::<Vec<_>>(),
            [3, 0]
        );
    }
}
