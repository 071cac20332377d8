//! Breakers by key, made on demand, and never more of them than allowed.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use breaker_core::Policy;
use tokio::time::Instant;

use crate::handle::BreakerHandle;
use crate::shared::Weight;

/// Breakers by key.
///
/// Memory is bounded in two ways. When new keys come, a breaker whose key was not requested within
/// the idle time is removed, unless it is open or an operator forced it. At the capacity, the least
/// recently requested breakers make room for new keys, closed ones first. If a removed key comes
/// back, it starts closed. Requests that are still in flight end on the breaker that admitted them.
pub struct BreakerSet<K>(Arc<Inner<K>>);

struct Inner<K> {
    policy: Arc<Policy>,
    capacity: usize,
    idle: Duration,
    breakers: Mutex<Breakers<K>>,
}

struct Breakers<K> {
    by_key: HashMap<K, Entry>,
    next_sweep: Instant,
}

struct Entry {
    breaker: BreakerHandle,
    used: Instant,
}

impl<K: Eq + Hash + fmt::Display> BreakerSet<K> {
    /// A set of at most `capacity` breakers (at least one) with the policy `policy`, and an idle
    /// time of ten minutes.
    pub fn new(policy: impl Into<Arc<Policy>>, capacity: usize) -> Self {
        Self::with_idle(policy, capacity, Duration::from_secs(600))
    }

    /// A set with another idle time.
    pub fn with_idle(policy: impl Into<Arc<Policy>>, capacity: usize, idle: Duration) -> Self {
        Self(Arc::new(Inner {
            policy: policy.into(),
            capacity: capacity.max(1),
            idle,
            breakers: Mutex::new(Breakers {
                by_key: HashMap::new(),
                next_sweep: Instant::now() + idle,
            }),
        }))
    }

    /// The breaker of `key`; the key is also its name.
    pub fn get(&self, key: K) -> BreakerHandle {
        let now = Instant::now();
        let mut breakers = self.0.lock();
        if let Some(entry) = breakers.by_key.get_mut(&key) {
            entry.used = now;
            return entry.breaker.clone();
        }
        if now >= breakers.next_sweep {
            breakers.forget_idle(self.0.idle, now);
        }
        if breakers.by_key.len() >= self.0.capacity {
            breakers.forget_oldest((self.0.capacity / 8).max(1));
        }
        let breaker = BreakerHandle::new(key.to_string(), self.0.policy.clone());
        breakers.by_key.insert(
            key,
            Entry {
                breaker: breaker.clone(),
                used: now,
            },
        );
        breaker
    }

    /// All breakers of the set.
    pub fn breakers(&self) -> Vec<BreakerHandle> {
        let breakers = self.0.lock();
        let entries = breakers.by_key.values();
        entries.map(|entry| entry.breaker.clone()).collect()
    }
}

impl<K> Inner<K> {
    fn lock(&self) -> MutexGuard<'_, Breakers<K>> {
        // A key's own code may have panicked in between; the map is still a map.
        self.breakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Breakers<K> {
    /// Looking at all of them twice in an idle time bounds what a new key costs.
    fn forget_idle(&mut self, idle: Duration, now: Instant) {
        self.next_sweep = now + idle / 2;
        self.by_key.retain(|_, entry| {
            now.duration_since(entry.used) < idle
                || entry.breaker.weight() >= Weight::Standing as u8
        });
    }

    /// Forgets `count` at once, so that a flood of new keys does not look at all of them for each.
    /// No breaker is locked for it: the requests of all keys wait meanwhile.
    fn forget_oldest(&mut self, count: usize) {
        let rank = |entry: &Entry| (entry.breaker.weight() > Weight::Closed as u8, entry.used);
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

impl<K> Clone for BreakerSet<K> {
    /// The same set.
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> fmt::Debug for BreakerSet<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerSet")
            .field("capacity", &self.0.capacity)
            .finish_non_exhaustive()
    }
}
