//! The usual share: learned while nothing is wrong, declared by the policy, or accepted after
//! hours.

use super::SignalDetector;
use crate::baseline::SignalBaseline;
use crate::detector::UsualChange;
use crate::detector::baseline::{Bounds, normal_at_most, usual_at_most};
use crate::detector::calm::NEAR;
use crate::detector::settled::Span;
use crate::detector::slow::Slow;
use crate::detector::usual::{Alarmed, MOST, midway_to_total};
use crate::policy::Signal;
use crate::ratio::Ratio;
use crate::time::Timestamp;

impl SignalDetector {
    /// Declares this share of hits as usual, whatever was learned.
    pub(in crate::detector) fn declare(&mut self, usual: f64) {
        self.declared = usual;
        self.settle_bounds();
    }

    #[inline]
    pub(super) fn learn(&mut self, hit: bool, count: u32, at: Timestamp) -> bool {
        let turns = if self.alarming {
            self.alarmed.learn(hit, count, at)
        } else {
            self.baseline.learn(hit, count, at)
        };
        turns && self.turn(at)
    }

    /// Ten seconds have passed: learns what was observed in them. Returns whether there is a change
    /// to report.
    #[cold]
    fn turn(&mut self, at: Timestamp) -> bool {
        self.baseline.pass(at);
        self.alarmed.pass(at);
        let passed = self.baseline.take_passed().and(self.alarmed.take_passed());
        if let Some(slow) = &mut self.slow {
            // These observations were made before the present one, which ends the ten seconds.
            slow.observe(passed, self.pace.last().min(at), &self.pace);
        }
        if let Some(near) = self.near_normal() {
            self.calm.observe(passed, near);
        }
        self.spoiled |= self.alarming || self.is_slow();
        if let Some(block) = self.settled.count(passed, at) {
            let spoiled = std::mem::take(&mut self.spoiled);
            self.calm.end_block(spoiled);
            if !spoiled && self.tells {
                let made = || Slow::new(self.signal, self.run_length, self.family_size);
                let slow = self.slow.get_or_insert_with(made);
                slow.learn(block, self.declared);
            }
            self.judge_usual();
        }
        self.take_over_baseline();
        self.change.is_some()
    }

    /// Accepts the share of the last blocks if they are all alike and the share is above what is
    /// normal, or far below the accepted share.
    fn judge_usual(&mut self) {
        let Some(span) = self.settled.steady() else {
            return;
        };
        let (low, high) = span.bounds();
        let cap = self.baseline.bounds().cap;
        let normal = normal_at_most(span.hits, span.observations);
        let slowly = |slow: &Slow| slow.is_alarming() && normal > slow.normal();
        let rises = (self.alarming || 1.5 * low > cap) && normal > cap
            || self.slow.as_deref().is_some_and(slowly);
        let falls = self
            .accepted
            .is_some_and(|accepted| 1.5 * high < accepted && cap > self.bounds.cap);
        if span.share() <= MOST && (falls || rises) {
            self.accept(span);
        }
        if !self.alarming && !self.is_slow() {
            self.usual = Some(span.share());
        }
    }

    /// From now on, the share in `span` is usual. The evidence against it is discarded.
    fn accept(&mut self, span: Span) {
        let before = self.usual.or(self.accepted);
        self.accepted = (1.5 * span.share() > self.bounds.cap).then(|| span.share());
        self.usual = Some(span.share());
        self.baseline.restore(span.observations, span.hits);
        self.alarmed = Alarmed::new();
        self.calm.restart();
        self.settle_bounds();
        for scale in &mut self.scales {
            scale.reset();
        }
        if let Some(slow) = &mut self.slow {
            slow.accept(span, self.declared);
        }
        self.alarming = false;
        let share = |value| Ratio::new(value).unwrap_or(Ratio::ONE);
        self.change = Some(UsualChange {
            signal: self.signal,
            before: before.map(share),
            now: share(span.share()),
        });
    }

    /// The change of the usual share, if it has not been reported yet.
    pub(in crate::detector) fn take_change(&mut self) -> Option<UsualChange> {
        self.change.take()
    }

    fn settle_bounds(&mut self) {
        let known = self.accepted.unwrap_or_default().max(self.declared);
        self.baseline.set_bounds(Bounds {
            floor: (1.5 * self.declared).max(self.bounds.floor),
            cap: (2.0 * known).clamp(self.bounds.cap, MOST_NORMAL),
        });
        self.take_over_baseline();
    }

    /// The share of hits by which the scales judge: what is normal at most, or less where what was
    /// accepted as usual has kept still for long.
    pub(super) fn judged_normal(&self) -> f64 {
        let normal = self.baseline.share();
        let near = self.near_normal().filter(|_| self.calm.is_long());
        near.map_or(normal, |near| {
            let least = self.baseline.bounds().floor.max(self.bounds.cap);
            normal.min(near.max(least))
        })
    }

    /// How much is normal where an accepted share of failures keeps still. Other signals vary with
    /// the load.
    fn near_normal(&self) -> Option<f64> {
        let accepted = self.accepted.filter(|_| self.signal == Signal::Errors)?;
        let (observations, hits) = self.baseline.learned();
        Some(NEAR * usual_at_most(hits, observations).max(accepted))
    }

    /// Whether there is an alarm only because what is normal is bounded: its share is no more than
    /// all that was learned would have as normal. There were no steady hours yet, and total failure
    /// is never usual.
    pub(in crate::detector) fn may_be_usual(&self) -> bool {
        let (observations, hits) = self.baseline.learned();
        let seems_normal = normal_at_most(hits, observations);
        let mut alarming = self.scales.iter().filter(|scale| scale.is_alarming());
        self.alarming
            && self.usual.is_none()
            && alarming.all(|scale| {
                let estimate = scale.estimate();
                estimate.low <= seems_normal.min(MOST)
            })
    }

    /// The share of hits that is usual, normal or not; 0, if nothing is known.
    pub(in crate::detector) fn usual(&self) -> f64 {
        self.alarmed.usual(&self.baseline).max(self.declared)
    }

    /// The baseline.
    pub(in crate::detector) fn learned(&self) -> Option<SignalBaseline> {
        let (observations, hits) = self.baseline.learned();
        SignalBaseline::new(self.signal, observations, hits).ok()
    }

    /// What was learned to be normal; nothing where a share was declared or accepted.
    pub(in crate::detector) const fn learned_for_fleet(&self) -> (f64, f64) {
        match self.accepted.is_some() || self.declared > 0.0 {
            true => (0.0, 0.0),
            false => self.baseline.learned(),
        }
    }

    /// Begins with an earlier baseline.
    pub(in crate::detector) fn restore(&mut self, learned: &SignalBaseline) {
        let (observations, hits) = (learned.observations(), learned.hits());
        // A share above the cap was learned only if it was accepted or never gave an alarm.
        let share = (hits / observations.max(1.0)).min(MOST);
        self.accepted = (1.5 * share > self.bounds.cap).then_some(share);
        self.usual = (observations >= 1.0).then_some(share);
        self.baseline.restore(observations, hits);
        self.settle_bounds();
    }

    pub(super) fn take_over_baseline(&mut self) {
        let normal = self.judged_normal();
        for scale in &mut self.scales {
            scale.set_normal(normal);
        }
        self.unusual = midway_to_total(self.usual());
    }
}

/// A share above this is never normal.
const MOST_NORMAL: f64 = 0.8;
