//! Spans of a batch as samples.

use std::time::Duration;

use breaker_tower::breaker_core::{Classification, TraceId};

use super::blame::Blames;
use super::disposition::SampleDisposition;
use super::feeds::{FeedBinding, Policies};
use super::gathered::Gathered;
use breaker_otlp::convention::Facts;
use breaker_otlp::matching::{MatchSet, Matching};
use breaker_otlp::{Attributes, Span, TraceVisitor};

/// Gathers samples while a batch is read.
pub(super) struct Spans<'s> {
    matching: Matching<'s>,
    policies: Policies<'s>,
    items: u64,
    gathered: Vec<Gathered>,
    blames: Blames,
    /// Feeds that were told of a span that cannot be.
    invalid: Vec<usize>,
}

impl<'s> Spans<'s> {
    pub(super) fn new(matches: &'s MatchSet, policies: Policies<'s>) -> Self {
        Self {
            matching: matches.matching(),
            policies,
            items: 0,
            gathered: Vec::new(),
            blames: Blames::default(),
            invalid: Vec::new(),
        }
    }

    /// How many spans were looked at, and the samples with how they failed.
    pub(super) fn gathered(self, feeds: &[FeedBinding]) -> (u64, Vec<Gathered>, Blames) {
        for feed in self.invalid {
            feeds[feed].told.count(SampleDisposition::Invalid, 1);
        }
        (self.items, self.gathered, self.blames)
    }
}

impl TraceVisitor for Spans<'_> {
    fn resource(&mut self, resource: Attributes<'_>) -> bool {
        self.matching.resource(resource)
    }

    fn scope(&mut self, name: &str, _version: &str) -> bool {
        self.matching.scope(name)
    }

    fn span(&mut self, span: &Span<'_>) {
        self.items += 1;
        let feeds = self.matching.span(span.kind, span.attributes);
        if feeds.is_empty() {
            return;
        }
        let Some(latency) = latency(span) else {
            self.invalid.extend_from_slice(feeds);
            return;
        };
        let facts = Facts::of(span.attributes);
        for &feed in feeds {
            let classification = facts.classification(span.status, self.policies.failure(feed));
            let has_failed = classification == Classification::Failure;
            let blame = has_failed.then(|| self.blames.note(&facts, span.attributes));
            self.gathered.push(Gathered {
                feed,
                classification,
                blame: blame.flatten(),
                latency,
                count: 1,
                ended: span.end,
                trace: TraceId::new(span.trace_id),
                span: Some((span.trace_id, span.span_id)),
            });
        }
    }

    fn invalid_span(&mut self) {
        self.items += 1;
    }
}

/// How long it took; `None` where its times can't be: one is missing, they are in the wrong order
/// or in another unit.
fn latency(span: &Span<'_>) -> Option<Duration> {
    if span.start == 0 {
        return None;
    }
    let latency = Duration::from_nanos(span.end.checked_sub(span.start)?);
    (latency <= LONGEST).then_some(latency)
}

/// No request takes longer than a week. A begin in microseconds, or a clock that was not set, makes
/// decades.
const LONGEST: Duration = Duration::from_hours(7 * 24);
