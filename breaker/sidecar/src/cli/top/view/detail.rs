//! The page of one route.

use std::time::Duration;

use breaker_sidecar::control::{Condition, Policy};
use breaker_sidecar::live::{Event, Kind};
use breaker_sidecar::report::{Anomaly, Breaker, Window};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Paragraph, Wrap};

use super::palette::Palette;
use super::{rate, spark};
use crate::cli::status::{percent, span};
use crate::cli::top::model::Model;
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
    let page = Page { route, palette };
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
    if let Some(policy) = &model.policy {
        let mut part = vec![page.title(format!("conditions of {}", policy.name))];
        part.extend(
            policy
                .conditions
                .iter()
                .map(|one| page.condition(one, policy)),
        );
        parts.push(part);
    }
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
}

impl Page<'_> {
    fn title(&self, title: String) -> Line<'static> {
        Line::styled(title, self.palette.strong)
    }

    fn state(&self, now: Duration) -> Line<'static> {
        let Page { route, palette } = self;
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
        if breaker.state == "half_open" || breaker.sheds() {
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
        let origin = match &*breaker.policy.origin {
            "override" => " (override)",
            _ => "",
        };
        mode.push(Span::styled("   policy ", palette.faint));
        mode.push(Span::raw(format!("{}{origin}", breaker.policy.name)));
        Line::from(mode)
    }

    /// The last minutes, a line a number.
    fn lately(&self, width: usize) -> Vec<Line<'static>> {
        let now = self.route.now();
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
        lines
            .into_iter()
            .map(|(title, value, of)| {
                Line::from(vec![
                    Span::styled(format!("{title:<10}"), self.palette.faint),
                    Span::raw(format!("{value:>8}  ")),
                    Span::raw(spark::line(self.route.recent.iter().map(of), room)),
                ])
            })
            .collect()
    }

    /// A condition, what was observed, and how far it is from its bound.
    fn condition(&self, condition: &Condition, policy: &Policy) -> Line<'static> {
        let palette = self.palette;
        let sources = self.route.breaker.sources.iter();
        let nearest = sources
            .filter_map(|window| Some((observed(condition, &self.route.breaker, window)?, window)))
            .max_by(|(a, _), (b, _)| a.ratio.total_cmp(&b.ratio));
        let mut line = vec![Span::raw(format!("  {:<7}", condition.action))];
        let Some((observed, window)) = nearest else {
            line.push(Span::raw(format!("{:<20}{}", "", condition.text)));
            return Line::from(line);
        };
        let style = if observed.ratio >= 1.0 {
            palette.bad
        } else {
            palette.good
        };
        line.push(Span::styled(gauge(observed.ratio), style));
        line.push(Span::raw(format!(
            "{:>8}  {}",
            observed.text, condition.text
        )));
        if window.source != "proxy" {
            line.push(Span::styled(format!("  {}", window.source), palette.faint));
        }
        if window.requests < policy.min_requests && observed.is_guarded {
            let few = format!("  {} of {} requests", window.requests, policy.min_requests);
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
            Span::raw(format!("  {:<14} {:<9}", window.source, anomaly.stream)),
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
                let state = |state: &Option<String>| state.clone().unwrap_or_default();
                format!("{} → {}", state(&event.from), state(&event.to))
            }
            Kind::Mode => format!("mode {}", event.mode.as_deref().unwrap_or_default()),
            Kind::Ramp => "ramp".to_owned(),
            Kind::Alert => "alert".to_owned(),
            Kind::Reset => "reset".to_owned(),
            Kind::Panic => "panic".to_owned(),
            Kind::Policy => "policy changed".to_owned(),
            Kind::Shedding => label.to_owned(),
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

/// What a source saw of a condition.
struct Observed {
    text: String,
    /// As a share of the bound: it holds at 1.
    ratio: f64,
    /// Whether few requests decide nothing.
    is_guarded: bool,
}

/// `None` where a report does not tell it.
fn observed(condition: &Condition, breaker: &Breaker, window: &Window) -> Option<Observed> {
    let latency = window.latency.as_ref();
    let value = match &*condition.metric {
        "error_rate" => window.error_rate,
        "p50" => latency?.p50,
        "p90" => latency?.p90,
        "p95" => latency?.p95,
        "p99" => latency?.p99,
        "p999" => latency?.p999,
        "concurrency" if window.source == "proxy" => breaker.in_flight as f64,
        "anomaly" => {
            let streams = window.anomalies.iter();
            let watched = stream(&condition.text)?;
            let of_it = streams.filter(|one| one.stream == watched);
            let score = of_it.map(|one| one.score).reduce(f64::max)?;
            return Some(Observed {
                text: percent_of(score),
                ratio: score,
                is_guarded: false,
            });
        }
        _ => return None,
    };
    let text = match &*condition.metric {
        "error_rate" => percent(value),
        "concurrency" => breaker.in_flight.to_string(),
        _ => span(value),
    };
    Some(Observed {
        text,
        ratio: value / condition.threshold?,
        is_guarded: condition.metric != "concurrency",
    })
}

/// What a condition on an anomaly watches, by its words.
fn stream(text: &str) -> Option<&'static str> {
    let streams = [
        ("requests fail", "errors"),
        ("requests are slow", "latency"),
        ("miss the deadline", "deadline"),
    ];
    let watched = streams.into_iter().find(|(words, _)| text.contains(words));
    watched.map(|(_, stream)| stream)
}

/// A share that may be more than all. Evidence against an anomaly is below 0, which is none for
/// one.
fn percent_of(share: f64) -> String {
    format!("{:.0}%", (share * 100.0).clamp(0.0, 999.0))
}

/// Ten places, full at 1.
fn gauge(share: f64) -> String {
    let full = ((share * 10.0).round() as usize).min(10);
    "█".repeat(full) + &"░".repeat(10 - full)
}

/// How high the lower part is where it need not be dense.
const ROOMY: u16 = 28;
