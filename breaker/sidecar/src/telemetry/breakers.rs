//! The breakers under watch: who they are, and how to ask what they know.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use breaker_tower::core::Snapshot;
use breaker_tower::{BreakerHandle, Rejected};

/// A breaker under watch.
#[derive(Clone)]
pub struct Watched {
    name: Arc<str>,
    snapshot: Arc<dyn Fn() -> Snapshot + Send + Sync>,
    ask: Arc<dyn Fn() -> Result<(), Rejected> + Send + Sync>,
}

/// The breakers under watch. Clones share one list, which a reload replaces.
#[derive(Clone, Debug, Default)]
pub struct Breakers {
    watched: Arc<RwLock<Arc<[Watched]>>>,
}

// === impl Watched ===

impl Watched {
    /// Watches the breaker `name`, which tells what it knows by `snapshot`, and whether a request may be sent by `ask`.
    pub fn new(
        name: impl Into<Arc<str>>,
        snapshot: impl Fn() -> Snapshot + Send + Sync + 'static,
        ask: impl Fn() -> Result<(), Rejected> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            snapshot: Arc::new(snapshot),
            ask: Arc::new(ask),
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

    /// Asks whether a request may be sent that somebody else sends.
    ///
    /// # Errors
    /// [`Rejected`], when the breaker refuses; that is counted.
    pub fn ask(&self) -> Result<(), Rejected> {
        (self.ask)()
    }
}

impl From<&BreakerHandle> for Watched {
    fn from(breaker: &BreakerHandle) -> Self {
        let (watched, asked) = (breaker.clone(), breaker.clone());
        Self::new(
            breaker.name().clone(),
            move || watched.snapshot(),
            move || asked.ask(),
        )
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watched").field(&self.name).finish()
    }
}

// === impl Breakers ===

impl Breakers {
    /// Replaces the list: series of breakers that are no longer in it end.
    pub fn replace(&self, watched: impl IntoIterator<Item = Watched>) {
        let watched = watched.into_iter().collect();
        *self.watched.write().unwrap_or_else(PoisonError::into_inner) = watched;
    }

    /// The list as it is now.
    pub fn list(&self) -> Arc<[Watched]> {
        self.watched
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The breaker of that name.
    pub fn find(&self, name: &str) -> Option<Watched> {
        self.list()
            .iter()
            .find(|watched| &*watched.name == name)
            .cloned()
    }
}

impl FromIterator<Watched> for Breakers {
    fn from_iter<I: IntoIterator<Item = Watched>>(watched: I) -> Self {
        Self {
            watched: Arc::new(RwLock::new(watched.into_iter().collect())),
        }
    }
}
