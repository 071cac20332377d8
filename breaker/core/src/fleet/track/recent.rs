//! What was observed of late, of all instances together.

use std::collections::VecDeque;

/// Observations and hits of the last half minute.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    slices: VecDeque<(u64, u64)>,
    live: (u64, u64),
}

impl Recent {
    pub(super) const fn count(&mut self, observations: u32, hits: u32) {
        self.live.0 += observations as u64;
        self.live.1 += hits as u64;
    }

    pub(super) fn end_slice(&mut self) {
        if self.slices.len() == SLICES {
            self.slices.pop_front();
        }
        self.slices.push_back(std::mem::take(&mut self.live));
    }

    pub(super) fn sums(&self) -> (u64, u64) {
        self.slices.iter().fold(self.live, |sums, slice| {
            (sums.0 + slice.0, sums.1 + slice.1)
        })
    }

    pub(super) fn bytes(&self) -> usize {
        self.slices.capacity() * size_of::<(u64, u64)>()
    }
}

/// Of half a second: 30 s.
const SLICES: usize = 60;
