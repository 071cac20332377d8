//! What is known of a route beside its breaker: which kinds of failure its sources had lately, why
//! a feed matches nothing, and how often the fallback answered.
//!
//! All of it is bounded, because others choose much of the text: upstreams and applications.

mod kinds;
mod plain;
#[cfg(test)]
mod tests;
mod unmatched;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use breaker_tower::breaker_core::TraceId;
use tokio::time::Instant;

use self::kinds::Kinds;
pub use self::kinds::{Counted, OTHER};
pub use self::plain::plain;
pub use self::unmatched::{Miss, Unmatched};

/// What is known of one route. Requests that succeed never touch it.
#[derive(Debug)]
pub struct Findings {
    began: Instant,
    sources: Mutex<Vec<Source>>,
    fallbacks: AtomicU64,
}

/// A failed request, or several that failed the same way.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "made by those who saw it")]
pub struct Failed<'a> {
    /// A word as in `error.type`: a status, or what went wrong.
    pub kind: &'a str,
    /// Where it was sent, if that is known.
    pub endpoint: Option<&'a str>,
    /// The trace that it belongs to.
    pub trace: Option<TraceId>,
    /// How many requests.
    pub count: u64,
}

#[derive(Debug)]
struct Source {
    name: Box<str>,
    kinds: Kinds,
    unmatched: Option<Unmatched>,
}

impl Findings {
    /// Notes that requests failed, as `source` saw.
    pub fn failed(&self, source: &str, failed: Failed<'_>, now: Instant) {
        let elapsed = now.saturating_duration_since(self.began);
        self.with(source, |source| source.kinds.add(failed, elapsed));
    }

    /// The kinds of failure of `source`: those of the last five minutes first, the most frequent
    /// first, then older ones that are still remembered.
    pub fn failures(&self, source: &str, now: Instant) -> Vec<Counted> {
        let elapsed = now.saturating_duration_since(self.began);
        let sources = self.sources();
        let source = sources.iter().find(|known| &*known.name == source);
        source.map_or_else(Vec::new, |source| source.kinds.counted(elapsed))
    }

    /// Notes why the feed `source` matches nothing, or that it does match.
    pub fn set_unmatched(&self, source: &str, unmatched: Option<Unmatched>) {
        if unmatched.is_some() || self.unmatched(source).is_some() {
            self.with(source, |source| source.unmatched = unmatched);
        }
    }

    /// Why the feed `source` matches nothing; `None` if it does, or nothing is known.
    pub fn unmatched(&self, source: &str) -> Option<Unmatched> {
        let sources = self.sources();
        let source = sources.iter().find(|known| &*known.name == source);
        source.and_then(|source| source.unmatched.clone())
    }

    /// The fallback answered a request that the breaker rejected.
    pub(crate) fn fell_back(&self) {
        self.fallbacks.fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests the fallback answered since the start.
    pub fn fallbacks(&self) -> u64 {
        self.fallbacks.load(Ordering::Relaxed)
    }

    /// Forgets sources that the route no longer has.
    pub fn retain(&self, is_source: impl Fn(&str) -> bool) {
        self.sources().retain(|source| is_source(&source.name));
    }

    fn with(&self, name: &str, change: impl FnOnce(&mut Source)) {
        let mut sources = self.sources();
        let known = sources.iter().position(|known| *known.name == *name);
        let at = known.unwrap_or_else(|| {
            sources.push(Source {
                name: name.into(),
                kinds: Kinds::default(),
                unmatched: None,
            });
            sources.len() - 1
        });
        change(&mut sources[at]);
    }

    fn sources(&self) -> MutexGuard<'_, Vec<Source>> {
        // Counts that a panic interrupts are at most one short.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The source of the proxy's own requests.
pub const PROXY: &str = "proxy";

impl Default for Findings {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            sources: Mutex::default(),
            fallbacks: AtomicU64::new(0),
        }
    }
}
