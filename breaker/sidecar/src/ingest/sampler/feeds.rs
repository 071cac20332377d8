//! The feeds of all breakers: which telemetry belongs to them, and by which policy it is judged.

use std::collections::HashMap;
use std::sync::Arc;

use breaker_tower::breaker_core::SourceId;
use breaker_tower::breaker_core::policy::FailureRules;
use breaker_tower::{BreakerHandle, Policy};

use super::disposition::SampleCounts;
use crate::findings::{Findings, Unmatched};
use breaker_otlp::matching::{FeedMatcher, MatchSet};

/// The feeds of all breakers, which a reload replaces. A batch is read with those that there were
/// when it came.
#[derive(Debug)]
pub(super) struct Feeds {
    pub(super) matches: MatchSet,
    pub(super) list: Vec<FeedBinding>,
    /// The key of the next feed that is new.
    next_key: u32,
}

/// A feed of a breaker, and what telemetry belongs to it.
#[derive(Debug)]
pub struct FeedBinding {
    pub(super) breaker: BreakerHandle,
    pub(super) source: SourceId,
    pub(super) name: Arc<str>,
    pub(super) matcher: FeedMatcher,
    /// The feed's own policy, where it has one.
    policy: Option<Arc<Policy>>,
    pub(super) told: Arc<SampleCounts>,
    /// Where its failures are noted.
    pub(super) findings: Arc<Findings>,
    /// By which it is remembered from batch to batch, wherever it stands among the feeds.
    pub(super) key: u32,
}

/// The policies by which feeds are judged, each asked for once a batch: a breaker's may change from
/// batch to batch.
pub(super) struct Policies<'s> {
    feeds: &'s [FeedBinding],
    known: Vec<Option<Arc<Policy>>>,
}

// === impl Feeds ===

impl Feeds {
    pub(super) fn new(mut list: Vec<FeedBinding>, before: Option<&Self>) -> Self {
        let mut next_key = before.map_or(0, |before| before.next_key);
        let known = before.into_iter().flat_map(|before| &before.list);
        let known: HashMap<_, _> = known.map(|fed| (fed.names(), fed)).collect();
        for fed in &mut list {
            match known.get(&fed.names()) {
                Some(known) => {
                    fed.told = known.told.clone();
                    fed.key = known.key;
                }
                None => {
                    fed.key = next_key;
                    next_key += 1;
                    let silent = Some(Unmatched::silent());
                    fed.findings.set_unmatched(&fed.name, silent);
                }
            }
        }
        Self {
            matches: MatchSet::new(list.iter().map(|fed| &fed.matcher)),
            list,
            next_key,
        }
    }
}

// === impl FeedBinding ===

impl FeedBinding {
    /// The source `source`, called `name`, of `breaker`, which takes what `matcher` says. `policy`
    /// is the feed's own.
    pub fn new(
        breaker: BreakerHandle,
        source: SourceId,
        name: Arc<str>,
        matcher: FeedMatcher,
        policy: Option<Arc<Policy>>,
    ) -> Self {
        Self {
            breaker,
            source,
            name,
            matcher,
            policy,
            told: Arc::default(),
            findings: Arc::default(),
            key: 0,
        }
    }

    /// The same, whose failures are noted in `findings`.
    #[must_use]
    pub fn with_findings(self, findings: Arc<Findings>) -> Self {
        Self { findings, ..self }
    }

    pub(super) fn telling(&self) -> (Arc<str>, Arc<str>, Arc<SampleCounts>) {
        let (breaker, name) = self.names();
        (breaker, name, self.told.clone())
    }

    pub(super) fn names(&self) -> (Arc<str>, Arc<str>) {
        (self.breaker.name().clone(), self.name.clone())
    }
}

// === impl Policies ===

impl<'s> Policies<'s> {
    pub(super) fn of(feeds: &'s [FeedBinding]) -> Self {
        Self {
            feeds,
            known: vec![None; feeds.len()],
        }
    }

    pub(super) fn failure(&mut self, feed: usize) -> &FailureRules {
        let fed = &self.feeds[feed];
        let policy = self.known[feed].get_or_insert_with(|| {
            let own = fed.policy.clone();
            own.unwrap_or_else(|| fed.breaker.policy())
        });
        policy.failure()
    }
}
