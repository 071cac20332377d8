//! `breaker backtest`: what would policies have done on recorded traffic?

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use breaker_sidecar::backtest::{self, Backtest as Test, Findings, Options, TraceError, Tuning};
use breaker_tower::Policy;
use breaker_tower::core::InvalidValue;
use breaker_tower::core::policy::yaml::Period;
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::{BAD_INPUT, FAILED, output, run};

/// Arguments of `breaker backtest`.
#[derive(Debug, Args)]
pub(crate) struct Backtest {
    /// A built-in policy or a file; may be given several times, to see policies side by side
    #[arg(long = "policy", value_name = "NAME|FILE", required = true)]
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
        let is_empty = findings.requests() == 0;
        if is_empty && findings.unmatched.is_empty() {
            output::complain(&no_requests(&findings));
        }
        if is_empty || !findings.unmatched.is_empty() {
            // A program wants to know what was lost.
            if self.json {
                output::print(&findings.json());
            }
            return ExitCode::from(FAILED);
        }
        if let Some(file) = &self.html
            && let Err(error) = fs::write(file, findings.html())
        {
            return fail(
                FAILED,
                &format!("{} can't be written: {error}", file.display()),
            );
        }
        output::print(&match self.json {
            true => findings.json(),
            false => findings.text(),
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
        options.timelines = self.html.is_some();
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

/// A backtest of nothing looks like one without trouble.
fn no_requests(findings: &Findings) -> String {
    match findings.lost.lines {
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
