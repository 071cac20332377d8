//! Scores of several seeds, taken together.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::gym::Run;
use crate::score::Score;

/// How a system did in a scenario, over seeds: medians of times (a seed in which it never happened
/// counts as endless), means of counts and shares, false trips and alerts a healthy day of all
/// seeds together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// Of how many seeds.
    pub(crate) seeds: usize,
    /// False trips a day.
    pub(crate) false_trips: f64,
    /// False alerts a day.
    pub(crate) false_alerts: f64,
    /// See [`Score`], also for those below.
    pub(crate) detect: Option<f64>,
    /// In seconds.
    pub(crate) open: Option<f64>,
    /// Requests.
    pub(crate) bad_before_open: f64,
    /// A share.
    pub(crate) goodput: f64,
    /// Requests.
    pub(crate) good_rejected: f64,
    /// Requests.
    pub(crate) good_rejected_after: f64,
    /// In seconds.
    pub(crate) closed_after: Option<f64>,
    /// In seconds.
    pub(crate) good_after: Option<f64>,
    /// How often.
    pub(crate) premature_closes: f64,
    /// Requests.
    pub(crate) lost_after: f64,
    /// A share.
    pub(crate) good_rejected_share: f64,
    /// The least and the greatest of the seeds, of `detect`, `open` and `closed_after`.
    pub(crate) detect_range: Range,
    /// See `detect_range`.
    pub(crate) open_range: Range,
    /// See `detect_range`.
    pub(crate) closed_range: Range,
}

/// The least and the greatest of the seeds' times, in seconds; `None` is never.
pub(crate) type Range = (Option<f64>, Option<f64>);

/// Summaries by scenario and system.
pub(crate) type Summaries = BTreeMap<(&'static str, &'static str), Summary>;

/// Summarises `runs`.
pub(crate) fn summarise<'a>(runs: impl IntoIterator<Item = &'a Run>) -> Summaries {
    let mut groups: BTreeMap<_, Vec<&Score>> = BTreeMap::new();
    for run in runs {
        groups
            .entry((run.scenario, run.system))
            .or_default()
            .push(&run.score);
    }
    groups
        .into_iter()
        .map(|(key, scores)| (key, Summary::of(&scores)))
        .collect()
}

impl Summary {
    fn of(scores: &[&Score]) -> Self {
        let count = scores.len() as f64;
        let mean =
            |of: fn(&Score) -> f64| scores.iter().map(|score| of(score)).sum::<f64>() / count;
        let median = |of: fn(&Score) -> Option<f64>| {
            median(
                scores
                    .iter()
                    .map(|score| of(score).unwrap_or(f64::INFINITY))
                    .collect(),
            )
        };
        let range = |of: fn(&Score) -> Option<f64>| {
            let times = scores
                .iter()
                .map(|score| of(score).unwrap_or(f64::INFINITY));
            let finite = |time: f64| Some(time).filter(|time| time.is_finite());
            let least = times.clone().fold(f64::INFINITY, f64::min);
            (finite(least), finite(times.fold(0.0, f64::max)))
        };
        let days = mean(|score| score.healthy_days);
        Self {
            seeds: scores.len(),
            false_trips: mean(|score| score.false_trips as f64) / days,
            false_alerts: mean(|score| score.false_alerts as f64) / days,
            detect: median(|score| score.detect),
            open: median(|score| score.open),
            bad_before_open: mean(|score| score.bad_before_open as f64),
            goodput: mean(|score| score.goodput),
            good_rejected: mean(|score| score.good_rejected as f64),
            good_rejected_after: mean(|score| score.good_rejected_after as f64),
            closed_after: median(|score| score.closed_after),
            good_after: median(|score| score.good_after),
            premature_closes: mean(|score| score.premature_closes as f64),
            lost_after: mean(|score| score.lost_after as f64),
            good_rejected_share: mean(|score| score.good_rejected_share),
            detect_range: range(|score| score.detect),
            open_range: range(|score| score.open),
            closed_range: range(|score| score.closed_after),
        }
    }
}

/// The median, the upper one of an even number; `None` if that is infinite.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values
        .get(values.len() / 2)
        .copied()
        .filter(|median| median.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_in_fewer_than_half_of_the_seeds_has_no_median() {
        assert_eq!(median(vec![3.0, f64::INFINITY, 1.0]), Some(3.0));
        assert_eq!(median(vec![f64::INFINITY, f64::INFINITY, 1.0]), None);
        assert_eq!(median(vec![]), None);
    }

    #[test]
    fn false_trips_are_counted_a_day_of_all_seeds_together() {
        let score = |false_trips, healthy_days| Score {
            false_trips,
            healthy_days,
            ..Score::default()
        };
        let summary = Summary::of(&[&score(3, 1.0), &score(1, 3.0)]);
        assert_eq!(summary.false_trips, 1.0);
    }
}
