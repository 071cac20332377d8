//! What becomes of samples, counted for each feed.

use std::sync::atomic::{AtomicU64, Ordering};

/// What became of a feed's samples, counted.
#[derive(Debug, Default)]
pub struct SampleCounts([AtomicU64; SampleDisposition::ALL.len()]);

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SampleDisposition {
    /// It counts.
    Counted,
    /// The requests ended before the window, the trial or the breaker began.
    Late,
    /// Their end lies ahead.
    Future,
    /// The span was told before.
    Duplicate,
    /// It cannot be: a span without a begin or an end, one that ends before it begins or lasts for
    /// more than a week, a histogram without a unit of time.
    Invalid,
    /// The first point of a cumulative histogram that began before it was watched: later ones are
    /// compared to it.
    Baseline,
    /// A point of one series too many.
    Refused,
}

// === impl SampleCounts ===

impl SampleCounts {
    /// How many samples became this.
    pub fn of(&self, fate: SampleDisposition) -> u64 {
        self.0[fate as usize].load(Ordering::Relaxed)
    }

    /// How many samples there were, whatever became of them.
    pub(super) fn all(&self) -> u64 {
        SampleDisposition::ALL
            .iter()
            .map(|fate| self.of(*fate))
            .sum()
    }

    pub(super) fn count(&self, fate: SampleDisposition, samples: u64) {
        self.0[fate as usize].fetch_add(samples, Ordering::Relaxed);
    }
}

// === impl SampleDisposition ===

impl SampleDisposition {
    /// All fates.
    pub const ALL: [Self; 7] = [
        Self::Counted,
        Self::Late,
        Self::Future,
        Self::Duplicate,
        Self::Invalid,
        Self::Baseline,
        Self::Refused,
    ];

    /// A word for it, as metrics have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Late => "late",
            Self::Future => "future",
            Self::Duplicate => "duplicate",
            Self::Invalid => "invalid",
            Self::Baseline => "baseline",
            Self::Refused => "refused",
        }
    }
}
