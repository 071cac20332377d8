//! The breakers under watch: who they are, and how to ask what they know.

use std::fmt;
use std::sync::Arc;

use breaker_tower::BreakerHandle;
use breaker_tower::core::Snapshot;

/// A breaker under watch.
#[derive(Clone)]
pub struct Watched {
    name: Arc<str>,
    snapshot: Arc<dyn Fn() -> Snapshot + Send + Sync>,
}

/// The breakers under watch: a list that may be another one each time it is asked for.
#[derive(Clone)]
pub struct Breakers(Arc<dyn Fn() -> Vec<Watched> + Send + Sync>);

// === impl Watched ===

impl Watched {
    /// Watches the breaker `name`, which tells what it knows by `snapshot`.
    pub fn new(
        name: impl Into<Arc<str>>,
        snapshot: impl Fn() -> Snapshot + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            snapshot: Arc::new(snapshot),
        }
    }

    /// The route's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What the breaker knows now.
    pub fn snapshot(&self) -> Snapshot {
        (self.snapshot)()
    }
}

impl From<&BreakerHandle> for Watched {
    fn from(breaker: &BreakerHandle) -> Self {
        let watched = breaker.clone();
        Self::new(breaker.name().clone(), move || watched.snapshot())
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watched").field(&self.name).finish()
    }
}

// === impl Breakers ===

impl Breakers {
    /// Those that `list` says. Series of breakers that are no longer among them end.
    pub fn new(list: impl Fn() -> Vec<Watched> + Send + Sync + 'static) -> Self {
        Self(Arc::new(list))
    }

    /// The list as it is now.
    pub fn list(&self) -> Vec<Watched> {
        (self.0)()
    }
}

impl FromIterator<Watched> for Breakers {
    fn from_iter<I: IntoIterator<Item = Watched>>(watched: I) -> Self {
        let watched: Vec<_> = watched.into_iter().collect();
        Self::new(move || watched.clone())
    }
}

impl fmt::Debug for Breakers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Breakers").field(&self.list()).finish()
    }
}
