//! The thread that writes.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use breaker_tower::breaker_core::Classification;
use tokio::time::Instant;

use super::files::Files;
use super::word;

/// A request on its way.
#[derive(Clone, Debug)]
pub(super) struct RecordedRequest {
    /// As JSON, with quotes.
    pub(super) route: Arc<str>,
    /// Since 1970.
    pub(super) at: Duration,
    pub(super) latency: Duration,
    pub(super) status: Option<u16>,
    pub(super) classification: Classification,
    pub(super) timed_out: bool,
}

#[derive(Debug)]
pub(super) struct Writer {
    files: Files,
    lines: Vec<u8>,
    flushed: Instant,
    /// How many requests `lines` has.
    waiting: u64,
    dropped: Arc<AtomicU64>,
    /// Of the dropped, those that were told.
    told: u64,
    told_at: Option<Instant>,
}

impl Writer {
    pub(super) fn new(files: Files, dropped: Arc<AtomicU64>) -> Self {
        Self {
            files,
            lines: Vec::with_capacity(2 * BATCH),
            flushed: Instant::now(),
            waiting: 0,
            dropped,
            told: 0,
            told_at: None,
        }
    }

    /// Writes until nobody sends any more.
    pub(super) fn run(mut self, entries: &Receiver<RecordedRequest>) {
        loop {
            match entries.recv_timeout(PAUSE) {
                Ok(entry) => self.push(&entry),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            while self.lines.len() < BATCH
                && let Ok(entry) = entries.try_recv()
            {
                self.push(&entry);
            }
            // A trickle must not keep the file behind.
            if self.lines.len() >= BATCH || self.flushed.elapsed() >= PAUSE {
                self.flush();
            }
        }
        self.flush();
        self.told_at = None;
        self.warn();
    }

    fn push(&mut self, entry: &RecordedRequest) {
        let route = &entry.route;
        let (at, latency) = (Micros(entry.at), Micros(entry.latency));
        // Writing to memory can't fail.
        let _ = write!(
            self.lines,
            r#"{{"t":{at},"route":{route},"latency":{latency},"#
        );
        let _ = match entry.status {
            Some(status) => write!(self.lines, r#""status":{status}"#),
            None => write!(self.lines, r#""outcome":"{}""#, word(entry.classification)),
        };
        let end = match entry.timed_out {
            true => ",\"timed_out\":true}\n",
            false => "}\n",
        };
        self.lines.extend_from_slice(end.as_bytes());
        self.waiting += 1;
    }

    fn flush(&mut self) {
        if !self.lines.is_empty()
            && let Err(error) = self.files.write(&self.lines)
        {
            self.dropped.fetch_add(self.waiting, Ordering::Relaxed);
            if self.may_tell() {
                tracing::warn!(%error, "can't write the recording");
            }
        }
        self.flushed = Instant::now();
        self.lines.clear();
        self.waiting = 0;
        self.warn();
    }

    fn warn(&mut self) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > self.told && self.may_tell() {
            let since = dropped - self.told;
            tracing::warn!(dropped = since, "requests are missing in the recording");
            self.told = dropped;
            self.told_at = Some(Instant::now());
        }
    }

    fn may_tell(&self) -> bool {
        self.told_at
            .is_none_or(|at| at.elapsed() >= BETWEEN_WARNINGS)
    }
}

/// Seconds with microseconds.
struct Micros(Duration);

impl std::fmt::Display for Micros {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:06}", self.0.as_secs(), self.0.subsec_micros())
    }
}

/// Bytes that are written at once.
const BATCH: usize = 64 << 10;
/// What waits is written after so long.
const PAUSE: Duration = Duration::from_millis(200);
const BETWEEN_WARNINGS: Duration = Duration::from_secs(10);
