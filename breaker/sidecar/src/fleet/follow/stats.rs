//! What is known of a brain.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use breaker_tower::breaker_core::fleet::Ignored;
use tokio::time::Instant;

use crate::fleet::ignored::IgnoredCounts;

/// Numbers that the task writes and telemetry reads. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct FollowStats(Arc<Mutex<FollowNumbers>>);

/// The numbers of one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct FollowNumbers {
    /// Whether the brain is heard.
    pub(crate) connected: bool,
    /// Routes of the brain that are unknown here.
    pub(crate) unknown: usize,
    /// Routes that follow and that the brain does not have.
    pub(crate) missing: Vec<Arc<str>>,
    heard: Option<Instant>,
    ignored: IgnoredCounts,
    impossible: u64,
}

impl FollowStats {
    pub(crate) fn numbers(&self) -> FollowNumbers {
        self.lock().clone()
    }

    pub(super) fn heard(&self, impossible: usize) {
        let mut numbers = self.lock();
        (numbers.connected, numbers.heard) = (true, Some(Instant::now()));
        numbers.impossible += impossible as u64;
    }

    pub(super) fn told_of_all(&self, unknown: usize, missing: Vec<Arc<str>>) {
        let mut numbers = self.lock();
        (numbers.unknown, numbers.missing) = (unknown, missing);
    }

    pub(super) fn lost(&self) {
        self.lock().connected = false;
    }

    pub(super) fn ignore(&self, why: Ignored) {
        self.lock().ignored.add(why);
    }

    fn lock(&self) -> MutexGuard<'_, FollowNumbers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FollowNumbers {
    /// How old the last message is.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.heard.map(|heard| heard.elapsed())
    }

    /// What was said and not followed, by why.
    pub(crate) fn ignored(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let of_verdicts = self.ignored.iter();
        let of_verdicts = of_verdicts.filter(|(why, _)| APPLICABLE.contains(why));
        let of_verdicts = of_verdicts.map(|(why, count)| (why.name(), count));
        of_verdicts.chain([("impossible", self.impossible)])
    }
}

/// The others are about aggregators and quorums.
const APPLICABLE: [Ignored; 4] = [
    Ignored::Stale,
    Ignored::Weak,
    Ignored::OwnEvidence,
    Ignored::Forced,
];
