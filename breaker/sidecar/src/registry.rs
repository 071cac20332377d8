//! The breakers, each with the policy that the configuration gives it and the one that an operator
//! may have put in its place.

mod panic;
mod watched;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use breaker_tower::breaker_core::policy::yaml::nearest;
use breaker_tower::{BreakerHandle, Policy};

use self::panic::Declared;
pub use self::panic::Panic;
pub use self::watched::{Breakers, Watched};
use crate::config::Policies;
use crate::findings::Findings;

/// The breakers of a sidecar, in the order of its routes. Clones share one list, which a reload
/// replaces.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<RwLock<Contents>>);

/// A breaker, with where its policy comes from.
#[derive(Clone, Debug)]
pub struct RegisteredBreaker {
    breaker: BreakerHandle,
    configured: Arc<Policy>,
    overriding: Option<Arc<Policy>>,
    findings: Arc<Findings>,
    upstream: Option<Arc<str>>,
    fallback: Option<Arc<str>>,
    is_stand_in: bool,
}

/// Where a policy comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The configuration.
    Configuration,
    /// An operator, at run time.
    Override,
}

/// No breaker has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The name.
    pub name: String,
    /// The names that may have been meant, the nearest first.
    pub nearest: Vec<String>,
}

#[derive(Debug, Default)]
struct Contents {
    entries: Arc<[RegisteredBreaker]>,
    policies: Arc<Policies>,
    panic: Option<Declared>,
}

// === impl Registry ===

impl Registry {
    /// The breakers of `entries`, and the `policies` that can be named.
    pub fn new(entries: impl IntoIterator<Item = RegisteredBreaker>, policies: Policies) -> Self {
        Self(Arc::new(RwLock::new(Contents {
            entries: entries.into_iter().collect(),
            policies: Arc::new(policies),
            panic: None,
        })))
    }

    /// Takes over what another configuration has. A breaker that was there under its name keeps its
    /// override; each is given the policy that is now in force for it, and keeps its state. Those
    /// that `entries` doesn't have are forgotten.
    pub fn replace(
        &self,
        entries: impl IntoIterator<Item = RegisteredBreaker>,
        policies: Policies,
    ) {
        let mut contents = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = contents.entries.iter();
        let before: HashMap<_, _> = before
            .map(|before| (before.name().clone(), before))
            .collect();
        let entries = entries.into_iter().map(|mut entry| {
            let before = before.get(entry.name());
            entry.overriding = before.and_then(|before| before.overriding.clone());
            entry.apply();
            if contents.panic.is_some() {
                entry.breaker.hold_closed();
            }
            entry
        });
        let entries = entries.collect();
        contents.entries = entries;
        contents.policies = Arc::new(policies);
    }

    /// The breakers as they are now.
    pub fn list(&self) -> Arc<[RegisteredBreaker]> {
        self.read(|contents| contents.entries.clone())
    }

    /// The breaker called `name`.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, name: &str) -> Result<RegisteredBreaker, Unknown> {
        let entries = self.list();
        find(&entries, name)
            .cloned()
            .ok_or_else(|| Unknown::among(&entries, name))
    }

    /// The policies that can be named.
    pub fn policies(&self) -> Arc<Policies> {
        self.read(|contents| contents.policies.clone())
    }

    /// Puts `policy` in the place of what the configuration says, or with `None` takes such a
    /// policy away; the breaker keeps its state.
    ///
    /// # Errors
    /// When no breaker is called `name`.
    pub fn set_override(
        &self,
        name: &str,
        policy: Option<Arc<Policy>>,
    ) -> Result<RegisteredBreaker, Unknown> {
        let mut contents = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut entries = contents.entries.to_vec();
        let Some(entry) = entries.iter_mut().find(|entry| &**entry.name() == name) else {
            return Err(Unknown::among(&entries, name));
        };
        entry.overriding = policy;
        entry.apply();
        let entry = entry.clone();
        contents.entries = entries.into();
        Ok(entry)
    }

    /// Forces all breakers closed from now on, those of later reloads too. A panic that is declared
    /// again began when it began, ends as it is said now, and keeps its reason unless another is
    /// given. `since` is in seconds since 1970.
    pub fn declare_panic(&self, since: f64, period: Option<Duration>, reason: Option<String>) {
        let mut contents = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let declared = Declared::new(since, period, reason);
        contents.panic = Some(declared.after(contents.panic.take()));
        for entry in &*contents.entries {
            entry.breaker.hold_closed();
        }
    }

    /// Gives each breaker the mode that it would have. Those whose policy decides do so anew, from
    /// closed and by what they observed meanwhile.
    pub fn end_panic(&self) {
        let mut contents = self.0.write().unwrap_or_else(PoisonError::into_inner);
        contents.end_panic();
    }

    /// The same, if its time is over; whether it was.
    pub fn end_panic_that_is_over(&self) -> bool {
        if !self.read(|contents| contents.panic.as_ref().is_some_and(Declared::is_over)) {
            return false;
        }
        let mut contents = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have declared another one meanwhile.
        let is_over = contents.panic.as_ref().is_some_and(Declared::is_over);
        if is_over {
            contents.end_panic();
        }
        is_over
    }

    /// Whether all breakers are forced closed, and why.
    pub fn panic(&self) -> Option<Panic> {
        self.read(|contents| contents.panic.as_ref().map(Declared::told))
    }

    /// What telemetry watches.
    pub fn watched(&self) -> Breakers {
        let (registry, of_panic) = (self.clone(), self.clone());
        let breakers = Breakers::new(move || {
            let entries = registry.list();
            entries.iter().map(Watched::from).collect()
        });
        breakers.in_panic(move || of_panic.panic())
    }

    fn read<T>(&self, read: impl FnOnce(&Contents) -> T) -> T {
        read(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Contents {
    fn end_panic(&mut self) {
        self.panic = None;
        for entry in &*self.entries {
            entry.breaker.release();
        }
    }
}

impl FromIterator<RegisteredBreaker> for Registry {
    fn from_iter<I: IntoIterator<Item = RegisteredBreaker>>(entries: I) -> Self {
        Self::new(entries, Policies::default())
    }
}

fn find<'a>(entries: &'a [RegisteredBreaker], name: &str) -> Option<&'a RegisteredBreaker> {
    entries.iter().find(|entry| &**entry.name() == name)
}

// === impl Entry ===

impl RegisteredBreaker {
    /// A breaker for which the configuration has this policy.
    pub fn new(breaker: BreakerHandle, configured: Arc<Policy>) -> Self {
        Self {
            breaker,
            configured,
            overriding: None,
            findings: Arc::default(),
            upstream: None,
            fallback: None,
            is_stand_in: false,
        }
    }

    /// The same, with the name of the upstream that its requests go to.
    #[must_use]
    pub fn with_upstream(self, upstream: Option<Arc<str>>) -> Self {
        Self { upstream, ..self }
    }

    /// The name of the upstream that its requests go to, if the proxy sends them.
    pub const fn upstream(&self) -> Option<&Arc<str>> {
        self.upstream.as_ref()
    }

    /// The same, with what answers the requests that it rejects, in words.
    #[must_use]
    pub fn with_fallback(self, fallback: Option<Arc<str>>) -> Self {
        Self { fallback, ..self }
    }

    /// What answers the requests that it rejects, in words, if something does.
    pub const fn fallback(&self) -> Option<&Arc<str>> {
        self.fallback.as_ref()
    }

    /// The same, of the upstream that a route's fallback sends to.
    #[must_use]
    pub fn standing_in(self) -> Self {
        Self {
            is_stand_in: true,
            ..self
        }
    }

    /// Whether it is not a route's breaker, but that of the upstream which its fallback sends to.
    pub const fn is_stand_in(&self) -> bool {
        self.is_stand_in
    }

    /// The same, with what is known of the route beside its breaker.
    #[must_use]
    pub fn with_findings(self, findings: Arc<Findings>) -> Self {
        Self { findings, ..self }
    }

    /// What is known of the route beside its breaker.
    pub const fn findings(&self) -> &Arc<Findings> {
        &self.findings
    }

    /// The breaker's name: the route's, or that of a stand-in.
    pub fn name(&self) -> &Arc<str> {
        self.breaker.name()
    }

    /// The breaker.
    pub const fn breaker(&self) -> &BreakerHandle {
        &self.breaker
    }

    /// The policy in force.
    pub fn policy(&self) -> &Arc<Policy> {
        self.overriding.as_ref().unwrap_or(&self.configured)
    }

    /// Where that comes from.
    pub const fn origin(&self) -> Origin {
        match self.overriding {
            Some(_) => Origin::Override,
            None => Origin::Configuration,
        }
    }

    fn apply(&self) {
        if self.breaker.policy() != *self.policy() {
            self.breaker.set_policy(self.policy().clone());
        }
    }
}

impl From<&BreakerHandle> for RegisteredBreaker {
    fn from(breaker: &BreakerHandle) -> Self {
        Self::new(breaker.clone(), breaker.policy())
    }
}

// === impl Origin ===

impl Origin {
    /// `configuration` or `override`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Override => "override",
        }
    }
}

// === impl Unknown ===

impl Unknown {
    fn among(entries: &[RegisteredBreaker], name: &str) -> Self {
        let mut known: Vec<&str> = entries.iter().map(|entry| &**entry.name()).collect();
        let mut nearby = Vec::new();
        while nearby.len() < MOST_NEAR
            && let Some(near) = nearest(name, &known)
        {
            known.retain(|known| *known != near);
            nearby.push(near.to_owned());
        }
        Self {
            name: name.to_owned(),
            nearest: nearby,
        }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no breaker is called '{}'", self.name.escape_debug())?;
        match &*self.nearest {
            [] => Ok(()),
            names => write!(f, "; did you mean {}?", names.join(" or ")),
        }
    }
}

impl std::error::Error for Unknown {}

/// More would not help.
const MOST_NEAR: usize = 3;

#[cfg(test)]
mod tests;
