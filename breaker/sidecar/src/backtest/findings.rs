//! What came of a backtest, and how it is told.

use std::fmt::Write;
use std::sync::Arc;

use breaker_tower::State;
use breaker_tower::core::replay::{Replay, Report};
use breaker_tower::core::{Reason, Timestamp};
use serde::Serialize;

use super::timeline::Timeline;

/// What came of a backtest.
#[derive(Debug)]
#[non_exhaustive]
pub struct Findings {
    /// In the order in which the policies were given.
    pub policies: Vec<PolicyFindings>,
    /// What was left out.
    pub lost: Lost,
    /// How many routes the trace has.
    pub routes: usize,
    /// When the first and the last request began; `None` of no requests.
    pub span: Option<(Timestamp, Timestamp)>,
    pub(super) timelines: Vec<(Arc<str>, Timeline)>,
}

/// What one policy would have done.
#[derive(Debug)]
#[non_exhaustive]
pub struct PolicyFindings {
    /// The name that tells it from the others.
    pub label: String,
    /// Over all routes.
    pub report: Report,
    /// The transitions of all routes, in the order of their time; at most 100,000.
    pub moves: Vec<Move>,
    /// Transitions that were too many to be kept.
    pub left_out: u64,
}

/// A transition of one route's breaker.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Move {
    /// When.
    pub at: Timestamp,
    /// The route.
    pub route: Arc<str>,
    /// The state before.
    pub from: State,
    /// The state then.
    pub to: State,
    /// Why.
    pub reason: Arc<Reason>,
}

/// What of a trace was left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// Bad lines, those of requests that came too late included.
    pub lines: u64,
    /// Requests that began too long before others that stand before them.
    pub late: u64,
}

/// What is written down while requests are fed.
#[derive(Debug)]
pub(super) struct Ledger {
    policies: Vec<PolicyFindings>,
    span: Option<(Timestamp, Timestamp)>,
}

/// A line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
    t: f64,
    route: &'a str,
    from: &'static str,
    to: &'static str,
    reason: String,
    source: Option<&'a str>,
}

/// The last line of `--json`.
#[derive(Serialize)]
struct SummaryLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
    summary: Summary,
}

#[derive(Serialize)]
pub(super) struct Summary {
    requests: u64,
    admitted: u64,
    rejected: u64,
    rejected_good: u64,
    admitted_bad: u64,
    trips: u64,
    first_trip: Option<f64>,
}

// === impl Ledger ===

impl Ledger {
    pub(super) fn new(labels: impl Iterator<Item = String>) -> Self {
        let policies = labels.map(|label| PolicyFindings {
            label,
            report: Report::default(),
            moves: Vec::new(),
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
        while let Some(transition) = replay.poll_transition() {
            if findings.moves.len() >= MOST_MOVES {
                findings.left_out += 1;
                continue;
            }
            findings.moves.push(Move {
                at: transition.at,
                route: route.clone(),
                from: transition.from,
                to: transition.to,
                reason: transition.reason,
            });
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
        sum.first_trip = sum.first_trip.into_iter().chain(route.first_trip).min();
    }

    pub(super) fn findings(
        mut self,
        lost: Lost,
        routes: usize,
        timelines: Vec<(Arc<str>, Timeline)>,
    ) -> Findings {
        for policy in &mut self.policies {
            // Each route's are in order; a stable sort keeps those of one time so.
            policy.moves.sort_by_key(|moved| moved.at);
        }
        Findings {
            policies: self.policies,
            span: self.span,
            lost,
            routes,
            timelines,
        }
    }
}

// === impl Findings ===

impl Findings {
    /// A table with a row for each policy, then the transitions of each.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.table(&mut text);
        for policy in &self.policies {
            let several = self.policies.len() > 1;
            let title = if several {
                format!("{}:\n", policy.label)
            } else {
                String::new()
            };
            text += &format!("\n{title}");
            if policy.moves.is_empty() {
                text += "no transitions\n";
            }
            let width = policy
                .moves
                .iter()
                .map(|moved| moved.route.chars().count())
                .max();
            for moved in &policy.moves {
                let (at, route, from, to) =
                    (moved.at.as_secs_f64(), &moved.route, moved.from, moved.to);
                // Writing to a text can't fail.
                let _ = writeln!(
                    text,
                    "{at:>14.3}  {route:<width$}  {from:>9} → {to:<9}  {}",
                    moved.reason,
                    width = width.unwrap_or_default()
                );
            }
            if policy.left_out > 0 {
                let _ = writeln!(text, "and {} more transitions", policy.left_out);
            }
        }
        let Lost { lines, late } = self.lost;
        if lines > 0 {
            let _ = writeln!(
                text,
                "\n{lines} bad lines were left out; {late} requests came too late"
            );
        }
        text
    }

    /// A line for each transition, then one with the summary; with several policies each says of which it is.
    pub fn json(&self) -> String {
        let several = self.policies.len() > 1;
        let name = |policy: usize| several.then(|| self.policies[policy].label.as_str());
        let mut moves: Vec<_> = self
            .policies
            .iter()
            .enumerate()
            .flat_map(|(index, policy)| policy.moves.iter().map(move |moved| (index, moved)))
            .collect();
        moves.sort_by_key(|(_, moved)| moved.at);
        let mut text = String::new();
        for (index, moved) in moves {
            push_line(
                &mut text,
                &Line {
                    policy: name(index),
                    t: moved.at.as_secs_f64(),
                    route: &moved.route,
                    from: moved.from.name(),
                    to: moved.to.name(),
                    reason: moved.reason.to_string(),
                    source: source(&moved.reason),
                },
            );
        }
        for (index, policy) in self.policies.iter().enumerate() {
            let summary = Summary::of(&policy.report);
            push_line(
                &mut text,
                &SummaryLine {
                    policy: name(index),
                    summary,
                },
            );
        }
        text
    }

    /// A page that shows it all, and needs nothing but itself.
    pub fn html(&self) -> String {
        super::html::page(self)
    }

    fn table(&self, text: &mut String) {
        const HEAD: [&str; 7] = [
            "policy",
            "requests",
            "rejected",
            "rejected_good",
            "admitted_bad",
            "trips",
            "first trip",
        ];
        let rows = self.policies.iter().map(|policy| {
            let report = &policy.report;
            [
                policy.label.clone(),
                report.requests.to_string(),
                report.rejected.to_string(),
                report.rejected_good.to_string(),
                report.admitted_bad.to_string(),
                report.trips.to_string(),
                report
                    .first_trip
                    .map_or("never".to_owned(), |at| format!("{:.3}", at.as_secs_f64())),
            ]
        });
        let rows: Vec<_> = std::iter::once(HEAD.map(str::to_owned))
            .chain(rows)
            .collect();
        let widths: Vec<_> = (0..HEAD.len())
            .map(|column| {
                rows.iter()
                    .map(|row| row[column].chars().count())
                    .max()
                    .unwrap_or_default()
            })
            .collect();
        for row in &rows {
            let _ = write!(text, "{:<width$}", row[0], width = widths[0]);
            for (cell, width) in row.iter().zip(&widths).skip(1) {
                let _ = write!(text, "  {cell:>width$}");
            }
            text.push('\n');
        }
    }
}

// === impl Summary ===

impl Summary {
    pub(super) fn of(report: &Report) -> Self {
        Self {
            requests: report.requests,
            admitted: report.admitted,
            rejected: report.rejected,
            rejected_good: report.rejected_good,
            admitted_bad: report.admitted_bad,
            trips: report.trips,
            first_trip: report.first_trip.map(Timestamp::as_secs_f64),
        }
    }
}

fn push_line(text: &mut String, line: &impl Serialize) {
    *text += &serde_json::to_string(line).expect("texts and finite numbers are JSON");
    text.push('\n');
}

/// Where that was observed on which a transition rests, if it rests on observations of a source.
fn source(reason: &Reason) -> Option<&str> {
    match reason {
        Reason::Tripped { source, .. } | Reason::FeedUnhealthy { source, .. } => Some(source),
        _ => None,
    }
}

/// Of one policy: 10 MB.
const MOST_MOVES: usize = 100_000;
