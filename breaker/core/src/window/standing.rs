//! Answers that have begun and have not ended: those that flow.
//!
//! Each is a success in the slice in which it began. When one breaks that began before the window
//! did, all that flow are counted again, now: otherwise the few of many old streams that break
//! would be all that the window knows. Until then old streams change nothing, so that requests
//! which fail beside them count as ever.

use super::{Contents, SLICES, Window};
use crate::outcome::Classification;
use crate::time::Timestamp;

impl Window {
    /// An answer has begun at `now`: a success that may become a failure.
    pub(crate) fn begin(&mut self, now: Timestamp) {
        self.record_classification(Classification::Success, 1, now, now);
        self.stand(1, now);
    }

    /// An answer that began at `begun` has ended well: its success stays where it is counted.
    pub(crate) fn end_well(&mut self, begun: Timestamp, now: Timestamp) {
        match self.slice_of(begun, now) {
            Some(slices_ago) => self.release(slices_ago),
            None => self.standing = self.standing.saturating_sub(1),
        }
    }

    /// An answer that began at `begun` has failed: it is no success. Returns when it was last
    /// observed as one, and how many others of before the window, with itself, have just been
    /// counted as such again.
    pub(crate) fn break_off(&mut self, begun: Timestamp, now: Timestamp) -> (Timestamp, u32) {
        let recounted = match self.slice_of(begun, now) {
            Some(_) => 0,
            None => self.recount(now),
        };
        let Some(slices_ago) = self.slice_of(begun, now) else {
            return (begun, recounted);
        };
        self.release(slices_ago);
        let index = self.index(slices_ago);
        if let Some(contents) = &mut self.contents {
            contents.take_back(index, 1);
        }
        let observed = if self.covers(begun, now) {
            begun
        } else {
            self.counted(begun)
        };
        (observed, recounted)
    }

    /// No answer that has begun until now can fail any more.
    pub(crate) fn forget_standing(&mut self) {
        self.standing = 0;
        if let Some(contents) = &mut self.contents {
            contents.standing = [0; SLICES];
        }
    }

    /// Counts all that flow again, now. Returns how many of them began before the window did.
    fn recount(&mut self, now: Timestamp) -> u32 {
        self.expire(now);
        let old = std::mem::take(&mut self.standing);
        if old == 0 {
            return 0;
        }
        let contents = self.contents_at(now);
        let mut flowing = old;
        for index in 0..SLICES {
            let standing = std::mem::take(&mut contents.standing[index]);
            contents.take_back(index, standing);
            flowing = flowing.saturating_add(standing);
        }
        contents.recounted = now;
        self.record_classification(Classification::Success, flowing, now, now);
        self.stand(flowing, now);
        old
    }

    fn stand(&mut self, answers: u32, now: Timestamp) {
        let index = self.live_index_at(now);
        let standing = &mut self.contents_at(now).standing[index];
        *standing = standing.saturating_add(answers);
    }

    fn release(&mut self, slices_ago: usize) {
        let index = self.index(slices_ago);
        if let Some(contents) = &mut self.contents {
            contents.standing[index] = contents.standing[index].saturating_sub(1);
        }
    }

    /// When an answer that began at `begun` was last counted as a success.
    fn counted(&self, begun: Timestamp) -> Timestamp {
        let contents = self.contents.as_ref();
        contents.map_or(begun, |contents| contents.recounted.max(begun))
    }

    /// In which slice an answer counts that began at `begun`.
    fn slice_of(&mut self, begun: Timestamp, now: Timestamp) -> Option<usize> {
        self.expire(now);
        let slices_ago = self.slices_ago(self.counted(begun));
        (slices_ago < SLICES).then_some(slices_ago)
    }
}

impl Contents {
    /// So many successes of a slice are none.
    fn take_back(&mut self, index: usize, successes: u32) {
        for counts in [&mut self.counts[index], &mut self.sum] {
            counts.success = counts.success.saturating_sub(successes);
        }
    }
}
