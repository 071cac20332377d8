//! Feeds come and go: for the breaker, and for what metrics tell, under one lock.

use std::sync::Arc;

use breaker_core::{Feed, SourceId};

use super::SharedBreaker;

impl SharedBreaker {
    /// Adds a feed.
    pub(crate) fn add_feed(self: &Arc<Self>, feed: Feed) -> SourceId {
        self.with_locked(|locked, _| {
            #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
            let name = feed.name.clone();
            let id = locked.breaker.add_feed(feed);
            #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
            locked.tally().add_feed(id, name);
            id
        })
    }

    /// Replaces all feeds.
    pub(crate) fn set_feeds(self: &Arc<Self>, feeds: Vec<Feed>) -> Vec<SourceId> {
        self.with_locked(|locked, now| {
            #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
            let names: Vec<_> = feeds.iter().map(|feed| feed.name.clone()).collect();
            let ids = locked.breaker.set_feeds(feeds, now);
            #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
            locked.tally().set_feeds(ids.iter().copied().zip(names));
            ids
        })
    }
}
