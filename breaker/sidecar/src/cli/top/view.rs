//! What `top` looks like: a head, the page, a foot.

mod detail;
mod endpoints;
mod help;
mod palette;
mod spark;
mod table;

use std::time::Duration;

use breaker_sidecar::report::{Mode, State};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::TableState;

use self::palette::Palette;
use super::super::status::of_panic;
use super::model::{Link, Model, Page, Prompt};
use super::route::{Route, Second};

/// Draws a model.
#[derive(Debug)]
pub(super) struct View {
    admin: String,
    palette: Palette,
    /// Which row stands at the top.
    table: TableState,
}

impl View {
    /// Of the sidecar at this address.
    pub(super) fn new(admin: String, has_colour: bool) -> Self {
        Self {
            admin,
            palette: Palette::new(has_colour),
            table: TableState::new(),
        }
    }

    /// Draws what the model knows at `now`.
    pub(super) fn draw(&mut self, frame: &mut Frame<'_>, model: &mut Model, now: Duration) {
        let [head, _, page, foot] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Length(1),
            Constraint::Fill(1),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        self.head(frame, head, model, now);
        match model.page {
            Page::Table => {
                model.page_rows = usize::from(page.height.saturating_sub(2)).max(1);
                table::draw(frame, page, model, &self.palette, &mut self.table);
            }
            Page::Detail => detail::draw(frame, page, model, &self.palette, now),
            Page::Help => help::draw(frame, page, &self.palette),
        }
        self.foot(frame, foot, model);
    }

    fn head(&self, frame: &mut Frame<'_>, area: Rect, model: &Model, now: Duration) {
        let palette = &self.palette;
        let mut title = vec![
            Span::styled("breaker", palette.strong),
            Span::raw(format!("  {}", self.admin)),
        ];
        if let Some(status) = &model.status {
            let of = format!("  {} {}", status.version, status.host);
            title.push(Span::styled(of, palette.faint));
        }
        let age = model
            .read
            .map_or(0, |read| now.saturating_sub(read).as_secs());
        let link = match &model.link {
            Link::Connecting => Span::styled("connecting", palette.unsure),
            Link::Live if age < STALE => Span::styled("live", palette.good),
            Link::Polling if age < STALE => Span::styled("asked each second", palette.good),
            Link::Live | Link::Polling => {
                Span::styled(format!("silent, {age} s old"), palette.unsure)
            }
            Link::Lost(_) => Span::styled(format!("reconnecting, {age} s old"), palette.bad),
        };
        let [top, below] = Layout::vertical([Constraint::Length(1); 2]).areas(area);
        let width = link.width() as u16;
        let [left, right] =
            Layout::horizontal([Constraint::Fill(1), Constraint::Length(width + 1)]).areas(top);
        frame.render_widget(Line::from(title), left);
        frame.render_widget(link, right);
        let line = match (&model.link, &model.panic) {
            (Link::Lost(why), _) => Line::styled(why.clone(), palette.bad),
            (_, Some(panic)) => Line::styled(format!("PANIC {}", of_panic(panic)), palette.bad),
            _ if model.refused().is_some() => {
                let detail = model.refused().unwrap_or_default();
                Line::styled(format!("RELOAD REFUSED {detail}"), palette.bad)
            }
            _ => self.totals(model),
        };
        frame.render_widget(line, below);
    }

    fn totals(&self, model: &Model) -> Line<'static> {
        let palette = &self.palette;
        let routes = model.routes.values();
        // In shadow mode a breaker that is open rejects nothing.
        let count = |state: State| {
            let routes = routes.clone();
            let is =
                |route: &&Route| route.breaker.state == state && route.breaker.mode != Mode::Shadow;
            routes.filter(is).count()
        };
        let alerting = routes
            .clone()
            .filter(|route| route.breaker.alerting)
            .count();
        let sum =
            |of: fn(&Second) -> f64| -> f64 { routes.clone().map(|route| of(&route.now())).sum() };
        let faint = |text: String| Span::styled(text, palette.faint);
        let mut line = vec![Span::raw(match model.routes.len() {
            1 => "1 route".to_owned(),
            count => format!("{count} routes"),
        })];
        for (count, word, style) in [
            (count(State::Open), "open", palette.bad),
            (count(State::HalfOpen), "half-open", palette.unsure),
            (alerting, "alerting", palette.unsure),
        ] {
            let style = if count == 0 { palette.faint } else { style };
            line.push(Span::styled(format!("  {count} {word}"), style));
        }
        line.push(faint(format!(
            "  {} req/s  {} rej/s",
            rate(sum(|second| second.rate)),
            rate(sum(|second| second.rejected)),
        )));
        if !model.filter.is_empty() {
            line.push(Span::styled(format!("  /{}", model.filter), palette.unsure));
        }
        Line::from(line)
    }

    fn foot(&self, frame: &mut Frame<'_>, area: Rect, model: &Model) {
        let palette = &self.palette;
        let line = match (&model.prompt, &model.message) {
            (Prompt::Filter, _) => Line::from(format!("filter: {}_", model.filter)),
            (Prompt::Confirm(change), _) => {
                let route = model.selected.as_deref().unwrap_or_default();
                let question = format!("{}  y/n", change.question(route));
                Line::styled(question, palette.unsure)
            }
            (Prompt::None, Some(message)) => {
                let style = if message.failed {
                    palette.bad
                } else {
                    palette.good
                };
                Line::styled(message.text.clone(), style)
            }
            (Prompt::None, None) => self.keys(model),
        };
        frame.render_widget(line, area);
    }

    fn keys(&self, model: &Model) -> Line<'static> {
        let change = [
            ("o", "open"),
            ("c", "close"),
            ("a", "auto"),
            ("S", "shadow"),
            ("r", "reset"),
        ];
        let sort = format!("sort: {}", model.sort.word());
        let mut keys = Vec::new();
        match model.page {
            Page::Table => {
                keys.extend([("?", "help"), ("q", "quit"), ("s", &*sort), ("/", "filter")]);
                keys.push(("Enter", "detail"));
                keys.extend(change);
            }
            Page::Detail => {
                keys.extend([("q", "back"), ("?", "help")]);
                if model.can_switch() {
                    keys.push(("Tab", "source"));
                }
                keys.extend(change);
            }
            Page::Help => keys.push(("q", "back")),
        }
        let spans = keys.into_iter().flat_map(|(key, what)| {
            [
                Span::styled(key, self.palette.strong),
                Span::styled(format!(" {what}  "), self.palette.faint),
            ]
        });
        // The keys are constants; the word of the order is not.
        Line::from_iter(spans.map(|span| Span::styled(span.content.into_owned(), span.style)))
    }
}

/// Requests a second.
fn rate(rate: f64) -> String {
    match rate {
        0.0 => "0".to_owned(),
        ..9.95 => format!("{rate:.1}"),
        ..99_999.5 => format!("{rate:.0}"),
        _ => format!("{:.0}k", rate / 1e3),
    }
}

/// Readings come each second.
const STALE: u64 = 3;
