//! Scenarios that play levels that were measured.

use super::{Phase, Scenario};
use crate::levels::Levels;
use crate::time::{SECOND, Span, seconds};

impl Scenario {
    /// The levels of `healthy` in turn, each for five minutes, for so many hours; then an incident
    /// that is the levels of `faulty`, each for five minutes.
    pub(crate) fn played(healthy: &[Levels], hours: f64, faulty: &[Levels], seed: u64) -> Self {
        let rows = (hours * 3600.0 / ROW).round() as usize;
        let mut played = Self::healthy((rows + faulty.len()) as f64 * ROW);
        played.seed = seed;
        // As the levels have it: what took 20 s was answered.
        played.timeout = Some(60 * SECOND);
        played.base.client_errors = 0.0;
        if let Some(first) = healthy.first() {
            played.base.rate = first.rate;
        }
        let all = healthy.iter().cycle().take(rows).chain(faulty);
        for (row, levels) in all.enumerate() {
            let (from, levels) = (row as f64 * ROW, *levels);
            played.phases.push(Phase {
                span: Span::of(from, from + ROW),
                change: Box::new(move |now, _| {
                    now.rate = levels.rate;
                    now.errors = levels.errors;
                    now.levels = Some(levels);
                }),
            });
        }
        let end = seconds(played.duration);
        played.incident = Some(Span::of(rows as f64 * ROW, end));
        played
    }
}

/// For how long a row of levels is played, in seconds.
const ROW: f64 = 300.0;
