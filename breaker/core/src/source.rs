//! A source: where outcomes are observed. The proxy is one, every telemetry feed another; they are
//! never added together.

mod reading;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::alert::StandingAlert;
use crate::baseline::SourceBaseline;
use crate::detector::Detectors;
use crate::feed::Feed;
use crate::outcome::{Classification, Outcome};
use crate::permit::{Begun, Counted};
use crate::policy::{Condition, MAX_SLOW_THRESHOLDS, Policy};
use crate::row::Row;
use crate::snapshot::SourceTotals;
use crate::tally::Tally;
use crate::time::Timestamp;
use crate::trace::TraceId;
use crate::window::Window;

/// The id of a source of one breaker. Ids are never reused, even when the source is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceId(pub(crate) usize);

impl SourceId {
    /// The proxy or layer that asks for permits.
    pub const PROXY: Self = Self(0);
}

/// When requests failed or were slow, and their traces.
type Suspects = VecDeque<(Timestamp, TraceId)>;

/// What a breaker keeps of a source.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) id: SourceId,
    pub(crate) name: Arc<str>,
    /// A feed's own policy, which stands in for the breaker's.
    pub(crate) policy: Option<Arc<Policy>>,
    /// How long a feed must be silent to say nothing against a recovery.
    pub(crate) silence_timeout: Duration,
    pub(crate) window: Window,
    /// What the window has ever been told, whatever is forgotten.
    pub(crate) totals: SourceTotals,
    /// Where the policy has a condition on anomalies.
    pub(crate) detectors: Option<Box<Detectors>>,
    is_feed: bool,
    row: Row,
    /// The length of `row`.
    pub(crate) consecutive_failures: u32,
    /// Raised whenever what was observed is forgotten, so that nothing is taken back that is not
    /// there. Small, as an idle breaker is to be.
    generation: u8,
    /// For each trip entry: its alert, from its begin to its end.
    pub(crate) alerts: Vec<Option<Box<StandingAlert>>>,
    /// What a feed has told since the trial or the ramp began.
    pub(crate) trial: Tally,
    /// When a success or a failure was last told, or a request was seen to hang.
    pub(crate) last_judged: Option<Timestamp>,
    /// What happened before this is forgotten, however late it is told.
    forgotten_until: Timestamp,
    /// The latest requests that failed or were slow, oldest first.
    exemplars: Option<Box<Suspects>>,
    /// Whether a trip entry asks for quantiles, the smallest latency bound, when histograms may be
    /// walked again, and whether a latency was recorded since they were.
    wants_histograms: bool,
    slow_from: Option<Duration>,
    next_histogram_turn: Timestamp,
    latencies_changed: bool,
}

impl Source {
    /// The source of those who ask for permits.
    pub(crate) fn proxy(policy: &Policy) -> Self {
        Self::new(SourceId::PROXY, Feed::new("proxy"), policy)
    }

    /// A telemetry feed, of a breaker with `policy`.
    pub(crate) fn feed(id: SourceId, feed: Feed, policy: &Policy) -> Self {
        Self::new(id, feed, policy)
    }

    fn new(id: SourceId, feed: Feed, policy: &Policy) -> Self {
        let own = feed.policy.clone();
        let policy = own.as_deref().unwrap_or(policy);
        let is_feed = id != SourceId::PROXY;
        Self {
            id,
            name: feed.name,
            policy: feed.policy,
            silence_timeout: feed.silence_timeout,
            window: Window::new(policy),
            totals: SourceTotals::NONE,
            detectors: Detectors::of(policy, is_feed),
            is_feed,
            row: Row::default(),
            consecutive_failures: 0,
            generation: 0,
            alerts: vec![None; policy.trip().len()],
            trial: Tally::default(),
            last_judged: None,
            forgotten_until: Timestamp::ZERO,
            exemplars: None,
            wants_histograms: wants_histograms(policy),
            slow_from: policy.slow_from(),
            next_histogram_turn: Timestamp::ZERO,
            latencies_changed: false,
        }
    }

    /// Forgets all observations, those too of what happened before `now` and is told later.
    pub(crate) fn forget(&mut self, now: Timestamp) {
        self.window.clear();
        if let Some(detectors) = &mut self.detectors {
            detectors.reset();
        }
        self.row = Row::default();
        self.consecutive_failures = 0;
        self.generation = self.generation.wrapping_add(1);
        self.latencies_changed = false;
        self.forgotten_until = now;
        self.exemplars = None;
        self.trial = Tally::default();
    }

    /// How much time the window tells of: all of it, unless observations were forgotten since then.
    /// At least a second.
    pub(crate) fn observed_for(&self, policy: &Policy, now: Timestamp) -> Duration {
        let remembered = now.saturating_since(self.forgotten_until);
        remembered.min(policy.window()).max(Duration::from_secs(1))
    }

    /// Forgets all observations, those of silence too.
    pub(crate) fn reset(&mut self, now: Timestamp) {
        self.forget(now);
        self.last_judged = None;
    }

    /// What the detectors have learned, if there are any.
    pub(crate) fn learned(&self) -> Option<SourceBaseline> {
        self.detectors.as_ref()?.learned(&self.name)
    }

    /// Begins with what was learned before. Returns whether it was of any use.
    pub(crate) fn restore(&mut self, learned: &SourceBaseline) -> bool {
        let detectors = self.detectors.as_mut();
        detectors.is_some_and(|detectors| detectors.restore(learned))
    }

    /// Forgets what the detectors have learned, and their evidence with it, in which the breaker's
    /// `policy` has them be.
    pub(crate) fn forget_learned(&mut self, policy: &Policy) {
        let policy = self.policy.as_deref().unwrap_or(policy);
        self.detectors = Detectors::of(policy, self.is_feed);
    }

    /// Whether what happened at `at` may still be counted.
    pub(crate) fn remembers(&mut self, at: Timestamp, now: Timestamp) -> bool {
        at >= self.forgotten_until && self.window.covers(at, now)
    }

    /// Counts `latency` as that of `count` requests that ended at `at`, which is not after `now`.
    pub(crate) fn record_latency(
        &mut self,
        latency: Duration,
        count: u32,
        at: Timestamp,
        now: Timestamp,
    ) {
        self.window.record_latency(latency, count, at, now);
        self.totals.latency.record(latency, count);
        self.latencies_changed = true;
    }

    /// Counts `classification` as that of `count` requests that ended at `at`, which is not after
    /// `now`.
    pub(crate) fn record_classification(
        &mut self,
        classification: Classification,
        count: u32,
        at: Timestamp,
        now: Timestamp,
    ) {
        if classification != Classification::Ignored {
            self.last_judged = Some(now);
        }
        match classification {
            Classification::Success => {
                self.row.succeeded();
                self.consecutive_failures = 0;
                self.totals.success += u64::from(count);
            }
            Classification::Failure => {
                self.row.failed(count);
                self.consecutive_failures = self.row.len();
                self.totals.failure += u64::from(count);
            }
            Classification::Ignored => {}
        }
        self.window
            .record_classification(classification, count, at, now);
    }

    /// An answer has well begun at `now`: it is a success from now on. The totals, which never
    /// shrink, have it when it ends.
    pub(crate) fn begin(&mut self, now: Timestamp) -> Begun {
        let failures_before = self.row.begun();
        self.consecutive_failures = self.row.len();
        self.window.begin(now);
        Begun {
            at: now,
            failures_before,
            generation: self.generation,
            counted: Counted::NotYet,
        }
    }

    /// An answer that has `begun` has ended well, as it is counted.
    pub(crate) fn stand(&mut self, begun: &Begun, now: Timestamp) {
        self.row.stood(begun.failures_before);
        self.consecutive_failures = self.row.len();
        self.totals.success += 1;
        if begun.generation == self.generation {
            self.window.end_well(begun.at, now);
        }
    }

    /// An answer of an earlier epoch that was counted as a success when it began has ended.
    pub(crate) const fn count_total(&mut self, classification: Classification) {
        match classification {
            Classification::Success | Classification::Ignored => self.totals.success += 1,
            Classification::Failure => self.totals.failure += 1,
        }
    }

    /// A request has ended that shadow mode let through: it decides nothing, and was seen.
    pub(crate) fn count_bypass(&mut self, outcome: &Outcome) {
        self.count_total(outcome.classification);
        self.totals.latency.record(outcome.latency, 1);
    }

    /// An answer that has `begun` has failed at `now`. Returns when its success was counted, and
    /// how many that began before the window did were counted in it now.
    pub(crate) fn fall(&mut self, begun: &Begun, now: Timestamp) -> (Timestamp, u32) {
        self.row.fell(begun.failures_before);
        self.consecutive_failures = self.row.len();
        self.totals.failure += 1;
        let counted = if begun.generation == self.generation {
            self.window.break_off(begun.at, now)
        } else {
            (begun.at, 0)
        };
        self.window
            .record_classification(Classification::Failure, 1, now, now);
        counted
    }

    /// The latency from which on a request is slow: the smallest latency bound of the policy.
    pub(crate) const fn slow_from(&self) -> Option<Duration> {
        self.slow_from
    }

    /// Remembers the trace of a request that failed or was slow.
    pub(crate) fn suspect(&mut self, trace: TraceId, at: Timestamp) {
        let exemplars = self.exemplars.get_or_insert_default();
        if exemplars.len() == SUSPECTS {
            exemplars.pop_front();
        }
        exemplars.push_back((at, trace));
    }

    /// The traces of the latest requests in the window that failed or were slow, oldest first.
    pub(crate) fn exemplars(&mut self, now: Timestamp) -> Vec<TraceId> {
        let window = &mut self.window;
        let exemplars = self.exemplars.iter().flat_map(|exemplars| exemplars.iter());
        exemplars
            .filter(|(at, _)| window.covers(*at, now))
            .map(|(_, trace)| *trace)
            .collect()
    }

    /// Heap memory of what is observed, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let detectors = self.detectors.as_ref();
        self.window.bytes() + detectors.map_or(0, |detectors| detectors.bytes())
    }

    /// Whether nothing is wrong that a condition could be about: no failure, no slow request and no
    /// alarm, and no histogram to look at.
    pub(crate) fn is_well(&self, now: Timestamp) -> bool {
        let counts = self.window.unexpired();
        let detectors = self.detectors.as_ref();
        counts.failure == 0
            && counts.slow == [0; MAX_SLOW_THRESHOLDS]
            && self.consecutive_failures == 0
            && !self.has_histogram_turn(false, now)
            && detectors.is_none_or(|detectors| detectors.are_well())
    }

    /// When conditions on histograms must next be tried.
    pub(crate) fn histograms_due(&self) -> Option<Timestamp> {
        (self.wants_histograms && self.latencies_changed).then_some(self.next_histogram_turn)
    }

    /// Whether conditions on histograms may be tried now, and may find something new; `hangs` says
    /// whether a request in flight is as old as a bound. A look for no reason would put off the
    /// next one, which may have a reason.
    fn has_histogram_turn(&self, hangs: bool, now: Timestamp) -> bool {
        let may_differ = self.latencies_changed || hangs;
        self.wants_histograms && may_differ && now >= self.next_histogram_turn
    }

    /// Whether conditions on histograms are to be tried now; if so, not again for a while.
    pub(crate) fn take_histogram_turn(&mut self, hangs: bool, now: Timestamp) -> bool {
        if !self.has_histogram_turn(hangs, now) {
            return false;
        }
        self.next_histogram_turn = now + HISTOGRAM_INTERVAL;
        self.latencies_changed = false;
        true
    }

    /// Takes over what a feed of the same name says now; what was observed stays where it is still
    /// of use.
    pub(crate) fn set_feed(&mut self, feed: Feed, policy: &Policy) {
        self.silence_timeout = feed.silence_timeout;
        let is_same = self.policy == feed.policy;
        self.policy = feed.policy;
        if !is_same {
            let own = self.policy.clone();
            self.follow(own.as_deref().unwrap_or(policy));
        }
    }

    /// Takes over the policy of the breaker, unless there is an own one; what was observed stays
    /// where it is still of use.
    pub(crate) fn set_policy(&mut self, policy: &Policy) {
        if self.policy.is_none() {
            self.follow(policy);
        }
    }

    fn follow(&mut self, policy: &Policy) {
        if !self.window.fits(policy) {
            self.window = Window::new(policy);
            self.generation = self.generation.wrapping_add(1);
        }
        if !self
            .detectors
            .as_ref()
            .is_some_and(|detectors| detectors.fit(policy))
        {
            let learned = self.learned();
            self.detectors = Detectors::of(policy, self.is_feed);
            if let Some(learned) = learned {
                self.restore(&learned);
            }
        }
        // The alerts of other entries have ended before.
        self.alerts.resize(policy.trip().len(), None);
        self.wants_histograms = wants_histograms(policy);
        self.slow_from = policy.slow_from();
    }
}

/// The source called `id`, if there still is one.
pub(crate) fn find(sources: &mut [Source], id: SourceId) -> Option<&mut Source> {
    // The proxy is the first, and feeds are few.
    sources.iter_mut().find(|source| source.id == id)
}

fn wants_histograms(policy: &Policy) -> bool {
    let mut conditions = policy.trip().iter().flat_map(|entry| &entry.conditions);
    conditions.any(Condition::needs_histogram)
}

/// Conditions on quantiles are tried at most this often.
const HISTOGRAM_INTERVAL: Duration = Duration::from_millis(100);

/// Traces that a transition tells.
const SUSPECTS: usize = 5;
