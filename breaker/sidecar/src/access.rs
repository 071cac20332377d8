//! The access log: a line for each request that failed, or for all, if the configuration asks.
//!
//! It is best effort, as the log is: lines wait in a bounded queue for a thread that does nothing
//! but write. No line is made of a request that is not to have one.

mod file;
mod line;

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use breaker_tower::Decision;
use breaker_tower::breaker_core::{Attribution, TraceId};
use http::StatusCode;

use self::file::FollowedFile;
use self::line::Line;
use crate::lines::Lines;
use crate::message::Finished;
use crate::message::failure::Failure;

/// What is written, how and where to.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the configuration makes it")]
pub struct AccessLogSettings {
    /// Which requests have a line.
    pub which: Which,
    /// How a line is written.
    pub format: Format,
    /// The file; standard output, if there is none.
    pub file: Option<PathBuf>,
    /// The share of these requests that have a line, 0 to 1.
    pub sample: f64,
}

/// Which requests have a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the configuration makes it")]
pub enum Which {
    /// Those that failed, were rejected, or were answered from 500 on; not those that their callers
    /// gave up or spoilt.
    Errors,
    /// All.
    All,
}

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the configuration makes it")]
pub enum Format {
    /// For programs.
    Json,
    /// For people.
    Text,
}

/// The access log of a sidecar, or that there is none. Clones are of the same sidecar.
#[derive(Clone, Debug, Default)]
pub struct Access(Arc<Mutex<Option<Arc<Log>>>>);

/// An access log that is open.
#[derive(Debug)]
pub struct Log {
    settings: AccessLogSettings,
    lines: Lines,
}

/// An access log as a worker writes it.
#[derive(Debug)]
pub struct Journal {
    log: Arc<Log>,
    /// Names by index.
    routes: Arc<[Arc<str>]>,
    endpoints: Arc<[String]>,
    /// Which of the requests without a trace are taken.
    luck: Cell<u64>,
}

/// A request that is over.
pub(crate) struct LogEntry<'a> {
    pub(crate) finished: &'a Finished<'a>,
    /// Without the query.
    pub(crate) path: &'a str,
    /// What its breaker made of it, if it came to one.
    pub(crate) decision: Option<Decision>,
    /// The index of the endpoint that it was sent to last.
    pub(crate) endpoint: Option<usize>,
}

// === impl Access ===

impl Access {
    /// Opens what `settings` want, unless it is open already. Nothing is written there before
    /// [`Self::replace`] and [`Log::begin`].
    ///
    /// # Errors
    /// When the file can't be opened.
    pub fn open(
        &self,
        settings: Option<&AccessLogSettings>,
    ) -> Result<Option<Arc<Log>>, OpenError> {
        let Some(settings) = settings else {
            return Ok(None);
        };
        if let Some(log) = &*self.log()
            && log.settings == *settings
        {
            return Ok(Some(log.clone()));
        }
        let opened = Log::open(settings);
        let opened = opened.map_err(|source| OpenError {
            file: settings.file.clone(),
            source,
        })?;
        Ok(Some(Arc::new(opened)))
    }

    /// Has requests told there from now on.
    pub fn replace(&self, log: Option<Arc<Log>>) {
        *self.log() = log;
    }

    /// What a worker writes, of requests whose routes and endpoints are these by index.
    pub fn journal(
        &self,
        routes: impl Iterator<Item = Arc<str>>,
        endpoints: impl Iterator<Item = String>,
    ) -> Option<Journal> {
        let log = self.log().clone()?;
        Some(Journal {
            log,
            routes: routes.collect(),
            endpoints: endpoints.collect(),
            luck: Cell::new(SEED),
        })
    }

    /// Starts what writes, if there is something to write.
    ///
    /// # Errors
    /// When its thread can't be started.
    pub fn begin(&self) -> Result<(), OpenError> {
        let log = self.log().clone();
        log.map_or(Ok(()), |log| log.begin())
    }

    /// Waits until all lines are written, but not for longer than `most`.
    pub fn flush(&self, most: Duration) {
        let log = self.log().clone();
        if let Some(log) = log {
            log.lines.flush(most);
        }
    }

    fn log(&self) -> MutexGuard<'_, Option<Arc<Log>>> {
        // It is replaced as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is no access log.
#[derive(Debug)]
pub struct OpenError {
    file: Option<PathBuf>,
    source: io::Error,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, source } = self;
        match file {
            Some(file) => write!(f, "log.file: cannot write to {}: {source}", file.display()),
            None => write!(f, "log: cannot write to standard output: {source}"),
        }
    }
}

impl std::error::Error for OpenError {}

// === impl Log ===

impl Log {
    fn open(settings: &AccessLogSettings) -> io::Result<Self> {
        // Lost lines are reported in the log, not in the access log.
        let notice = |dropped| {
            tracing::warn!(dropped, "lines of the access log could not be written");
            Vec::new()
        };
        let lines = match &settings.file {
            Some(file) => Lines::held(FollowedFile::open(file.clone())?, notice),
            None => {
                let output = io::stdout().as_fd().try_clone_to_owned()?;
                Lines::held(File::from(output), notice)
            }
        };
        Ok(Self {
            settings: settings.clone(),
            lines,
        })
    }

    /// Starts the thread that writes, unless it runs.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn begin(&self) -> Result<(), OpenError> {
        self.lines.begin().map_err(|source| OpenError {
            file: self.settings.file.clone(),
            source,
        })
    }
}

// === impl Journal ===

impl Journal {
    /// Writes a line, if the request is to have one.
    pub(crate) fn tell(&self, entry: &LogEntry<'_>) {
        let failure = Failure::of(entry.finished, entry.decision.as_ref());
        let settings = &self.log.settings;
        let wanted = match settings.which {
            Which::All => true,
            Which::Errors => entry.is_error(failure),
        };
        if !wanted || !self.takes(entry.trace(), settings.sample) {
            return;
        }
        let route = entry.finished.route;
        let line = Line {
            route: route.and_then(|route| self.routes.get(route)),
            endpoint: entry.endpoint.and_then(|index| self.endpoints.get(index)),
            failure,
            attribution: entry.attribution(),
            entry,
        };
        self.log.lines.push(line.in_format(settings.format));
    }

    /// Writes a line for a request that could not be read as one, and was answered with `status`.
    pub(crate) fn refused(&self, status: StatusCode) {
        let settings = &self.log.settings;
        if settings.which == Which::All && self.takes(None, settings.sample) {
            self.log.lines.push(line::refused(status, settings.format));
        }
    }

    /// Whether a request is in the sample. All sidecars with the same sample take the same traces.
    fn takes(&self, trace: Option<TraceId>, sample: f64) -> bool {
        if sample >= 1.0 {
            return true;
        }
        let random = match trace {
            Some(trace) => trace.get() as u64,
            None => {
                // Steele, Lea, Flood: SplitMix64. Nobody has a reason to guess it.
                let state = self.luck.get().wrapping_add(SEED);
                self.luck.set(state);
                let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                mixed ^ (mixed >> 31)
            }
        };
        // Of an id the last seven bytes are random (Trace Context Level 2).
        (random & RANDOM_BITS) as f64 / ((RANDOM_BITS + 1) as f64) < sample
    }
}

// === impl Entry ===

impl LogEntry<'_> {
    fn trace(&self) -> Option<TraceId> {
        TraceId::new(self.finished.trace?.trace_id)
    }

    fn attribution(&self) -> Option<Attribution> {
        let error = self.finished.error.map(|error| error.attribution());
        let decided = self.decision.as_ref().and_then(Decision::attribution);
        decided.or(error)
    }

    fn is_error(&self, failure: Option<Failure>) -> bool {
        failure.is_some() && self.attribution() != Some(Attribution::Caller)
    }
}

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
const RANDOM_BITS: u64 = (1 << 56) - 1;

#[cfg(test)]
mod tests;
