//! Which rule finds the endpoint that is worse than the others, how soon, and how often it ejects
//! one that is not.
//!
//! Requests are spread evenly over the endpoints that are in, so that the rules differ only by what
//! they make of the same outcomes; if none is in, over all. Each endpoint's outcomes are
//! independent, but for what the case says.

mod rule;

use std::fmt::Write;

use serde::Serialize;

use self::rule::RULES;
use crate::luck::RequestRng;
use crate::number::number;
use crate::time::{SECOND, nanos, seconds};

/// What happens to the endpoints of an upstream.
#[derive(Clone, Copy)]
struct Case {
    title: &'static str,
    /// Requests a second, in all.
    rate: f64,
    endpoints: usize,
    /// When something begins, and when the run ends, in seconds.
    from: f64,
    until: f64,
    /// The share of failures of an endpoint, so many seconds after the beginning.
    errors: fn(usize, f64) -> f64,
    /// Whether the first endpoint is the one to be ejected.
    sick: bool,
}

/// How a rule did in a case, over all seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Result {
    case: &'static str,
    rule: &'static str,
    /// Seconds to the first ejection of the sick one, by seed; `None` where it never was.
    sick_after: Option<Vec<Option<f64>>>,
    /// Failures of the sick one before that, on average.
    failures_before: f64,
    /// Ejections of others an hour.
    others_per_hour: f64,
}

const CASES: &[Case] = &[
    sick("1 of 2 dead", 2, 100.0, dead),
    sick("1 of 2 at 30 %", 2, 100.0, third),
    sick("1 of 5 dead", 5, 100.0, dead),
    sick("1 of 5 at 30 %", 5, 100.0, third),
    sick("1 of 20 dead", 20, 100.0, dead),
    sick("1 of 20 at 30 %", 20, 100.0, third),
    all("all 5 at 20 %", 3600.0, |_, _| 0.2),
    all("all 5 down", 600.0, |_, _| 1.0),
    all(
        "healthy, bursts of 20 % for 3 s each 5 min",
        7200.0,
        |_, t| {
            if t % 300.0 < 3.0 { 0.2 } else { USUAL }
        },
    ),
    sick("1 of 5 dead, 2/s in all", 5, 2.0, dead),
    sick("1 of 5 dead, 0.2/s in all", 5, 0.2, dead),
];

const fn sick(
    title: &'static str,
    endpoints: usize,
    rate: f64,
    errors: fn(usize, f64) -> f64,
) -> Case {
    Case {
        title,
        rate,
        endpoints,
        from: 600.0,
        until: 1800.0,
        errors,
        sick: true,
    }
}

const fn all(title: &'static str, length: f64, errors: fn(usize, f64) -> f64) -> Case {
    Case {
        title,
        rate: 100.0,
        endpoints: 5,
        from: 600.0,
        until: 600.0 + length,
        errors,
        sick: false,
    }
}

fn dead(endpoint: usize, _: f64) -> f64 {
    if endpoint == 0 { 1.0 } else { USUAL }
}

fn third(endpoint: usize, _: f64) -> f64 {
    if endpoint == 0 { 0.3 } else { USUAL }
}

/// Runs all rules in all cases.
pub(crate) fn measure(seeds: &[u64], threads: usize) -> Vec<Result> {
    let jobs: Vec<_> = CASES
        .iter()
        .flat_map(|case| RULES.iter().map(move |rule| (case, rule)))
        .collect();
    let results = std::sync::Mutex::new(Vec::new());
    crate::gym::in_parallel(threads, jobs.len(), |job| {
        let (case, rule) = jobs[job];
        let result = of_seeds(case, rule, seeds);
        let mut results = results.lock().expect("no thread panics while it holds it");
        results.push((job, result));
    });
    let mut results = results.into_inner().expect("no thread panicked");
    results.sort_by_key(|(job, _)| *job);
    results.into_iter().map(|(_, result)| result).collect()
}

fn of_seeds(case: &Case, rule: &rule::NamedRule, seeds: &[u64]) -> Result {
    let runs: Vec<_> = seeds.iter().map(|seed| play(case, rule, *seed)).collect();
    let others: usize = runs.iter().map(|run| run.others).sum();
    let before: u64 = runs.iter().map(|run| run.failures_before).sum();
    let hours = case.until / 3600.0 * seeds.len() as f64;
    Result {
        case: case.title,
        rule: rule.name,
        sick_after: case
            .sick
            .then(|| runs.iter().map(|run| run.sick_after).collect()),
        failures_before: before as f64 / seeds.len() as f64,
        others_per_hour: others as f64 / hours,
    }
}

#[derive(Debug, Default)]
struct Run {
    sick_after: Option<f64>,
    failures_before: u64,
    others: usize,
}

fn play(case: &Case, entry: &rule::NamedRule, seed: u64) -> Run {
    let mut rule = (entry.make)(case.endpoints, seed);
    let mut run = Run::default();
    let (mut now, mut id) = (0.0, 0);
    let mut next_tick = SECOND;
    loop {
        let mut luck = RequestRng::of(seed, id, 0);
        id += 1;
        now += luck.exponential() / case.rate;
        if now >= case.until {
            return run;
        }
        let at = nanos(now);
        while next_tick <= at {
            rule.tick(next_tick);
            next_tick += SECOND;
        }
        let endpoint = rule.choose(luck.bits(), at);
        let share = match now < case.from {
            true => USUAL,
            false => (case.errors)(endpoint, now - case.from),
        };
        let failed = luck.unit() < share;
        let is_sick = case.sick && endpoint == 0 && now >= case.from;
        if is_sick && failed && run.sick_after.is_none() {
            run.failures_before += 1;
        }
        for ejected in rule.observe(endpoint, failed, at) {
            if !(case.sick && ejected == 0 && now >= case.from) {
                run.others += 1;
            } else if run.sick_after.is_none() {
                run.sick_after = Some(seconds(at) - case.from);
            }
        }
    }
}

/// How often ours ejects one of five endpoints that all fail the same share of their requests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Healthy {
    errors: &'static str,
    rate: f64,
    days: u32,
    requests: u64,
    ejections: usize,
}

/// Of all endpoints.
struct Alike {
    errors: &'static str,
    /// At so many seconds.
    share: fn(f64) -> f64,
}

/// Plays so many days at `rate` requests a second, at each of some shares of errors.
pub(crate) fn healthy(rate: f64, days: u32, threads: usize) -> Vec<Healthy> {
    let rows = std::sync::Mutex::new(Vec::new());
    crate::gym::in_parallel(threads, ALIKE.len(), |job| {
        let row = play_healthy(&ALIKE[job], rate, days);
        let mut rows = rows.lock().expect("no thread panics while it holds it");
        rows.push((job, row));
    });
    let mut rows = rows.into_inner().expect("no thread panicked");
    rows.sort_by_key(|(job, _)| *job);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn play_healthy(alike: &Alike, rate: f64, days: u32) -> Healthy {
    let ours = RULES.last().expect("ours is the last of the rules");
    let mut rule = (ours.make)(5, 1);
    let mut row = Healthy {
        errors: alike.errors,
        rate,
        days,
        requests: 0,
        ejections: 0,
    };
    let mut now = 0.0;
    while now < 86_400.0 * f64::from(days) {
        let mut luck = RequestRng::of(1, row.requests, 0);
        row.requests += 1;
        now += luck.exponential() / rate;
        let at = nanos(now);
        let endpoint = rule.choose(luck.bits(), at);
        let ejected = rule.observe(endpoint, luck.unit() < (alike.share)(now), at);
        row.ejections += ejected.len();
    }
    row
}

/// A line each share of errors.
pub(crate) fn healthy_table(rows: &[Healthy]) -> String {
    let line = |row: &Healthy| {
        format!(
            "5 endpoints alike, errors {}, {}/s, {} days: {} ejections (budget {:.1})\n",
            row.errors,
            row.rate,
            row.days,
            row.ejections,
            f64::from(row.days) / BUDGET_DAYS,
        )
    };
    rows.iter().map(line).collect()
}

/// The table, a row each case.
pub(crate) fn table(results: &[Result], markdown: bool) -> String {
    let mut text = String::new();
    let names: Vec<_> = RULES.iter().map(|rule| rule.name).collect();
    let line = |title: &str, cells: &[String]| match markdown {
        true => format!("| {title} | {} |\n", cells.join(" | ")),
        false => {
            let cells = cells.iter().map(|cell| format!("{cell:>26}"));
            format!("{title:<44}{}\n", cells.collect::<String>())
        }
    };
    let header: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    text += &line("", &header);
    if markdown {
        text += &format!("|---|{}\n", "---|".repeat(names.len()));
    }
    for case in CASES {
        let cells: Vec<_> = names
            .iter()
            .filter_map(|name| {
                let of = |result: &&Result| result.case == case.title && result.rule == *name;
                results.iter().find(of).map(cell)
            })
            .collect();
        text += &line(case.title, &cells);
    }
    text
}

fn cell(result: &Result) -> String {
    let mut text = String::new();
    if let Some(after) = &result.sick_after {
        let mut after: Vec<_> = after
            .iter()
            .map(|after| after.unwrap_or(f64::INFINITY))
            .collect();
        after.sort_by(f64::total_cmp);
        // The median; never, if half of the seeds never saw it.
        let middle = after[after.len() / 2];
        text += &match middle.is_finite() {
            true => format!("{} s, {:.0}", number(Some(middle)), result.failures_before),
            false => "never".to_owned(),
        };
        text += " / ";
    }
    let others = result.others_per_hour;
    let _ = match others {
        0.0 => write!(text, "0"),
        0.0..10.0 => write!(text, "{others:.1}"),
        _ => write!(text, "{others:.0}"),
    };
    text
}

const ALIKE: &[Alike] = &[
    alike("0.3 %", |_| 0.003),
    alike("2 %", |_| 0.02),
    alike("10 %", |_| 0.1),
    alike("30 %", |_| 0.3),
    alike("0.3 and 10 % by turns, 2 h each", |now| {
        if now % 14_400.0 < 7200.0 { 0.003 } else { 0.1 }
    }),
    alike("1 %, bursts of 40 % for 30 s each 2 h", |now| {
        if now % 7200.0 < 30.0 { 0.4 } else { 0.01 }
    }),
];

const fn alike(errors: &'static str, share: fn(f64) -> f64) -> Alike {
    Alike { errors, share }
}

/// `budget: conservative` allows a false ejection in so many days.
const BUDGET_DAYS: f64 = 30.0;
/// The share of failures of a healthy endpoint.
const USUAL: f64 = 0.003;

#[cfg(test)]
mod tests {
    use super::*;

    fn results(rule: &str) -> Vec<Result> {
        let rule = RULES.iter().find(|entry| entry.name == rule).unwrap();
        CASES
            .iter()
            .map(|case| of_seeds(case, rule, &[1, 2]))
            .collect()
    }

    #[test]
    fn ours_finds_each_sick_one_soon_and_ejects_no_other() {
        let most = [0.5, 3.0, 0.8, 5.0, 2.0, 15.0, 0.0, 0.0, 0.0, 40.0, 300.0];
        for (result, most) in results("breaker").into_iter().zip(most) {
            assert_eq!(result.others_per_hour, 0.0, "{result:?}");
            for after in result.sick_after.iter().flatten() {
                assert!(after.is_some_and(|after| after <= most), "{result:?}");
            }
        }
    }

    #[test]
    fn endpoints_that_are_alike_stay_within_the_budget() {
        for row in healthy(1.0, 3, 2) {
            assert_eq!(row.ejections, 0, "{row:?}");
        }
    }

    #[test]
    fn failures_in_a_row_eject_what_befalls_all() {
        let results = results("consecutive 5");
        assert!(results[6].others_per_hour > 10.0, "{:?}", results[6]);
    }
}
