//! Finds the feeds that a span or a point matches.
//!
//! A [`FeedMatcher`] describes what one feed reads, as the configuration says. A [`MatchSet`] gives
//! the same answers for all feeds of all routes together, in one pass over the attributes of a
//! span.

mod glob;
mod pattern;
mod set;

use crate::{Attributes, SpanKind};

pub use self::pattern::{Pattern, Test};
pub use self::set::{MatchSet, Matching};

/// What a feed reads: the spans or points for which all conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "written as a literal by the configuration"
)]
pub struct FeedMatcher {
    /// The signal that the feed reads.
    pub takes: Takes,
    /// Conditions on attributes of the resource.
    pub resource: Vec<(String, Pattern)>,
    /// The condition on the name of the instrumentation scope.
    pub scope: Option<Pattern>,
    /// Conditions on attributes of the span or point.
    pub attributes: Vec<(String, Pattern)>,
}

/// The signal that a feed reads. Never both: a request that appears in a span and in a metric would
/// count twice.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Takes {
    /// Spans of these kinds.
    Spans(SpanKinds),
    /// Points of the histograms whose name matches.
    Histogram(Pattern),
}

/// A set of span kinds, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanKinds(u8);

// === impl FeedMatcher ===

impl FeedMatcher {
    /// Whether spans and points of this resource can match the feed.
    pub fn matches_resource(&self, attributes: Attributes<'_>) -> bool {
        all_hold(&self.resource, attributes)
    }

    /// Whether spans and points of this instrumentation scope can match the feed.
    pub fn matches_scope(&self, name: &str) -> bool {
        self.scope
            .as_ref()
            .is_none_or(|scope| scope.holds_for(name))
    }

    /// Whether a span matches the feed, if its resource and scope do.
    pub fn matches_span(&self, kind: SpanKind, attributes: Attributes<'_>) -> bool {
        matches!(self.takes, Takes::Spans(kinds) if kinds.contains(kind))
            && all_hold(&self.attributes, attributes)
    }

    /// Whether a point of the histogram called `name` matches the feed, if its resource and scope
    /// do.
    pub fn matches_metric(&self, name: &str, attributes: Attributes<'_>) -> bool {
        self.matches_name(name) && all_hold(&self.attributes, attributes)
    }

    /// Whether the feed reads points of the histogram called `name`.
    pub fn matches_name(&self, name: &str) -> bool {
        matches!(&self.takes, Takes::Histogram(pattern) if pattern.holds_for(name))
    }
}

fn all_hold(conditions: &[(String, Pattern)], attributes: Attributes<'_>) -> bool {
    let mut conditions = conditions.iter();
    conditions.all(|(name, pattern)| pattern.holds(attributes.get(name)))
}

// === impl SpanKinds ===

impl SpanKinds {
    /// Whether the set contains `kind`.
    pub const fn contains(self, kind: SpanKind) -> bool {
        self.0 & bit(kind) != 0
    }
}

impl FromIterator<SpanKind> for SpanKinds {
    fn from_iter<I: IntoIterator<Item = SpanKind>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |bits, kind| bits | bit(kind)))
    }
}

const fn bit(kind: SpanKind) -> u8 {
    match kind {
        SpanKind::Unspecified => 0,
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 4,
        SpanKind::Producer => 8,
        SpanKind::Consumer => 16,
    }
}

#[cfg(test)]
mod tests;
