//! Whether a route has an alarm, and opens.

use std::collections::VecDeque;

use super::super::acting::opens_from;
use super::super::aggregator::FleetEvent;
use super::super::pooled::{DETECTORS, Part, Rules, pool_normals};
use super::super::report::InstanceId;
use super::super::verdict::Numbers;
use super::{ABOVE_USUAL, Cause, Counted, LEAST_QUORUM, Slice, Track};
use crate::policy::Signal;
use crate::ratio::Ratio;
use crate::rng::Rng;
use crate::time::Timestamp;

impl Track {
    /// Lets the detectors judge the slice.
    pub(super) fn end_detection(
        &mut self,
        counted: &[Counted],
        left_out: usize,
        slice: &Slice<'_>,
        events: &mut VecDeque<FleetEvent>,
    ) {
        let now = slice.now;
        let rules = Rules {
            run_length: self.route.policy.false_alarm_budget().run_length(),
            detectors: DETECTORS * self.signals.len(),
            left_out,
        };
        for of in &mut self.signals {
            let mut parts = select(&mut of.parts, counted);
            let outliers = of.pooled.end_slice(&mut parts, slice.number, &rules, now);
            let well = !of.pooled.is_alarming();
            events.extend(outliers.into_iter().filter(|_| well).map(|instance| {
                FleetEvent::ReplicaOutlier {
                    at: now,
                    name: self.route.name.clone(),
                    signal: of.signal,
                    instance,
                }
            }));
        }
    }

    /// Whether the live slice is already enough for an alarm.
    pub(super) fn has_early_alarm(
        &mut self,
        counted: &[Counted],
        left_out: usize,
        now: Timestamp,
    ) -> bool {
        let mut alarms = false;
        for of in &mut self.signals {
            let parts = select(&mut of.parts, counted);
            alarms |= of.pooled.look(&parts, left_out, now);
        }
        alarms
    }

    /// Settles what is normal by what all have learned.
    pub(super) fn pool_normals(&mut self, counted: &[Counted], left_out: usize) {
        for of in &mut self.signals {
            pool_normals(&mut select(&mut of.parts, counted), left_out);
        }
    }

    /// Decides what follows from the alarms that there are.
    pub(super) fn decide(
        &mut self,
        counted: &[Counted],
        left_out: usize,
        now: Timestamp,
        rng: &mut Rng,
        events: &mut VecDeque<FleetEvent>,
    ) {
        let was_alarming = self.cause.is_some();
        self.cause = None;
        let mut opens = false;
        for of in &mut self.signals {
            let Some((mut numbers, since, last_hit)) = of.pooled.alarm() else {
                continue;
            };
            let parts = counted.iter().map(|member| &of.parts[member.slot]);
            let normal = median(parts.map(Part::normal));
            numbers.normal = Ratio::new(normal).unwrap_or(Ratio::ONE);
            let asked = opens_from(&self.route.policy, of.signal, normal / ABOVE_USUAL);
            let this_opens = asked.is_some_and(|asked| {
                numbers.low >= asked.at_least && last_hit.saturating_since(since) >= asked.blip
            });
            if self.cause.is_none() || this_opens && !opens {
                self.cause = Some(Cause {
                    signal: of.signal,
                    numbers,
                    since,
                });
            }
            opens |= this_opens;
        }
        if opens {
            self.open(rng, events, now);
        } else if self.cause.is_none() && self.is_open_already(counted, left_out) {
            // The aggregator before this one opened, and has told all: its verdict goes on.
            self.cause = Some(Cause {
                signal: self.signals.first().map_or(Signal::Errors, |of| of.signal),
                numbers: Numbers::default(),
                since: now,
            });
            self.open(rng, events, now);
        } else if self.cause.is_some() && !was_alarming {
            events.push_back(FleetEvent::AlarmBegan {
                at: now,
                name: self.route.name.clone(),
            });
        }
    }

    /// Whether half of those that report are open and led, and more than may lie.
    fn is_open_already(&self, counted: &[Counted], left_out: usize) -> bool {
        let reporting = counted.iter().filter(|member| member.reports);
        let led = reporting.clone().filter(|member| {
            let standing = self.standings[member.slot];
            standing.led && standing.rejects
        });
        let (led, reporting) = (led.count(), reporting.count());
        reporting >= LEAST_QUORUM && led > left_out && 2 * led >= reporting
    }
}

/// The parts of those that count.
fn select<'a>(parts: &'a mut [Part], counted: &[Counted]) -> Vec<(InstanceId, &'a mut Part)> {
    let mut names = vec![None; parts.len()];
    for member in counted {
        names[member.slot] = Some(member.id);
    }
    let named = parts.iter_mut().zip(names);
    named
        .filter_map(|(part, name)| Some((name?, part)))
        .collect()
}

/// The median of what is normal; 0 of none.
pub(super) fn median(normals: impl Iterator<Item = f64>) -> f64 {
    let mut normals: Vec<_> = normals.collect();
    if normals.is_empty() {
        return 0.0;
    }
    let middle = normals.len() / 2;
    *normals.select_nth_unstable_by(middle, f64::total_cmp).1
}
