//! What a breaker has learned: taken out, put back, forgotten.

use super::Breaker;
use crate::baseline::Baseline;

impl Breaker {
    /// The learned baselines of the anomaly detectors of each source. Excludes the current
    /// observations.
    pub fn baseline(&self) -> Baseline {
        let sources = self.sources.iter();
        Baseline {
            sources: sources.filter_map(|source| source.learned()).collect(),
        }
    }

    /// Starts with baselines that were learned before, perhaps by another breaker. A source takes
    /// the baseline of its name, as far as its detectors compare the same: errors always, latencies
    /// if they end at the same point, the deadline if it is the same. Returns how many sources took
    /// something.
    pub fn restore_baseline(&mut self, baseline: &Baseline) -> usize {
        let mut restored = 0;
        for source in &mut self.sources {
            let mut known = baseline.sources.iter();
            let known = known.find(|known| *known.name() == source.name);
            restored += usize::from(known.is_some_and(|known| source.restore(known)));
        }
        self.follow_threshold();
        restored
    }

    /// Discards the baselines and the current evidence, for example after a deploy that changes
    /// what is normal.
    pub fn forget_baseline(&mut self) {
        for source in &mut self.sources {
            source.forget_learned(&self.policy);
        }
        self.answers.forget();
        self.share_budget();
        self.follow_threshold();
    }

    /// The bound that is learned may be another now: requests in flight may reach it sooner.
    fn follow_threshold(&mut self) {
        if self.ages() {
            self.next_ageing = self.next_to_age(self.now);
        }
    }
}
