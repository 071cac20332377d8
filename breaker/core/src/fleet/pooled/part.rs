//! What one instance adds to a pooled detector.

use super::super::report::SignalReport;
use super::SCALES;
use crate::detector::{ALARM_ENDS, log_ratios};

/// What one instance adds to the detector of a signal.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::fleet) struct Part {
    pub(super) scales: [ScalePart; SCALES.len()],
    /// The evidence of this instance alone, as a CUSUM of [`OF_OUTLIERS`], held at the line.
    alone: i32,
    /// In 1/10,000; 0 while it is not known.
    normal: u16,
    /// The same by what all have learned.
    pooled_normal: u16,
    /// From how many observations it has learned, and how many hits these had.
    learned: (u32, u32),
    is_outlier: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ScalePart {
    /// Of the live slice.
    pub(super) observations: u32,
    pub(super) hits: u32,
    /// Since the change: the evidence cᵢ, and the observations and hits that it comes from.
    pub(super) evidence: i32,
    pub(super) all_observations: u32,
    pub(super) all_hits: u32,
}

impl Part {
    /// Adds what was reported.
    pub(in crate::fleet) fn count(&mut self, report: &SignalReport) {
        for scale in &mut self.scales {
            scale.observations = scale.observations.saturating_add(report.observations);
            scale.hits = scale.hits.saturating_add(report.hits);
        }
    }

    /// Takes in what the instance has learned to be normal.
    pub(in crate::fleet) const fn learn(&mut self, report: &SignalReport) {
        if report.normal > 0 {
            self.normal = report.normal;
        }
        if let Some(observations) = report.learned {
            self.learned = (observations, report.learned_hits);
            if observations == 0 {
                // Withdrawn, as where a share was accepted: that counts from now on.
                self.pooled_normal = 0;
            }
        }
    }

    /// From how many observations the instance has learned, and how many hits these had, if it has
    /// told.
    pub(super) fn learned(&self) -> Option<(f64, f64)> {
        let (observations, hits) = self.learned;
        (observations > 0).then(|| (observations.into(), hits.into()))
    }

    /// Sets the share that is normal by what all have learned.
    pub(super) fn set_pooled_normal(&mut self, share: Option<f64>) {
        let share = share.map(|share| share.clamp(LEAST_POOLED, 1.0) * PARTS);
        self.pooled_normal = share.map_or(0, |share| share.ceil() as u16);
    }

    /// The share that is normal for this instance, within the bounds of what may be.
    pub(in crate::fleet) fn normal(&self) -> f64 {
        let known = match self.normal {
            0 => UNKNOWN_NORMAL,
            known => f64::from(known) / PARTS,
        };
        let known = known.clamp(LEAST_NORMAL, MOST_NORMAL);
        match self.pooled_normal {
            0 => known,
            pooled => known.min(f64::from(pooled) / PARTS),
        }
    }

    /// What the live slice of the shortest scale has.
    pub(in crate::fleet) const fn live(&self) -> (u32, u32) {
        (self.scales[0].observations, self.scales[0].hits)
    }

    /// Forgets all but what is normal.
    pub(in crate::fleet) fn forget_evidence(&mut self) {
        *self = Self {
            normal: self.normal,
            pooled_normal: self.pooled_normal,
            learned: self.learned,
            ..Self::default()
        };
    }

    /// Whether it sees what the others don't.
    pub(in crate::fleet) const fn stands_out(&self) -> bool {
        self.is_outlier
    }

    /// Follows the evidence of this instance alone. Returns whether it stands out from now on.
    pub(super) fn stand_out(&mut self, ratio: i32, line: i32) -> bool {
        self.alone = self.alone.saturating_add(ratio).clamp(0, line);
        let was = self.is_outlier;
        self.is_outlier = if was {
            f64::from(self.alone) >= ALARM_ENDS * f64::from(line)
        } else {
            self.alone >= line
        };
        self.is_outlier && !was
    }
}

/// The log-likelihood ratio of a slice of an instance, in units.
pub(in crate::fleet) fn ratio(observations: u32, hits: u32, normal: f64, alternative: f64) -> i32 {
    let (hit, miss) = log_ratios(alternative, TIMES, normal);
    let hits = hits.min(observations);
    let ratio = f64::from(hits) * hit + f64::from(observations - hits) * miss;
    units(ratio)
}

/// Rounds down; saturates.
pub(super) fn units(nats: f64) -> i32 {
    (nats * UNIT).floor() as i32
}

/// Units a nat.
pub(in crate::fleet) const UNIT: f64 = 65_536.0;
/// The alternative is so many times what is normal at least, as locally.
const TIMES: f64 = 2.0;
/// Of a share that is in 1/10,000.
const PARTS: f64 = 10_000.0;
/// No share below it is normal, nor one above.
const LEAST_NORMAL: f64 = 0.01;
/// Nor below this, by what all have learned: then three failures in a row of three instances are an
/// alarm of the shortest scale, and one more for each that may lie.
const LEAST_POOLED: f64 = 0.002;
const MOST_NORMAL: f64 = 0.8;
/// Of an instance that has not said what is normal.
const UNKNOWN_NORMAL: f64 = 0.02;
