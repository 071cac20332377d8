//! How probably a blip opens a breaker: trouble of a given share of failures and a given length, in
//! steady traffic.
//!
//! As in [`arl`](crate::arl), each request ends at once. Five minutes of health come before, half a
//! minute of it comes after.

use std::fmt::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use breaker_core::Policy;
use breaker_core::policy::Builder;
use serde::Serialize;

use crate::gym::in_parallel;
use crate::luck::RequestRng;
use crate::single;
use crate::system::{Setup, State, ours};
use crate::time::{MILLI, nanos};

/// What is measured.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// What `blip` of the policy's conditions is, each measured by itself.
    pub(crate) knobs: Vec<Duration>,
    /// Requests a second.
    pub(crate) rate: f64,
    /// How often each is tried.
    pub(crate) runs: u32,
}

/// Of blips of one kind, how many opened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    /// The share of requests that fail in it.
    pub(crate) share: f64,
    /// How long it lasts, in seconds.
    pub(crate) seconds: f64,
    /// What `blip` was, in seconds.
    pub(crate) knob: f64,
    /// The share of runs that opened.
    pub(crate) opened: f64,
}

/// Lets each kind of blip pass by `adaptive`.
pub(crate) fn measure(plan: &Plan, threads: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for knob in &plan.knobs {
        let adaptive = Builder::from(Policy::adaptive()).blip(*knob);
        let policy = adaptive
            .build()
            .expect("the command line's range is that of a policy");
        for (share, lengths) in BLIPS {
            for seconds in *lengths {
                let opened = AtomicU32::new(0);
                in_parallel(threads, plan.runs as usize, |run| {
                    if opens(&policy, plan.rate, *share, *seconds, run as u64) {
                        opened.fetch_add(1, Ordering::Relaxed);
                    }
                });
                rows.push(Row {
                    share: *share,
                    seconds: *seconds,
                    knob: knob.as_secs_f64(),
                    opened: f64::from(opened.into_inner()) / f64::from(plan.runs),
                });
            }
        }
    }
    rows
}

fn opens(policy: &Policy, rate: f64, share: f64, length: f64, seed: u64) -> bool {
    let mut system = ours(
        policy.clone(),
        &Setup {
            seed,
            endpoints: 1,
            spans: false,
        },
    );
    let mut luck = RequestRng::named(
        seed,
        (share * 1000.0) as u64 * 100_000 + (length * 1000.0) as u64,
    );
    let (from, until) = (HEALTH, HEALTH + length);
    let mut now = 0.0;
    loop {
        now += luck.exponential() / rate;
        if now >= until + AFTER {
            return false;
        }
        let failing = if (from..until).contains(&now) {
            share
        } else {
            HEALTHY
        };
        let failed = luck.unit() < failing;
        single::play(&mut *system, nanos(now), 20 * MILLI, failed);
        if system.status().state == State::Open {
            return true;
        }
    }
}

/// A table with a row for each kind of blip and a column for each `blip`.
pub(crate) fn table(plan: &Plan, rows: &[Row], markdown: bool) -> String {
    let mut text = String::new();
    let knobs = plan
        .knobs
        .iter()
        .map(|knob| format!("blip: {}s", knob.as_secs_f64()));
    let heads = [vec!["fail".to_owned(), "for".to_owned()], knobs.collect()].concat();
    let line = |text: &mut String, cells: &[String]| {
        // Writing to a string cannot fail.
        let _ = match markdown {
            true => writeln!(text, "| {} |", cells.join(" | ")),
            false => writeln!(
                text,
                "{}",
                cells
                    .iter()
                    .map(|cell| format!("{cell:>12}"))
                    .collect::<String>()
            ),
        };
    };
    line(&mut text, &heads);
    if markdown {
        line(&mut text, &vec!["---".to_owned(); heads.len()]);
    }
    for (share, lengths) in BLIPS {
        for seconds in *lengths {
            let mut cells = vec![format!("{} %", share * 100.0), format!("{seconds} s")];
            let of = rows
                .iter()
                .filter(|row| (row.share, row.seconds) == (*share, *seconds));
            cells.extend(of.map(|row| format!("{:.0} %", row.opened * 100.0)));
            line(&mut text, &cells);
        }
    }
    text
}

/// The same as a picture: the probability by the length, a curve for each share and each `blip`.
pub(crate) fn svg(plan: &Plan, rows: &[Row]) -> String {
    let x = |seconds: f64| LEFT + WIDTH * (seconds / SHORTEST).ln() / (LONGEST / SHORTEST).ln();
    let y = |opened: f64| TOP + HEIGHT * (1.0 - opened);
    let mut svg = String::new();
    let (wide, high) = (LEFT + WIDTH + 150.0, TOP + HEIGHT + 50.0);
    let _ = writeln!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-family="sans-serif" font-size="12" fill="#444">
<rect width="{wide}" height="{high}" fill="#fff"/>
<title>Probability of opening by the length of a blip</title>"##
    );
    for percent in [0, 25, 50, 75, 100] {
        let at = y(f64::from(percent) / 100.0);
        let _ = writeln!(
            svg,
            r##"<path d="M{LEFT} {at:.1}h{WIDTH}" stroke="#ddd"/><text x="{:.1}" y="{:.1}" text-anchor="end">{percent} %</text>"##,
            LEFT - 6.0,
            at + 4.0
        );
    }
    for seconds in [0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0] {
        let _ = writeln!(
            svg,
            r##"<text x="{:.1}" y="{:.1}" text-anchor="middle">{seconds} s</text>"##,
            x(seconds),
            TOP + HEIGHT + 18.0
        );
    }
    let _ = writeln!(
        svg,
        r##"<text x="{:.1}" y="{:.1}" text-anchor="middle">length of the blip, at {} requests a second</text>"##,
        LEFT + WIDTH / 2.0,
        TOP + HEIGHT + 38.0,
        plan.rate
    );
    let mut legend = TOP + 10.0;
    for (knob, colour) in plan.knobs.iter().zip(COLOURS.iter().cycle()) {
        for (share, _) in BLIPS {
            let of = rows
                .iter()
                .filter(|row| row.share == *share && row.knob == knob.as_secs_f64());
            let points: Vec<_> = of
                .map(|row| format!("{:.1},{:.1}", x(row.seconds), y(row.opened)))
                .collect();
            let dash = if *share < 1.0 {
                r#" stroke-dasharray="5 4""#
            } else {
                ""
            };
            let _ = writeln!(
                svg,
                r##"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>
<path d="M{:.1} {:.1}h24" stroke="{colour}" stroke-width="2"{dash}/><text x="{:.1}" y="{:.1}">{} %, blip: {}s</text>"##,
                points.join(" "),
                LEFT + WIDTH + 12.0,
                legend - 4.0,
                LEFT + WIDTH + 42.0,
                legend,
                share * 100.0,
                knob.as_secs_f64()
            );
            legend += 18.0;
        }
    }
    svg + "</svg>\n"
}

/// Shares of failures, and lengths in seconds.
const BLIPS: &[(f64, &[f64])] = &[
    (0.6, &[0.5, 1.0, 2.0, 3.0, 4.0, 5.0]),
    (1.0, &[0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0]),
];
const HEALTHY: f64 = 0.001;
/// In seconds.
const HEALTH: f64 = 300.0;
const AFTER: f64 = 30.0;

const LEFT: f64 = 56.0;
const TOP: f64 = 16.0;
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 220.0;
/// The ends of the axis, in seconds.
const SHORTEST: f64 = 0.1;
const LONGEST: f64 = 5.0;
const COLOURS: [&str; 4] = ["#1f6feb", "#d1570a", "#2da44e", "#8250df"];

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(knobs: &[u64]) -> Plan {
        Plan {
            knobs: knobs
                .iter()
                .map(|seconds| Duration::from_secs(*seconds))
                .collect(),
            rate: 100.0,
            runs: 2,
        }
    }

    #[test]
    fn a_long_blip_opens_and_one_shorter_than_the_knob_does_not() {
        let with = |blip| {
            Builder::from(Policy::adaptive())
                .blip(Duration::from_secs(blip))
                .build()
                .unwrap()
        };
        assert!(opens(&with(0), 100.0, 1.0, 1.0, 1));
        assert!(!opens(&with(3), 100.0, 1.0, 1.0, 1));
        assert!(opens(&with(3), 100.0, 1.0, 5.0, 1));
        assert!(!opens(&with(0), 100.0, 0.6, 0.5, 1));
    }

    #[test]
    fn the_table_has_a_row_for_each_blip_and_the_picture_a_curve() {
        let plan = plan(&[0, 3]);
        let rows: Vec<_> = [0.0, 3.0]
            .iter()
            .flat_map(|knob| {
                let of = BLIPS.iter().flat_map(|(share, lengths)| {
                    lengths.iter().map(move |seconds| (*share, *seconds))
                });
                of.map(|(share, seconds)| Row {
                    share,
                    seconds,
                    knob: *knob,
                    opened: 0.25,
                })
            })
            .collect();
        let table = table(&plan, &rows, true);
        assert!(
            table.starts_with("| fail | for | blip: 0s | blip: 3s |\n"),
            "{table}"
        );
        assert!(
            table.contains("| 60 % | 0.5 s | 25 % | 25 % |\n"),
            "{table}"
        );
        assert_eq!(table.lines().count(), 2 + 14);
        let svg = svg(&plan, &rows);
        assert_eq!(svg.matches("<polyline").count(), 4);
    }
}
