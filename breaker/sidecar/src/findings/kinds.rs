//! The kinds of failure of one source, counted: those of the last five minutes, and all since the
//! kind was first seen.

use std::time::Duration;

use breaker_tower::breaker_core::TraceId;

use super::{Failed, plain};

/// The kinds of failure of one source.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    list: Vec<Kind>,
    /// What came when there was no place for another kind.
    other: Option<Kind>,
}

/// A kind of failure, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "read by those who show it")]
pub struct Counted {
    /// A word as in `error.type`: a status, or what went wrong; [`OTHER`] for what had no place.
    pub kind: String,
    /// Where the requests were sent, if that is known.
    pub endpoint: Option<String>,
    /// In the last five minutes, to half a minute.
    pub recent: u64,
    /// Since it is remembered. A kind that was not seen for five minutes may be forgotten.
    pub total: u64,
    /// The trace of the latest such request that had one.
    pub trace: Option<TraceId>,
}

#[derive(Debug)]
struct Kind {
    kind: String,
    endpoint: Option<String>,
    total: u64,
    trace: Option<TraceId>,
    /// By the number of the slot, in turn.
    slots: [u32; SLOTS],
    /// The number of the latest slot that was counted in.
    last: u64,
}

impl Kinds {
    pub(super) fn add(&mut self, failed: Failed<'_>, elapsed: Duration) {
        let slot = slot(elapsed);
        self.place(failed, slot).add(failed, slot);
    }

    fn place(&mut self, failed: Failed<'_>, slot: u64) -> &mut Kind {
        let is_it = |known: &Kind| known.is(failed);
        if let Some(at) = self.list.iter().position(is_it) {
            return &mut self.list[at];
        }
        // What was shortened when it was noted is compared as that.
        let new = Kind::new(failed, slot);
        let is_same = |known: &Kind| (&known.kind, &known.endpoint) == (&new.kind, &new.endpoint);
        if let Some(at) = self.list.iter().position(is_same) {
            return &mut self.list[at];
        }
        if self.list.len() < MAX_KINDS {
            self.list.push(new);
            return self.list.last_mut().expect("one was pushed");
        }
        let oldest = self.list.iter_mut().min_by_key(|known| known.last);
        match oldest.filter(|oldest| oldest.recent(slot) == 0) {
            Some(oldest) => {
                *oldest = new;
                oldest
            }
            None => self.other.get_or_insert_with(|| {
                let kind = OTHER;
                let endpoint = None;
                Kind::new(
                    Failed {
                        kind,
                        endpoint,
                        ..failed
                    },
                    slot,
                )
            }),
        }
    }

    pub(super) fn counted(&self, elapsed: Duration) -> Vec<Counted> {
        let slot = slot(elapsed);
        let mut list: Vec<_> = self.list.iter().map(|kind| kind.counted(slot)).collect();
        list.sort_by(|a, b| {
            let numbers = (b.recent, b.total).cmp(&(a.recent, a.total));
            numbers.then_with(|| (&a.kind, &a.endpoint).cmp(&(&b.kind, &b.endpoint)))
        });
        list.extend(self.other.iter().map(|kind| kind.counted(slot)));
        list
    }
}

impl Kind {
    fn new(failed: Failed<'_>, slot: u64) -> Self {
        Self {
            kind: plain(failed.kind),
            endpoint: failed.endpoint.map(plain),
            total: 0,
            trace: None,
            slots: [0; SLOTS],
            last: slot,
        }
    }

    fn is(&self, failed: Failed<'_>) -> bool {
        self.kind == failed.kind && self.endpoint.as_deref() == failed.endpoint
    }

    fn add(&mut self, failed: Failed<'_>, slot: u64) {
        // A thread that is late counts in the latest slot.
        let slot = slot.max(self.last);
        // Slots that passed without a failure are those of five minutes before.
        let passed = (slot - self.last).min(SLOTS as u64);
        for number in (slot + 1 - passed)..=slot {
            self.slots[index(number)] = 0;
        }
        self.last = slot;
        let count = u32::try_from(failed.count).unwrap_or(u32::MAX);
        let here = &mut self.slots[index(slot)];
        *here = here.saturating_add(count);
        self.total = self.total.saturating_add(failed.count);
        self.trace = failed.trace.or(self.trace);
    }

    fn recent(&self, slot: u64) -> u64 {
        let oldest = (slot + 1).saturating_sub(SLOTS as u64);
        let first = (self.last + 1).saturating_sub(SLOTS as u64);
        let numbers = oldest.max(first)..=self.last;
        numbers
            .map(|number| u64::from(self.slots[index(number)]))
            .sum()
    }

    fn counted(&self, slot: u64) -> Counted {
        Counted {
            kind: self.kind.clone(),
            endpoint: self.endpoint.clone(),
            recent: self.recent(slot),
            total: self.total,
            trace: self.trace,
        }
    }
}

const fn slot(elapsed: Duration) -> u64 {
    elapsed.as_secs() / SLOT_SECONDS
}

const fn index(number: u64) -> usize {
    (number % SLOTS as u64) as usize
}

/// What kinds are called that came when all places were taken.
pub const OTHER: &str = "other";
/// Kinds of one source; what is more is counted as [`OTHER`].
pub(super) const MAX_KINDS: usize = 16;
/// Five minutes together.
const SLOTS: usize = 10;
const SLOT_SECONDS: u64 = 30;
