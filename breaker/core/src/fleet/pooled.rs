//! The pooled detector of one signal of one route: the counts of all instances together.
//!
//! In a slice instance i has nᵢ requests and xᵢ hits, and takes the share p0ᵢ for normal. With the
//! alternative q of the time scale,
//!
//! ```text
//! lᵢ = xᵢ·ln(q/p0ᵢ) + (nᵢ − xᵢ)·ln((1 − q)/(1 − p0ᵢ))
//! Lᵢ = min(lᵢ, 2h/5)         no instance is more than two fifths of an alarm in a slice
//! L  = min(Σ Lᵢ, h/2)        no slice is more than half of an alarm
//! R  = (1 + R)·exp(L)        Shiryaev–Roberts
//! cᵢ += Lᵢ,  W = Σ cᵢ        since the change
//! alarm: ln(1 + R) ≥ h  and  W − Σ top_f(cᵢ⁺) ≥ h
//! h  = ln(J·ARL/Δ)
//! ```
//!
//! in nats, where Δ is the length of a slice, J the number of detectors of the route, ARL the
//! policy's run length, and top_f the f largest. A slice without a request is no evidence: it
//! changes nothing, but evidence fades over it as it does locally. Within a slice, R·exp(L so far)
//! is a supermartingale too, if it does not depend on an outcome when it is reported. So an alarm
//! need not wait for the end of the slice ([`Pooled::look`]).
//!
//! # The promise
//! Let a set S of at most f instances send whatever they like, and let the others, given the past,
//! be independent, and each hit no oftener than its p0ᵢ. Then exp(Σ_{i∉S} lᵢ) has a mean of at most
//! 1 in each slice. So the sum over all starts of its products is a Shiryaev–Roberts statistic R_S
//! with `P(R_S ever reaches exp(h) within n slices) ≤ n·exp(−h)` (Shin, Ramdas, Rinaldo, arXiv
//! 2203.03532). `W − Σ top_f(cᵢ⁺)` is `Σ_{i∉S} cᵢ` at most, which is the log-likelihood ratio since
//! one start, and so ln(R_S) at most, *whichever* start that is. So each alarm is one of R_S too,
//! and with the union over J detectors the probability of a false alarm within t is at most
//! t / ARL. The caps only lower the statistic. (Sums of the statistics of single instances, Mei,
//! Biometrika 97 (2010) 419, would also be safe under dependence, but take seven seconds where this
//! takes one.)
//!
//! Nobody knows S, but it takes no union over all sets: the alarm must hold without the *largest*
//! f, and so without S. This needs an S that does not depend on what the others see. Who could
//! corrupt an instance after a look at the others would have N^f choices.
//!
//! What it does not cover: dependence. A shock that all instances share is real, but may be short;
//! for that there are the caps (no alarm comes from fewer than 3 + f instances' slices), and the
//! floor of p0. And an instance that claims healthy requests which it does not have can hide a
//! fault: then each replica is as good as alone.
//!
//! # When a change begins
//! `W ≤ 0` is a new start. So is `W − Σ top_f(cᵢ⁺) ≤ −h/2`: else one liar would keep W above 0 for
//! ever, the evidence of the others would sink without a bound, and the next outage would not be
//! seen for hours. By the above the promise holds for any rule of starting.
//!
//! Evidence is kept in whole units of 2^−16 nats: sums of integers do not depend on their order.

mod normal;
mod part;
mod scale;

use std::time::Duration;

pub(super) use self::normal::pool_normals;
pub(super) use self::part::Part;
use self::part::units;
pub(super) use self::part::{UNIT, ratio};
use self::scale::{PooledScale, Since};
use super::verdict::Numbers;
use crate::detector::{Pace, line_of};
use crate::ratio::Ratio;
use crate::time::Timestamp;

/// The shortest slice.
pub(super) const SLICE: Duration = Duration::from_millis(500);

/// A time scale: how many of the shortest slices are one of its own, and its alternative.
struct Scale {
    slices: u64,
    alternative: f64,
}

const fn scale(slices: u64, alternative: f64) -> Scale {
    Scale {
        slices,
        alternative,
    }
}

const SCALES: [Scale; 4] = [
    scale(1, 0.9),
    scale(4, 0.5),
    scale(10, 0.2),
    scale(20, 0.06),
];

/// Detectors of a signal, for the budget.
pub(super) const DETECTORS: usize = SCALES.len();

/// The detector.
#[derive(Clone, Debug)]
pub(super) struct Pooled {
    scales: [PooledScale; SCALES.len()],
    pace: Pace,
}

/// What a slice is judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) run_length: Duration,
    /// J.
    pub(super) detectors: usize,
    /// f.
    pub(super) left_out: usize,
}

impl Pooled {
    pub(super) fn new(now: Timestamp) -> Self {
        let scale = PooledScale {
            began: now,
            heard: now,
            ..PooledScale::default()
        };
        Self {
            scales: std::array::from_fn(|_| scale.clone()),
            pace: Pace::default(),
        }
    }

    /// Ends the `number`-th slice, of `parts`, with what they are called. Returns those that stand
    /// out from now on.
    pub(super) fn end_slice<K: Copy>(
        &mut self,
        parts: &mut [(K, &mut Part)],
        number: u64,
        rules: &Rules,
        now: Timestamp,
    ) -> Vec<K> {
        let mut outliers = Vec::new();
        let mut heard = false;
        let rests = !self.is_alarming();
        for (index, scale) in SCALES.iter().enumerate() {
            if !number.is_multiple_of(scale.slices) {
                continue;
            }
            let state = &mut self.scales[index];
            let line = units(line_of(rules.run_length, slice_of(scale), rules.detectors)) + 1;
            state.line = f64::from(line) / UNIT;
            let is_silent = |(_, part): &(K, &mut Part)| part.scales[index].observations == 0;
            if parts.iter().all(is_silent) {
                state.began = now;
                continue;
            }
            heard = true;
            let left = self.pace.fading(nanos_between(state.heard, state.began));
            let (mut sum, mut any_hits) = (0_i64, false);
            for (name, part) in &mut *parts {
                let live = &mut part.scales[index];
                if left < 1.0 {
                    live.evidence = (f64::from(live.evidence) * left) as i32;
                }
                if live.observations == 0 {
                    continue;
                }
                let slice = std::mem::take(&mut live.observations);
                let hits = std::mem::take(&mut live.hits);
                any_hits |= hits > 0;
                let ratio = ratio(slice, hits, part.normal(), scale.alternative);
                let ratio = ratio.min(most_of_one(line));
                sum += i64::from(ratio);
                let live = &mut part.scales[index];
                live.evidence = live.evidence.saturating_add(ratio);
                live.all_observations = live.all_observations.saturating_add(slice);
                live.all_hits = live.all_hits.saturating_add(hits);
                if index == OF_OUTLIERS && part.stand_out(ratio, line) && rests {
                    outliers.push(*name);
                }
            }
            state.add(sum, left);
            if any_hits {
                state.last_hit = now;
            }
            state.settle(parts, index, rules.left_out, now);
            (state.heard, state.began) = (now, now);
        }
        // After the scales: this gap must not say how fast evidence fades over itself.
        if heard && self.pace.turns(now) {
            self.pace.turn(now);
        }
        outliers
    }

    /// Whether [`Self::look`] could find something.
    pub(super) fn may_alarm(&self, now: Timestamp) -> bool {
        self.scales.iter().any(|state| state.is_worth_a_look(now))
    }

    /// Raises the alarms that the live slices of `parts` already suffice for, and counts these for
    /// alarms that have just begun. Returns whether there was one.
    pub(super) fn look<K>(
        &mut self,
        parts: &[(K, &mut Part)],
        left_out: usize,
        now: Timestamp,
    ) -> bool {
        let mut news = false;
        for (index, (scale, state)) in SCALES.iter().zip(&mut self.scales).enumerate() {
            if !state.is_worth_a_look(now) {
                continue;
            }
            let left = self.pace.fading(nanos_between(state.heard, state.began));
            let line = units(state.line);
            let (mut live_sum, mut since) = (0_i64, Since::default());
            let mut any_hits = false;
            for (_, part) in parts {
                let of = &part.scales[index];
                any_hits |= of.hits > 0;
                let ratio = match of.observations {
                    0 => 0,
                    all => {
                        ratio(all, of.hits, part.normal(), scale.alternative).min(most_of_one(line))
                    }
                };
                live_sum += i64::from(ratio);
                let faded = (f64::from(of.evidence) * left) as i32;
                since.add(
                    faded.saturating_add(ratio),
                    of.all_observations.saturating_add(of.observations),
                    of.all_hits.saturating_add(of.hits),
                    left_out,
                );
            }
            let evidence = state.after(live_sum, left);
            let without = since.without_the_largest();
            if evidence >= state.line && without.evidence >= state.line {
                state.alarming = true;
                state.since.get_or_insert(state.began);
                if any_hits {
                    state.last_hit = now;
                }
                state.show(evidence, &without);
                news = true;
            }
        }
        news
    }

    /// Forgets all evidence, with that of its parts.
    pub(super) fn forget(&mut self) {
        for scale in &mut self.scales {
            (scale.evidence, scale.left, scale.since) = (0.0, 0.0, None);
            scale.shown = 0.0;
            (scale.observations, scale.hits, scale.alarming) = (0, 0, false);
        }
    }

    /// Whether a scale has an alarm.
    pub(super) fn is_alarming(&self) -> bool {
        self.scales.iter().any(|scale| scale.alarming)
    }

    /// The numbers of the alarm whose share is largest, surely, since when it is so, and when hits
    /// last counted.
    pub(super) fn alarm(&self) -> Option<(Numbers, Timestamp, Timestamp)> {
        let alarming = self.scales.iter().filter(|scale| scale.alarming);
        let largest = alarming.max_by(|a, b| a.bounds().0.total_cmp(&b.bounds().0))?;
        let (low, high) = largest.bounds();
        let share = |value| Ratio::new(value).unwrap_or(Ratio::ONE);
        let numbers = Numbers {
            observations: largest.observations,
            hits: largest.hits,
            low: share(low),
            high: share(high),
            normal: Ratio::ZERO,
            evidence: largest.shown,
            line: largest.line,
        };
        let since = largest.since.unwrap_or(largest.began);
        Some((numbers, since, largest.last_hit))
    }

    /// The evidence and the line of the scale that is nearest to an alarm.
    pub(super) fn nearest(&self) -> (f64, f64) {
        let of = |scale: &PooledScale| (scale.shown.max(0.0), scale.line);
        let reached = |(evidence, line): (f64, f64)| evidence / line.max(1.0);
        let scales = self.scales.iter().map(of);
        let nearest = scales.max_by(|a, b| reached(*a).total_cmp(&reached(*b)));
        nearest.unwrap_or_default()
    }

    /// The evidence and the line of a scale, for tests.
    #[cfg(test)]
    pub(super) fn evidence(&self) -> [(f64, f64, f64); SCALES.len()] {
        let of = |index: usize| {
            let scale = &self.scales[index];
            (scale.evidence, scale.left, scale.line)
        };
        std::array::from_fn(of)
    }
}

/// The most that an instance adds in a slice. Two such slices are no alarm, and three are one, even
/// if the evidence has faded a little between them.
const fn most_of_one(line: i32) -> i32 {
    line / 5 * 2
}

fn slice_of(scale: &Scale) -> Duration {
    SLICE * scale.slices as u32
}

fn nanos_between(earlier: Timestamp, later: Timestamp) -> u64 {
    later.as_nanos().saturating_sub(earlier.as_nanos())
}

/// The scale by which instances stand out: half of all requests, in two seconds.
const OF_OUTLIERS: usize = 1;
/// f, at most.
pub(super) const MOST_LEFT_OUT: usize = 5;
