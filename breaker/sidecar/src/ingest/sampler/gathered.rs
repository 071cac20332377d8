//! The samples of a batch, and how they reach the breakers: by feed, in the order of their times,
//! on the breaker's clock.

use std::time::Duration;

use breaker_tower::breaker_core::{Classification, Observed, Sample, TraceId};
use tokio::time::Instant;

use super::blame::Blames;
use super::disposition::SampleDisposition;
use super::feeds::FeedBinding;

/// A sample of one of the feeds, at a time of the sender's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gathered {
    pub(super) feed: usize,
    pub(super) classification: Classification,
    pub(super) latency: Duration,
    pub(super) count: u64,
    /// In nanoseconds since 1970.
    pub(super) ended: u64,
    /// Of a failure: the number of its kind in the batch.
    pub(super) blame: Option<u16>,
    pub(super) trace: Option<TraceId>,
    pub(super) span: Option<(u128, u64)>,
}

/// Tells each breaker of its samples, in the order of their times.
pub(super) fn tell(
    feeds: &[FeedBinding],
    gathered: &mut [Gathered],
    blames: &Blames,
    clock: fn() -> u64,
) {
    gathered.sort_by_key(|sample| (sample.feed, sample.ended));
    let unix = clock();
    let instant = Instant::now();
    for samples in gathered.chunk_by(|one, other| one.feed == other.feed) {
        let fed = &feeds[samples[0].feed];
        // Both clocks are read at one time: that is what ties them.
        let now = fed.breaker.now();
        let on_breakers_clock = |sample: &Gathered| {
            let at = (now.as_nanos() + sample.ended.saturating_sub(unix))
                .checked_sub(unix.saturating_sub(sample.ended));
            let Some(at) = at else {
                fed.told.count(SampleDisposition::Late, sample.count);
                return None;
            };
            let at = breaker_tower::breaker_core::Timestamp::from_nanos(at);
            Some(
                Sample::new(sample.classification, Some(sample.latency), at)
                    .times(u32::try_from(sample.count).unwrap_or(u32::MAX))
                    .traced(sample.trace),
            )
        };
        let in_time = samples.iter();
        let in_time = in_time.filter_map(|one| Some((on_breakers_clock(one)?, one.blame)));
        let (samples, of_samples): (Vec<_>, Vec<_>) = in_time.unzip();
        let mut failures = Vec::new();
        // Requests of the route wait for its breaker while it is told.
        for (piece, of_piece) in samples.chunks(PIECE).zip(of_samples.chunks(PIECE)) {
            let mut told = piece.iter().zip(of_piece);
            fed.breaker
                .observe(fed.source, piece.iter().copied(), |observed| {
                    let fate = match observed {
                        Observed::Counted => SampleDisposition::Counted,
                        Observed::Future => SampleDisposition::Future,
                        _ => SampleDisposition::Late,
                    };
                    let Some((sample, blame)) = told.next() else {
                        return;
                    };
                    fed.told.count(fate, u64::from(sample.count));
                    if fate == SampleDisposition::Counted
                        && sample.classification == Classification::Failure
                    {
                        failures.push((*sample, *blame));
                    }
                });
            if piece.len() == PIECE {
                // Who waits has its turn.
                std::thread::yield_now();
            }
        }
        for (sample, blame) in failures {
            let failed = blames.failed(blame, sample.count.into(), sample.trace);
            fed.findings.failed(&fed.name, failed, instant);
        }
    }
}

/// The samples that a breaker observes at once. They hold its lock for about 10 µs: see the
/// benchmark `lock_hold`.
const PIECE: usize = 128;
