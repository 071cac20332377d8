//! The result of a backtest as a document. It can be written as text, JSON lines or an HTML page.
//! The documents of the parts of a backtest can be merged. Times are whole nanoseconds, so that
//! nothing is rounded before the output.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write;

use breaker_tower::breaker_core::Timestamp;
use breaker_tower::breaker_core::replay::Report;
use serde::{Deserialize, Serialize};

use super::findings::Findings;
use super::happening::{EventLine, ToldEvent};
use super::loss::Lost;
use super::shard::Shard;
use super::timeline::ToldTimeline;
use super::when;

/// The result of a backtest, or of a part of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BacktestDocument {
    /// The version of this document.
    pub(super) version: u32,
    pub(super) shard: Option<Shard>,
    /// A hash of the options: parts of different backtests must not be merged.
    pub(super) options: u64,
    /// Requests of the trace, including those of other parts.
    pub(super) met: u64,
    pub(super) policies: Vec<PolicyDocument>,
    pub(super) lost: Lost,
    pub(super) formats: BTreeSet<Cow<'static, str>>,
    pub(super) routes: usize,
    /// When the first and the last request began.
    pub(super) span: Option<(u64, u64)>,
    pub(super) timelines: Vec<ToldTimeline>,
}

/// What one policy would have done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PolicyDocument {
    pub(super) label: String,
    pub(super) sums: ReportSums,
    pub(super) events: Vec<ToldEvent>,
    pub(super) left_out: u64,
}

/// The sum of the reports of all routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReportSums {
    pub(super) requests: u64,
    pub(super) admitted: u64,
    pub(super) rejected: u64,
    pub(super) rejected_good: u64,
    pub(super) admitted_bad: u64,
    pub(super) trips: u64,
    pub(super) first_trip: Option<u64>,
    pub(super) alerts: u64,
    pub(super) shed: u64,
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

/// Facts about the trace, to check whether it was read correctly.
#[derive(Serialize)]
struct Trace<'a> {
    formats: &'a BTreeSet<Cow<'static, str>>,
    routes: usize,
    /// When the first and the last request began, with the dates if the trace has dates.
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
    /// The date of `first_trip`, if the trace has dates.
    first_trip_time: Option<String>,
    /// The number of alerts.
    alerts: u64,
    /// Rejected requests that exceeded the limit of requests in flight.
    shed: u64,
}

// === impl BacktestDocument ===

impl BacktestDocument {
    pub(super) fn of(findings: &Findings) -> Self {
        let policies = findings.policies.iter().map(|policy| PolicyDocument {
            label: policy.label.clone(),
            sums: ReportSums::from(&policy.report),
            events: policy.events.iter().map(ToldEvent::from).collect(),
            left_out: policy.left_out,
        });
        let timelines = findings.timelines.iter();
        let mut outcome = Self {
            version: VERSION,
            shard: findings.part.shard,
            options: findings.part.options,
            met: findings.part.met,
            policies: policies.collect(),
            lost: findings.lost.clone(),
            formats: findings.formats.iter().copied().map(Cow::from).collect(),
            routes: findings.routes,
            span: findings
                .span
                .map(|(from, to)| (from.as_nanos(), to.as_nanos())),
            timelines: timelines
                .map(|(name, timeline)| timeline.told(name))
                .collect(),
        };
        outcome.sort();
        outcome
    }

    /// Sorts events and timelines independently of the order of routes in the trace. The events of
    /// each route are in order. The sort is stable, so it keeps the order of events of the same
    /// time.
    pub(super) fn sort(&mut self) {
        for policy in &mut self.policies {
            policy
                .events
                .sort_by(|a, b| (a.at, &a.route).cmp(&(b.at, &b.route)));
        }
        self.timelines
            .sort_by(|a, b| (a.start, &a.name).cmp(&(b.start, &b.name)));
    }

    /// The number of requests.
    pub fn requests(&self) -> u64 {
        self.policies
            .first()
            .map_or(0, |policy| policy.sums.requests)
    }

    /// The number of bad lines.
    pub const fn bad_lines(&self) -> u64 {
        self.lost.lines
    }

    /// The document itself, on one line, for [`BacktestDocument::merge`].
    pub fn line(&self) -> String {
        let mut text = String::new();
        push_line(&mut text, self);
        text
    }

    /// A table with a row for each policy, followed by the events of each policy.
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
                let (title, reason) = (&event.title, &event.reason);
                // Writing to a `String` can't fail.
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

    /// A line for each event, followed by a line with the summary. If there are several policies,
    /// each line names its policy.
    pub fn json(&self) -> String {
        let several = self.policies.len() > 1;
        fn label(policy: &PolicyDocument) -> &str {
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
            push_line(&mut text, &EventLine::of(event, name(policy)));
        }
        for policy in &self.policies {
            let line = SummaryLine {
                policy: name(policy),
                summary: Summary::of(&policy.sums),
                lost: &self.lost,
                trace: Trace::of(self),
                kind: "summary",
            };
            push_line(&mut text, &line);
        }
        text
    }

    /// A self-contained HTML page with all results.
    pub fn html(&self) -> String {
        super::html::page(self)
    }

    /// What was read, and the time that it covers.
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
        let formats: Vec<_> = self.formats.iter().map(|format| &**format).collect();
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
            let sums = &policy.sums;
            [
                policy.label.clone(),
                sums.requests.to_string(),
                sums.rejected.to_string(),
                sums.rejected_good.to_string(),
                sums.admitted_bad.to_string(),
                sums.shed.to_string(),
                sums.alerts.to_string(),
                sums.trips.to_string(),
                sums.first_trip.map_or("never".to_owned(), time),
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

impl From<&Report> for ReportSums {
    fn from(report: &Report) -> Self {
        Self {
            requests: report.requests,
            admitted: report.admitted,
            rejected: report.rejected,
            rejected_good: report.rejected_good,
            admitted_bad: report.admitted_bad,
            trips: report.trips,
            first_trip: report.first_trip.map(Timestamp::as_nanos),
            alerts: report.alerts,
            shed: report.shed,
        }
    }
}

impl<'a> Trace<'a> {
    fn of(outcome: &'a BacktestDocument) -> Self {
        let (first, last) = outcome.span.unzip();
        Self {
            formats: &outcome.formats,
            routes: outcome.routes,
            first: first.map(seconds),
            first_time: first.and_then(date),
            last: last.map(seconds),
            last_time: last.and_then(date),
        }
    }
}

impl Summary {
    pub(super) fn of(sums: &ReportSums) -> Self {
        Self {
            requests: sums.requests,
            admitted: sums.admitted,
            rejected: sums.rejected,
            rejected_good: sums.rejected_good,
            admitted_bad: sums.admitted_bad,
            trips: sums.trips,
            first_trip: sums.first_trip.map(seconds),
            first_trip_time: sums.first_trip.and_then(date),
            alerts: sums.alerts,
            shed: sums.shed,
        }
    }
}

fn push_line(text: &mut String, line: &impl Serialize) {
    *text += &serde_json::to_string(line).expect("texts and finite numbers are JSON");
    text.push('\n');
}

/// A date if the trace has dates, otherwise seconds.
fn time(nanos: u64) -> String {
    date(nanos).unwrap_or_else(|| format!("{:.3}", seconds(nanos)))
}

fn date(nanos: u64) -> Option<String> {
    when::date(Timestamp::from_nanos(nanos))
}

fn seconds(nanos: u64) -> f64 {
    Timestamp::from_nanos(nanos).as_secs_f64()
}

/// Increases when older versions can't read the document any more.
pub(super) const VERSION: u32 = 1;
