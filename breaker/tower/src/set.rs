//! Breakers by key, made on demand, and never more of them than allowed.

mod entries;

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use breaker_core::{Mode, Policy};
use tokio::time::Instant;

use self::entries::Entries;
use crate::handle::BreakerHandle;
use crate::shared::audience::{Audience, SetEvents};
use crate::shared::driver::Driver;

/// Breakers by key.
///
/// Memory is bounded in two ways. When new keys come, a breaker whose key was not requested within
/// the idle time is removed, unless it is open or an operator forced it. At the capacity, the least
/// recently requested breakers make room for new keys, closed ones first. If a removed key comes
/// back, it starts closed, and with another [id](BreakerHandle::id). Requests that are still in
/// flight end on the breaker that admitted them.
///
/// A breaker that has seen few requests takes less than 2 KiB with a policy of windows. All
/// breakers of a set share one task, which does what time alone does.
pub struct BreakerSet<K>(Arc<Inner<K>>);

struct Inner<K> {
    capacity: usize,
    idle: Duration,
    audience: Arc<Audience>,
    driver: Arc<Driver>,
    breakers: Mutex<Breakers<K>>,
}

struct Breakers<K> {
    entries: Entries<K>,
    policy_of: PolicyOf<K>,
    /// What all breakers were told.
    mode: Mode,
}

type PolicyOf<K> = Arc<dyn Fn(&K) -> Arc<Policy> + Send + Sync>;

impl<K: Eq + Hash + fmt::Display> BreakerSet<K> {
    /// A set of at most `capacity` breakers (at least one) with the policy `policy`, and an idle
    /// time of ten minutes.
    pub fn new(policy: impl Into<Arc<Policy>>, capacity: usize) -> Self {
        Self::with_idle(policy, capacity, Duration::from_secs(600))
    }

    /// A set with another idle time.
    pub fn with_idle(policy: impl Into<Arc<Policy>>, capacity: usize, idle: Duration) -> Self {
        Self(Arc::new(Inner {
            capacity: capacity.max(1),
            idle,
            audience: Arc::default(),
            driver: Arc::default(),
            breakers: Mutex::new(Breakers {
                entries: Entries::new(Instant::now() + idle),
                policy_of: same(policy.into()),
                mode: Mode::Auto,
            }),
        }))
    }

    /// The breaker of `key`; the key is also its name.
    pub fn get(&self, key: K) -> BreakerHandle {
        let now = Instant::now();
        let mut breakers = self.0.lock();
        if let Some(breaker) = breakers.entries.requested(&key, now) {
            return breaker;
        }
        breakers
            .entries
            .make_room(self.0.capacity, self.0.idle, now);
        let policy = (breakers.policy_of)(&key);
        let breaker = BreakerHandle::in_set(
            key.to_string(),
            policy,
            self.0.driver.clone(),
            self.0.audience.clone(),
        );
        if breakers.mode != Mode::Auto {
            breaker.force(breakers.mode);
        }
        breakers.entries.insert(key, breaker.clone(), now);
        breaker
    }
}

impl<K: Eq + Hash> BreakerSet<K> {
    /// The breaker of `key`, if there is one. It is not a request of the key.
    pub fn peek<Q>(&self, key: &Q) -> Option<BreakerHandle>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.0.lock().entries.get(key).cloned()
    }

    /// Removes the breaker of `key`, whatever its state.
    pub fn remove<Q>(&self, key: &Q) -> Option<BreakerHandle>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.0.lock().entries.remove(key)
    }
}

impl<K> BreakerSet<K> {
    /// All breakers of the set.
    pub fn breakers(&self) -> Vec<BreakerHandle> {
        let breakers = self.0.lock();
        breakers
            .entries
            .iter()
            .map(|(_, breaker)| breaker.clone())
            .collect()
    }

    /// How many breakers there are.
    pub fn len(&self) -> usize {
        self.0.lock().entries.iter().len()
    }

    /// Whether there is no breaker.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Replaces the policy of all breakers, and of those to come; states stay.
    pub fn set_policy(&self, policy: impl Into<Arc<Policy>>) {
        self.replace_policies(same(policy.into()));
    }

    /// Gives each key the policy that `policy_of` chooses, now and later. It is called under the
    /// set's lock, and must not use the set.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use breaker_tower::{BreakerSet, Policy};
    ///
    /// let hosts = BreakerSet::<String>::new(Policy::sensitive(), 1000);
    /// let (usual, critical) = (Arc::new(Policy::sensitive()), Arc::new(Policy::conservative()));
    /// hosts.set_policies(move |host| match host.as_str() {
    ///     "ledger:8080" => critical.clone(),
    ///     _ => usual.clone(),
    /// });
    /// assert_eq!(hosts.get("ledger:8080".into()).policy().name(), "conservative");
    /// ```
    pub fn set_policies(&self, policy_of: impl Fn(&K) -> Arc<Policy> + Send + Sync + 'static) {
        self.replace_policies(Arc::new(policy_of));
    }

    fn replace_policies(&self, policy_of: PolicyOf<K>) {
        let mut breakers = self.0.lock();
        let entries = breakers.entries.iter();
        let changes: Vec<_> = entries
            .map(|(key, breaker)| (breaker.clone(), policy_of(key)))
            .collect();
        breakers.policy_of = policy_of;
        drop(breakers);
        // No breaker is locked while the set is: the requests of all keys would wait.
        for (breaker, policy) in changes {
            breaker.set_policy(policy);
        }
    }

    /// Sets the mode of all breakers, and of those to come, until it is set anew.
    pub fn force_all(&self, mode: Mode) {
        let mut breakers = self.0.lock();
        breakers.mode = mode;
        drop(breakers);
        for breaker in self.breakers() {
            breaker.force(mode);
        }
    }

    /// Subscribes to the events of all breakers from now on, those to come among them.
    pub fn subscribe(&self) -> SetEvents {
        self.0.audience.subscribe()
    }
}

/// The same policy for all keys.
fn same<K>(policy: Arc<Policy>) -> PolicyOf<K> {
    Arc::new(move |_| policy.clone())
}

impl<K> Inner<K> {
    fn lock(&self) -> MutexGuard<'_, Breakers<K>> {
        // A key's own code may have panicked in between; the map is still a map.
        self.breakers.lock().unwrap_or_else(PoisonError::into_inner)
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
