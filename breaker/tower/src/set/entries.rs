//! Which breakers a set keeps, and which make room.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

use crate::handle::BreakerHandle;
use crate::shared::Weight;

pub(super) struct Entries<K> {
    by_key: HashMap<K, KeyedBreaker>,
    next_sweep: Instant,
}

struct KeyedBreaker {
    breaker: BreakerHandle,
    requested: Instant,
}

impl<K> Entries<K> {
    pub(super) fn new(next_sweep: Instant) -> Self {
        Self {
            by_key: HashMap::new(),
            next_sweep,
        }
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (&K, &BreakerHandle)> {
        let entries = self.by_key.iter();
        entries.map(|(key, entry)| (key, &entry.breaker))
    }
}

impl<K: Eq + Hash> Entries<K> {
    pub(super) fn get<Q>(&self, key: &Q) -> Option<&BreakerHandle>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        Some(&self.by_key.get(key)?.breaker)
    }

    /// The breaker of a key that is requested.
    pub(super) fn requested(&mut self, key: &K, now: Instant) -> Option<BreakerHandle> {
        let entry = self.by_key.get_mut(key)?;
        entry.requested = now;
        Some(entry.breaker.clone())
    }

    pub(super) fn insert(&mut self, key: K, breaker: BreakerHandle, now: Instant) {
        let requested = now;
        self.by_key.insert(key, KeyedBreaker { breaker, requested });
    }

    pub(super) fn remove<Q>(&mut self, key: &Q) -> Option<BreakerHandle>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        Some(self.by_key.remove(key)?.breaker)
    }

    /// Makes room for one more.
    pub(super) fn make_room(&mut self, capacity: usize, idle: Duration, now: Instant) {
        if now >= self.next_sweep {
            self.forget_idle(idle, now);
        }
        if self.by_key.len() >= capacity {
            self.forget_oldest((capacity / 8).max(1));
        }
    }

    /// Looking at all of them twice in an idle time bounds what a new key costs.
    fn forget_idle(&mut self, idle: Duration, now: Instant) {
        self.next_sweep = now + idle / 2;
        self.by_key.retain(|_, entry| {
            now.duration_since(entry.requested) < idle
                || entry.breaker.weight() >= Weight::Standing as u8
        });
    }

    /// Forgets `count` at once, so that a flood of new keys does not look at all of them for each.
    /// No breaker is locked for it: the requests of all keys wait meanwhile.
    fn forget_oldest(&mut self, count: usize) {
        let rank = |entry: &KeyedBreaker| {
            (
                entry.breaker.weight() > Weight::Closed as u8,
                entry.requested,
            )
        };
        let mut ranks: Vec<_> = self.by_key.values().map(rank).collect();
        let count = count.min(ranks.len());
        let Some(last) = count.checked_sub(1) else {
            return;
        };
        let (_, most, _) = ranks.select_nth_unstable(last);
        let most = *most;
        let mut left = count;
        self.by_key.retain(|_, entry| {
            // Its weight may have changed since: what opened just now stays.
            let goes = left > 0 && rank(entry) <= most;
            left -= usize::from(goes);
            !goes
        });
    }
}
