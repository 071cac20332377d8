//! What was received, refused and sent on, counted.

use std::sync::atomic::{AtomicU64, Ordering};

use super::batch::Signal;
use super::refusal::Reason;

/// Counters of a receiver. They only rise, but for what waits in the queues.
#[derive(Debug, Default)]
pub struct Stats {
    signals: [Counters; 3],
    refused: [AtomicU64; Reason::ALL.len()],
    rejected: AtomicU64,
}

#[derive(Debug, Default)]
struct Counters {
    batches: AtomicU64,
    items: AtomicU64,
    bytes: AtomicU64,
    own: AtomicU64,
    forwarded: AtomicU64,
    forwarded_bytes: AtomicU64,
    retries: AtomicU64,
    dropped: [AtomicU64; Lost::ALL.len()],
    queued: AtomicU64,
    queued_bytes: AtomicU64,
}

/// Why a batch that was received was not sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lost {
    /// The queue was full: of this batch, or of others that came after it.
    QueueFull,
    /// The target was not to be reached in time.
    GaveUp,
    /// The target refused it for good.
    Refused,
    /// JSON, and no target that speaks HTTP.
    NoTarget,
    /// The process ended before it was sent.
    Shutdown,
}

/// The counters at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// By signal, in the order of [`Signal::ALL`].
    pub signals: [SignalSnapshot; 3],
    /// Requests that were refused, by reason.
    pub refused: Vec<(Reason, u64)>,
    /// Items that were rejected of batches that were taken.
    pub rejected_items: u64,
}

/// The counters of one signal at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalSnapshot {
    /// The signal.
    pub signal: Signal,
    /// Batches that were taken.
    pub batches: u64,
    /// Items in them, as the sampler counts them.
    pub items: u64,
    /// Their bytes as they came, compressed or not.
    pub bytes: u64,
    /// Batches that this process had sent on itself and got back; dropped.
    pub own: u64,
    /// Batches that the target took.
    pub forwarded: u64,
    /// Their bytes.
    pub forwarded_bytes: u64,
    /// Attempts to send that were repeated.
    pub retries: u64,
    /// Batches that were not sent on, by reason.
    pub dropped: Vec<(Lost, u64)>,
    /// Batches that wait to be sent on, the one being sent included.
    pub queued: u64,
    /// Their bytes, headers included.
    pub queued_bytes: u64,
}

// === impl Stats ===

impl Stats {
    /// The counters now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            signals: Signal::ALL.map(|signal| self.of(signal).snapshot(signal)),
            refused: Reason::ALL
                .map(|reason| (reason, read(&self.refused[reason as usize])))
                .to_vec(),
            rejected_items: read(&self.rejected),
        }
    }

    pub(super) fn took(&self, signal: Signal, items: u64, rejected: i64, bytes: usize) {
        let counters = self.of(signal);
        add(&counters.batches, 1);
        add(&counters.items, items);
        add(&counters.bytes, bytes as u64);
        add(&self.rejected, rejected.unsigned_abs());
    }

    pub(super) fn refused(&self, reason: Reason) {
        add(&self.refused[reason as usize], 1);
    }

    pub(super) fn own(&self, signal: Signal) {
        add(&self.of(signal).own, 1);
    }

    pub(super) fn forwarded(&self, signal: Signal, bytes: usize) {
        let counters = self.of(signal);
        add(&counters.forwarded, 1);
        add(&counters.forwarded_bytes, bytes as u64);
    }

    pub(super) fn retried(&self, signal: Signal) {
        add(&self.of(signal).retries, 1);
    }

    /// Counts batches that are not sent on; tells how many those were before.
    pub(super) fn dropped(&self, signal: Signal, why: Lost, batches: usize) -> u64 {
        add(&self.of(signal).dropped[why as usize], batches as u64)
    }

    pub(super) fn queue_is(&self, signal: Signal, batches: usize, bytes: usize) {
        let counters = self.of(signal);
        counters.queued.store(batches as u64, Ordering::Relaxed);
        counters.queued_bytes.store(bytes as u64, Ordering::Relaxed);
    }

    const fn of(&self, signal: Signal) -> &Counters {
        &self.signals[signal as usize]
    }
}

impl Counters {
    fn snapshot(&self, signal: Signal) -> SignalSnapshot {
        SignalSnapshot {
            signal,
            batches: read(&self.batches),
            items: read(&self.items),
            bytes: read(&self.bytes),
            own: read(&self.own),
            forwarded: read(&self.forwarded),
            forwarded_bytes: read(&self.forwarded_bytes),
            retries: read(&self.retries),
            dropped: Lost::ALL
                .map(|why| (why, read(&self.dropped[why as usize])))
                .to_vec(),
            queued: read(&self.queued),
            queued_bytes: read(&self.queued_bytes),
        }
    }
}

// === impl Lost ===

impl Lost {
    /// All reasons.
    pub const ALL: [Self; 5] = [
        Self::QueueFull,
        Self::GaveUp,
        Self::Refused,
        Self::NoTarget,
        Self::Shutdown,
    ];

    /// A word for it, as metrics have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::GaveUp => "gave_up",
            Self::Refused => "refused",
            Self::NoTarget => "no_target",
            Self::Shutdown => "shutdown",
        }
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// The counters of `signal`.
    pub const fn signal(&self, signal: Signal) -> &SignalSnapshot {
        &self.signals[signal as usize]
    }

    /// Requests that were refused for `reason`.
    pub fn refused(&self, reason: Reason) -> u64 {
        self.refused[reason as usize].1
    }
}

impl SignalSnapshot {
    /// Batches that were not sent on because of `why`.
    pub fn dropped(&self, why: Lost) -> u64 {
        self.dropped[why as usize].1
    }
}

fn add(counter: &AtomicU64, more: u64) -> u64 {
    counter.fetch_add(more, Ordering::Relaxed)
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
