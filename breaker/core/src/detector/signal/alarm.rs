//! What there is to say: which scale has an alarm, and with which share of hits.

use std::time::Duration;

use super::SignalDetector;
use crate::detector::Anomaly;
use crate::detector::sequential_test::SequentialTest;
use crate::detector::slow::Slow;
use crate::ratio::Ratio;

impl SignalDetector {
    /// The share of hits that is normal at most.
    pub(in crate::detector) const fn normal(&self) -> f64 {
        self.baseline.share()
    }

    pub(in crate::detector) const fn is_alarming(&self) -> bool {
        self.alarming
    }

    /// Whether only the slow scale has an alarm.
    pub(in crate::detector) fn is_slow(&self) -> bool {
        !self.alarming && self.slow.as_ref().is_some_and(|slow| slow.is_alarming())
    }

    /// What there is to say, if there is an alarm with a share of hits that is `at_least`, surely,
    /// and it is no `blip`.
    pub(in crate::detector) fn alarm(&self, at_least: Ratio, blip: Duration) -> Option<Anomaly> {
        if !self.alarming {
            let slow = self.slow.as_ref().filter(|slow| slow.is_alarming())?;
            return (at_least == Ratio::ZERO).then(|| self.told_slowly(slow));
        }
        let alarming = self.alarming(at_least, blip);
        let clearest = alarming.max_by(|a, b| a.evidence().total_cmp(&b.evidence()))?;
        Some(self.told(clearest))
    }

    /// Whether [`Self::alarm`] has something to say.
    pub(in crate::detector) fn has_alarm(&self, at_least: Ratio, blip: Duration) -> bool {
        if self.alarming {
            self.alarming(at_least, blip).next().is_some()
        } else {
            at_least == Ratio::ZERO && self.is_slow()
        }
    }

    fn alarming(&self, at_least: Ratio, blip: Duration) -> impl Iterator<Item = &SequentialTest> {
        // Near-total is relative: what is usual here must not open.
        let least = at_least.get().max(self.unusual);
        let lasts = move |scale: &&SequentialTest| {
            // To the latest hit, not to now: what is over gets no longer.
            blip == Duration::ZERO || self.last_hit.saturating_since(scale.estimate().since) >= blip
        };
        self.scales.iter().filter(lasts).filter(move |scale| {
            if at_least == Ratio::ZERO {
                return scale.is_alarming();
            }
            // The finest scale raises no alarm before it is sure of near-total failure; beside
            // another's it may be as sure as is asked.
            let speaks = scale.is_alarming() || scale.evidence() >= scale.line();
            speaks && scale.is_at_least(least)
        })
    }

    /// What the scale says that is nearest to an alarm.
    pub(in crate::detector) fn score(&self) -> Option<Anomaly> {
        if let Some(slow) = self.slow.as_ref().filter(|_| self.is_slow()) {
            return Some(self.told_slowly(slow));
        }
        let share = |scale: &SequentialTest| scale.evidence() / scale.line();
        let nearest = self
            .scales
            .iter()
            .max_by(|a, b| share(a).total_cmp(&share(b)))?;
        Some(self.told(nearest))
    }

    fn told(&self, scale: &SequentialTest) -> Anomaly {
        let estimate = scale.estimate();
        let share = |value| Ratio::new(value).unwrap_or(Ratio::ONE);
        Anomaly {
            signal: self.signal,
            share: share(estimate.hits / estimate.observations.max(1e-9)),
            low: share(scale.low()),
            high: share(estimate.high),
            normal: share(self.baseline.share()),
            observations: estimate.observations.round() as u64,
            since: estimate.since,
            evidence: scale.evidence(),
            line: scale.line(),
            alarming: self.alarming,
            usual: share(self.slow.as_ref().map_or(self.usual(), |slow| slow.usual())),
            slow: false,
            crept: None,
        }
    }

    fn told_slowly(&self, slow: &Slow) -> Anomaly {
        let normal = Ratio::new(slow.normal()).unwrap_or(Ratio::ONE);
        Anomaly {
            normal,
            alarming: true,
            slow: true,
            ..self.told(slow.scale())
        }
    }
}
