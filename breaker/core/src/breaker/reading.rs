//! What a breaker knows, read at one time.

use std::sync::Arc;

use super::{Breaker, Phase};
use crate::event::stream_of;
use crate::policy::Action;
use crate::ratio::Ratio;
use crate::snapshot::{AlertCount, Snapshot, SourceSnapshot};
use crate::source::Source;
use crate::time::Timestamp;

impl Breaker {
    /// What the breaker knows at `now`.
    pub fn snapshot(&mut self, now: Timestamp) -> Snapshot {
        let now = self.advance(now);
        let shedding = self.shedding_snapshot();
        Snapshot {
            state: self.state(),
            mode: self.mode,
            mode_remaining: self.mode_until.map(|until| until.saturating_since(now)),
            reason: self.reason.clone(),
            lasted: now.saturating_since(self.since),
            open_remaining: match &self.phase {
                Phase::Open {
                    until: Some(until), ..
                } => Some(until.saturating_since(now)),
                _ => None,
            },
            admitted_share: match &self.phase {
                Phase::Closed { .. } => shedding
                    .as_ref()
                    .map_or(Ratio::ONE, |shedding| shedding.admitted_share),
                Phase::Open { .. } | Phase::Probing(_) => Ratio::ZERO,
                Phase::Ramp(ramp) => ramp.share(&self.policy.ramp(), now),
                Phase::Aimd(ramp) => ramp.share(),
            },
            shedding,
            failed_recoveries: self.failed_recoveries,
            in_flight: self.permits_out,
            oldest_in_flight: self.in_flight.ages(now).next().map(|(age, _)| age),
            totals: self.totals.totals(),
            alerts: self.alert_counts(),
            transitions: self.transitions.clone(),
            window_bytes: self.sources.iter().map(Source::bytes).sum(),
            sources: self
                .sources
                .iter_mut()
                .map(|source| SourceSnapshot::of(source, now))
                .collect(),
        }
    }

    /// The alerts that were given, and those that may be: a count that begins with zero shows its first alert.
    fn alert_counts(&self) -> Vec<AlertCount> {
        let mut counts = self.alerts.clone();
        for source in &self.sources {
            let policy = source.policy.as_ref().unwrap_or(&self.policy);
            let entries = policy.trip().iter();
            for entry in entries.filter(|entry| entry.action == Action::Alert) {
                count_alert(&mut counts, &source.name, stream_of(&entry.conditions), 0);
            }
        }
        counts
    }
}

/// There are no more kinds than sources times names of conditions and streams.
pub(super) fn count_alert(
    counts: &mut Vec<AlertCount>,
    source: &Arc<str>,
    stream: &'static str,
    alerts: u64,
) {
    let known = counts
        .iter_mut()
        .find(|known| (&known.source, known.stream) == (source, stream));
    match known {
        Some(known) => known.count += alerts,
        None => counts.push(AlertCount {
            source: source.clone(),
            stream,
            count: alerts,
        }),
    }
}
