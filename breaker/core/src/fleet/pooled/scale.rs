//! One time scale of a pooled detector: its evidence, and its sums over the instances.

use std::time::Duration;

use super::MOST_LEFT_OUT;
use super::part::{Part, UNIT};
use crate::detector::{ALARM_ENDS, interval, shiryaev_roberts};
use crate::time::Timestamp;

#[derive(Clone, Debug, Default)]
pub(super) struct PooledScale {
    /// ln(1 + R).
    pub(super) evidence: f64,
    /// W − Σ top_f(cᵢ⁺), and h, as of the last slice.
    pub(super) left: f64,
    pub(super) line: f64,
    /// The smaller of both, as of the last slice or the look that raised the alarm.
    pub(super) shown: f64,
    /// When the change began, when the live slice did, and when the last one ended that had
    /// requests.
    pub(super) since: Option<Timestamp>,
    pub(super) began: Timestamp,
    pub(super) heard: Timestamp,
    /// When hits last counted.
    pub(super) last_hit: Timestamp,
    /// Without those that add most.
    pub(super) observations: u64,
    pub(super) hits: u64,
    pub(super) alarming: bool,
}

/// Sums over the instances since the change: W, and what it comes from.
#[derive(Debug, Default)]
pub(super) struct Since {
    pub(super) evidence: i64,
    pub(super) observations: u64,
    pub(super) hits: u64,
    /// cᵢ⁺ of those with most, with their hits and observations.
    pub(super) largest: [(i32, u32, u32); MOST_LEFT_OUT],
}

/// The same without the largest, in nats.
#[derive(Debug)]
pub(super) struct Without {
    pub(super) evidence: f64,
    pub(super) observations: u64,
    pub(super) hits: u64,
}

impl PooledScale {
    pub(super) fn add(&mut self, sum: i64, left: f64) {
        self.evidence = self.after(sum, left);
    }

    /// Shiryaev–Roberts, held at the line, after a silence that leaves this part of R.
    pub(super) fn after(&self, sum: i64, left: f64) -> f64 {
        let ratio = (sum as f64 / UNIT).min(self.line / 2.0);
        let faded = (left * self.evidence.exp_m1()).ln_1p();
        shiryaev_roberts(faded, ratio, 1.0).min(self.line)
    }

    /// Whether the live slice can make an alarm: it adds half of the line, and less than a nat for
    /// the 1 of 1 + R. Or whether more is to be known of an alarm that has just begun.
    pub(super) fn is_worth_a_look(&self, now: Timestamp) -> bool {
        let is_new = || {
            self.since
                .is_none_or(|since| now.saturating_since(since) <= NEW)
        };
        self.line > 0.0 && self.evidence >= self.line / 2.0 - 1.0 && (!self.alarming || is_new())
    }

    pub(super) fn show(&mut self, evidence: f64, without: &Without) {
        self.shown = evidence.min(without.evidence);
        (self.observations, self.hits) = (without.observations, without.hits);
    }

    /// Sums up what there is since the change, without the largest, and decides.
    pub(super) fn settle<K>(
        &mut self,
        parts: &mut [(K, &mut Part)],
        index: usize,
        left_out: usize,
        now: Timestamp,
    ) {
        let mut since = Since::default();
        for (_, part) in &*parts {
            let of = &part.scales[index];
            since.add(of.evidence, of.all_observations, of.all_hits, left_out);
        }
        let without = since.without_the_largest();
        self.left = without.evidence;
        self.show(self.evidence, &without);
        if since.evidence <= 0 || self.left <= -self.line * SUNK {
            self.start_again(parts, index);
        } else {
            self.since.get_or_insert(self.began);
        }
        if self.evidence >= self.line && self.left >= self.line {
            self.alarming = true;
        } else if self.evidence.min(self.left) < self.line * ALARM_ENDS {
            self.alarming = false;
        }
        if self.alarming && self.left > self.line {
            // Held at the line, as R is: what lasts must not take as long to be over.
            let held = self.line / self.left;
            for (_, part) in &mut *parts {
                let of = &mut part.scales[index];
                of.evidence = (f64::from(of.evidence) * held) as i32;
            }
            (self.left, self.shown) = (self.line, self.line);
        }
        self.began = now;
    }

    fn start_again<K>(&mut self, parts: &mut [(K, &mut Part)], index: usize) {
        for (_, part) in parts {
            let of = &mut part.scales[index];
            (of.evidence, of.all_observations, of.all_hits) = (0, 0, 0);
        }
        (self.left, self.since, self.observations, self.hits) = (0.0, None, 0, 0);
        self.shown = 0.0;
    }

    pub(super) fn bounds(&self) -> (f64, f64) {
        interval(self.hits as f64, self.observations as f64)
    }
}

impl Since {
    pub(super) fn add(&mut self, evidence: i32, observations: u32, hits: u32, left_out: usize) {
        self.evidence += i64::from(evidence);
        self.observations += u64::from(observations);
        self.hits += u64::from(hits);
        let largest = &mut self.largest[..left_out.min(MOST_LEFT_OUT)];
        let this = (evidence, hits, observations);
        // Smallest first.
        if let Some(smallest) = largest.first_mut()
            && this > *smallest
        {
            *smallest = this;
            largest.sort_unstable();
        }
    }

    pub(super) fn without_the_largest(&self) -> Without {
        let largest = self.largest.iter();
        let top = largest.fold((0_i64, 0_u64, 0_u64), |sums, of| {
            (
                sums.0 + i64::from(of.0),
                sums.1 + u64::from(of.1),
                sums.2 + u64::from(of.2),
            )
        });
        Without {
            evidence: (self.evidence - top.0) as f64 / UNIT,
            hits: self.hits - top.1,
            observations: self.observations - top.2,
        }
    }
}

/// An alarm whose change began so long ago at most is looked at between slices too: with a few more
/// requests its share may be large enough to open.
const NEW: Duration = Duration::from_secs(5);
/// When the evidence without the largest is so many lines below 0, it starts again.
const SUNK: f64 = 0.5;
