//! Breakers by key, made on demand, and never more of them than allowed.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use breaker_core::{Policy, State};
use tokio::time::Instant;

use crate::handle::BreakerHandle;

/// Breakers by key. A key that was not asked for in `idle` is forgotten; at `capacity`, the one that was not asked for the longest is,
/// closed ones first.
pub struct BreakerSet<K>(Arc<Inner<K>>);

struct Inner<K> {
    policy: Arc<Policy>,
    capacity: usize,
    idle: Duration,
    breakers: Mutex<HashMap<K, Entry>>,
}

struct Entry {
    breaker: BreakerHandle,
    used: Instant,
}

impl<K: Eq + Hash + Clone + fmt::Display> BreakerSet<K> {
    /// A set of at most `capacity` breakers (at least one), each of which goes by `policy`; a breaker that was not asked for in ten minutes
    /// may be forgotten.
    pub fn new(policy: impl Into<Arc<Policy>>, capacity: usize) -> Self {
        Self::with_idle(policy, capacity, Duration::from_secs(600))
    }

    /// A set whose breakers are forgotten when they were not asked for in `idle`.
    pub fn with_idle(policy: impl Into<Arc<Policy>>, capacity: usize, idle: Duration) -> Self {
        Self(Arc::new(Inner {
            policy: policy.into(),
            capacity: capacity.max(1),
            idle,
            breakers: Mutex::default(),
        }))
    }

    /// The breaker of `key`, which is its name too.
    pub fn get(&self, key: K) -> BreakerHandle {
        let now = Instant::now();
        let mut breakers = self
            .0
            .breakers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = breakers.get_mut(&key) {
            entry.used = now;
            return entry.breaker.clone();
        }
        if breakers.len() >= self.0.capacity {
            self.0.make_room(&mut breakers, now);
        }
        let breaker = BreakerHandle::new(key.to_string(), self.0.policy.clone());
        breakers.insert(
            key,
            Entry {
                breaker: breaker.clone(),
                used: now,
            },
        );
        breaker
    }

    /// The breakers that there are.
    pub fn breakers(&self) -> Vec<BreakerHandle> {
        let breakers = self
            .0
            .breakers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        breakers
            .values()
            .map(|entry| entry.breaker.clone())
            .collect()
    }
}

impl<K: Eq + Hash + Clone> Inner<K> {
    fn make_room(&self, breakers: &mut HashMap<K, Entry>, now: Instant) {
        breakers.retain(|_, entry| now.duration_since(entry.used) < self.idle);
        if breakers.len() < self.capacity {
            return;
        }
        let least_missed = breakers
            .iter()
            .min_by_key(|(_, entry)| (entry.breaker.state() != State::Closed, entry.used))
            .map(|(key, _)| key.clone());
        if let Some(key) = least_missed {
            breakers.remove(&key);
        }
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
