//! What a fleet is like, as seen from here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use breaker_tower::breaker_core::fleet::{Dropped, Ignored, InstanceId};
use tokio::time::Instant;

use super::ignored::IgnoredCounts;

/// Numbers that the session writes and telemetry reads. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stats(Arc<Mutex<Numbers>>);

/// The numbers of one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    /// Whether the engine can be reached.
    pub(crate) connected: bool,
    /// Members, while this instance is the aggregator.
    pub(crate) members: Option<usize>,
    /// Reports that were published.
    pub(crate) reports: u64,
    /// The newest term of a verdict.
    pub(crate) term: Option<u64>,
    /// Who sent it.
    pub(crate) speaker: Option<Speaker>,
    verdict: Option<Instant>,
    dropped: [u64; Dropping::ALL.len()],
    ignored: IgnoredCounts,
}

/// Who publishes verdicts, as it says of itself: for people only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Speaker {
    /// None of an older version.
    pub(crate) instance: Option<InstanceId>,
    /// What it calls its machine.
    pub(crate) host: Option<Arc<str>>,
    /// Members that it knows.
    pub(crate) members: Option<u32>,
}

/// Why a message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropping {
    /// The engine can't be reached.
    Disconnected,
    /// Messages arrive faster than they are read.
    Overflow,
    /// It is longer than its kind may be.
    TooLarge,
    /// Its signature is missing or wrong.
    Unsigned,
    /// It can't be read.
    Malformed,
    /// It was received before.
    Replayed,
    /// The fleet has too many members.
    Full,
    /// It says something impossible.
    Invalid,
}

impl Stats {
    pub(crate) fn numbers(&self) -> Numbers {
        self.lock().clone()
    }

    pub(super) fn drop_one(&self, why: Dropping) {
        self.lock().dropped[why as usize] += 1;
    }

    pub(super) fn ignore(&self, why: Ignored) {
        self.lock().ignored.add(why);
    }

    pub(super) fn verdict(&self, term: u64, speaker: Speaker) {
        let mut numbers = self.lock();
        numbers.term = Some(term);
        numbers.speaker = Some(speaker);
        numbers.verdict = Some(Instant::now());
    }

    pub(super) fn connected(&self, connected: bool) {
        self.lock().connected = connected;
    }

    pub(super) fn members(&self, members: Option<usize>) {
        self.lock().members = members;
    }

    pub(super) fn reported(&self) {
        self.lock().reports += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Numbers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Numbers {
    /// How old the newest verdict is.
    pub(crate) fn verdict_age(&self) -> Option<Duration> {
        self.verdict.map(|verdict| verdict.elapsed())
    }

    /// Messages that were dropped, by why.
    pub(crate) fn dropped(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.dropped.iter();
        Dropping::ALL
            .iter()
            .zip(counts)
            .map(|(why, count)| (why.name(), *count))
    }

    /// Verdicts, or what they say of a route, that were not followed, by why.
    pub(crate) fn ignored(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.ignored.iter();
        counts.map(|(why, count)| (why.name(), count))
    }
}

impl Dropping {
    pub(crate) const ALL: [Self; 8] = [
        Self::Disconnected,
        Self::Overflow,
        Self::TooLarge,
        Self::Unsigned,
        Self::Malformed,
        Self::Replayed,
        Self::Full,
        Self::Invalid,
    ];

    /// The attribute of metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Overflow => "overflow",
            Self::TooLarge => "too_large",
            Self::Unsigned => "unsigned",
            Self::Malformed => "malformed",
            Self::Replayed => "replayed",
            Self::Full => "full",
            Self::Invalid => "invalid",
        }
    }
}

impl From<Dropped> for Dropping {
    fn from(why: Dropped) -> Self {
        match why {
            Dropped::Replayed => Self::Replayed,
            Dropped::Full => Self::Full,
            _ => Self::Invalid,
        }
    }
}
