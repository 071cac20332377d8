//! What telemetry feeds tell, and how a recovery is judged by them.

use std::time::Duration;

use super::{Breaker, Phase, TrialResult};
use crate::detector::Crossed;
use crate::event::Reason;
use crate::feed::{Feed, Observed, Sample};
use crate::outcome::Classification;
use crate::policy::Recovery;
use crate::source::{Source, SourceId, find};
use crate::time::Timestamp;

impl Breaker {
    /// Adds a telemetry feed as a source with its own window.
    pub fn add_feed(&mut self, feed: Feed) -> SourceId {
        let id = self.push_feed(feed);
        self.rederive(self.now);
        id
    }

    /// Replaces all feeds by these, and returns their ids in the same order. A feed that keeps its
    /// name keeps its id, and its observations where its policy counts the same things. If the feed
    /// that tripped the breaker is removed, it no longer affects the recovery.
    pub fn set_feeds(
        &mut self,
        feeds: impl IntoIterator<Item = Feed>,
        now: Timestamp,
    ) -> Vec<SourceId> {
        let now = self.advance(now);
        let feeds: Vec<_> = feeds.into_iter().collect();
        let stays = |source: &Source| {
            let same = |feed: &Feed| feed.name == source.name && feed.policy == source.policy;
            source.id == SourceId::PROXY || feeds.iter().any(same)
        };
        self.drop_alerts(|source| !stays(source), now);
        let mut before = self.sources.split_off(1);
        let mut ids = Vec::new();
        for feed in feeds {
            let known = before.iter().position(|source| source.name == feed.name);
            ids.push(match known.map(|at| before.swap_remove(at)) {
                Some(mut source) => {
                    let id = source.id;
                    source.set_feed(feed, &self.policy);
                    self.sources.push(source);
                    id
                }
                None => self.push_feed(feed),
            });
        }
        self.rederive(now);
        if !before.is_empty() {
            // Probes may have been waiting for what is gone, alone.
            self.judge_probes(now);
        }
        ids
    }

    fn push_feed(&mut self, feed: Feed) -> SourceId {
        let id = SourceId(self.next_source);
        self.next_source += 1;
        self.sources.push(Source::feed(id, feed, &self.policy));
        id
    }

    /// Declares that nobody will ask for permits. Then only feeds judge the half-open state: the
    /// one that tripped the breaker, or all if none did.
    #[must_use]
    pub const fn telemetry_only(mut self) -> Self {
        self.telemetry_only = true;
        self
    }

    /// Observes requests that a telemetry feed reports. They count at the time at which they ended,
    /// if that is still in the window and not before the current half-open phase or ramp.
    pub fn observe(&mut self, id: SourceId, sample: &Sample, now: Timestamp) -> Observed {
        let now = self.advance(now);
        let bound = self.trial_bound(id);
        let Some(feed) = find(&mut self.sources, id).filter(|_| id != SourceId::PROXY) else {
            return Observed::Unknown;
        };
        if sample.at > now + feed.window.slice() {
            return Observed::Future;
        }
        let at = sample.at.min(now);
        if !feed.remembers(at, now) {
            return Observed::Late;
        }
        if sample.count == 0 {
            return Observed::Counted;
        }
        let judged = sample.classification != Classification::Ignored;
        if let Some(latency) = sample.latency
            && judged
        {
            feed.record_latency(latency, sample.count, at, now);
        }
        feed.record_classification(sample.classification, sample.count, at, now);
        if judged {
            let reaches = |bound| sample.latency.is_some_and(|latency| latency >= bound);
            let failed = sample.classification == Classification::Failure;
            if let Some(trace) = sample.trace
                && (failed || feed.slow_from().is_some_and(reaches))
            {
                feed.suspect(trace, at);
            }
            let too_slow = bound.is_some_and(reaches);
            feed.last_judged = Some(now);
            let good = !failed && !too_slow;
            feed.trial.count(good, sample.count);
            if let Some(latency) = sample.latency {
                self.detect_latency(id, latency, Crossed::default(), sample.count, at);
            }
            self.detect_errors(id, sample.classification, sample.count, at);
            let judges = self.judges(id);
            if let Phase::AdaptiveRamp(ramp) = &mut self.phase
                && judges
            {
                ramp.count(good, sample.count);
            }
            if let Phase::Closed {
                recovering: Some(recovering),
            } = &mut self.phase
                && self.telemetry_only
            {
                recovering.count(good, sample.count);
                self.judge_health(now);
            }
        }
        self.try_conditions(id, now);
        self.judge_probes(now);
        self.judge_ramp(now);
        self.judge_aimd(now);
        Observed::Counted
    }

    /// What the feeds by which the recovery is judged have shown since the trial or the ramp began.
    /// Good, where there are none.
    pub(super) fn judge_feeds(&self, now: Timestamp) -> Result<TrialResult, Reason> {
        let mut all = TrialResult::Good;
        for feed in self.judging_feeds() {
            match self.finding_of(feed, now) {
                TrialResult::Good => {}
                TrialResult::Undecided => all = TrialResult::Undecided,
                TrialResult::Bad => return Err(self.unhealthy(feed)),
            }
        }
        Ok(all)
    }

    /// Why the ramp has failed by a feed of which at least so many requests are known.
    pub(super) fn feed_shortfall(&self, at_least: u64) -> Option<Reason> {
        let needed = self.policy.half_open().success;
        self.judging_feeds()
            .find(|feed| feed.trial.samples() >= at_least && feed.trial.success() < needed)
            .map(|feed| self.unhealthy(feed))
    }

    /// Why the ramp of a sequential recovery has failed by a feed that judges it.
    pub(super) fn failing_feed(&self, now: Timestamp) -> Option<Reason> {
        let mut feeds = self.judging_feeds();
        let fails = |feed: &&Source| {
            let finding = self.trial(feed.id).finding(feed.trial, true);
            self.quiet_end(feed) > now && finding == TrialResult::Bad
        };
        feeds.find(fails).map(|feed| self.unhealthy(feed))
    }

    /// Whether a feed that judges the ramp of a sequential recovery has not said yet that it goes
    /// well, and still may.
    pub(super) fn waits_for_feed(&self, now: Timestamp) -> bool {
        let mut feeds = self.judging_feeds();
        feeds.any(|feed| {
            let finding = self.trial(feed.id).finding(feed.trial, true);
            self.quiet_end(feed) > now && finding != TrialResult::Good
        })
    }

    /// When the silence of a feed that is waited for will have been long enough.
    pub(super) fn quiet_ends(&self) -> Option<Timestamp> {
        let Phase::Probing(probing) = &self.phase else {
            return None;
        };
        if self.finding_of_probes(probing) != TrialResult::Good {
            return None;
        }
        self.judging_feeds()
            .filter(|feed| self.finding_of(feed, self.now) == TrialResult::Undecided)
            .map(|feed| self.quiet_end(feed))
            .min()
    }

    /// The latency from which on a request of the trial that `source` observes has failed: what
    /// tripped the breaker was about it, at that source.
    pub(super) fn trial_bound(&self, source: SourceId) -> Option<Duration> {
        self.tripped_latency
            .filter(|_| self.tripped_by == Some(source))
    }

    pub(super) fn judging_feeds(&self) -> impl Iterator<Item = &Source> {
        let feeds = self.sources.iter().skip(1);
        feeds.filter(move |feed| self.judges(feed.id))
    }

    /// Whether the recovery is judged by this feed.
    fn judges(&self, feed: SourceId) -> bool {
        match self.tripped_by {
            Some(tripped_by) => tripped_by == feed,
            None => self.telemetry_only,
        }
    }

    fn finding_of(&self, feed: &Source, now: Timestamp) -> TrialResult {
        if self.policy.recovery() == Recovery::Sequential && self.quiet_end(feed) > now {
            return self.trial(feed.id).finding(feed.trial, false);
        }
        let rules = self.policy.half_open();
        let (trial, probes, needed) = (feed.trial, rules.probes.into(), rules.needed().into());
        if trial.samples() >= probes || self.quiet_end(feed) <= now {
            if trial.success() >= rules.success {
                TrialResult::Good
            } else {
                TrialResult::Bad
            }
        } else if trial.succeeded >= needed {
            TrialResult::Good
        } else if trial.failed > probes - needed {
            TrialResult::Bad
        } else {
            TrialResult::Undecided
        }
    }

    pub(super) fn quiet_end(&self, feed: &Source) -> Timestamp {
        self.since.max(feed.last_judged.unwrap_or_default()) + feed.silence_timeout
    }

    fn unhealthy(&self, feed: &Source) -> Reason {
        Reason::FeedUnhealthy {
            source: feed.name.clone(),
            succeeded: feed.trial.succeeded,
            failed: feed.trial.failed,
            needed: self.policy.half_open().success,
        }
    }
}
