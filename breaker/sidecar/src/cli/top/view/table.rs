//! The page of all routes. A narrow terminal shows fewer columns.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Row, Table, TableState};

use super::palette::Palette;
use super::{rate, spark};
use crate::cli::status::{percent, span};
use crate::cli::top::model::{Link, Model};
use crate::cli::top::route::{Route, Second};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    State,
    Route,
    Policy,
    Mode,
    Rate,
    Errors,
    P50,
    P99,
    InFlight,
    Rejected,
    Trend,
}

/// Draws it.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    model: &Model,
    palette: &Palette,
    state: &mut TableState,
) {
    let routes = model.rows();
    if routes.is_empty() {
        let text = match model.link {
            Link::Connecting => "",
            _ if model.filter.is_empty() => "no routes",
            _ => "no route has this in its name",
        };
        frame.render_widget(Line::styled(text, palette.faint), area);
        return;
    }
    let names = routes
        .iter()
        .map(|route| route.breaker.name.chars().count());
    let name = names.max().unwrap_or(0).clamp(14, 40) as u16;
    let columns = columns(area.width, name);
    let has_mode = columns.iter().any(|&(column, _)| column == Column::Mode);
    let rows = routes.iter().map(|route| {
        let now = route.now();
        Row::new(columns.iter().map(|&(column, width)| match column {
            Column::State if !has_mode => Cell::new(palette.state_or_mode(&route.breaker)),
            _ => cell(column, route, &now, palette, width),
        }))
    });
    let head = columns.iter().map(|(column, _)| {
        let title = Line::styled(column.title(), palette.faint);
        Cell::new(if column.is_number() {
            title.right_aligned()
        } else {
            title
        })
    });
    let widths = columns.iter().map(|&(_, width)| Constraint::Length(width));
    let table = Table::new(rows, widths)
        .header(Row::new(head))
        .column_spacing(1)
        .row_highlight_style(palette.selected);
    state.select(
        routes
            .iter()
            .position(|route| model.selected.as_ref() == Some(&route.breaker.name)),
    );
    frame.render_stateful_widget(table, area, state);
}

/// The columns that fit, with their widths: the route's name gets what is left over.
fn columns(width: u16, name: u16) -> Vec<(Column, u16)> {
    let mut left = width;
    let fits: Vec<_> = BY_WORTH
        .into_iter()
        .filter(|&(_, wanted)| {
            let fits = left > wanted;
            if fits {
                left -= wanted + 1;
            }
            fits
        })
        .collect();
    let mut columns = Vec::new();
    for column in IN_ORDER {
        let Some(&(_, mut width)) = fits.iter().find(|(fit, _)| *fit == column) else {
            continue;
        };
        if column == Column::Route {
            let more = left.min(name.saturating_sub(width));
            width += more;
            left -= more;
        }
        if column == Column::Trend {
            width += left.min(44);
        }
        columns.push((column, width));
    }
    columns
}

fn cell<'a>(
    column: Column,
    route: &'a Route,
    now: &Second,
    palette: &Palette,
    width: u16,
) -> Cell<'a> {
    let number = |text: String| Cell::new(Line::from(text).right_aligned());
    let or_none = |value: Option<f64>, text: fn(f64) -> String| {
        number(value.map_or_else(|| "-".to_owned(), text))
    };
    match column {
        Column::State => Cell::new(palette.state(&route.breaker)),
        Column::Route => Cell::new(Span::raw(&*route.breaker.name)),
        Column::Policy => Cell::new(Span::styled(&*route.breaker.policy.name, palette.faint)),
        Column::Mode => Cell::new(palette.mode(&route.breaker)),
        Column::Rate => number(rate(now.rate)),
        Column::Errors => or_none(now.error_rate, percent),
        Column::P50 => or_none(now.p50, span),
        Column::P99 => or_none(now.p99, span),
        Column::InFlight => number(route.breaker.in_flight.to_string()),
        Column::Rejected => number(rate(now.rejected)),
        Column::Trend => {
            let rates = route.recent.iter().map(|second| second.rate);
            Cell::new(Span::styled(
                spark::line(rates, width.into()),
                palette.faint,
            ))
        }
    }
}

impl Column {
    const fn title(self) -> &'static str {
        match self {
            Self::State => "STATE",
            Self::Route => "ROUTE",
            Self::Policy => "POLICY",
            Self::Mode => "MODE",
            Self::Rate => "RATE/S",
            Self::Errors => "ERRORS",
            Self::P50 => "P50",
            Self::P99 => "P99",
            Self::InFlight => "FLIGHT",
            Self::Rejected => "REJ/S",
            Self::Trend => "RATE, LATELY",
        }
    }

    const fn is_number(self) -> bool {
        use Column::{Errors, InFlight, P50, P99, Rate, Rejected};
        matches!(self, Rate | Errors | P50 | P99 | InFlight | Rejected)
    }
}

const IN_ORDER: [Column; 11] = [
    Column::State,
    Column::Route,
    Column::Policy,
    Column::Mode,
    Column::Rate,
    Column::Errors,
    Column::P50,
    Column::P99,
    Column::InFlight,
    Column::Rejected,
    Column::Trend,
];

/// What is shown as long as there is room, and how wide it is at least.
const BY_WORTH: [(Column, u16); 11] = [
    (Column::Route, 14),
    (Column::State, 11),
    (Column::Errors, 6),
    (Column::P99, 7),
    (Column::Rate, 6),
    (Column::Rejected, 6),
    (Column::Mode, 13),
    (Column::InFlight, 6),
    (Column::P50, 7),
    (Column::Trend, 12),
    (Column::Policy, 12),
];
