//! Points of histograms as samples.

use super::blame::Blames;
use super::disposition::SampleDisposition;
use super::feeds::{FeedBinding, Policies};
use super::gathered::Gathered;
use breaker_tower::breaker_core::Classification;

use breaker_otlp::convention::Facts;
use breaker_otlp::matching::{MatchSet, Matching};
use breaker_otlp::series::{ScopeId, SeriesTable, Skipped};
use breaker_otlp::{Attributes, HistogramPoint, MetricVisitor, Rejection, StatusCode};

/// Gathers samples while a batch is read.
pub(super) struct Points<'s> {
    matching: Matching<'s>,
    policies: Policies<'s>,
    series: &'s mut SeriesTable,
    /// What is read: the identity of the series begins with it.
    resource: Option<ScopeId>,
    scope: Option<ScopeId>,
    now: u64,
    items: u64,
    gathered: Vec<Gathered>,
    blames: Blames,
    /// What became of points that say nothing.
    fates: Vec<(usize, SampleDisposition)>,
}

/// Reads a batch to see that it can be read.
pub(super) struct Checked;

impl MetricVisitor for Checked {
    fn resource(&mut self, _: Attributes<'_>) -> bool {
        true
    }

    fn scope(&mut self, _: &str, _: &str) -> bool {
        true
    }

    fn histogram(&mut self, _: &HistogramPoint<'_>) {}
}

impl<'s> Points<'s> {
    pub(super) fn new(
        matches: &'s MatchSet,
        policies: Policies<'s>,
        series: &'s mut SeriesTable,
        now: u64,
    ) -> Self {
        Self {
            matching: matches.matching(),
            policies,
            series,
            resource: None,
            scope: None,
            now,
            items: 0,
            gathered: Vec::new(),
            blames: Blames::default(),
            fates: Vec::new(),
        }
    }

    /// How many points were looked at, and the samples with how they failed. What became of the
    /// others is counted.
    pub(super) fn gathered(self, feeds: &[FeedBinding]) -> (u64, Vec<Gathered>, Blames) {
        for (feed, fate) in self.fates {
            feeds[feed].told.count(fate, 1);
        }
        (self.items, self.gathered, self.blames)
    }
}

impl MetricVisitor for Points<'_> {
    fn resource(&mut self, resource: Attributes<'_>) -> bool {
        let wanted = self.matching.resource(resource);
        self.resource = wanted.then(|| self.series.resource(resource));
        wanted
    }

    fn scope(&mut self, name: &str, version: &str) -> bool {
        let wanted = self.matching.scope(name);
        let resource = self.resource.filter(|_| wanted);
        self.scope = resource.map(|resource| self.series.scope(resource, name, version));
        wanted
    }

    fn metric(&mut self, name: &str, _unit: &str) -> bool {
        self.matching.metric(name)
    }

    fn histogram(&mut self, point: &HistogramPoint<'_>) {
        self.items += 1;
        let feeds = self.matching.point(point.name, point.attributes);
        let (false, Some(origin)) = (feeds.is_empty(), self.scope) else {
            return;
        };
        let increase = match self.series.apply(origin, point, self.now) {
            Ok(increase) => increase,
            Err(skipped) => {
                let fate = fate_of(skipped);
                self.fates.extend(feeds.iter().map(|feed| (*feed, fate)));
                return;
            }
        };
        let facts = Facts::of(point.attributes);
        for &feed in feeds {
            let classification =
                facts.classification(StatusCode::Unset, self.policies.failure(feed));
            let has_failed = classification == Classification::Failure;
            let blame = has_failed.then(|| self.blames.note(&facts, point.attributes));
            let samples = increase.iter().map(|(latency, count)| Gathered {
                feed,
                classification,
                blame: blame.flatten(),
                latency,
                count,
                // Nothing tells when in the interval they ended. At its end they are in the window
                // for as long as can be.
                ended: increase.until(),
                trace: None,
                span: None,
            });
            self.gathered.extend(samples);
        }
    }

    fn rejected_point(&mut self, _metric: &str, _reason: Rejection) {
        self.items += 1;
    }
}

const fn fate_of(skipped: Skipped) -> SampleDisposition {
    match skipped {
        Skipped::Ahead => SampleDisposition::Future,
        Skipped::Baseline => SampleDisposition::Baseline,
        Skipped::NotNewer => SampleDisposition::Duplicate,
        Skipped::Refused => SampleDisposition::Refused,
        _ => SampleDisposition::Invalid,
    }
}
