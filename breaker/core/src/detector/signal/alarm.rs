//! Which scale has an alarm, and with which share of hits.

use std::time::Duration;

use super::SignalDetector;
use crate::detector::Anomaly;
use crate::detector::sequential_test::SequentialTest;
use crate::detector::slow::Slow;
use crate::ratio::Ratio;

impl SignalDetector {
    /// The upper bound of the normal share of hits.
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

    /// The anomaly: there is an alarm, the lower bound of the share of hits is `at_least` or more,
    /// and the change has lasted for `blip` or longer.
    pub(in crate::detector) fn alarm(&self, at_least: Ratio, blip: Duration) -> Option<Anomaly> {
        if !self.alarming {
            let slow = self.slow.as_ref().filter(|slow| slow.is_alarming())?;
            return (at_least == Ratio::ZERO).then(|| self.told_slowly(slow));
        }
        let alarming = self.alarming(at_least, blip);
        let clearest = alarming.max_by(|a, b| a.evidence().total_cmp(&b.evidence()))?;
        Some(self.told(clearest))
    }

    /// Whether [`Self::alarm`] returns an anomaly.
    pub(in crate::detector) fn has_alarm(&self, at_least: Ratio, blip: Duration) -> bool {
        if self.alarming {
            self.alarming(at_least, blip).next().is_some()
        } else {
            at_least == Ratio::ZERO && self.is_slow()
        }
    }

    fn alarming(&self, at_least: Ratio, blip: Duration) -> impl Iterator<Item = &SequentialTest> {
        // A share that is usual here must not open the breaker.
        let least = at_least.get().max(self.unusual);
        let lasts = move |scale: &&SequentialTest| {
            // Until the latest hit, not until now: a fault that is over does not get longer.
            blip == Duration::ZERO || self.last_hit.saturating_since(scale.estimate().since) >= blip
        };
        self.scales.iter().filter(lasts).filter(move |scale| {
            if at_least == Ratio::ZERO {
                return scale.is_alarming();
            }
            // On its own, the finest scale raises an alarm only for near-total failure. If another
            // scale has an alarm, the finest may show the share that is asked for.
            let speaks = scale.is_alarming() || scale.evidence() >= scale.line();
            speaks && scale.is_at_least(least)
        })
    }

    /// The result of the scale that is nearest to its alarm threshold.
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
            normal: share(self.judged_normal()),
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
