//! From batches to samples: what comes in is read, matched to feeds, judged, and told to the
//! breakers.
//!
//! A batch is read whole before anything of it counts: one that turns out to be malformed has
//! changed nothing. An item with a value that can't be is left out of a batch that is JSON, and
//! told to the sender.

mod blame;
mod duplicates;
mod points;
mod spans;
mod survey;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};
use std::time::Duration;

use breaker_tower::core::policy::FailureRules;
use breaker_tower::core::{Classification, Observed, Sample, SourceId, TraceId};
use breaker_tower::{BreakerHandle, Policy};
use tokio::time::Instant;

use self::blame::Blames;
use self::duplicates::Duplicates;
use self::points::Points;
use self::spans::Spans;
use self::survey::Survey;
use super::batch::{Accepted, Encoding, Malformed, Sampler, Signal};
use crate::clock::since_epoch;
use crate::findings::{Findings, Unmatched};
use breaker_otlp::json::{self, Transcoded};
use breaker_otlp::matching::{FeedMatcher, MatchSet};
use breaker_otlp::series::{Limits, SeriesTable};
use breaker_otlp::{read_metrics, read_traces};

/// Tells breakers of what batches say about their feeds.
pub struct FeedSampler {
    feeds: RwLock<Arc<Feeds>>,
    memory: Mutex<Memory>,
    survey: Mutex<Survey>,
    clock: fn() -> u64,
}

/// The feeds of all breakers, which a reload replaces. A batch is read with those that there were
/// when it came.
#[derive(Debug)]
struct Feeds {
    matches: MatchSet,
    list: Vec<FeedBinding>,
    /// The key of the next feed that is new.
    next_key: u32,
}

/// A feed of a breaker, and what telemetry belongs to it.
#[derive(Debug)]
pub struct FeedBinding {
    breaker: BreakerHandle,
    source: SourceId,
    name: Arc<str>,
    matcher: FeedMatcher,
    /// The feed's own policy, where it has one.
    policy: Option<Arc<Policy>>,
    told: Arc<SampleCounts>,
    /// Where its failures are noted.
    findings: Arc<Findings>,
    /// By which it is remembered from batch to batch, wherever it stands among the feeds.
    key: u32,
}

/// What became of a feed's samples, counted.
#[derive(Debug, Default)]
pub struct SampleCounts([AtomicU64; SampleDisposition::ALL.len()]);

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SampleDisposition {
    /// It counts.
    Counted,
    /// The requests ended before the window, the trial or the breaker began.
    Late,
    /// Their end lies ahead.
    Future,
    /// The span was told before.
    Duplicate,
    /// It cannot be: a span without a begin or an end, one that ends before it begins or lasts for
    /// more than a week, a histogram without a unit of time.
    Invalid,
    /// The first point of a cumulative histogram that began before it was watched: later ones are
    /// compared to it.
    Baseline,
    /// A point of one series too many.
    Refused,
}

/// What must be remembered from batch to batch.
#[derive(Debug)]
struct Memory {
    spans: Duplicates,
    series: SeriesTable,
}

/// The policies by which feeds are judged, each asked for once a batch: a breaker's may change from
/// batch to batch.
struct Policies<'s> {
    feeds: &'s [FeedBinding],
    known: Vec<Option<Arc<Policy>>>,
}

/// A sample of one of the feeds, at a time of the sender's clock.
#[derive(Clone, Copy, Debug)]
struct Gathered {
    feed: usize,
    classification: Classification,
    latency: Duration,
    count: u64,
    /// In nanoseconds since 1970.
    ended: u64,
    /// Of a failure: the number of its kind in the batch.
    blame: Option<u16>,
    trace: Option<TraceId>,
    span: Option<(u128, u64)>,
}

// === impl FeedSampler ===

impl FeedSampler {
    /// A sampler for these feeds.
    pub fn new(feeds: Vec<FeedBinding>) -> Self {
        Self::with_clock(feeds, now)
    }

    fn with_clock(feeds: Vec<FeedBinding>, clock: fn() -> u64) -> Self {
        Self {
            feeds: RwLock::new(Arc::new(Feeds::new(feeds, None))),
            memory: Mutex::new(Memory {
                spans: Duplicates::default(),
                series: SeriesTable::new(Limits::default(), clock()),
            }),
            survey: Mutex::default(),
            clock,
        }
    }

    /// Samples for these feeds from now on. One that stays, by its breaker's name and its own, goes
    /// on counting.
    pub fn replace(&self, feeds: Vec<FeedBinding>) {
        let mut current = self.feeds.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(Feeds::new(feeds, Some(&current)));
        let survey = self.survey.lock();
        survey.unwrap_or_else(PoisonError::into_inner).begin_anew();
    }

    /// Of each feed: its breaker's name, its own, and what became of its samples, which may be read
    /// at any time.
    pub fn telling(&self) -> Vec<(Arc<str>, Arc<str>, Arc<SampleCounts>)> {
        self.feeds().list.iter().map(FeedBinding::telling).collect()
    }

    fn feeds(&self) -> Arc<Feeds> {
        self.feeds
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn traces(&self, message: &[u8]) -> Result<u64, breaker_otlp::Malformed> {
        let feeds = self.feeds();
        let Feeds { matches, list, .. } = &*feeds;
        let mut spans = Spans::new(matches, Policies::of(list));
        read_traces(message, &mut spans)?;
        let (items, mut gathered, blames) = spans.gathered(list);
        let memory = &mut self.memory();
        gathered.retain(|sample| {
            let fed = &list[sample.feed];
            let is_new = sample
                .span
                .is_none_or(|span| memory.spans.is_new(span, fed.key));
            if !is_new {
                fed.told.count(SampleDisposition::Duplicate, 1);
            }
            is_new
        });
        self.tell(list, &mut gathered, &blames);
        self.look(list, |reader| {
            // It was read already.
            let _ = read_traces(message, reader);
        });
        Ok(items)
    }

    fn metrics(&self, message: &[u8]) -> Result<u64, breaker_otlp::Malformed> {
        // Series remember what they were told, so the batch is read once to see that it can be, and
        // then to count it.
        read_metrics(message, &mut points::Checked)?;
        let feeds = self.feeds();
        let Feeds { matches, list, .. } = &*feeds;
        let policies = Policies::of(list);
        let memory = &mut self.memory();
        let mut points = Points::new(matches, policies, &mut memory.series, (self.clock)());
        read_metrics(message, &mut points)?;
        let (items, mut gathered, blames) = points.gathered(list);
        self.tell(list, &mut gathered, &blames);
        self.look(list, |reader| {
            // It was read already.
            let _ = read_metrics(message, reader);
        });
        Ok(items)
    }

    /// Tells each breaker of its samples, in the order of their times.
    fn tell(&self, feeds: &[FeedBinding], gathered: &mut [Gathered], blames: &Blames) {
        gathered.sort_by_key(|sample| (sample.feed, sample.ended));
        let unix = (self.clock)();
        let instant = Instant::now();
        for samples in gathered.chunk_by(|one, other| one.feed == other.feed) {
            let fed = &feeds[samples[0].feed];
            // Both clocks are read at one time: that is what ties them.
            let now = fed.breaker.now();
            let on_breakers_clock = |sample: &Gathered| {
                let at = (now.as_nanos() + sample.ended.saturating_sub(unix))
                    .checked_sub(unix.saturating_sub(sample.ended));
                let Some(at) = at else {
                    fed.told.count(SampleDisposition::Late, sample.count);
                    return None;
                };
                let at = breaker_tower::core::Timestamp::from_nanos(at);
                Some(
                    Sample::new(sample.classification, Some(sample.latency), at)
                        .times(u32::try_from(sample.count).unwrap_or(u32::MAX))
                        .traced(sample.trace),
                )
            };
            let in_time = samples.iter();
            let in_time = in_time.filter_map(|one| Some((on_breakers_clock(one)?, one.blame)));
            let (samples, of_samples): (Vec<_>, Vec<_>) = in_time.unzip();
            let mut failures = Vec::new();
            // Requests of the route wait for its breaker while it is told.
            for (piece, of_piece) in samples.chunks(PIECE).zip(of_samples.chunks(PIECE)) {
                let mut told = piece.iter().zip(of_piece);
                fed.breaker
                    .observe(fed.source, piece.iter().copied(), |observed| {
                        let fate = match observed {
                            Observed::Counted => SampleDisposition::Counted,
                            Observed::Future => SampleDisposition::Future,
                            _ => SampleDisposition::Late,
                        };
                        let Some((sample, blame)) = told.next() else {
                            return;
                        };
                        fed.told.count(fate, u64::from(sample.count));
                        if fate == SampleDisposition::Counted
                            && sample.classification == Classification::Failure
                        {
                            failures.push((*sample, *blame));
                        }
                    });
                if piece.len() == PIECE {
                    // Who waits has its turn.
                    std::thread::yield_now();
                }
            }
            for (sample, blame) in failures {
                let failed = blames.failed(blame, sample.count.into(), sample.trace);
                fed.findings.failed(&fed.name, failed, instant);
            }
        }
    }

    /// Looks at a batch for feeds that match nothing. No batch waits for another that is looked at.
    fn look(&self, feeds: &[FeedBinding], read: impl FnOnce(&mut survey::Reader<'_>)) {
        let mut survey = match self.survey.try_lock() {
            Ok(survey) => survey,
            // What a panic left half done is looked at again a second later.
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        survey.look(feeds, (self.clock)(), read);
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        // Nothing in it is left half done by a panic that would matter.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sampler for FeedSampler {
    fn sample(
        &self,
        signal: Signal,
        encoding: Encoding,
        payload: &[u8],
    ) -> Result<Accepted, Malformed> {
        let mut json = Transcoded::default();
        let payload = match encoding {
            Encoding::Protobuf => payload,
            Encoding::Json => {
                json = match signal {
                    Signal::Traces => json::traces(payload),
                    Signal::Metrics => json::metrics(payload),
                    Signal::Logs => json::check_logs(payload).map(|()| Transcoded::default()),
                }
                .map_err(|error| Malformed::new(error.to_string()))?;
                &json.message[..]
            }
        };
        let items = match signal {
            Signal::Traces => self.traces(payload),
            Signal::Metrics => self.metrics(payload),
            // They are sent on, and say nothing that a breaker counts.
            Signal::Logs => Ok(0),
        }
        .map_err(|error| Malformed::new(error.to_string()))?;
        Ok(Accepted {
            items: items + json.invalid,
            rejected: i64::try_from(json.invalid).unwrap_or(i64::MAX),
            message: json.complaint,
        })
    }
}

impl fmt::Debug for FeedSampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeedSampler")
            .field("feeds", &self.feeds())
            .finish_non_exhaustive()
    }
}

// === impl Feeds ===

impl Feeds {
    fn new(mut list: Vec<FeedBinding>, before: Option<&Self>) -> Self {
        let mut next_key = before.map_or(0, |before| before.next_key);
        let known = before.into_iter().flat_map(|before| &before.list);
        let known: HashMap<_, _> = known.map(|fed| (fed.names(), fed)).collect();
        for fed in &mut list {
            match known.get(&fed.names()) {
                Some(known) => {
                    fed.told = known.told.clone();
                    fed.key = known.key;
                }
                None => {
                    fed.key = next_key;
                    next_key += 1;
                    let silent = Some(Unmatched::silent());
                    fed.findings.set_unmatched(&fed.name, silent);
                }
            }
        }
        Self {
            matches: MatchSet::new(list.iter().map(|fed| &fed.matcher)),
            list,
            next_key,
        }
    }
}

// === impl FeedBinding ===

impl FeedBinding {
    /// The source `source`, called `name`, of `breaker`, which takes what `matcher` says. `policy`
    /// is the feed's own.
    pub fn new(
        breaker: BreakerHandle,
        source: SourceId,
        name: Arc<str>,
        matcher: FeedMatcher,
        policy: Option<Arc<Policy>>,
    ) -> Self {
        Self {
            breaker,
            source,
            name,
            matcher,
            policy,
            told: Arc::default(),
            findings: Arc::default(),
            key: 0,
        }
    }

    /// The same, whose failures are noted in `findings`.
    #[must_use]
    pub fn with_findings(self, findings: Arc<Findings>) -> Self {
        Self { findings, ..self }
    }

    fn telling(&self) -> (Arc<str>, Arc<str>, Arc<SampleCounts>) {
        let (breaker, name) = self.names();
        (breaker, name, self.told.clone())
    }

    fn names(&self) -> (Arc<str>, Arc<str>) {
        (self.breaker.name().clone(), self.name.clone())
    }
}

// === impl Policies ===

impl<'s> Policies<'s> {
    fn of(feeds: &'s [FeedBinding]) -> Self {
        Self {
            feeds,
            known: vec![None; feeds.len()],
        }
    }

    fn failure(&mut self, feed: usize) -> &FailureRules {
        let fed = &self.feeds[feed];
        let policy = self.known[feed].get_or_insert_with(|| {
            let own = fed.policy.clone();
            own.unwrap_or_else(|| fed.breaker.policy())
        });
        policy.failure()
    }
}

// === impl SampleCounts ===

impl SampleCounts {
    /// How many samples became this.
    pub fn of(&self, fate: SampleDisposition) -> u64 {
        self.0[fate as usize].load(Ordering::Relaxed)
    }

    /// How many samples there were, whatever became of them.
    fn all(&self) -> u64 {
        SampleDisposition::ALL
            .iter()
            .map(|fate| self.of(*fate))
            .sum()
    }

    fn count(&self, fate: SampleDisposition, samples: u64) {
        self.0[fate as usize].fetch_add(samples, Ordering::Relaxed);
    }
}

// === impl SampleDisposition ===

impl SampleDisposition {
    /// All fates.
    pub const ALL: [Self; 7] = [
        Self::Counted,
        Self::Late,
        Self::Future,
        Self::Duplicate,
        Self::Invalid,
        Self::Baseline,
        Self::Refused,
    ];

    /// A word for it, as metrics have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Late => "late",
            Self::Future => "future",
            Self::Duplicate => "duplicate",
            Self::Invalid => "invalid",
            Self::Baseline => "baseline",
            Self::Refused => "refused",
        }
    }
}

/// The wall clock, in nanoseconds since 1970, by which telemetry is stamped: only differences to it
/// reach the breakers.
fn now() -> u64 {
    u64::try_from(since_epoch().as_nanos()).unwrap_or(u64::MAX)
}

/// The samples that a breaker observes at once. They hold its lock for about 10 µs: see the
/// benchmark `lock_hold`.
const PIECE: usize = 128;

#[cfg(test)]
mod tests;
