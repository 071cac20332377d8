//! The page of one route.

use std::time::Duration;

use breaker_sidecar::live::{Event, Kind};
use breaker_sidecar::report::{Anomaly, ConditionStatus, Mode, Origin, PROXY, State, Window};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Paragraph, Wrap};

use super::palette::Palette;
use super::{endpoints, rate, spark};
use crate::cli::status::{of, percent, span, unmatched};
use crate::cli::top::model::{Model, Switched};
use crate::cli::top::route::{Route, Second};

/// Draws it: what matters most first, for a low terminal shows no more than its height.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    model: &Model,
    palette: &Palette,
    now: Duration,
) {
    let Some(route) = model.selected() else {
        return;
    };
    let switched = model.switched.as_ref();
    let page = Page {
        route,
        palette,
        switched,
    };
    let reason = &*route.breaker.reason.detail;
    // Words are not broken, so a line of them ends somewhat early.
    let room = usize::from(area.width.saturating_sub(12)).max(1);
    let wrapped = match reason.chars().count() {
        length if length <= area.width.into() => 1,
        length => length.div_ceil(room) as u16,
    };
    let [state, why, rest] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(wrapped),
        Constraint::Fill(1),
    ])
    .areas(area);
    frame.render_widget(page.state(now), state);
    frame.render_widget(Paragraph::new(reason).wrap(Wrap { trim: true }), why);

    let mut parts = vec![vec![page.mode()], page.lately(area.width.into())];
    if let Some(upstream) = &model.upstream {
        parts.push(endpoints::lines(upstream, palette));
    }
    parts.push(page.failures(area.width.into()));
    parts.push(page.conditions());
    let mut part = vec![page.title("sources".to_owned())];
    part.extend(
        route
            .breaker
            .sources
            .iter()
            .map(|window| page.source(window)),
    );
    parts.push(part);
    parts.push(page.anomalies());
    if let Some(last) = model.events.last() {
        let mut part = vec![page.title("last events".to_owned())];
        let now = model.unix.unwrap_or(last.t).max(last.t);
        let events = model.events.iter().rev();
        part.extend(events.map(|event| page.event(event, now - event.t)));
        parts.push(part);
    }
    parts.retain(|part| !part.is_empty());
    // Where there is room, something of it stands between the parts.
    let lines = if rest.height >= ROOMY {
        parts.join(&Line::default())
    } else {
        parts.concat()
    };
    frame.render_widget(Text::from(lines), rest);
}

struct Page<'a> {
    route: &'a Route,
    palette: &'a Palette,
    switched: Option<&'a Switched>,
}

impl Page<'_> {
    fn title(&self, title: String) -> Line<'static> {
        Line::styled(title, self.palette.strong)
    }

    fn state(&self, now: Duration) -> Line<'static> {
        let Page { route, palette, .. } = self;
        let breaker = &route.breaker;
        let mut state = vec![
            Span::styled(format!("{}  ", breaker.name), palette.strong),
            palette.state(breaker),
            Span::raw(format!(" for {}", span(breaker.lasted.floor()))),
        ];
        if let Some(remaining) = route.open_remaining(now) {
            let remaining = format!(", {:.0} s to go", remaining.ceil());
            state.push(Span::styled(remaining, palette.bad));
        }
        if let Some(shedding) = &breaker.shedding {
            let limit = format!(", at most {} in flight", shedding.limit);
            state.push(Span::raw(limit));
        }
        if breaker.state == State::HalfOpen || breaker.sheds() {
            let share = format!(", {} admitted", percent(breaker.admitted_share));
            state.push(Span::raw(share));
        }
        Line::from(state)
    }

    fn mode(&self) -> Line<'static> {
        let palette = self.palette;
        let breaker = &self.route.breaker;
        let mut mode = vec![Span::styled("mode ", palette.faint), palette.mode(breaker)];
        if let Some(remaining) = breaker.mode_remaining {
            mode.push(Span::raw(format!(" for {}", span(remaining))));
        }
        let origin = match breaker.policy.origin {
            Origin::Override => " (override)",
            Origin::Configuration => "",
        };
        mode.push(Span::styled("   policy ", palette.faint));
        mode.push(Span::raw(format!("{}{origin}", breaker.policy.name)));
        if let Some(fallback) = &breaker.fallback {
            let answered = breaker.totals.fallback;
            mode.push(Span::styled("   fallback ", palette.faint));
            mode.push(Span::raw(format!("{fallback}, {answered} answered")));
        }
        Line::from(mode)
    }

    /// The last minutes, a line a number.
    fn lately(&self, width: usize) -> Vec<Line<'static>> {
        let breaker = &self.route.breaker;
        let recent = self
            .switched
            .map_or(&self.route.recent, |switched| &switched.recent);
        let now = Second::smoothed(recent);
        let none = || "-".to_owned();
        let lines: [(&str, String, Of); 5] = [
            ("rate/s", rate(now.rate), |second| second.rate),
            ("rejected/s", rate(now.rejected), |second| second.rejected),
            (
                "errors",
                now.error_rate.map_or_else(none, percent),
                |second| second.error_rate.unwrap_or(0.0),
            ),
            ("P99", now.p99.map_or_else(none, span), |second| {
                second.p99.unwrap_or(0.0)
            }),
            (
                "in flight",
                self.route.breaker.in_flight.to_string(),
                |second| second.in_flight,
            ),
        ];
        let room = width.saturating_sub(22).min(300);
        let by = match self.switched {
            Some(switched) => format!("numbers of {}", switched.source),
            None => format!("numbers of {}, which decides", breaker.source),
        };
        // Of a single source there is nothing to choose, and a low terminal has no line to spare.
        let title = (breaker.sources.len() > 1).then(|| self.title(by));
        let lines = lines.into_iter().map(|(title, value, of)| {
            Line::from(vec![
                Span::styled(format!("{title:<10}"), self.palette.faint),
                Span::raw(format!("{value:>8}  ")),
                Span::raw(spark::line(recent.iter().map(of), room)),
            ])
        });
        title.into_iter().chain(lines).collect()
    }

    /// How requests failed in the last five minutes, and which feeds match nothing.
    fn failures(&self, width: usize) -> Vec<Line<'static>> {
        let breaker = &self.route.breaker;
        let is_shown = |window: &&Window| {
            self.switched
                .is_none_or(|switched| switched.source == window.source)
        };
        let windows = breaker.sources.iter().filter(is_shown);
        let all =
            windows.flat_map(|window| window.failure_kinds.iter().map(move |one| (window, one)));
        let mut lines: Vec<_> = all
            .take(MOST_FAILURES)
            .map(|(window, failure)| {
                let mut line = vec![
                    Span::raw(format!("  {:>7}  ", failure.count)),
                    Span::styled(failure.in_words(), self.palette.bad),
                ];
                if window.source != PROXY {
                    let source = format!("  {}", window.source);
                    line.push(Span::styled(source, self.palette.faint));
                }
                Line::from(line)
            })
            .collect();
        if !lines.is_empty() {
            lines.insert(0, self.title("failures of the last 5 min".to_owned()));
        }
        for (window, unmatched) in unmatched(&breaker.sources) {
            let text = format!("feed {}: {}", window.source, unmatched.detail);
            let rows = rows(&text, width).into_iter();
            lines.extend(rows.map(|row| Line::styled(row, self.palette.unsure)));
        }
        lines
    }

    /// Each condition once, on the source that is nearest to its bound.
    fn conditions(&self) -> Vec<Line<'static>> {
        let breaker = &self.route.breaker;
        let mut nearest: Vec<(&Window, &ConditionStatus)> = Vec::new();
        for window in &breaker.sources {
            for status in &window.conditions {
                let is_same = |known: &&mut (&Window, &ConditionStatus)| {
                    (known.1.entry, &known.1.text) == (status.entry, &status.text)
                };
                match nearest.iter_mut().find(is_same) {
                    Some(known) if status.reached <= known.1.reached => {}
                    Some(known) => *known = (window, status),
                    None => nearest.push((window, status)),
                }
            }
        }
        let mut lines: Vec<_> = nearest
            .into_iter()
            .map(|(window, status)| self.condition(window, status))
            .collect();
        if !lines.is_empty() {
            lines.insert(
                0,
                self.title(format!("conditions of {}", breaker.policy.name)),
            );
        }
        lines
    }

    /// A condition, what was observed, and how far it is from its bound.
    fn condition(&self, window: &Window, status: &ConditionStatus) -> Line<'static> {
        let palette = self.palette;
        let mut line = vec![Span::raw(format!("  {:<7}", status.action))];
        let (Some(reached), Some(observed)) = (status.reached, observed(status)) else {
            line.push(Span::raw(format!("{:<20}{}", "", status.text)));
            return Line::from(line);
        };
        let style = if reached >= 1.0 {
            palette.bad
        } else {
            palette.good
        };
        line.push(Span::styled(gauge(reached), style));
        line.push(Span::raw(format!("{observed:>8}  {}", status.text)));
        if window.source != PROXY {
            line.push(Span::styled(format!("  {}", window.source), palette.faint));
        }
        if status.samples < status.min_requests {
            let few = format!("  {} of {} requests", status.samples, status.min_requests);
            line.push(Span::styled(few, palette.faint));
        }
        Line::from(line)
    }

    fn source(&self, window: &Window) -> Line<'static> {
        let latency = window.latency.map_or_else(String::new, |latency| {
            format!("  P50 {}  P99 {}", span(latency.p50), span(latency.p99))
        });
        let errors = match window.requests {
            0 => "-".to_owned(),
            _ => percent(window.error_rate),
        };
        let mut line = vec![Span::raw(format!(
            "  {:<14} {:>7} requests  {:>6} errors{latency}",
            window.source, window.requests, errors,
        ))];
        if window.alerting {
            line.push(Span::styled("  alerting", self.palette.unsure));
        }
        Line::from(line)
    }

    fn anomalies(&self) -> Vec<Line<'static>> {
        let sources = self.route.breaker.sources.iter();
        let all = sources.flat_map(|window| window.anomalies.iter().map(move |one| (window, one)));
        let mut lines: Vec<_> = all.map(|(window, one)| self.anomaly(window, one)).collect();
        if !lines.is_empty() {
            lines.insert(
                0,
                self.title("anomalies, as a share of the alarm line".to_owned()),
            );
        }
        lines
    }

    fn anomaly(&self, window: &Window, anomaly: &Anomaly) -> Line<'static> {
        let palette = self.palette;
        let style = if anomaly.alarming {
            palette.bad
        } else {
            palette.good
        };
        Line::from(vec![
            Span::raw(format!("  {:<14} {:<9}", window.source, anomaly.signal)),
            Span::styled(gauge(anomaly.score), style),
            Span::raw(format!(" {:>8}", percent_of(anomaly.score))),
            Span::styled(
                format!(
                    "  {} now, {} is normal",
                    percent(anomaly.share),
                    percent(anomaly.normal)
                ),
                palette.faint,
            ),
        ])
    }

    fn event(&self, event: &Event, age: f64) -> Line<'static> {
        let label = event.reason.as_ref().map_or("", |reason| &reason.label);
        let what = match event.kind {
            Kind::Transition => {
                let state = |state: Option<State>| state.map_or("", State::name);
                format!("{} → {}", state(event.from), state(event.to))
            }
            Kind::Mode => format!("mode {}", event.mode.map_or("", Mode::name)),
            Kind::Ramp => "ramp".to_owned(),
            Kind::Alert => "alert".to_owned(),
            Kind::Reset => "reset".to_owned(),
            Kind::Panic => "panic".to_owned(),
            Kind::Policy => "policy changed".to_owned(),
            Kind::Shedding => label.to_owned(),
            Kind::Ejected => "endpoint out".to_owned(),
            Kind::Readmitted => "endpoint in".to_owned(),
            Kind::UpstreamPanic => match label {
                "panic" => "all endpoints used".to_owned(),
                _ => "ejects again".to_owned(),
            },
            Kind::Discovered => "endpoints".to_owned(),
            _ => format!("reload {label}"),
        };
        let why = event.reason.as_ref().map_or("", |reason| &reason.detail);
        Line::from(vec![
            Span::styled(
                format!("  {:>6} ago  ", span(age.max(0.0).floor())),
                self.palette.faint,
            ),
            Span::raw(format!("{:<20} ", what.replace('_', "-"))),
            Span::styled(why.to_owned(), self.palette.faint),
        ])
    }
}

/// A number of a second.
type Of = fn(&Second) -> f64;

/// What was observed of a condition; of an anomaly the evidence.
fn observed(status: &ConditionStatus) -> Option<String> {
    if status.threshold.is_none() {
        return status.reached.map(percent_of);
    }
    Some(of(status, status.observed?))
}

/// A share that may be more than all. Evidence against an anomaly is below 0, which is none for
/// one.
fn percent_of(share: f64) -> String {
    format!("{:.0}%", (share * 100.0).clamp(0.0, 999.0))
}

/// A text in rows of at most `width`; what follows the first is indented. A word is not broken.
fn rows(text: &str, width: usize) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match rows.last_mut() {
            Some(row) if row.chars().count() + 1 + word.chars().count() <= width => {
                row.push(' ');
                row.push_str(word);
            }
            Some(_) => rows.push(format!("  {word}")),
            None => rows.push(word.to_owned()),
        }
    }
    rows
}

/// Ten places, full at 1.
fn gauge(share: f64) -> String {
    let full = ((share * 10.0).round() as usize).min(10);
    "█".repeat(full) + &"░".repeat(10 - full)
}

/// Kinds of failure that are shown, of the most frequent: the page has other parts.
const MOST_FAILURES: usize = 6;
/// How high the lower part is where it need not be dense.
const ROOMY: u16 = 28;
