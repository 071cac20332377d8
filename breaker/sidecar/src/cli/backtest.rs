//! `breaker backtest`: what would policies have done on recorded traffic?

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use breaker_sidecar::backtest::{
    self, Backtest as Test, BacktestDocument, Findings, Options, Shard, TraceError, Tuning,
};
use breaker_tower::Policy;
use breaker_tower::breaker_core::InvalidValue;
use breaker_tower::breaker_core::policy::yaml::Period;
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::{BAD_INPUT, FAILED, output, run};

/// Arguments of `breaker backtest`.
#[derive(Debug, Args)]
pub(crate) struct Backtest {
    /// A built-in policy or a file; may be given several times, to see policies side by side
    #[arg(
        long = "policy",
        value_name = "NAME|FILE",
        required_unless_present = "merge"
    )]
    policies: Vec<String>,
    /// Prints JSON lines: one for each event, then the summary
    #[arg(long)]
    json: bool,
    /// Proposes thresholds from healthy traffic, for the first policy, with the false alarms that
    /// each would have had
    #[arg(long, conflicts_with = "html")]
    tune: bool,
    /// Writes a page that shows it all into this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Only the routes of part I of N, by a hash of their names: prints a document for --merge
    #[arg(long, value_name = "I/N", conflicts_with_all = ["json", "tune", "html"])]
    shard: Option<Shard>,
    /// Puts the documents of all parts together: TRACE are those that --shard printed
    #[arg(
        long,
        conflicts_with_all = [
            "policies", "tune", "strict", "routes", "timeout", "tolerance", "format", "shard",
        ]
    )]
    merge: bool,
    /// Stops at the first bad line, with exit code 1
    #[arg(long)]
    strict: bool,
    /// Only this route; may be given several times
    #[arg(long = "route", value_name = "NAME")]
    routes: Vec<String>,
    /// When a request that was never answered counts as failed
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = period)]
    timeout: Duration,
    /// How far requests may be out of order; those that ended further back are left out
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = period)]
    tolerance: Duration,
    /// The format of the traces; recognised if not given
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(backtest::formats()))]
    format: Option<String>,
    /// Recordings, traces (OTLP, Jaeger, Zipkin), access logs or results of load generators; plain,
    /// gzip or zstd; - is standard input
    #[arg(value_name = "TRACE", required = true)]
    traces: Vec<PathBuf>,
}

impl Backtest {
    pub(super) fn run(self) -> ExitCode {
        if self.merge {
            return match merged(&self.traces) {
                Ok(outcome) if outcome.requests() == 0 => {
                    output::complain(&no_requests(outcome.bad_lines()));
                    ExitCode::from(FAILED)
                }
                Ok(outcome) => self.tell(&outcome),
                Err(error) => fail(BAD_INPUT, &format!("{error:#}")),
            };
        }
        let policies = match policies(&self.policies) {
            Ok(policies) => policies,
            Err(error) => return fail(BAD_INPUT, &error.to_string()),
        };
        if self.tune {
            return self.tune(policies);
        }
        let findings = match self.test(policies) {
            Ok(findings) => findings,
            Err(error) => return fail(FAILED, &error.to_string()),
        };
        for unmatched in &findings.unmatched {
            output::complain(&format!("{unmatched}\n"));
        }
        if self.shard.is_some() && findings.unmatched.is_empty() {
            // No route may be in it.
            return output::print(&findings.document().line());
        }
        let is_empty = findings.requests() == 0;
        if is_empty && findings.unmatched.is_empty() {
            output::complain(&no_requests(findings.lost.lines));
        }
        if is_empty || !findings.unmatched.is_empty() {
            // A program wants to know what was lost.
            if self.json {
                output::print(&findings.json());
            }
            return ExitCode::from(FAILED);
        }
        self.tell(&findings.document())
    }

    fn tell(&self, outcome: &BacktestDocument) -> ExitCode {
        if let Some(file) = &self.html
            && let Err(error) = fs::write(file, outcome.html())
        {
            return fail(
                FAILED,
                &format!("{} can't be written: {error}", file.display()),
            );
        }
        output::print(&match self.json {
            true => outcome.json(),
            false => outcome.text(),
        })
    }

    fn tune(&self, policies: Vec<(String, Policy)>) -> ExitCode {
        let complain = |problem: &str| output::complain(&format!("{problem}\n"));
        match Tuning::of(&self.options(policies), &self.traces, complain) {
            Ok(tuning) if self.json => output::print(&tuning.json()),
            Ok(tuning) => output::print(&tuning.text()),
            Err(error) => fail(FAILED, &error.to_string()),
        }
    }

    fn options(&self, policies: Vec<(String, Policy)>) -> Options {
        let mut options = Options::new(policies);
        options.routes.clone_from(&self.routes);
        options.format = backtest::formats().find(|name| self.format.as_deref() == Some(name));
        options.timeout = self.timeout;
        options.tolerance = self.tolerance;
        options.strict = self.strict;
        // Whether a page is wanted is said when the parts are merged.
        options.timelines = self.html.is_some() || self.shard.is_some();
        options.shard = self.shard;
        options
    }

    fn test(&self, policies: Vec<(String, Policy)>) -> Result<Findings, TraceError> {
        let mut test = Test::new(self.options(policies));
        test.read_files(&self.traces, |problem| {
            output::complain(&format!("{problem}\n"))
        })?;
        Ok(test.finish())
    }
}

/// The whole of which these files are the parts; `-` is standard input.
fn merged(files: &[PathBuf]) -> anyhow::Result<BacktestDocument> {
    let mut documents = Vec::with_capacity(files.len());
    for file in files {
        let name = file.display().to_string();
        let mut text = String::new();
        let read = match name.as_str() {
            "-" => std::io::stdin().read_to_string(&mut text).map(|_| text),
            _ => fs::read_to_string(file),
        };
        let text = read.with_context(|| format!("{name} can't be read"))?;
        documents.push((name, text));
    }
    Ok(BacktestDocument::merge(&documents)?)
}

/// A backtest of nothing looks like one without trouble.
fn no_requests(bad_lines: u64) -> String {
    match bad_lines {
        0 => "there is no request in the trace\n".to_owned(),
        lines => format!("there is no request in the trace, and {lines} bad lines\n"),
    }
}

/// The policies by the names that tell them apart: their own, or else what was written on the
/// command line.
fn policies(names: &[String]) -> anyhow::Result<Vec<(String, Policy)>> {
    if names.len() > Test::MOST_POLICIES {
        anyhow::bail!("at most {} policies at once", Test::MOST_POLICIES);
    }
    let mut policies = Vec::<(String, Policy)>::new();
    for name in names {
        let policy = run::policy(name)?;
        let is_taken = |label: &str| policies.iter().any(|(other, _)| other == label);
        let label = match is_taken(policy.name()) {
            true => name.clone(),
            false => policy.name().to_owned(),
        };
        if is_taken(&label) {
            anyhow::bail!("policy {name} is given twice");
        }
        policies.push((label, policy));
    }
    Ok(policies)
}

fn period(text: &str) -> Result<Duration, InvalidValue> {
    Period::parse(text).map(|Period(time)| time)
}

fn fail(code: u8, error: &str) -> ExitCode {
    output::complain(&format!("{error}\n"));
    ExitCode::from(code)
}
