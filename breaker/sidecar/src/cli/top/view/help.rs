//! The page of the keys.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};

use super::palette::Palette;

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, palette: &Palette) {
    let lines = KEYS.map(|(key, what)| {
        Line::from_iter([
            Span::styled(format!("{key:<12}"), palette.strong),
            Span::raw(what),
        ])
    });
    frame.render_widget(Text::from_iter(lines), area);
}

const KEYS: [(&str, &str); 17] = [
    ("↑ ↓ k j", "move by a row"),
    ("PgUp PgDn", "move by a page"),
    ("g G", "the first row, the last"),
    ("Enter", "all about the route"),
    ("Tab", "on its page: the numbers of its next source"),
    ("s", "sort by the next column"),
    ("/", "only routes whose name has this in it"),
    ("", ""),
    ("o", "open: reject all"),
    ("c", "close: admit all, whatever becomes of them"),
    ("a", "auto: the policy decides"),
    ("S", "shadow: the policy decides, nothing is rejected"),
    ("r", "reset: close, and forget what was learned"),
    ("", "each asks before it changes anything"),
    ("", ""),
    ("q Esc", "back, and from the table: leave"),
    ("Ctrl-C", "leave"),
];
