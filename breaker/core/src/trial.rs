//! What the trial of a sequential recovery asks: is it as before the trip, or as bad as what opens?
//!
//! Closed and open must not both be stable under the same traffic, so the trial asks for no more
//! health than a closed breaker does. Let `line` be the share of failures at which the policy
//! opens, raised where failures are usual ([`opens_at`]). A share below the line would not open,
//! and must pass; one above it must not. Wald's test needs two shares to tell apart, which are
//! midway on either side, in logit: between usual and the line, and between the line and near-total
//! failure. Its evidence has no drift just at the line.

use std::time::Duration;

use crate::policy::{Action, Condition, Policy, Signal};
use crate::tally::Tally;

/// What the probes have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrialResult {
    Undecided,
    Good,
    Bad,
}

/// Wald's sequential test of a trial, by what each good and each bad request adds to the evidence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trial {
    bad: f64,
    good: f64,
}

impl Trial {
    /// Of a policy that opens at `line`, where the share `usual` fails in health.
    pub(crate) fn new(usual: f64, line: f64) -> Self {
        let ok = midway(usual.max(LEAST_USUAL), line);
        let worse = midway(line, NEAR_TOTAL);
        Self {
            bad: (worse / ok).ln(),
            good: ((1.0 - ok) / (1.0 - worse)).ln(),
        }
    }

    /// What so many requests of the trial have shown: wrong in 2 of 100 cases at most. Without
    /// `quiet`, a first second of a few good requests is not enough: a service that was cold is
    /// asked for [`SEQUENTIAL_PROBES`].
    pub(crate) fn finding(&self, tally: Tally, quiet: bool) -> TrialResult {
        let evidence = tally.failed as f64 * self.bad - tally.succeeded as f64 * self.good;
        let enough = quiet || tally.succeeded >= SEQUENTIAL_PROBES.into();
        if evidence >= REOPENS {
            TrialResult::Bad
        } else if evidence <= GOES_ON && enough {
            TrialResult::Good
        } else {
            TrialResult::Undecided
        }
    }
}

/// The share of failures at which `policy` opens, where the share `usual` fails in health: its own,
/// but midway (in logit) between usual and near-total failure at least. 40 % stays 40 % up to 2 %
/// usual failures; it is 50 % at 5, 59 % at 10, 69 % at 20 and 74 % at 30 %.
pub(crate) fn opens_at(policy: &Policy, usual: f64) -> f64 {
    let entries = policy.trip().iter();
    let opening = entries.filter(|entry| entry.action == Action::Open);
    let shares =
        opening
            .flat_map(|entry| &entry.conditions)
            .filter_map(|condition| match condition {
                Condition::Anomaly {
                    signal: Signal::Errors,
                    at_least,
                    ..
                } => Some(at_least.get()),
                Condition::ErrorRate(share) => Some(share.get()),
                _ => None,
            });
    let own = shares.fold(None, |least: Option<f64>, share| {
        Some(least.map_or(share, |least| least.min(share)))
    });
    own.unwrap_or(DEFAULT_LINE)
        .clamp(LEAST_LINE, MOST_LINE)
        .max(crate::detector::midway_to_total(usual))
}

fn midway(one: f64, other: f64) -> f64 {
    crate::detector::midway(one, other)
}

/// How many good probes, without a bad one, a sequential recovery takes.
pub(crate) const SEQUENTIAL_PROBES: u32 = 6;

/// So long a trial must have been silent, after it had shown nothing bad, to count as health.
pub(crate) const QUIET: Duration = Duration::from_secs(5);
/// Arrivals a second below which a sequential recovery has no ramp.
pub(crate) const LEAST_RATE: f64 = 2.0;
/// ln((1 − β)/α) and its like for α = β = 2 %.
const REOPENS: f64 = 4.0;
const GOES_ON: f64 = -3.9;
/// Fewer failures than these are as good as none.
const LEAST_USUAL: f64 = 0.02;
const NEAR_TOTAL: f64 = crate::detector::NEAR_TOTAL;
/// Of a policy that opens on no share of failures.
const DEFAULT_LINE: f64 = 0.4;
const LEAST_LINE: f64 = 0.05;
const MOST_LINE: f64 = 0.8;

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(trial: &Trial, succeeded: u64, failed: u64) -> TrialResult {
        trial.finding(Tally { succeeded, failed }, false)
    }

    #[test]
    fn two_bad_probes_reopen_and_six_good_ones_go_on() {
        let trial = Trial::new(0.001, 0.4);
        assert_eq!(finding(&trial, 0, 1), TrialResult::Undecided);
        assert_eq!(finding(&trial, 0, 2), TrialResult::Bad);
        assert_eq!(finding(&trial, 5, 0), TrialResult::Undecided);
        assert_eq!(finding(&trial, 6, 0), TrialResult::Good);
        assert_eq!(finding(&trial, 6, 3), TrialResult::Undecided);
    }

    #[test]
    fn a_share_below_the_line_passes_and_one_above_does_not() {
        for usual in [0.001, 0.05, 0.1, 0.2, 0.3] {
            let line = opens_at(&Policy::adaptive(), usual);
            let trial = Trial::new(usual, line);
            let drift = |share: f64| share * trial.bad - (1.0 - share) * trial.good;
            assert!(drift(usual) < 0.0 && drift(0.8 * line) < 0.0, "{usual}");
            assert!(
                drift(1.0) > 0.5 && drift((1.0 + line) / 2.0) > 0.0,
                "{usual}"
            );
        }
    }

    #[test]
    fn the_line_is_that_of_the_policy_or_relative_to_usual() {
        let lines = [0.0, 0.02, 0.05, 0.1, 0.2, 0.3];
        let lines = lines.map(|usual| (opens_at(&Policy::adaptive(), usual) * 100.0).round());
        assert_eq!(lines, [40.0, 40.0, 50.0, 59.0, 69.0, 74.0]);
        assert_eq!(opens_at(&Policy::sensitive(), 0.0), 0.08);
    }
}
