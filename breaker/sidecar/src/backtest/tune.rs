//! `breaker backtest --tune`: derives thresholds from healthy traffic, and tests each of them on
//! it.
//!
//! A first pass finds the worst windows. Thresholds near their values become policies with one
//! condition each. A second pass replays the traffic with each policy. So the alarms are those of a
//! real breaker and not of a formula. The result proposes the lowest threshold without an alarm for
//! each condition.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use breaker_tower::Policy;
use breaker_tower::breaker_core::policy::{Condition, Quantile, TripEntry, yaml};
use breaker_tower::breaker_core::{InvalidField, Ratio};
use serde::Serialize;

use super::survey::{Survey, Worst};
use super::{Backtest, Options, TraceError};

/// The results of thresholds on healthy traffic.
#[derive(Debug)]
#[non_exhaustive]
pub struct Tuning {
    /// Sorted by condition, and then by threshold.
    pub candidates: Vec<Candidate>,
    /// The policy with the lowest thresholds that had no alarm, if there are any.
    pub proposal: Option<Policy>,
    requests: u64,
    routes: usize,
    days: f64,
    windows: u64,
    base: Policy,
}

/// A tested threshold.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Candidate {
    /// The condition with the threshold.
    pub condition: Condition,
    /// How often it would have opened a breaker.
    pub alarms: u64,
    /// The good requests that the open breaker would have rejected.
    pub rejected_good: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    kind: &'static str,
    condition: String,
    field: &'a str,
    alarms: u64,
    a_day: f64,
    rejected_good: u64,
}

impl Tuning {
    /// Tests thresholds on the traces at `paths`. The policies are the first one of `options` with
    /// other conditions.
    ///
    /// # Errors As [`Backtest::read_files`]. Also for standard input, which can't be read twice,
    /// and if there is not enough traffic.
    pub fn of(
        options: &Options,
        paths: &[impl AsRef<Path>],
        complain: impl FnMut(&str),
    ) -> Result<Self, TraceError> {
        let Some((_, base)) = options.policies.first() else {
            return Err(TraceError("there must be a policy to tune".to_owned()));
        };
        if paths.iter().any(|path| path.as_ref().as_os_str() == "-") {
            return Err(TraceError(
                "standard input can't be read twice: --tune needs files".to_owned(),
            ));
        }
        let mut first = Options {
            policies: vec![options.policies[0].clone()],
            ..options.clone()
        };
        first.timelines = false;
        let mut survey = Backtest::new(first.clone());
        survey.survey = Some(Survey::new(base));
        survey.read_files(paths, complain)?;
        let (findings, survey) = survey.finish_survey();
        let worst = survey.map(|survey| survey.worst).unwrap_or_default();
        if worst.windows == 0 {
            let (least, window) = (base.min_requests(), base.window());
            return Err(TraceError(format!(
                "no route has {least} requests in {window:?} anywhere: there is nothing to tune"
            )));
        }
        let conditions = conditions(&worst, base);
        first.policies = conditions
            .iter()
            .enumerate()
            .map(|(index, condition)| {
                Ok((
                    index.to_string(),
                    with(base, [TripEntry::open([*condition])])?,
                ))
            })
            .collect::<Result<_, InvalidField>>()
            .map_err(|error| TraceError(error.to_string()))?;
        let mut second = Backtest::new(first);
        second.read_files(paths, |_| {})?;
        let tried = second.finish();
        let candidates: Vec<_> = conditions
            .into_iter()
            .zip(&tried.policies)
            .map(|(condition, policy)| Candidate {
                condition,
                alarms: policy.report.trips,
                rejected_good: policy.report.rejected_good,
            })
            .collect();
        Ok(Self {
            proposal: proposal(base, &candidates),
            candidates,
            requests: findings.requests(),
            routes: findings.routes,
            days: findings.days(),
            windows: worst.windows,
            base: base.clone(),
        })
    }

    /// A table, and the proposed policy in the form of a file.
    pub fn text(&self) -> String {
        let Self {
            requests,
            routes,
            windows,
            days,
            ..
        } = self;
        let (hours, window, least) = (days * 24.0, self.base.window(), self.base.min_requests());
        let mut text = format!(
            "{requests} requests of {routes} routes in {hours:.1} h; {windows} windows of {window:?} have at least {least} requests\n\n"
        );
        let width = self
            .candidates
            .iter()
            .map(|one| one.condition.to_string().chars().count());
        let width = width.max().unwrap_or_default();
        // Writing to a `String` can't fail.
        let _ = writeln!(
            text,
            "{:<width$}  alarms    a day  rejected_good",
            "condition"
        );
        for Candidate {
            condition,
            alarms,
            rejected_good,
        } in &self.candidates
        {
            let condition = condition.to_string();
            let a_day = self.a_day(*alarms);
            let _ = writeln!(
                text,
                "{condition:<width$}  {alarms:>6}  {a_day:>7.2}  {rejected_good:>13}"
            );
        }
        let _ = writeln!(
            text,
            "\nNo alarm in {hours:.1} h is less than {:.2} a day, with a confidence of 95 %. The traffic must be healthy: an incident in it\n\
             makes thresholds too high.\n",
            self.a_day(3)
        );
        match &self.proposal {
            Some(policy) => text += &yaml::write(policy),
            None => text += "Each of the thresholds had alarms: nothing is proposed.\n",
        }
        text
    }

    /// A line for each threshold. The last line is the proposal.
    pub fn json(&self) -> String {
        let lines = self.candidates.iter().map(|one| {
            let line = Line {
                kind: "threshold",
                condition: one.condition.to_string(),
                field: one.condition.name(),
                alarms: one.alarms,
                a_day: self.a_day(one.alarms),
                rejected_good: one.rejected_good,
            };
            serde_json::to_string(&line).expect("texts and finite numbers are JSON") + "\n"
        });
        let policy = self.proposal.as_ref().map(yaml::write);
        let days = self.days;
        let proposal = serde_json::json!({ "kind": "proposal", "days": days, "policy": policy });
        lines.collect::<String>() + &proposal.to_string() + "\n"
    }

    fn a_day(&self, alarms: u64) -> f64 {
        alarms as f64 / self.days.max(f64::MIN_POSITIVE).max(1e-6)
    }
}

/// Thresholds near the worst values, sorted by condition and ascending. There are as many as a
/// backtest may have policies.
fn conditions(worst: &Worst, policy: &Policy) -> Vec<Condition> {
    // A single failure in the smallest window that counts must not be an alarm.
    let errors = worst.errors.max(1.0 / policy.min_requests() as f64);
    let share =
        |factor: f64| Ratio::new((errors * factor * 1000.0).ceil() / 1000.0).unwrap_or(Ratio::ONE);
    let time = |seen: Duration, factor: f64| rounded(seen.mul_f64(factor));
    let mut all: Vec<_> = [0.5, 1.0, 1.5, 2.0, 3.0]
        .map(|factor| Condition::ErrorRate(share(factor)))
        .into();
    all.extend([0.5, 1.0, 1.5, 2.0, 3.0].map(|factor| Condition::Latency {
        quantile: Quantile::P99,
        bound: time(worst.p99, factor),
    }));
    all.extend([1.0, 1.5, 2.0].map(|factor| Condition::SlowRate {
        share: Ratio::of(50, 100),
        threshold: time(worst.median, factor),
    }));
    let run = u32::try_from(worst.run)
        .unwrap_or(MOST_RUN)
        .clamp(2, MOST_RUN);
    all.extend([run, run + run.div_ceil(2), run * 2].map(Condition::ConsecutiveFailures));
    // Rounding makes small numbers equal.
    all.dedup();
    all
}

/// Rounds up to two digits, in whole milliseconds.
fn rounded(time: Duration) -> Duration {
    let millis = u64::try_from(time.as_micros().div_ceil(1000))
        .unwrap_or(u64::MAX)
        .max(1);
    let step = 10_u64.pow(millis.ilog10().saturating_sub(1));
    Duration::from_millis(millis.div_ceil(step) * step)
}

/// The lowest threshold without an alarm for each condition. A P99 only alerts, as in the built-in
/// policies.
fn proposal(base: &Policy, candidates: &[Candidate]) -> Option<Policy> {
    let mut entries: Vec<TripEntry> = Vec::new();
    for candidate in candidates.iter().filter(|candidate| candidate.alarms == 0) {
        let condition = candidate.condition;
        let is_there = |entry: &TripEntry| entry.conditions[0].name() == condition.name();
        if !entries.iter().any(is_there) {
            entries.push(match condition {
                Condition::Latency { .. } => TripEntry::alert([condition]),
                _ => TripEntry::open([condition]),
            });
        }
    }
    let opens = entries
        .iter()
        .any(|entry| !matches!(entry.conditions[0], Condition::Latency { .. }));
    opens.then(|| with(base, entries).ok()).flatten()
}

/// `base` with other conditions.
fn with(base: &Policy, entries: impl Into<Vec<TripEntry>>) -> Result<Policy, InvalidField> {
    let name: String = base.name().chars().take(58).collect();
    Policy::builder(format!("{name}-tuned"))
        .window(base.window())
        .min_requests(base.min_requests())
        .trip(entries)
        .open(base.open())
        .half_open(base.half_open())
        .ramp(base.ramp())
        .latency(base.latency())
        .failure(base.failure().clone())
        .reject(base.reject().clone())
        .build()
}

/// The maximum of consecutive failures for a threshold, before it is doubled.
const MOST_RUN: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 requests/s for an hour: 1 % fail, and every hundredth is slow.
    fn healthy() -> tempfile::NamedTempFile {
        let mut trace = String::new();
        for number in 0..72_000_u32 {
            let mixed = number.wrapping_mul(2_654_435_761) >> 16;
            let status = if mixed % 100 == 7 { 503 } else { 200 };
            let latency = if mixed % 100 == 13 {
                0.4
            } else {
                0.02 + f64::from(mixed % 10) / 1000.0
            };
            let t = 1_700_000_000.0 + f64::from(number) / 20.0;
            writeln!(
                trace,
                r#"{{"t":{t:.3},"route":"pay","latency":{latency:.3},"status":{status}}}"#
            )
            .expect("memory");
        }
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        std::io::Write::write_all(&mut file, trace.as_bytes()).expect("room");
        file
    }

    #[test]
    fn the_lowest_thresholds_without_an_alarm_are_proposed() {
        let file = healthy();
        let options = Options::new(vec![("sensitive".to_owned(), Policy::sensitive())]);
        let tuning =
            Tuning::of(&options, &[file.path()], |problem| panic!("{problem}")).expect("files");
        assert!(tuning.candidates.len() <= Backtest::MOST_POLICIES);
        let errors: Vec<_> = tuning
            .candidates
            .iter()
            .filter_map(|one| match one.condition {
                Condition::ErrorRate(share) => Some((share.get(), one.alarms)),
                _ => None,
            })
            .collect();
        assert!(
            errors[0].1 > 0,
            "half of the worst is often seen: {errors:?}"
        );
        assert_eq!(errors[errors.len() - 1].1, 0, "{errors:?}");
        assert!(
            errors.is_sorted_by(|one, other| one.0 < other.0 && one.1 >= other.1),
            "{errors:?}"
        );

        let p99 = tuning
            .candidates
            .iter()
            .find_map(|one| match one.condition {
                Condition::Latency { bound, .. } => Some(bound),
                _ => None,
            });
        let seen = Duration::from_millis(200)..Duration::from_millis(220);
        assert!(p99.is_some_and(|half| seen.contains(&half)), "{p99:?}");
        let policy = tuning.proposal.as_ref().expect("a proposal");
        let again = Options::new(vec![("tuned".to_owned(), policy.clone())]);
        let mut backtest = Backtest::new(again);
        backtest.read_files(&[file.path()], |_| {}).expect("a file");
        assert_eq!(backtest.finish().policies[0].report.trips, 0);

        let text = tuning.text();
        assert!(
            text.starts_with("72000 requests of 1 routes in 1.0 h; "),
            "{text}"
        );
        assert!(
            text.contains("is less than 72."),
            "three in an hour: {text}"
        );
        let (_, file) = text.split_once("\nname: ").expect("a policy");
        assert_eq!(
            yaml::parse(&format!("name: {file}"), None).as_ref(),
            Ok(policy)
        );
        assert!(
            tuning
                .json()
                .lines()
                .all(|line| line.starts_with(r#"{"kind":""#)
                    || line.contains(r#""kind":"proposal""#))
        );
    }

    #[test]
    fn too_little_traffic_and_standard_input_are_errors() {
        let options = Options::new(vec![("sensitive".to_owned(), Policy::sensitive())]);
        let error = Tuning::of(&options, &["-"], |_| {}).expect_err("it can't be read twice");
        assert!(error.to_string().starts_with("standard input"), "{error}");
        let file = tempfile::NamedTempFile::new().expect("a file");
        let error = Tuning::of(&options, &[file.path()], |_| {}).expect_err("it is empty");
        assert!(
            error
                .to_string()
                .starts_with("no route has 20 requests in 10s"),
            "{error}"
        );
    }

    #[test]
    fn times_are_rounded_up_to_two_digits() {
        for (micros, millis) in [(1, 1), (15_001, 16), (123_000, 130), (1_999_000, 2000)] {
            assert_eq!(
                rounded(Duration::from_micros(micros)),
                Duration::from_millis(millis)
            );
        }
    }
}
