//! From batches to samples: what comes in is read, matched to feeds, judged, and told to the
//! breakers.
//!
//! A batch is read whole before anything of it counts: one that turns out to be malformed has
//! changed nothing. An item with a value that can't be is left out of a batch that is JSON, and
//! told to the sender.

mod blame;
mod disposition;
mod duplicates;
mod feeds;
mod gathered;
mod points;
mod spans;
mod survey;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};

pub use self::disposition::{SampleCounts, SampleDisposition};
use self::duplicates::Duplicates;
pub use self::feeds::FeedBinding;
use self::feeds::{Feeds, Policies};
use self::points::Points;
use self::spans::Spans;
use self::survey::Survey;
use super::batch::{Accepted, Encoding, Malformed, Sampler, Signal};
use crate::clock::since_epoch;
use breaker_otlp::json::{self, Transcoded};
use breaker_otlp::series::{Limits, SeriesTable};
use breaker_otlp::{read_metrics, read_traces};

/// Tells breakers of what batches say about their feeds.
pub struct FeedSampler {
    feeds: RwLock<Arc<Feeds>>,
    memory: Mutex<Memory>,
    survey: Mutex<Survey>,
    clock: fn() -> u64,
}

/// What must be remembered from batch to batch.
#[derive(Debug)]
struct Memory {
    spans: Duplicates,
    series: SeriesTable,
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
        gathered::tell(list, &mut gathered, &blames, self.clock);
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
        gathered::tell(list, &mut gathered, &blames, self.clock);
        self.look(list, |reader| {
            // It was read already.
            let _ = read_metrics(message, reader);
        });
        Ok(items)
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

/// The wall clock, in nanoseconds since 1970, by which telemetry is stamped: only differences to it
/// reach the breakers.
fn now() -> u64 {
    u64::try_from(since_epoch().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
