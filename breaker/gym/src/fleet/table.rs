//! The table of the fleet's scenarios.

use std::fmt::Write as _;
use std::io;
use std::sync::{Mutex, PoisonError};

use super::{Fleet, Score, play};
use crate::gym::in_parallel;

/// Plays scenarios with each seed, with and without the fleet.
pub(crate) fn measure(
    fleets: &[Fleet],
    seeds: &[u64],
    threads: usize,
    markdown: bool,
    out: &mut impl io::Write,
) -> io::Result<()> {
    row(out, markdown, &HEAD.map(str::to_owned))?;
    if markdown {
        row(out, markdown, &HEAD.map(|_| "---".to_owned()))?;
    }
    for fleet in fleets {
        for (pooled, mode) in [(true, "fleet"), (false, "local")] {
            let scores = Mutex::new(Vec::new());
            in_parallel(threads, seeds.len(), |index| {
                let score = play(fleet, seeds[index], pooled);
                let mut scores = scores.lock().unwrap_or_else(PoisonError::into_inner);
                scores.push(score);
            });
            let scores = scores.into_inner().unwrap_or_else(PoisonError::into_inner);
            let scores: Result<Vec<_>, _> = scores.into_iter().collect();
            let scores = scores.map_err(io::Error::other)?;
            row(
                out,
                markdown,
                &cells(&format!("{} {}", fleet.id, fleet.title), mode, &scores),
            )?;
        }
        out.flush()?;
    }
    Ok(())
}

fn cells(title: &str, mode: &str, scores: &[Score]) -> [String; 12] {
    let mean = |of: fn(&Score) -> f64| {
        let sum: f64 = scores.iter().map(of).sum();
        format!("{:.1}", sum / scores.len().max(1) as f64)
    };
    let median = |of: fn(&Score) -> f64| {
        let mut all: Vec<_> = scores.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        match all.get(all.len() / 2) {
            Some(time) if time.is_finite() => format!("{time:.1}"),
            _ => "never".to_owned(),
        }
    };
    [
        title.to_owned(),
        mode.to_owned(),
        median(|score| score.alarm.unwrap_or(f64::INFINITY)),
        median(|score| opened(score, 0.5)),
        median(|score| opened(score, 0.95)),
        median(|score| opened(score, 1.0)),
        format!(
            "{} of {}",
            scores.iter().filter(|score| score.wrong > 0).count(),
            scores.len()
        ),
        mean(|score| score.false_opens.into()),
        mean(|score| score.probes.into()),
        mean(|score| score.half_open.into()),
        mean(|score| score.failed.into()),
        mean(|score| score.refused.into()),
    ]
}

/// When this share of the replicas in the fault had opened.
pub(super) fn opened(score: &Score, share: f64) -> f64 {
    let rank = (share * score.opened.len() as f64).ceil() as usize;
    let opened = score.opened.get(rank.saturating_sub(1));
    opened.copied().unwrap_or(f64::INFINITY)
}

fn row(out: &mut impl io::Write, markdown: bool, cells: &[String; 12]) -> io::Result<()> {
    let mut line = String::new();
    for (index, cell) in cells.iter().enumerate() {
        let width = if index == 0 { 40 } else { 12 };
        let _ = match markdown {
            true => write!(line, "| {cell} "),
            false => write!(line, "{cell:<width$} "),
        };
    }
    writeln!(
        out,
        "{}{}",
        line.trim_end(),
        if markdown { " |" } else { "" }
    )
}

const HEAD: [&str; 12] = [
    "scenario",
    "mode",
    "alarm s",
    "median s",
    "95 % s",
    "last s",
    "wrong runs",
    "false opens",
    "probes",
    "half-open",
    "failed",
    "refused",
];
