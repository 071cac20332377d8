//! The sending side of one route of one instance: differences of the breaker's counters.
//!
//! The request path counts nothing for the fleet. Each half second, and sooner after a silence, the
//! reporter reads what the breaker counts anyway, and remembers the last differences: they are the
//! own evidence that may contradict a verdict.

use std::collections::VecDeque;

use super::report::{ProbeReport, RouteReport, SIGNALS, SignalReport};
use crate::policy::Signal;
use crate::state::State;
use crate::time::Timestamp;

/// What a breaker has counted of its own requests, of [`Breaker::fleet_counts`]. All of it only
/// grows, except for `probes`, which begin again with each trial.
///
/// [`Breaker::fleet_counts`]: crate::Breaker::fleet_counts
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct FleetCounts {
    /// Requests that asked to be admitted.
    pub arrivals: u64,
    /// What was observed, by [`Signal`].
    pub signals: [SignalCounts; SIGNALS],
    /// Outcomes of the probes of the live trial.
    pub probes: ProbeReport,
    /// Which trial that is.
    pub(crate) epoch: u32,
    /// The state.
    pub state: State,
    /// Whether the fleet leads the recovery.
    pub led: bool,
}

/// Hits and misses of a signal since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SignalCounts {
    /// Requests.
    pub observations: u64,
    /// Of these, hits.
    pub hits: u64,
    /// The share of hits that is normal.
    pub normal: f64,
    /// From how many observations that was learned, faded; 0 where the fleet must not lower it.
    pub learned: f64,
    /// Of these, hits.
    pub learned_hits: f64,
}

/// Builds the reports of one route.
#[derive(Clone, Debug, Default)]
pub struct Reporter {
    before: FleetCounts,
    normals: [u16; SIGNALS],
    /// What was last told to be learned, and in how many full reports it was not.
    learned: [u32; SIGNALS],
    untold: u8,
    /// Whether the next report is only for requests that ended.
    only_requests: bool,
    /// When the counts were last read.
    read: Option<Timestamp>,
    /// The differences of the last half seconds, oldest first.
    past: VecDeque<Past>,
}

#[derive(Clone, Copy, Debug)]
struct Past {
    /// When it began.
    from: Timestamp,
    signals: [(u32, u32); SIGNALS],
}

impl Reporter {
    /// What has happened since the last call, of the route with this index; `None` if nothing has.
    /// With `all` there always is a report, with all that was reported before: at a heartbeat, or
    /// when the aggregator is another.
    pub fn report(
        &mut self,
        route: u16,
        counts: &FleetCounts,
        all: bool,
        now: Timestamp,
    ) -> Option<RouteReport> {
        let mut both = counts.signals.iter().zip(&self.before.signals);
        let has_requests = both.any(|(now, before)| now.observations > before.observations);
        if std::mem::take(&mut self.only_requests) && !has_requests {
            return None;
        }
        let mut report = RouteReport {
            route,
            arrivals: small(counts.arrivals.saturating_sub(self.before.arrivals)),
            state: counts.state,
            led: counts.led,
            ..RouteReport::default()
        };
        self.untold += u8::from(all);
        let tells = self.untold >= FULL_REPORTS || self.read.is_none();
        self.untold = if tells { 0 } else { self.untold };
        for (index, of) in counts.signals.iter().enumerate() {
            let before = &self.before.signals[index];
            let began_again = of.observations < before.observations;
            let none = SignalCounts::default();
            let before = if began_again { &none } else { before };
            let observations = small(of.observations.saturating_sub(before.observations));
            let hits = small(of.hits.saturating_sub(before.hits)).min(observations);
            let normal = (of.normal * PARTS).round() as u16;
            let is_news = std::mem::replace(&mut self.normals[index], normal) != normal;
            let (learned, learned_hits) = (of.learned.round(), of.learned_hits.round());
            let told = f64::from(self.learned[index]);
            let is_withdrawn = learned == 0.0 && told > 0.0;
            let is_other = !(0.75 * told..=1.25 * told).contains(&learned);
            let tells = tells || is_withdrawn || all && is_other;
            report.signals[index] = SignalReport {
                observations,
                hits,
                normal: if is_news || all { normal } else { 0 },
                learned: tells.then_some(learned as u32),
                learned_hits: match tells {
                    true => learned_hits.min(learned) as u32,
                    false => 0,
                },
            };
            if tells {
                self.learned[index] = learned as u32;
            }
        }
        let before = match self.before.epoch == counts.epoch {
            true => self.before.probes,
            false => ProbeReport::default(),
        };
        report.probes = ProbeReport {
            succeeded: counts.probes.succeeded.saturating_sub(before.succeeded),
            failed: counts.probes.failed.saturating_sub(before.failed),
        };
        let changed = (self.before.state, self.before.led) != (counts.state, counts.led);
        self.remember(&report, now);
        self.before = *counts;
        (all || changed || !report.is_empty()).then_some(report)
    }

    /// Lets the next call of [`Self::report`] report only if requests ended that were not reported
    /// yet: these are evidence, and should not wait for the next regular report. Else that call
    /// changes nothing.
    ///
    /// Hits and misses alike: if only hits hurried, the aggregator would hear the bad half of what
    /// happened first, and the bound on its false alarms would not hold.
    pub const fn only_requests(&mut self) {
        self.only_requests = true;
    }

    /// Requests of `signal` that ended since `change`, and how many of them are hits.
    pub fn since(&self, signal: Signal, change: Timestamp) -> (u64, u64) {
        let since = self.past.iter().filter(|past| past.from >= change);
        since.fold((0, 0), |sums, past| {
            let (observations, hits) = past.signals[signal as usize];
            (sums.0 + u64::from(observations), sums.1 + u64::from(hits))
        })
    }

    fn remember(&mut self, report: &RouteReport, now: Timestamp) {
        let from = self.read.replace(now).unwrap_or(Timestamp::ZERO);
        let signals = report.signals.map(|of| (of.observations, of.hits));
        if signals == <[(u32, u32); SIGNALS]>::default() {
            // Silence takes no room.
            return;
        }
        if self.past.len() == REMEMBERED {
            self.past.pop_front();
        }
        self.past.push_back(Past { from, signals });
    }
}

fn small(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A new aggregator must hear again what was learned: after so many full reports, which come each
/// two seconds.
const FULL_REPORTS: u8 = 16;
/// Half seconds with requests that are remembered.
const REMEMBERED: usize = 64;
/// Of a share that is in 1/10,000.
const PARTS: f64 = 10_000.0;
