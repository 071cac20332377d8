//! How often what was said was not followed.

use breaker_tower::breaker_core::fleet::Ignored;

/// Counts by why.
#[derive(Clone, Debug, Default)]
pub(super) struct IgnoredCounts([u64; Ignored::ALL.len()]);

impl IgnoredCounts {
    pub(super) fn add(&mut self, why: Ignored) {
        let place = Ignored::ALL.iter().position(|known| *known == why);
        if let Some(place) = place {
            self.0[place] += 1;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Ignored, u64)> {
        Ignored::ALL.into_iter().zip(self.0)
    }
}
