//! The PetShop data set's levels, played: which of its faults are told, and how often health is
//! called a fault.
//!
//! `fixtures/petshop` has the extract, its source and its licence.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;

use serde::Serialize;

use crate::gym::{in_parallel, run_scenario};
use crate::levels::Levels;
use crate::number::number;
use crate::scenario::Scenario;
use crate::system::NamedSystem;

/// A fault of the data set.
#[derive(Clone, Debug)]
pub(crate) struct Issue {
    /// Under which traffic it happened.
    pub(crate) traffic: &'static str,
    /// What the data set calls it.
    pub(crate) name: &'static str,
    /// Its rows.
    pub(crate) rows: Vec<Levels>,
}

/// What of a fault can be seen in its levels, the plainest sign only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Sign {
    /// More than 5 % of the requests fail.
    Errors,
    /// The P95 is more than three times what is usual.
    Slow,
    /// The P95 is two to three times what is usual.
    Slower,
    /// Only the P99 is more than three times what is usual.
    Tail,
    /// None of these: at most 5 % fail, and nothing takes much longer.
    Faint,
}

/// What one system told of one fault, and of the health before it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// The system.
    pub(crate) system: &'static str,
    /// The fault's traffic and name.
    pub(crate) issue: [&'static str; 2],
    /// What of it can be seen.
    pub(crate) sign: Sign,
    /// After how many seconds of the fault it was told, if it was.
    pub(crate) told: Option<f64>,
    /// For how many hours the service was healthy before.
    pub(crate) hours: f64,
    /// Alerts and trips in them.
    pub(crate) events: u64,
}

/// The faults, and the levels in health by traffic.
#[derive(Debug)]
pub(crate) struct Extract {
    /// The faults.
    pub(crate) issues: Vec<Issue>,
    healthy: BTreeMap<&'static str, Vec<Levels>>,
}

impl Extract {
    /// Reads the extract.
    pub(crate) fn read() -> Self {
        let mut extract = Self {
            issues: Vec::new(),
            healthy: BTreeMap::new(),
        };
        for line in CSV.lines().skip(1) {
            let cells: Vec<&'static str> = line.split(',').collect();
            let &[traffic, name, _, ..] = &cells[..] else {
                continue;
            };
            let levels = levels(&cells[3..]).expect("the extract is complete, as a test says");
            match extract.issues.last_mut() {
                _ if name == HEALTHY => extract.healthy.entry(traffic).or_default().push(levels),
                Some(last) if (last.traffic, last.name) == (traffic, name) => {
                    last.rows.push(levels);
                }
                _ => extract.issues.push(Issue {
                    traffic,
                    name,
                    rows: vec![levels],
                }),
            }
        }
        extract
    }

    /// The levels in health under `traffic`. Traffic that varies in time has none of its own: then
    /// those of high traffic, which has its latencies.
    fn healthy(&self, traffic: &str) -> &[Levels] {
        self.healthy
            .get(traffic)
            .unwrap_or_else(|| &self.healthy["high_traffic"])
    }

    fn sign(&self, issue: &Issue) -> Sign {
        let healthy = self.healthy(issue.traffic);
        let mean =
            |of: fn(&Levels) -> f64| healthy.iter().map(of).sum::<f64>() / healthy.len() as f64;
        let most = |of: fn(&Levels) -> f64| issue.rows.iter().map(of).fold(0.0, f64::max);
        let times = |of: fn(&Levels) -> f64| most(of) / mean(of);
        if most(|row| row.errors) > 0.05 {
            Sign::Errors
        } else if times(|row| row.p95) > 3.0 {
            Sign::Slow
        } else if times(|row| row.p95) > 2.0 {
            Sign::Slower
        } else if times(|row| row.p99) > 3.0 {
            Sign::Tail
        } else {
            Sign::Faint
        }
    }
}

fn levels(cells: &[&str]) -> Option<Levels> {
    let number = |index: usize| cells.get(index)?.parse::<f64>().ok();
    Some(Levels {
        rate: number(0)? / 300.0,
        errors: 1.0 - number(1)? / 100.0,
        p50: number(3)?,
        p90: number(4),
        p95: number(5)?,
        p99: number(6)?,
    })
}

/// Plays each fault after so many hours of health, under each seed, to each of `systems`.
pub(crate) fn measure(
    systems: &[NamedSystem],
    hours: f64,
    seeds: &[u64],
    threads: usize,
) -> Vec<Row> {
    let extract = Extract::read();
    let rows = Mutex::new(Vec::new());
    let jobs = extract.issues.len() * seeds.len();
    in_parallel(threads, jobs, |job| {
        let issue = &extract.issues[job / seeds.len()];
        // Each fault has luck of its own.
        let seed = seeds[job % seeds.len()] * 1000 + (job / seeds.len()) as u64;
        let healthy = extract.healthy(issue.traffic);
        let scenario = Scenario::played(healthy, hours, &issue.rows, seed);
        let scores = run_scenario(systems, &scenario, false);
        let mut rows = rows
            .lock()
            .expect("no thread panics while it holds the lock");
        rows.extend(systems.iter().zip(scores).map(|(system, (score, _))| {
            let row = Row {
                system: system.name,
                issue: [issue.traffic, issue.name],
                sign: extract.sign(issue),
                told: score.detect,
                hours,
                events: score.false_alerts + score.false_trips,
            };
            (job, row)
        }));
    });
    let mut rows = rows
        .into_inner()
        .expect("no thread panicked while it held the lock");
    rows.sort_by_key(|(job, _)| *job);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// A table with a row for each system: how many faults of each kind it told, the median of the
/// seconds until then, and how often it called health a fault.
pub(crate) fn table(systems: &[NamedSystem], rows: &[Row], markdown: bool) -> String {
    let mut text = String::new();
    let line = |text: &mut String, cells: &[String]| {
        // Writing to a string cannot fail.
        let _ = match markdown {
            true => writeln!(text, "| {} |", cells.join(" | ")),
            false => writeln!(
                text,
                "{:<20}{}",
                cells[0],
                cells[1..]
                    .iter()
                    .map(|cell| format!(" {cell:>22}"))
                    .collect::<String>()
            ),
        };
    };
    let heads = [
        "system",
        "errors > 5 %",
        "P95 > 3 ×",
        "P95 2–3 ×",
        "only P99 > 3 ×",
        "fainter",
        "events in healthy h",
    ];
    line(&mut text, &heads.map(str::to_owned));
    if markdown {
        line(&mut text, &vec!["---".to_owned(); heads.len()]);
    }
    for system in systems {
        let of: Vec<_> = rows
            .iter()
            .filter(|row| row.system == system.name)
            .collect();
        let mut cells = vec![system.name.to_owned()];
        for sign in SIGNS {
            let all = of.iter().filter(|row| row.sign == sign);
            let mut told: Vec<_> = all.clone().filter_map(|row| row.told).collect();
            told.sort_by(f64::total_cmp);
            let median = told.get(told.len() / 2).copied();
            let all = all.count();
            let after = median.map_or(String::new(), |median| {
                format!(", {} s", number(Some(median)))
            });
            cells.push(format!("{}/{all}{after}", told.len()));
        }
        let events: u64 = of.iter().map(|row| row.events).sum();
        let hours: f64 = of.iter().map(|row| row.hours).sum();
        cells.push(format!("{events} in {hours:.0}"));
        line(&mut text, &cells);
    }
    text
}

const SIGNS: [Sign; 5] = [
    Sign::Errors,
    Sign::Slow,
    Sign::Slower,
    Sign::Tail,
    Sign::Faint,
];
const CSV: &str = include_str!("../fixtures/petshop/levels.csv");
/// The name of rows in health.
const HEALTHY: &str = "noissue";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::find;

    #[test]
    fn every_line_of_the_extract_is_read() {
        let extract = Extract::read();
        let faulty: usize = extract.issues.iter().map(|issue| issue.rows.len()).sum();
        let healthy: usize = extract.healthy.values().map(Vec::len).sum();
        assert_eq!(faulty + healthy, CSV.lines().count() - 1);
        assert_eq!((extract.issues.len(), healthy), (49, 9));
        for row in extract.issues.iter().flat_map(|issue| &issue.rows) {
            assert!((1.0..4.0).contains(&row.rate), "{row:?}");
            assert!((0.0..0.1).contains(&row.errors), "{row:?}");
            assert!(row.p50 < row.p95 && row.p95 < row.p99, "{row:?}");
        }
    }

    #[test]
    fn adaptive_tells_the_plain_faults_and_hardly_ever_health() {
        let adaptive = [find("adaptive").unwrap()];
        let rows = measure(&adaptive, 1.0, &[6], 2);
        let of = |sign| {
            let all = rows.iter().filter(move |row| row.sign == sign);
            (
                all.clone().filter(|row| row.told.is_some()).count(),
                all.count(),
            )
        };
        assert_eq!(of(Sign::Errors), (5, 5));
        assert_eq!(of(Sign::Slow), (9, 9));
        // At most 19 in 936 hours.
        let events: u64 = rows.iter().map(|row| row.events).sum();
        let hours: f64 = rows.iter().map(|row| row.hours).sum();
        assert!(
            events as f64 <= hours * 19.0 / 936.0,
            "{events} in {hours} h"
        );
    }
}
