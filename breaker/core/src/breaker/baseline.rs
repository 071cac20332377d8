//! What a breaker has learned: taken out, put back, forgotten.

use super::Breaker;
use crate::baseline::Baseline;

impl Breaker {
    /// What the anomaly detectors of each source have learned to be usual. Not what they are just
    /// observing: that is of this moment.
    pub fn baseline(&self) -> Baseline {
        let sources = self.sources.iter();
        Baseline {
            sources: sources.filter_map(|source| source.learned()).collect(),
        }
    }

    /// Begins with what was learned before, by another breaker perhaps. A source takes what was
    /// learned of one of its name, as far as its detectors compare the same: errors always,
    /// latencies if they end at the same point, the deadline if it is the same. Returns how many
    /// sources took something.
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

    /// Forgets what the detectors have learned, and the evidence that they have against it: after a
    /// deploy, what was usual no longer is.
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
