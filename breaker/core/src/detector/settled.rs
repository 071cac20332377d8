//! What share of hits a signal has had for hours: whether it is a new usual share.
//!
//! Time is divided into blocks of ten minutes, or of fifty observations if these take longer. If
//! [`BLOCKS`] blocks in a row have had the same share of hits, and no trip, this share is usual,
//! even during an alarm. A share that still rises is not the same share.

use std::time::Duration;

use super::baseline::Bucket;
use super::wilson;
use crate::time::Timestamp;

/// The last blocks and the live block.
///
/// After 1 min without a request it is unchanged, and so it is after 1 h and 3 d: a block with a
/// silence in it lasts until it has its observations.
#[derive(Clone, Debug, Default)]
pub(super) struct Settled {
    live: Bucket,
    /// The earliest end of the live block, once it has begun.
    live_ends: Option<Timestamp>,
    /// Allocated when the first block ends, so that an idle breaker stays small.
    ended: Option<Box<Blocks>>,
}

#[derive(Clone, Debug, Default)]
struct Blocks {
    /// Oldest first. The last `filled` of them are in use.
    blocks: [Bucket; BLOCKS],
    filled: usize,
}

impl Settled {
    /// Takes what was observed until `at`. Returns the live block if it has ended now.
    pub(super) fn count(&mut self, passed: Bucket, at: Timestamp) -> Option<Bucket> {
        self.live = self.live.and(passed);
        let ends = *self.live_ends.get_or_insert(at + BLOCK);
        if at < ends || self.live.observations < ENOUGH {
            return None;
        }
        self.live_ends = Some(at + BLOCK);
        let block = std::mem::take(&mut self.live);
        let ended = self.ended.get_or_insert_default();
        ended.blocks.rotate_left(1);
        ended.blocks[BLOCKS - 1] = block;
        ended.filled = (ended.filled + 1).min(BLOCKS);
        Some(block)
    }

    /// Something unusual has happened: the count of blocks begins anew.
    pub(super) fn restart(&mut self) {
        (self.live, self.live_ends) = (Bucket::default(), None);
        if let Some(ended) = &mut self.ended {
            ended.filled = 0;
        }
    }

    /// What was observed in all blocks, if all are filled and their shares are the same.
    pub(super) fn steady(&self) -> Option<Span> {
        let ended = self.ended.as_ref().filter(|ended| ended.filled == BLOCKS)?;
        let all = ended.blocks.iter().copied().reduce(Bucket::and)?;
        let span = Span {
            observations: all.observations as f64,
            hits: all.hits as f64,
        };
        let share = span.share();
        let is_like_all = |block: &Bucket| {
            let observations = block.observations as f64;
            let random_unit = DEVIATIONS * (share * (1.0 - share) / observations).sqrt();
            (block.hits as f64 / observations - share).abs() <= share * ALIKE + random_unit
        };
        // In a slow rise, each block may be like all of them, but the two halves are not.
        let (earlier, later) = ended.blocks.split_at(BLOCKS / 2);
        let halves =
            [earlier, later].map(|half| half.iter().copied().fold(Bucket::default(), Bucket::and));
        let all_alike = ended.blocks.iter().chain(&halves).all(is_like_all);
        all_alike.then_some(span)
    }

    /// Heap memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.ended.as_ref().map_or(0, |ended| size_of_val(&**ended))
    }
}

/// What was observed in blocks with the same share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) observations: f64,
    pub(super) hits: f64,
}

impl Span {
    pub(super) fn share(self) -> f64 {
        self.hits / self.observations.max(1.0)
    }

    /// The lower and the upper bound of the share, each with a confidence of 99.9 %. It is that
    /// high because the bounds are evaluated often.
    pub(super) fn bounds(self) -> (f64, f64) {
        wilson::interval_at(SURE, self.hits, self.observations)
    }
}

const BLOCK: Duration = Duration::from_secs(600);
/// Two hours.
const BLOCKS: usize = 12;
/// The least number of observations of a block. A block with fewer does not end.
const ENOUGH: u64 = 50;
/// The share of a block may differ from that of all by this part, plus [`DEVIATIONS`] standard
/// deviations for chance.
const ALIKE: f64 = 0.2;
const DEVIATIONS: f64 = 3.5;
const SURE: f64 = 3.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts blocks of 600 s with 5,000 observations each. `blocks` are the hits per thousand
    /// observations.
    fn after(blocks: &[u64]) -> Settled {
        let mut settled = Settled::default();
        settled.count(Bucket::default(), Timestamp::ZERO);
        for (index, hits) in blocks.iter().enumerate() {
            let observations = 5000;
            let at = Timestamp::from_millis((index as u64 + 1) * 600_000);
            let passed = Bucket {
                observations,
                hits: *hits * 5,
            };
            assert!(settled.count(passed, at).is_some());
        }
        settled
    }

    #[test]
    fn two_hours_of_the_same_are_steady_and_fewer_or_rising_ones_are_not() {
        assert_eq!(after(&[40; 11]).steady(), None);
        let steady = after(&[40, 34, 48, 45, 37, 40, 40, 40, 40, 40, 40, 40]);
        assert_eq!(
            steady.steady().map(|span| span.observations),
            Some(60_000.0)
        );
        let rising: Vec<_> = (0..12).map(|block| 10 + 10 * block).collect();
        assert_eq!(after(&rising).steady(), None);
        assert_eq!(
            after(&[3, 3, 3, 40, 40, 40, 40, 40, 40, 40, 40, 40]).steady(),
            None
        );
        assert!(
            after(&[[3; 8].as_slice(), &[40; 12]].concat())
                .steady()
                .is_some()
        );
    }

    #[test]
    fn a_trip_begins_the_hours_anew() {
        let mut settled = after(&[40; 12]);
        settled.restart();
        assert_eq!(settled.steady(), None);
    }

    #[test]
    fn a_block_of_rare_requests_goes_on_until_it_has_enough() {
        let mut settled = Settled::default();
        let one = Bucket {
            observations: 1,
            hits: 0,
        };
        let ended = (0..49).filter(|minute| {
            let at = Timestamp::from_millis(minute * 60_000);
            settled.count(one, at).is_some()
        });
        assert_eq!(ended.count(), 0);
        assert!(
            settled
                .count(one, Timestamp::from_millis(3_000_000))
                .is_some()
        );
    }
}
