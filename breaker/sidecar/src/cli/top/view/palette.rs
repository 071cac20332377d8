//! How things look. Without colours what matters is bold, and symbols tell the states apart.

use breaker_sidecar::report::{Breaker, Mode, State};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Span;

/// The styles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    pub(super) strong: Style,
    pub(super) faint: Style,
    pub(super) good: Style,
    pub(super) unsure: Style,
    pub(super) bad: Style,
    /// The row that the keys are about.
    pub(super) selected: Style,
}

impl Palette {
    pub(super) const fn new(has_colour: bool) -> Self {
        let plain = Style::new();
        let bold = plain.add_modifier(Modifier::BOLD);
        let (good, unsure, bad) = if has_colour {
            (
                plain.fg(Color::Green),
                bold.fg(Color::Yellow),
                bold.fg(Color::Red),
            )
        } else {
            (plain, bold, bold)
        };
        Self {
            strong: bold,
            faint: plain.add_modifier(Modifier::DIM),
            good,
            unsure,
            bad,
            selected: plain.add_modifier(Modifier::REVERSED),
        }
    }

    /// The state of a breaker: a symbol and a word.
    pub(super) fn state(&self, breaker: &Breaker) -> Span<'static> {
        match breaker.state {
            State::Open => Span::styled("○ open", self.bad),
            State::HalfOpen => Span::styled("◐ half-open", self.unsure),
            _ if breaker.sheds() => Span::styled("◒ shedding", self.unsure),
            _ if breaker.alerting => Span::styled("▲ alerting", self.unsure),
            _ => Span::styled("● closed", self.good),
        }
    }

    /// The state where there is no room for the mode: a mode other than `auto` stands in its place.
    pub(super) fn state_or_mode(&self, breaker: &Breaker) -> Span<'static> {
        match breaker.mode {
            Mode::Auto => self.state(breaker),
            Mode::Shadow => Span::styled("◌ shadow", self.unsure),
            _ if breaker.state == State::Open => Span::styled("○ forced", self.bad),
            _ => Span::styled("● forced", self.unsure),
        }
    }

    /// Who decides.
    pub(super) fn mode(&self, breaker: &Breaker) -> Span<'static> {
        let mode = breaker.mode.name().replace('_', " ");
        match breaker.mode {
            Mode::Auto => Span::styled(mode, self.faint),
            _ => Span::styled(mode, self.unsure),
        }
    }
}
