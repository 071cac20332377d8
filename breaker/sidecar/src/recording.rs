//! `breaker run --record FILE`: requests as JSON lines for `breaker backtest`.
//!
//! Workers hand requests to a writer's thread by a bounded queue: what does not fit is dropped and
//! counted, and no request waits. Files are rotated by size: `FILE` is the one that is written to,
//! `FILE.1` the one before it. Rejected requests are not there: nothing is known of what would have
//! become of them.

mod files;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use breaker_tower::breaker_core::Classification;
use tokio::time::Instant;

use self::files::Files;
use self::writer::{RecordedRequest, Writer};
use crate::clock::since_epoch;
use crate::proxy::{Exchange, RequestRecorder};

/// Where to record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordingSettings {
    /// The file that is written to. What it has is kept.
    pub file: PathBuf,
    /// Bytes after which another file is begun. Default 1 GiB; files are never smaller than what is
    /// written at once, 64 KiB.
    pub max_size: u64,
    /// How many full files are kept beside it. Default 4; 0 keeps none.
    pub rotate: u32,
}

/// A recording under way, as a worker sees it; clones write to the same file.
#[derive(Clone, Debug)]
pub struct Recording {
    sender: SyncSender<RecordedRequest>,
    /// The names by index, as JSON with quotes.
    routes: Arc<[Arc<str>]>,
    dropped: Arc<AtomicU64>,
    clock: Clock,
}

/// Files that are open for a recording, before there is a thread that writes.
#[derive(Debug)]
pub struct Unwritten {
    writer: Writer,
    receiver: Receiver<RecordedRequest>,
}

/// The thread that writes. It ends when all of its [`Recording`]s are dropped.
#[derive(Debug)]
pub struct Writing(JoinHandle<()>);

/// What monotonic time is by the calendar. The wall clock is read once: setting it back must not
/// put requests out of order.
#[derive(Clone, Copy, Debug)]
struct Clock {
    instant: Instant,
    unix: Duration,
}

impl RecordingSettings {
    /// The usual ones, for `file`.
    pub const fn new(file: PathBuf) -> Self {
        Self {
            file,
            max_size: 1 << 30,
            rotate: 4,
        }
    }
}

impl Recording {
    /// Opens the file. What is recorded needs the [names of routes](Self::of_routes).
    ///
    /// # Errors
    /// When the file can't be opened.
    pub fn open(settings: &RecordingSettings) -> io::Result<(Self, Unwritten)> {
        let files = Files::open(settings)?;
        let (sender, receiver) = sync_channel(QUEUE);
        let dropped = Arc::<AtomicU64>::default();
        let writer = Writer::new(files, dropped.clone());
        let recording = Self {
            sender,
            routes: Arc::default(),
            dropped,
            clock: Clock::now(),
        };
        Ok((recording, Unwritten { writer, receiver }))
    }

    /// The same recording, of requests whose routes are these by index.
    #[must_use]
    pub fn of_routes<'a>(self, routes: impl IntoIterator<Item = &'a Arc<str>>) -> Self {
        let quoted = |route: &Arc<str>| serde_json::to_string(&**route).expect("a text is JSON");
        Self {
            routes: routes.into_iter().map(quoted).map(Arc::from).collect(),
            ..self
        }
    }
}

impl RequestRecorder for Recording {
    fn record(&self, exchange: &Exchange) {
        let Some(route) = self.routes.get(exchange.route) else {
            return;
        };
        let entry = RecordedRequest {
            route: route.clone(),
            at: self.clock.unix(exchange.started),
            latency: exchange.latency,
            status: exchange.status.map(|status| status.as_u16()),
            classification: exchange.classification,
            timed_out: exchange.timed_out,
        };
        if self.sender.try_send(entry).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Unwritten {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(self) -> io::Result<Writing> {
        let Self { writer, receiver } = self;
        let thread = std::thread::Builder::new().name("recording".to_owned());
        thread.spawn(move || writer.run(&receiver)).map(Writing)
    }
}

impl Writing {
    /// Waits until all is written. Blocks until every [`Recording`] is dropped.
    pub fn join(self) {
        if self.0.join().is_err() {
            tracing::error!("the recording's thread panicked: the end of the recording is lost");
        }
    }
}

impl Clock {
    fn now() -> Self {
        Self {
            instant: Instant::now(),
            unix: since_epoch(),
        }
    }

    /// The time since 1970 at `instant`.
    fn unix(&self, instant: Instant) -> Duration {
        let before = self.instant.saturating_duration_since(instant);
        let after = instant.saturating_duration_since(self.instant);
        (self.unix + after).saturating_sub(before)
    }
}

/// The word of a classification in a recording.
const fn word(classification: Classification) -> &'static str {
    match classification {
        Classification::Success => "success",
        Classification::Failure => "failure",
        _ => "ignored",
    }
}

/// Requests on their way to the thread: 4 MB, and at 100,000 requests a second more than half a
/// second of a disk that hangs.
const QUEUE: usize = 1 << 16;

#[cfg(test)]
mod tests;
