//! What the anomaly detectors of the sources are told, and when.

use std::time::Duration;

use super::{Breaker, Phase};
use crate::detector::{Crossed, Detectors};
use crate::outcome::Classification;
use crate::policy::Signal;
use crate::source::{Source, SourceId, find};
use crate::time::Timestamp;

impl Breaker {
    /// `count` requests of a source ended at `at`.
    pub(super) fn detect_errors(
        &mut self,
        id: SourceId,
        classification: Classification,
        count: u32,
        at: Timestamp,
    ) {
        if id == SourceId::PROXY && classification != Classification::Ignored {
            self.beside = self
                .beside
                .saturating_add(count.min(MANY) as u8)
                .min(MANY as u8);
        }
        if let Some((detectors, learns)) = self.detectors(id)
            && classification != Classification::Ignored
        {
            detectors.ended(classification == Classification::Failure, count, at, learns);
        }
    }

    /// `count` requests of the proxy's own source have failed at `at`, late: they hung, and were
    /// observed for their age.
    ///
    /// Those that were admitted with them ended long ago. If fewer come now, for a limit or because
    /// fewer arrive, the late failures of many would meet the successes of few. So a late failure
    /// is evidence only as far as so many end beside it now as ended of those that were admitted
    /// with it: then the share of failures is that of a cohort. Where nobody ended, as in an
    /// outage, each one is.
    pub(super) fn detect_late_errors(&mut self, count: u32, at: Timestamp) {
        let cohort = self.in_flight.take_passed().min(MANY);
        // Less a quarter: chance must not make most of what is steady disappear.
        let needed = (cohort - cohort / 4) as u8;
        let Some(left) = self.beside.checked_sub(needed) else {
            return;
        };
        self.beside = left;
        if let Some((detectors, learns)) = self.detectors(SourceId::PROXY) {
            detectors.ended(true, count, at, learns);
        }
    }

    /// A request of the proxy's own source that was observed as a success at `counted` has failed,
    /// after all. So many that began long ago have just been counted as successes again, itself
    /// among them.
    pub(super) fn detect_late_failure(
        &mut self,
        counted: Timestamp,
        recounted: u32,
        at: Timestamp,
    ) {
        if let Some((detectors, learns)) = self.detectors(SourceId::PROXY) {
            if recounted > 0 {
                // They were learned from when they began.
                detectors.ended(false, recounted, at, false);
            }
            detectors.failed_after(counted, at, learns);
        }
    }

    /// `count` requests of a source took `latency` until `at`. For what they have `crossed` while
    /// they hung they are observed already.
    pub(super) fn detect_latency(
        &mut self,
        id: SourceId,
        latency: Duration,
        crossed: Crossed,
        count: u32,
        at: Timestamp,
    ) {
        if let Some((detectors, learns)) = self.detectors(id) {
            detectors.took(latency, crossed, count, at, learns);
        }
    }

    /// Observes the requests in flight that have reached an age since the last call.
    pub(super) fn detect_hanging(&mut self, now: Timestamp) {
        let learns = self.learns();
        let in_trial = matches!(self.phase, Phase::AdaptiveRamp(_));
        let judged = if in_trial {
            self.deadline_of_trial()
        } else {
            self.needs.deadline
        };
        let deadline = judged.map_or(0, |age| {
            self.in_flight
                .cross(age, now, |crossed| &mut crossed.deadline)
        });
        if let Phase::AdaptiveRamp(ramp) = &mut self.phase {
            ramp.count(false, deadline);
            self.judge_aimd(now);
            return;
        }
        let slow = self.slow_threshold().map_or(0, |age| {
            self.in_flight
                .cross(age, now, |crossed| &mut crossed.threshold)
        });
        let proxy = &mut self.sources[SourceId::PROXY.0];
        if slow > 0 || deadline > 0 {
            proxy.last_judged = Some(now);
        }
        let Some(detectors) = &mut proxy.detectors else {
            return;
        };
        for (signal, count) in [(Signal::Latency, slow), (Signal::Deadline, deadline)] {
            if count > 0 {
                detectors.crossed(signal, count, now, learns);
            }
        }
    }

    /// The proxy's own source had a request answered well.
    pub(super) fn answered(&mut self, latency: Duration) {
        if let Some(detectors) = &mut self.sources[SourceId::PROXY.0].detectors {
            detectors.answered(latency);
        }
    }

    /// Whether most good answers of the proxy's own source miss the deadline.
    pub(super) fn is_slow_by_nature(&self) -> bool {
        let detectors = self.sources[SourceId::PROXY.0].detectors.as_ref();
        detectors.is_some_and(|detectors| detectors.is_slow_by_nature())
    }

    /// The deadline that a request of a trial must keep, unless the service is slow by nature.
    pub(super) fn deadline_of_trial(&self) -> Option<Duration> {
        self.needs.deadline.filter(|_| !self.is_slow_by_nature())
    }

    /// The latency from which on a request of the proxy's own source is slow, where that is
    /// watched.
    pub(super) fn slow_threshold(&self) -> Option<Duration> {
        let proxy = &self.sources[SourceId::PROXY.0];
        proxy.detectors.as_ref()?.threshold()
    }

    /// Shares the budget of false alarms among the detectors of all sources.
    pub(super) fn share_budget(&mut self) {
        let detectors = self
            .sources
            .iter()
            .filter_map(|source| source.detectors.as_ref());
        let all = detectors.map(|detectors| detectors.count()).sum();
        for Source { detectors, .. } in &mut self.sources {
            if let Some(detectors) = detectors {
                detectors.set_family_size(all);
            }
        }
    }

    /// The detectors of a source while they observe, and whether they may learn from it.
    fn detectors(&mut self, id: SourceId) -> Option<(&mut Detectors, bool)> {
        if !self.tries_conditions() {
            return None;
        }
        let learns = self.learns();
        let detectors = find(&mut self.sources, id)?.detectors.as_mut()?;
        Some((detectors, learns))
    }

    /// Whether what happens may be normal: not while a trial goes on or a limit keeps requests
    /// away.
    pub(super) fn learns(&self) -> bool {
        matches!(self.phase, Phase::Closed { .. }) && !self.is_limited()
    }
}

/// Of more that ended beside a late failure nothing is remembered.
const MANY: u32 = 64;
