//! The score tables, as text or as Markdown: some that compare the systems over groups of
//! scenarios, and one for each scenario with all scores.

use std::fmt::Write;

use crate::column::{Column, GROUPS, MEASURE};
use crate::gym::Plan;
use crate::number::{number, per_day, percent, timed};
use crate::summary::Summaries;

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Aligned, for a terminal.
    Text,
    /// For a page.
    Markdown,
}

/// All tables of `summaries`.
pub(crate) fn render(plan: &Plan, summaries: &Summaries, style: Style) -> String {
    let mut out = String::new();
    for group in GROUPS {
        let columns = group.columns.iter();
        let columns: Vec<_> = columns.filter(|column| is_run(plan, column)).collect();
        if columns.is_empty() {
            continue;
        }
        let _ = match style {
            _ if group.title.is_empty() => Ok(()),
            Style::Text => writeln!(out, "\n{}\n", group.title),
            Style::Markdown => writeln!(out, "\n### {}\n", group.title),
        };
        out += &comparison(plan, &columns, summaries).render(style);
    }
    for entry in &plan.scenarios {
        let _ = match style {
            Style::Text => writeln!(out, "\n{}  {} → {}\n", entry.id, entry.title, entry.wanted),
            Style::Markdown => {
                writeln!(
                    out,
                    "\n### {} {} → {}\n",
                    entry.id, entry.title, entry.wanted
                )
            }
        };
        out += &of_scenario(plan, summaries, entry.id).render(style);
    }
    out
}

fn is_run(plan: &Plan, column: &Column) -> bool {
    let mut scenarios = plan.scenarios.iter();
    scenarios.any(|entry| entry.id == column.scenario)
}

fn comparison(plan: &Plan, columns: &[&Column], summaries: &Summaries) -> Table {
    let mut header = vec!["system".to_owned()];
    let titles = columns.iter();
    header.extend(titles.map(|column| format!("{} {}", column.scenario, column.title)));
    let is_there = plan.systems.iter().any(|system| system.name == MEASURE);
    header.extend(is_there.then(|| format!("better than {MEASURE} in")));
    let rows = plan.systems.iter().map(|system| {
        let of = |column: &Column, name| summaries.get(&(column.scenario, name));
        let mut row = vec![system.name.to_owned()];
        row.extend(
            columns
                .iter()
                .map(|column| of(column, system.name).map_or_else(String::new, column.cell)),
        );
        row.extend(is_there.then(|| {
            let better = columns.iter().filter(|column| {
                match (of(column, system.name), of(column, MEASURE)) {
                    (Some(one), Some(other)) => column.is_better(one, other),
                    _ => false,
                }
            });
            let scenarios: Vec<_> = better.map(|column| column.scenario).collect();
            match scenarios[..] {
                _ if system.name == MEASURE => String::new(),
                [] => "0".to_owned(),
                _ => format!("{}: {}", scenarios.len(), scenarios.join(" ")),
            }
        }));
        row
    });
    Table {
        rows: rows.collect(),
        header,
    }
}

fn of_scenario(plan: &Plan, summaries: &Summaries, scenario: &'static str) -> Table {
    const HEADER: [&str; 13] = [
        "system",
        "detect s",
        "open s",
        "bad before open",
        "goodput %",
        "good rejected",
        "… after",
        "closed after s",
        "good after s",
        "premature closes",
        "lost after",
        "false trips/day",
        "false alerts/day",
    ];
    let rows = plan.systems.iter().filter_map(|system| {
        let of = summaries.get(&(scenario, system.name))?;
        Some(vec![
            system.name.to_owned(),
            timed(of.detect, of.detect_range),
            timed(of.open, of.open_range),
            format!("{:.0}", of.bad_before_open),
            percent(of.goodput),
            format!("{:.0}", of.good_rejected),
            format!("{:.0}", of.good_rejected_after),
            timed(of.closed_after, of.closed_range),
            number(of.good_after),
            format!("{:.1}", of.premature_closes),
            format!("{:.0}", of.lost_after),
            per_day(of.false_trips),
            per_day(of.false_alerts),
        ])
    });
    Table {
        rows: rows.collect(),
        header: HEADER.map(str::to_owned).into(),
    }
}

/// Cells, the first of each row a name.
struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn render(&self, style: Style) -> String {
        let mut out = String::new();
        let mut line = |cells: Vec<String>| {
            let _ = match style {
                Style::Text => writeln!(out, "{}", cells.join("  ").trim_end()),
                Style::Markdown => writeln!(out, "| {} |", cells.join(" | ")),
            };
        };
        match style {
            Style::Markdown => {
                line(self.header.clone());
                line(vec!["---".to_owned(); self.header.len()]);
                self.rows.iter().for_each(|row| line(row.clone()));
            }
            Style::Text => {
                let widths = self.widths();
                // Titles are longer than numbers: they stand on several lines.
                let titles: Vec<_> = self
                    .header
                    .iter()
                    .zip(&widths)
                    .map(|(title, width)| wrap(title, *width))
                    .collect();
                let height = titles.iter().map(Vec::len).max().unwrap_or(0);
                for index in 0..height {
                    let part = |title: &Vec<String>| {
                        let skipped = height - title.len();
                        index
                            .checked_sub(skipped)
                            .map_or_else(String::new, |at| title[at].clone())
                    };
                    line(aligned(titles.iter().map(part), &widths));
                }
                line(widths.iter().map(|width| "─".repeat(*width)).collect());
                for row in &self.rows {
                    line(aligned(row.iter().cloned(), &widths));
                }
            }
        }
        out
    }

    fn widths(&self) -> Vec<usize> {
        let longest_word = |title: &String| title.split(' ').map(length).max().unwrap_or(0);
        (0..self.header.len())
            .map(|column| {
                let cells = self.rows.iter().map(|row| length(&row[column]));
                cells
                    .max()
                    .unwrap_or(0)
                    .max(longest_word(&self.header[column]))
            })
            .collect()
    }
}

/// The first to the left, the others to the right.
fn aligned(cells: impl Iterator<Item = String>, widths: &[usize]) -> Vec<String> {
    cells
        .zip(widths)
        .enumerate()
        .map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        })
        .collect()
}

fn wrap(title: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in title.split(' ') {
        match lines.last_mut() {
            Some(last) if length(last) + 1 + length(word) <= width => {
                *last += " ";
                *last += word;
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            header: vec!["system".into(), "a b".into()],
            rows: vec![
                vec!["none".into(), "1".into()],
                vec!["x".into(), "22".into()],
            ],
        }
    }

    #[test]
    fn text_is_aligned_and_titles_wrap() {
        let lines = [
            "         a",
            "system   b",
            "──────  ──",
            "none     1",
            "x       22",
            "",
        ];
        assert_eq!(table().render(Style::Text), lines.join("\n"));
    }

    #[test]
    fn markdown_has_a_row_a_line() {
        let wanted = "| system | a b |\n| --- | --- |\n| none | 1 |\n| x | 22 |\n";
        assert_eq!(table().render(Style::Markdown), wanted);
    }
}
