//! Tables for the terminal: columns as wide as what is in them.

use std::fmt::Write;

use anstyle::Style;

use super::output::FAINT;

/// Rows under titles.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    columns: [Column; N],
    rows: Vec<[Cell; N]>,
}

/// A title, and on which side the cells under it stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    title: &'static str,
    right: bool,
}

/// A text and how it looks.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

/// A column of words.
pub(super) const fn left(title: &'static str) -> Column {
    Column {
        title,
        right: false,
    }
}

/// A column of numbers.
pub(super) const fn right(title: &'static str) -> Column {
    Column { title, right: true }
}

impl Cell {
    /// A cell that looks so.
    pub(super) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self {
            text: text.into(),
            style,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::new())
    }
}

impl<const N: usize> Table<N> {
    /// A table without rows.
    pub(super) const fn new(columns: [Column; N]) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(super) fn push(&mut self, row: [Cell; N]) {
        self.rows.push(row);
    }

    /// The lines, each with its end.
    pub(super) fn text(&self) -> String {
        let titles = self.columns.map(|column| Cell::styled(column.title, FAINT));
        let widths: Vec<usize> = (0..N)
            .map(|column| {
                let cells = self.rows.iter().map(|row| &row[column]);
                let cells = cells.chain([&titles[column]]);
                cells
                    .map(|cell| cell.text.chars().count())
                    .max()
                    .unwrap_or_default()
            })
            .collect();
        let mut text = String::new();
        for row in std::iter::once(&titles).chain(&self.rows) {
            let mut line = String::new();
            for (index, (cell, column)) in row.iter().zip(self.columns).enumerate() {
                let Cell { text, style } = cell;
                let gap = if index == 0 { "" } else { "  " };
                let padding = " ".repeat(widths[index] - text.chars().count());
                // Writing to a string does not fail.
                let _ = match column.right {
                    true => write!(line, "{gap}{padding}{style}{text}{style:#}"),
                    false => write!(line, "{gap}{style}{text}{style:#}{padding}"),
                };
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_end_together() {
        let mut table = Table::new([left("ROUTE"), right("P99"), left("STATE")]);
        table.push(["pay".into(), "2.5s".into(), "open".into()]);
        table.push(["checkout".into(), "8ms".into(), "closed".into()]);
        let text = anstream::adapter::strip_str(&table.text()).to_string();
        assert_eq!(
            text,
            "ROUTE      P99  STATE\n\
             pay       2.5s  open\n\
             checkout   8ms  closed\n"
        );
    }
}
