//! What came of a backtest, and how it is told.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use breaker_tower::core::replay::{Replay, Report};
use breaker_tower::core::{Event, Timestamp, Transition};
use serde::Serialize;

use super::happening::Happening;
use super::loss::Lost;
use super::timeline::Timeline;
use super::when;

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

/// The last line of `--json`.
#[derive(Serialize)]
struct SummaryLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
    summary: Summary,
    lost: &'a Lost,
    trace: Trace<'a>,
    kind: &'static str,
}

/// What the trace is, for those who wonder whether it was read rightly.
#[derive(Serialize)]
struct Trace<'a> {
    formats: &'a BTreeSet<&'static str>,
    routes: usize,
    /// When the first and the last request began, and the dates of that, where the trace has dates.
    first: Option<f64>,
    first_time: Option<String>,
    last: Option<f64>,
    last_time: Option<String>,
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
    /// The date of that, where the trace has dates.
    first_trip_time: Option<String>,
    /// Alerts that were given.
    alerts: u64,
    /// Of the rejected ones, those for which a limit in flight had no room.
    shed: u64,
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

    /// A table with a row for each policy, then what each did.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.table(&mut text);
        self.trace(&mut text);
        for policy in &self.policies {
            let several = self.policies.len() > 1;
            let title = if several {
                format!("{}:\n", policy.label)
            } else {
                String::new()
            };
            text += &format!("\n{title}");
            if policy.events.is_empty() {
                text += "no events\n";
            }
            let routes = policy
                .events
                .iter()
                .map(|event| event.route.chars().count());
            let width = routes.max().unwrap_or_default();
            for event in &policy.events {
                let (at, route) = (time(event.at), &event.route);
                let (title, reason) = (event.title(), event.reason());
                // Writing to a text can't fail.
                let _ = writeln!(text, "{at:>14}  {route:<width$}  {title}  {reason}");
            }
            if policy.left_out > 0 {
                let _ = writeln!(text, "and {} more events", policy.left_out);
            }
        }
        if self.lost.lines > 0 {
            let (lines, why) = (self.lost.lines, self.lost.words());
            let _ = writeln!(text, "\n{lines} bad lines were left out: {why}");
        }
        text
    }

    /// A line for each event, then one with the summary; with several policies each says of which
    /// it is.
    pub fn json(&self) -> String {
        let several = self.policies.len() > 1;
        fn label(policy: &PolicyFindings) -> &str {
            &policy.label
        }
        let name = |policy| several.then(|| label(policy));
        let mut events: Vec<_> = self
            .policies
            .iter()
            .flat_map(|policy| policy.events.iter().map(move |event| (policy, event)))
            .collect();
        events.sort_by_key(|(_, event)| event.at);
        let mut text = String::new();
        for (policy, event) in events {
            push_line(&mut text, &event.told(name(policy)));
        }
        for policy in &self.policies {
            let line = SummaryLine {
                policy: name(policy),
                summary: Summary::of(&policy.report),
                lost: &self.lost,
                trace: Trace::of(self),
                kind: "summary",
            };
            push_line(&mut text, &line);
        }
        text
    }

    /// A page that shows it all, and needs nothing but itself.
    pub fn html(&self) -> String {
        super::html::page(self)
    }

    /// What was read, from when to when.
    fn trace(&self, text: &mut String) {
        let Some((first, last)) = self.span else {
            return;
        };
        let count = |count: u64, what| match count {
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        };
        let requests = count(self.requests(), "request");
        let routes = count(self.routes as u64, "route");
        let formats: Vec<_> = self.formats.iter().copied().collect();
        let (first, last, formats) = (time(first), time(last), formats.join(", "));
        let _ = writeln!(
            text,
            "\n{requests} of {routes} from {first} to {last}, read as {formats}"
        );
    }

    fn table(&self, text: &mut String) {
        const HEAD: [&str; 9] = [
            "policy",
            "requests",
            "rejected",
            "rejected_good",
            "admitted_bad",
            "shed",
            "alerts",
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
                report.shed.to_string(),
                report.alerts.to_string(),
                report.trips.to_string(),
                report.first_trip.map_or("never".to_owned(), time),
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

// === impl Trace ===

impl<'a> Trace<'a> {
    fn of(findings: &'a Findings) -> Self {
        let (first, last) = findings.span.unzip();
        Self {
            formats: &findings.formats,
            routes: findings.routes,
            first: first.map(Timestamp::as_secs_f64),
            first_time: first.and_then(when::date),
            last: last.map(Timestamp::as_secs_f64),
            last_time: last.and_then(when::date),
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
            first_trip_time: report.first_trip.and_then(when::date),
            alerts: report.alerts,
            shed: report.shed,
        }
    }
}

fn push_line(text: &mut String, line: &impl Serialize) {
    *text += &serde_json::to_string(line).expect("texts and finite numbers are JSON");
    text.push('\n');
}

/// A date, where the trace has dates, or else seconds.
fn time(at: Timestamp) -> String {
    when::date(at).unwrap_or_else(|| format!("{:.3}", at.as_secs_f64()))
}

/// Of one policy: 20 MB.
const MOST_EVENTS: usize = 100_000;
