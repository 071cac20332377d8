//! What people are shown of a route.

use super::super::members::Members;
use super::super::overview::{RouteOverview, SignalOverview};
use super::super::pooled::Part;
use super::Track;
use super::detecting::median;
use crate::ratio::Ratio;
use crate::time::Timestamp;

impl Track {
    pub(in crate::fleet) fn overview(&self, members: &Members, now: Timestamp) -> RouteOverview {
        let track = self.route.index;
        let counted = members
            .iter()
            .filter(|(_, member)| member.counts(now) && member.has(track));
        let counted: Vec<_> = counted.collect();
        let standings = || {
            counted
                .iter()
                .filter_map(|(slot, _)| self.standings.get(*slot))
        };
        let count = |of: usize| u32::try_from(of).unwrap_or(u32::MAX);
        let signals = self.signals.iter().map(|of| {
            let (observations, hits) = of.recent.sums();
            let (evidence, line) = of.pooled.nearest();
            let parts = counted.iter().filter_map(|(slot, _)| of.parts.get(*slot));
            let normal = median(parts.map(Part::normal));
            SignalOverview {
                signal: of.signal,
                observations,
                hits,
                normal: Ratio::new(normal).unwrap_or(Ratio::ONE),
                evidence,
                line,
            }
        });
        RouteOverview {
            name: self.route.name.clone(),
            rate: self.rate(),
            reporting: count(counted.iter().filter(|(_, of)| of.reports(now)).count()),
            heard: count(counted.len()),
            not_closed: count(standings().filter(|standing| standing.rejects).count()),
            led: count(standings().filter(|standing| standing.led).count()),
            signals: signals.collect(),
            verdict: self.verdict(members, now),
        }
    }

    /// Whether the breaker of the member in this slot is not closed.
    pub(in crate::fleet) fn is_not_closed(&self, slot: usize) -> bool {
        self.standings
            .get(slot)
            .is_some_and(|standing| standing.rejects)
    }

    /// Whether the member in this slot sees what the others don't.
    pub(in crate::fleet) fn has_outlier(&self, slot: usize) -> bool {
        let mut parts = self.signals.iter().filter_map(|of| of.parts.get(slot));
        !self.has_alarm() && parts.any(|part| part.stands_out())
    }
}
