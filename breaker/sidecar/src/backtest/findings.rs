//! The results of a backtest, and their output.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::document::BacktestDocument;
use super::happening::Happening;
use super::loss::Lost;
use super::shard::Shard;
use super::timeline::Timeline;
use breaker_tower::breaker_core::replay::{Replay, Report};
use breaker_tower::breaker_core::{Event, Timestamp, Transition};

/// The results of a backtest.
#[derive(Debug)]
#[non_exhaustive]
pub struct Findings {
    /// In the order in which the policies were given.
    pub policies: Vec<PolicyFindings>,
    /// What was left out.
    pub lost: Lost,
    /// The formats of the traces, of [`formats`](super::formats).
    pub formats: BTreeSet<&'static str>,
    /// How many routes the trace has.
    pub routes: usize,
    /// When the first and the last request began. `None` if there were no requests.
    pub span: Option<(Timestamp, Timestamp)>,
    /// The wanted routes that the trace does not have.
    pub unmatched: Vec<Unmatched>,
    pub(super) timelines: Vec<(Arc<str>, Timeline)>,
    pub(super) part: PartOf,
}

/// What the part of a backtest belongs to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PartOf {
    pub(super) shard: Option<Shard>,
    /// A hash of the options.
    pub(super) options: u64,
    /// Requests of the trace, including those of other parts.
    pub(super) met: u64,
}

/// A wanted route that the trace does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unmatched {
    /// The name of the route.
    pub route: String,
    /// The most similar name of a route of the trace.
    pub nearest: Option<String>,
    /// Some routes that the trace has.
    pub known: Vec<String>,
}

/// What one policy would have done.
#[derive(Debug)]
#[non_exhaustive]
pub struct PolicyFindings {
    /// The name that distinguishes the policy from the others.
    pub label: String,
    /// The sum over all routes.
    pub report: Report,
    /// The events of the breakers of all routes, by time; at most 100,000.
    pub events: Vec<Happening>,
    /// Events beyond this maximum.
    pub left_out: u64,
}

/// Collects results while requests are replayed.
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

    /// Notes that a request began at `at`, not before the previous one.
    pub(super) fn span(&mut self, at: Timestamp) {
        self.span = Some((self.span.map_or(at, |span| span.0), at));
    }

    /// Takes the new events of `replay`, which is that of `route` and a policy.
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

    /// Adds the final report of a route.
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
            // The events of each route are in order. A stable sort keeps the order of equal times.
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
    /// The transitions, with the routes of their breakers.
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
    /// The number of requests.
    pub fn requests(&self) -> u64 {
        self.policies
            .first()
            .map_or(0, |policy| policy.report.requests)
    }

    /// The document of these results.
    pub fn document(&self) -> BacktestDocument {
        BacktestDocument::of(self)
    }

    /// A table with a row for each policy, followed by the events of each policy.
    pub fn text(&self) -> String {
        self.document().text()
    }

    /// A line for each event, followed by a line with the summary. If there are several policies,
    /// each line names its policy.
    pub fn json(&self) -> String {
        self.document().json()
    }

    /// A self-contained HTML page with all results.
    pub fn html(&self) -> String {
        self.document().html()
    }
}

/// Events of one policy: 20 MB.
pub(super) const MOST_EVENTS: usize = 100_000;
