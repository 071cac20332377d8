//! The breakers under watch: who they are, and how to ask what they know.

use std::fmt;
use std::sync::Arc;

use breaker_tower::Policy;
use breaker_tower::breaker_core::Snapshot;

use super::{Origin, Panic, RegisteredBreaker};
use crate::findings::Findings;

/// A breaker under watch.
#[derive(Clone)]
pub struct Watched {
    name: Arc<str>,
    policy: Arc<Policy>,
    origin: Origin,
    findings: Arc<Findings>,
    upstream: Option<Arc<str>>,
    fallback: Option<Arc<str>>,
    snapshot: Arc<dyn Fn() -> Snapshot + Send + Sync>,
}

/// The breakers under watch: a list that may be another one each time it is asked for.
#[derive(Clone)]
pub struct Breakers {
    list: Arc<dyn Fn() -> Vec<Watched> + Send + Sync>,
    panic: Arc<dyn Fn() -> Option<Panic> + Send + Sync>,
}

// === impl Watched ===

impl Watched {
    /// Watches the breaker `name`, which follows `policy` and tells what it knows by `snapshot`.
    pub fn new(
        name: impl Into<Arc<str>>,
        policy: Arc<Policy>,
        origin: Origin,
        snapshot: impl Fn() -> Snapshot + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            policy,
            origin,
            findings: Arc::default(),
            upstream: None,
            fallback: None,
            snapshot: Arc::new(snapshot),
        }
    }

    /// The same, with what is known of the route beside its breaker.
    #[must_use]
    pub fn with_findings(self, findings: Arc<Findings>) -> Self {
        Self { findings, ..self }
    }

    /// The same, with the name of the upstream that its requests go to.
    #[must_use]
    pub fn with_upstream(self, upstream: Option<Arc<str>>) -> Self {
        Self { upstream, ..self }
    }

    /// The name of the upstream that its requests go to, if the proxy sends them.
    pub fn upstream(&self) -> Option<&str> {
        self.upstream.as_deref()
    }

    /// The same, with what answers the requests that it rejects, in words.
    #[must_use]
    pub fn with_fallback(self, fallback: Option<Arc<str>>) -> Self {
        Self { fallback, ..self }
    }

    /// What answers the requests that it rejects, in words, if something does.
    pub fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    /// What is known of the route beside its breaker.
    pub fn findings(&self) -> &Arc<Findings> {
        &self.findings
    }

    /// The route's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Where that comes from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// What the breaker knows now.
    pub fn snapshot(&self) -> Snapshot {
        (self.snapshot)()
    }
}

impl From<&RegisteredBreaker> for Watched {
    fn from(entry: &RegisteredBreaker) -> Self {
        let watched = entry.breaker().clone();
        let (name, policy) = (entry.name().clone(), entry.policy().clone());
        let watched = Self::new(name, policy, entry.origin(), move || watched.snapshot());
        let watched = watched.with_findings(entry.findings().clone());
        let watched = watched.with_upstream(entry.upstream().cloned());
        watched.with_fallback(entry.fallback().cloned())
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
        Self {
            list: Arc::new(list),
            panic: Arc::new(|| None),
        }
    }

    /// The same, all forced closed while `panic` says so.
    #[must_use]
    pub fn in_panic(self, panic: impl Fn() -> Option<Panic> + Send + Sync + 'static) -> Self {
        Self {
            panic: Arc::new(panic),
            ..self
        }
    }

    /// Whether all are forced closed, and why.
    pub fn panic(&self) -> Option<Panic> {
        (self.panic)()
    }

    /// The list as it is now.
    pub fn list(&self) -> Vec<Watched> {
        (self.list)()
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
