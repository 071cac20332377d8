//! Which breaker a request belongs to.

use std::fmt;
use std::hash::Hash;

use crate::handle::BreakerHandle;
use crate::set::BreakerSet;

/// Finds the breaker of a request of the type `Q`.
pub trait Select<Q> {
    /// The breaker of `request`.
    fn select(&self, request: &Q) -> BreakerHandle;

    /// The breaker, if it is the same for all requests.
    fn fixed(&self) -> Option<&BreakerHandle>;
}

/// One breaker for each key of a request.
#[derive(Clone)]
pub struct PerKey<K, F> {
    pub(crate) breakers: BreakerSet<K>,
    pub(crate) key: F,
}

impl<Q> Select<Q> for BreakerHandle {
    fn select(&self, _: &Q) -> BreakerHandle {
        self.clone()
    }

    fn fixed(&self) -> Option<&BreakerHandle> {
        Some(self)
    }
}

impl<K, F, Q> Select<Q> for PerKey<K, F>
where
    K: Eq + Hash + fmt::Display,
    F: Fn(&Q) -> K,
{
    fn select(&self, request: &Q) -> BreakerHandle {
        self.breakers.get((self.key)(request))
    }

    fn fixed(&self) -> Option<&BreakerHandle> {
        None
    }
}

impl<K, F> fmt::Debug for PerKey<K, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerKey")
            .field("breakers", &self.breakers)
            .finish_non_exhaustive()
    }
}
