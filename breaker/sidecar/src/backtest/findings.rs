//! What came of a backtest, and how it is told.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::document::BacktestDocument;
use super::happening::Happening;
use super::loss::Lost;
use super::shard::Shard;
use super::timeline::Timeline;
use breaker_tower::breaker_core::replay::{Replay, Report};
use breaker_tower::breaker_core::{Event, Timestamp, Transition};

/// What came of a backtest.
#[derive(Debug)]
#[non_exhaustive]
pub struct Findings {
    /// In the order in which the policies were given.
    pub policies: Vec<PolicyFindings>,
    /// What was left out.
    pub lost: Lost,
    /// By which of [`formats`](super::formats) the traces were read.
    pub formats: BTreeSet<&'static str>,
    /// How many routes the trace has.
    pub routes: usize,
    /// When the first and the last request began; `None` of no requests.
    pub span: Option<(Timestamp, Timestamp)>,
    /// The wanted routes that the trace does not have.
    pub unmatched: Vec<Unmatched>,
    pub(super) timelines: Vec<(Arc<str>, Timeline)>,
    pub(super) part: PartOf,
}

/// Of which whole it is a part.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PartOf {
    pub(super) shard: Option<Shard>,
    /// A hash of the options.
    pub(super) options: u64,
    /// Requests of the trace, those of other parts included.
    pub(super) met: u64,
}

/// A wanted route that the trace does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unmatched {
    /// What was wanted.
    pub route: String,
    /// A route of the trace that may be meant.
    pub nearest: Option<String>,
    /// Some routes that the trace has.
    pub known: Vec<String>,
}

/// What one policy would have done.
#[derive(Debug)]
#[non_exhaustive]
pub struct PolicyFindings {
    /// The name that tells it from the others.
    pub label: String,
    /// Over all routes.
    pub report: Report,
    /// What the breakers of all routes did, in the order of its time; at most 100,000 events.
    pub events: Vec<Happening>,
    /// Events that were too many to be kept.
    pub left_out: u64,
}

/// What is written down while requests are fed.
#[derive(Debug)]
pub(super) struct Ledger {
    policies: Vec<PolicyFindings>,
    span: Option<(Timestamp, Timestamp)>,
}

// === impl Ledger ===

impl Ledger {
    pub(super) fn new(labels: impl Iterator<Item = String>) -> Self {
        let policies = labels.map(|label| PolicyFindings {
            label,
            report: Report::default(),
            events: Vec::new(),
            left_out: 0,
        });
        Self {
            policies: policies.collect(),
            span: None,
        }
    }

    /// A request began at `at`, which is not before the last one.
    pub(super) fn span(&mut self, at: Timestamp) {
        self.span = Some((self.span.map_or(at, |span| span.0), at));
    }

    /// Takes what `replay`, of `route` and a policy, has done since.
    pub(super) fn take(&mut self, policy: usize, route: &Arc<str>, replay: &mut Replay) {
        let findings = &mut self.policies[policy];
        while let Some(event) = replay.poll_event() {
            if findings.events.len() >= MOST_EVENTS {
                findings.left_out += 1;
                continue;
            }
            findings.events.extend(Happening::new(route, event));
        }
    }

    /// Adds the report of a route that is over.
    pub(super) fn close(&mut self, policy: usize, route: &Report) {
        let sum = &mut self.policies[policy].report;
        sum.requests += route.requests;
        sum.admitted += route.admitted;
        sum.rejected += route.rejected;
        sum.rejected_good += route.rejected_good;
        sum.admitted_bad += route.admitted_bad;
        sum.trips += route.trips;
        sum.shed += route.shed;
        sum.alerts += route.alerts;
        sum.first_trip = sum.first_trip.into_iter().chain(route.first_trip).min();
    }

    pub(super) fn findings(
        mut self,
        lost: Lost,
        formats: BTreeSet<&'static str>,
        routes: usize,
        timelines: Vec<(Arc<str>, Timeline)>,
        unmatched: Vec<Unmatched>,
        part: PartOf,
    ) -> Findings {
        for policy in &mut self.policies {
            // Each route's are in order; a stable sort keeps those of one time so.
            policy.events.sort_by_key(|event| event.at);
        }
        Findings {
            policies: self.policies,
            span: self.span,
            lost,
            formats,
            routes,
            timelines,
            unmatched,
            part,
        }
    }
}

impl std::fmt::Display for Unmatched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the trace has no request of {}", self.route)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean {nearest}?"),
            None if self.known.is_empty() => Ok(()),
            None => write!(f, "; it has {}", self.known.join(", ")),
        }
    }
}

// === impl PolicyFindings ===

impl PolicyFindings {
    /// The changes of state, with the routes whose breakers made them.
    pub fn transitions(&self) -> impl Iterator<Item = (&Arc<str>, &Transition)> {
        self.events
            .iter()
            .filter_map(|happening| match &happening.event {
                Event::Transition(moved) => Some((&happening.route, moved)),
                _ => None,
            })
    }
}

// === impl Findings ===

impl Findings {
    /// How many requests there were.
    pub fn requests(&self) -> u64 {
        self.policies
            .first()
            .map_or(0, |policy| policy.report.requests)
    }

    /// What there is to tell of it.
    pub fn document(&self) -> BacktestDocument {
        BacktestDocument::of(self)
    }

    /// A table with a row for each policy, then what each did.
    pub fn text(&self) -> String {
        self.document().text()
    }

    /// A line for each event, then one with the summary; with several policies each says of which
    /// it is.
    pub fn json(&self) -> String {
        self.document().json()
    }

    /// A page that shows it all, and needs nothing but itself.
    pub fn html(&self) -> String {
        self.document().html()
    }
}

/// Of one policy: 20 MB.
pub(super) const MOST_EVENTS: usize = 100_000;
