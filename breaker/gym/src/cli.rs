//! The command line.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use breaker_core::InvalidValue;
use clap::Parser;
use serde_json::json;

use crate::fleet::HealthyFleet;
use crate::gym::{self, Plan, Run};
use crate::summary::{Summaries, summarise};
use crate::table::{self, Style};
use crate::{arl, blips, endpoints, fleet, page, petshop, scenario, system};

/// Runs breakers through scenarios in virtual time, on identical traffic, and scores them
#[derive(Debug, Parser)]
#[command(name = "breaker-gym", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// Seeds, such as 1-5 or 1,3,7; 1 to 5 are those on which detectors are tuned, all others are
    /// held out
    #[arg(long, default_value = "1-10", value_parser = parse_seeds)]
    seeds: Seeds,
    /// Scenarios, by name or by the beginning of it; all by default
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    scenario: Vec<String>,
    /// Systems, by name; all by default
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    system: Vec<String>,
    /// Writes tables in Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Writes every run and the summaries as JSON
    #[arg(long)]
    json: bool,
    /// Writes a page with the timelines of the first seed, any two systems over each other
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Lists scenarios and systems
    #[arg(long)]
    list: bool,
    /// Measures how often healthy traffic sets systems off, instead of running scenarios; with
    /// --fleet how often it opens a fleet
    #[arg(long, conflicts_with_all = ["scenario", "html", "list"])]
    arl: bool,
    /// For --arl and --endpoints: simulated days at each error rate
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    days: u32,
    /// For --arl, --blips and --endpoints: requests a second, such as 0.5 or 1/60; 1, 100 and 1 by
    /// default. With --fleet of each replica, 0.2 by default
    #[arg(long, value_parser = parse_rate)]
    rate: Option<f64>,
    /// For --arl: usual errors in per cent, such as 0.1,5,30
    #[arg(long, value_delimiter = ',', value_parser = parse_percent, value_name = "PERCENT")]
    errors: Vec<f64>,
    /// For --arl: the first eight hours of each day are silent
    #[arg(long)]
    nights: bool,
    /// For --arl: every two hours a burst of 30 to 180 s at ten times the rate
    #[arg(long)]
    bursts: bool,
    /// For --arl: latencies that vary as in the scenarios; all are 20 ms by default
    #[arg(long)]
    latencies: bool,
    /// Measures how probably `adaptive` opens in trouble of a tenth of a second to five, instead of
    /// running scenarios
    #[arg(long, conflicts_with_all = ["scenario", "system", "html", "list", "arl"])]
    blips: bool,
    /// For --blips: the policy's `blip`, each measured by itself
    #[arg(long, value_delimiter = ',', default_value = "0s,3s", value_parser = parse_blip, value_name = "TIME")]
    blip: Vec<Duration>,
    /// For --blips: how often each is tried
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: u32,
    /// For --blips: writes the curves too
    #[arg(long, value_name = "FILE", requires = "blips")]
    svg: Option<PathBuf>,
    /// Measures which rule ejects an endpoint that is worse than the others, and how soon, instead
    /// of running scenarios
    #[arg(long, conflicts_with_all = ["scenario", "system", "html", "list", "arl", "blips"])]
    endpoints: bool,
    /// Plays fleets of replicas that pool their evidence (F1 to F10, --scenario chooses), each with
    /// the fleet and without
    #[arg(long, conflicts_with_all = ["system", "html", "list", "blips", "endpoints", "petshop", "json"])]
    fleet: bool,
    /// For --fleet: replicas instead of those of the scenario; 10 by default with --arl
    #[arg(long, value_parser = clap::value_parser!(u16).range(4..=1000), requires = "fleet")]
    replicas: Option<u16>,
    /// For --fleet --arl: the first replica reports failures that were none
    #[arg(long, requires_all = ["fleet", "arl"])]
    liar: bool,
    /// Plays levels of a real service (fixtures/petshop): which of its faults are told, and how
    /// often health is called a fault
    #[arg(long, conflicts_with_all = ["scenario", "html", "list", "arl", "blips", "endpoints"])]
    petshop: bool,
    /// For --petshop: hours of health before each fault, for each seed
    #[arg(long, default_value_t = 20.0, value_parser = parse_hours)]
    hours: f64,
    /// Threads; as many as the machine has cores by default
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

/// A list of seeds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seeds(Vec<u64>);

impl Cli {
    /// Does it. Exit codes: 0 good, 1 failed, 2 wrong usage.
    pub(crate) fn run(self) -> ExitCode {
        let plan = match self.plan() {
            Ok(plan) => plan,
            Err(message) => {
                let _ = writeln!(io::stderr(), "error: {message}");
                return ExitCode::from(2);
            }
        };
        match self.report(&plan) {
            Ok(()) => ExitCode::SUCCESS,
            // Whoever read has read enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(io::stderr(), "error: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn plan(&self) -> Result<Plan, InvalidValue> {
        let mut scenarios = Vec::new();
        let of_requests = if self.fleet { &[][..] } else { &self.scenario };
        for name in of_requests {
            match scenario::find(name) {
                Some(entry) => scenarios.push(entry),
                None => {
                    let before = scenarios.len();
                    let begins = |id: &str| id.to_lowercase().starts_with(&name.to_lowercase());
                    scenarios.extend(scenario::all().filter(|entry| begins(entry.id)));
                    if scenarios.len() == before || name.is_empty() {
                        return Err(format!("no scenario is called '{name}': see --list").into());
                    }
                }
            }
        }
        if scenarios.is_empty() {
            scenarios = scenario::all().collect();
        }
        scenarios.sort_by_key(|entry| entry.id);
        scenarios.dedup_by_key(|entry| entry.id);
        let mut systems: Vec<_> = Vec::new();
        for name in &self.system {
            systems.push(
                system::find(name)
                    .ok_or_else(|| format!("no system is called '{name}': see --list"))?,
            );
        }
        if systems.is_empty() {
            systems = system::ALL.to_vec();
        }
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Plan {
            scenarios,
            systems,
            seeds: self.seeds.0.clone(),
            threads: self.threads.map_or_else(cores, usize::from),
            timelines: self.html.is_some(),
        })
    }

    fn measure(&self, plan: &Plan, out: &mut impl Write) -> io::Result<()> {
        let errors = match &self.errors[..] {
            [] => arl::ERROR_RATES.to_vec(),
            errors => errors.to_vec(),
        };
        let stream = arl::Traffic {
            rate: self.rate.unwrap_or(1.0),
            errors,
            days: self.days,
            nights: self.nights,
            bursts: self.bursts,
            latencies: self.latencies,
        };
        if !self.json {
            writeln!(out, "{}", arl::header(&stream))?;
        }
        arl::measure(&plan.systems, &stream, plan.threads, |row| {
            match self.json {
                true => writeln!(out, "{}", json!(row)),
                false => writeln!(out, "{row}"),
            }?;
            out.flush()
        })
    }

    fn measure_fleets(&self, plan: &Plan, out: &mut impl Write) -> io::Result<()> {
        if self.arl {
            let healthy = HealthyFleet {
                replicas: self.replicas.unwrap_or(10).into(),
                rate: self.rate.unwrap_or(0.2),
                errors: match &self.errors[..] {
                    [] => arl::ERROR_RATES.to_vec(),
                    errors => errors.to_vec(),
                },
                days: self.days,
                liar: self.liar,
            };
            return fleet::measure_healthy(&healthy, plan.threads, self.markdown, out);
        }
        let replicas = self.replicas.map(usize::from);
        let fleets = fleet::choose(&self.scenario, replicas, self.rate);
        let fleets = fleets.map_err(|unknown| {
            io::Error::other(format!("no fleet is called '{unknown}': F1 to F10"))
        })?;
        fleet::measure(&fleets, &plan.seeds, plan.threads, self.markdown, out)
    }

    fn measure_blips(&self, threads: usize, out: &mut impl Write) -> io::Result<()> {
        let plan = blips::Plan {
            knobs: self.blip.clone(),
            rate: self.rate.unwrap_or(100.0),
            runs: self.runs,
        };
        let rows = blips::measure(&plan, threads);
        if let Some(file) = &self.svg {
            fs::write(file, blips::svg(&plan, &rows)).map_err(|error| of_file(file, &error))?;
        }
        match self.json {
            true => writeln!(out, "{}", json!(rows)),
            false => write!(out, "{}", blips::table(&plan, &rows, self.markdown)),
        }
    }

    fn report(&self, plan: &Plan) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.list {
            return list(&mut out);
        }
        if self.fleet {
            return self.measure_fleets(plan, &mut out);
        }
        if self.arl {
            return self.measure(plan, &mut out);
        }
        if self.blips {
            return self.measure_blips(plan.threads, &mut out);
        }
        if self.endpoints {
            let results = endpoints::measure(&plan.seeds, plan.threads);
            let rate = self.rate.unwrap_or(1.0);
            let healthy = endpoints::healthy(rate, self.days, plan.threads);
            if self.json {
                return writeln!(out, "{}", json!({ "cases": results, "healthy": healthy }));
            }
            write!(out, "{}", endpoints::table(&results, self.markdown))?;
            return write!(out, "\n{}", endpoints::healthy_table(&healthy));
        }
        if self.petshop {
            let rows = petshop::measure(&plan.systems, self.hours, &plan.seeds, plan.threads);
            return match self.json {
                true => writeln!(out, "{}", json!(rows)),
                false => write!(
                    out,
                    "{}",
                    petshop::table(&plan.systems, &rows, self.markdown)
                ),
            };
        }
        let runs = gym::run(plan);
        let groups = groups(&runs);
        if let Some(file) = &self.html {
            fs::write(file, page::render(plan, &runs, &groups))
                .map_err(|error| of_file(file, &error))?;
        }
        if self.json {
            let summaries: Vec<_> = groups.iter().flat_map(|(group, summaries)| {
                summaries.iter().map(move |((scenario, system), summary)| {
                    json!({ "seeds": group, "scenario": scenario, "system": system, "summary": summary })
                })
            }).collect();
            return writeln!(out, "{}", json!({ "runs": runs, "summaries": summaries }));
        }
        let style = if self.markdown {
            Style::Markdown
        } else {
            Style::Text
        };
        for (group, summaries) in &groups {
            match style {
                Style::Text => writeln!(out, "{}\n", group.to_uppercase())?,
                Style::Markdown => writeln!(out, "## {group}\n")?,
            }
            writeln!(out, "{}", table::render(plan, summaries, style))?;
        }
        Ok(())
    }
}

fn of_file(file: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", file.display()))
}

/// The runs of tuned and of held-out seeds, apart.
fn groups(runs: &[Run]) -> Vec<(&'static str, Summaries)> {
    let group = |name, tuned: bool| {
        let runs = runs.iter().filter(move |run| is_tuned(run.seed) == tuned);
        (name, summarise(runs))
    };
    let groups = [
        group("Seeds for tuning", true),
        group("Held-out seeds", false),
    ];
    groups
        .into_iter()
        .filter(|(_, summaries)| !summaries.is_empty())
        .collect()
}

/// Whether detectors were tuned on this seed.
fn is_tuned(seed: u64) -> bool {
    (1..=5).contains(&seed)
}

fn list(out: &mut impl Write) -> io::Result<()> {
    for entry in scenario::all() {
        writeln!(out, "{:<5} {} → {}", entry.id, entry.title, entry.wanted)?;
    }
    writeln!(out)?;
    system::ALL
        .iter()
        .try_for_each(|entry| writeln!(out, "{}", entry.name))
}

fn parse_seeds(text: &str) -> Result<Seeds, InvalidValue> {
    let number = |text: &str| {
        text.trim()
            .parse::<u64>()
            .map_err(|_| format!("'{text}' is not a seed"))
    };
    let mut seeds = Vec::new();
    for part in text.split(',') {
        match part.split_once('-') {
            Some((from, to)) => {
                let (from, to) = (number(from)?, number(to)?);
                if from > to || to - from >= MAX_SEEDS {
                    return Err(
                        format!("'{part}' must be 1 to {MAX_SEEDS} seeds, ascending").into(),
                    );
                }
                seeds.extend(from..=to);
            }
            None => seeds.push(number(part)?),
        }
    }
    seeds.sort_unstable();
    seeds.dedup();
    Ok(Seeds(seeds))
}

fn parse_rate(text: &str) -> Result<f64, InvalidValue> {
    let (requests, seconds) = text.split_once('/').unwrap_or((text, "1"));
    match (requests.parse::<f64>(), seconds.parse::<f64>()) {
        (Ok(requests), Ok(seconds)) if (0.001..=10_000.0).contains(&(requests / seconds)) => {
            Ok(requests / seconds)
        }
        _ => Err("must be 0.001 to 10000".into()),
    }
}

fn parse_hours(text: &str) -> Result<f64, InvalidValue> {
    match text.parse::<f64>() {
        Ok(hours) if (0.0..=10_000.0).contains(&hours) => Ok(hours),
        _ => Err("must be 0 to 10000".into()),
    }
}

fn parse_blip(text: &str) -> Result<Duration, InvalidValue> {
    let unit = |unit: &str| text.strip_suffix(unit)?.parse::<u64>().ok();
    let time = unit("ms")
        .map(Duration::from_millis)
        .or_else(|| unit("s").map(Duration::from_secs));
    time.filter(|time| *time <= Duration::from_secs(60))
        .ok_or_else(|| "must be 0s to 60s, such as 500ms".into())
}

fn parse_percent(text: &str) -> Result<f64, InvalidValue> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err("must be 0 to 100".into()),
    }
}

const MAX_SEEDS: u64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(arguments: &[&str]) -> Result<Plan, InvalidValue> {
        let arguments = [&["breaker-gym"], arguments].concat();
        Cli::try_parse_from(arguments)
            .map_err(|error| error.to_string())?
            .plan()
    }

    #[test]
    fn seeds_are_numbers_and_ranges() {
        assert_eq!(parse_seeds("3,1-2,2"), Ok(Seeds(vec![1, 2, 3])));
        assert_eq!(parse_seeds("x"), Err("'x' is not a seed".to_owned().into()));
        assert!(parse_seeds("5-1").is_err());
        assert!(parse_seeds("0-18446744073709551615").is_err());
    }

    #[test]
    fn a_rate_is_a_number_or_requests_in_seconds() {
        assert_eq!(parse_rate("1/60"), Ok(1.0 / 60.0));
        assert_eq!(parse_rate("0.5"), Ok(0.5));
        for bad in ["0", "1/0", "/", "-1", "x", "1/1/1"] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_blip("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_blip("3s"), Ok(Duration::from_secs(3)));
        for bad in ["3", "61s", "-1s", "s", "1.5s"] {
            assert!(parse_blip(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_percent("0.1"), Ok(0.001));
        assert!(parse_percent("101").is_err());
    }

    #[test]
    fn a_scenario_is_named_by_its_beginning_unless_that_is_a_name() {
        let ids = |name: &str| {
            let plan = plan(&["--scenario", name])?;
            Ok::<_, String>(
                plan.scenarios
                    .iter()
                    .map(|entry| entry.id)
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(ids("s04").unwrap(), ["S04a", "S04b", "S04c"]);
        assert_eq!(ids("S06").unwrap(), ["S06"]);
        assert_eq!(ids("S06b,S06,S06b").unwrap(), ["S06", "S06b"]);
        assert_eq!(
            ids("S99").unwrap_err(),
            "no scenario is called 'S99': see --list"
        );
    }

    #[test]
    fn systems_keep_the_order_in_which_they_are_named() {
        let plan = plan(&["--system", "hystrix,none"]).unwrap();
        let names: Vec<_> = plan.systems.iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["hystrix", "none"]);
    }
}
