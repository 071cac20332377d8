//! The endpoints of a route.

use breaker_sidecar::report::{EndpointState, Upstream};
use ratatui::text::{Line, Span};

use super::palette::Palette;
use crate::cli::status::{percent, span};
use crate::cli::upstreams::why;

/// A line each: the state, the share of the attempts, and how it does.
pub(super) fn lines(upstream: &Upstream, palette: &Palette) -> Vec<Line<'static>> {
    let mut title = format!("endpoints of {}", upstream.name);
    if upstream.endpoints.is_empty() {
        title += ": none is known";
    } else if upstream.panic {
        title += ": more are bad than may be out";
    }
    let longest = upstream.endpoints.iter().map(|it| it.endpoint.len()).max();
    let width = longest.unwrap_or_default();
    let endpoints = upstream.endpoints.iter().map(|endpoint| {
        let style = match endpoint.state {
            EndpointState::In => palette.good,
            EndpointState::Out => palette.bad,
            EndpointState::Probing => palette.unsure,
        };
        let share = upstream.share(endpoint).map_or("-".to_owned(), percent);
        let errors = match endpoint.attempts {
            0 => "-".to_owned(),
            _ => percent(endpoint.error_rate),
        };
        Line::from(vec![
            Span::raw(format!("  {:<width$}  ", endpoint.endpoint)),
            Span::styled(format!("{:<7}", endpoint.state), style),
            Span::raw(format!(
                " {share:>7} of all  {errors:>6} errors  {:>6}  {} in flight",
                span(endpoint.latency),
                endpoint.in_flight
            )),
            Span::styled(format!("  {}", why(endpoint)), palette.faint),
        ])
    });
    std::iter::once(Line::styled(title, palette.strong))
        .chain(endpoints)
        .collect()
}
