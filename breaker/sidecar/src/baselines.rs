//! `state: FILE`: what the breakers have learned to be usual outlives the process.
//!
//! It is read at the start, and written every minute and at the end. Only what was learned is kept,
//! not whether a breaker was open: of how the upstream is now a file knows nothing, a breaker that
//! opens again takes tenths of seconds, and one that is kept open by a file for nothing rejects
//! good requests. A file that can't be used is told of and set aside; traffic never waits for any
//! of it.

pub(crate) mod document;
mod file;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use breaker_tower::BreakerHandle;
use tokio::task::spawn_blocking;
use tokio::time::interval;

use self::document::{Document, StoredBaseline};
use crate::clock::since_epoch;

/// The breakers whose baselines are kept. Clones share one list, which a reload replaces.
#[derive(Clone, Debug, Default)]
pub struct Baselines(Arc<Mutex<Vec<TrackedBreaker>>>);

/// A breaker, and the version label of its route.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "made by the composition root")]
pub struct TrackedBreaker {
    /// The breaker.
    pub breaker: BreakerHandle,
    /// What the route's `version` says of the service behind it.
    pub version: Option<Arc<str>>,
}

/// Keeps the baselines in a file.
#[derive(Debug)]
pub struct BaselineStore {
    file: PathBuf,
    baselines: Baselines,
    saves: Saves,
    /// Whether the last attempt to write failed, which is told once.
    failing: AtomicBool,
    /// Held while the file is written.
    turn: Mutex<()>,
}

/// How often the file was written, and how often that failed. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Saves(Arc<BaselineCounts>);

#[derive(Debug, Default)]
struct BaselineCounts {
    succeeded: AtomicU64,
    failed: AtomicU64,
}

// === impl Baselines ===

impl Baselines {
    /// Those of these breakers.
    pub fn new(learners: impl IntoIterator<Item = TrackedBreaker>) -> Self {
        Self(Arc::new(Mutex::new(learners.into_iter().collect())))
    }

    /// Replaces the list. A breaker whose version label is another than before forgets its
    /// baseline: a deploy changes what is usual.
    pub fn replace(&self, learners: impl IntoIterator<Item = TrackedBreaker>) {
        let learners: Vec<_> = learners.into_iter().collect();
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = list.iter();
        let before: HashMap<_, _> = before
            .map(|before| (before.breaker.name().clone(), before))
            .collect();
        for TrackedBreaker { breaker, version } in &learners {
            let before = before.get(breaker.name());
            if before.is_some_and(|before| before.version != *version) {
                forget(breaker, before.and_then(|before| before.version.as_deref()));
            }
        }
        *list = learners;
    }

    fn list(&self) -> Vec<TrackedBreaker> {
        let list = self.0.lock();
        list.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What all of them have learned.
    fn learned(&self) -> Vec<StoredBaseline> {
        let learners = self.list().into_iter();
        let kept = learners.map(|learner| StoredBaseline {
            route: learner.breaker.name().to_string(),
            version: learner.version.map(|version| version.to_string()),
            baseline: learner.breaker.baseline(),
        });
        kept.filter(|kept| !kept.baseline.sources.is_empty())
            .collect()
    }

    /// Gives them back what was learned; of routes that are no longer there it is dropped.
    fn restore(&self, document: &Document) -> usize {
        let mut restored = 0;
        let routes = document.routes.iter();
        let routes: HashMap<&str, _> = routes.map(|kept| (&*kept.route, kept)).collect();
        for TrackedBreaker { breaker, version } in self.list() {
            let Some(kept) = routes.get(&**breaker.name()) else {
                continue;
            };
            if kept.version.as_deref() != version.as_deref() {
                forget(&breaker, kept.version.as_deref());
            } else if breaker.restore_baseline(&kept.baseline) > 0 {
                restored += 1;
            }
        }
        restored
    }
}

fn forget(breaker: &BreakerHandle, before: Option<&str>) {
    let route = &**breaker.name();
    tracing::info!(
        route,
        before,
        "the route has another version: what was usual is learned anew"
    );
    breaker.forget_baseline();
}

// === impl BaselineStore ===

impl BaselineStore {
    /// Reads `file`, gives the breakers back what it has, and sees that it can be written.
    ///
    /// # Errors
    /// When the file is there and can't be read, or its directory can't be written to. What is *in*
    /// the file is never an error.
    pub fn open(file: &Path, baselines: Baselines) -> io::Result<Self> {
        file::check_writable(file)?;
        if let Some(bytes) = file::read(file, document::MOST_BYTES)? {
            restore(file, &bytes, &baselines);
        }
        Ok(Self {
            file: file.to_owned(),
            baselines,
            saves: Saves::default(),
            failing: AtomicBool::new(false),
            turn: Mutex::new(()),
        })
    }

    /// Sees that the file can still be written.
    ///
    /// # Errors
    /// When its directory can't be written to.
    pub fn check(&self) -> io::Result<()> {
        file::check_writable(&self.file)
    }

    /// Writes the file every minute, for ever.
    pub async fn keep(self: Arc<Self>) {
        let mut minutes = interval(BETWEEN_SAVES);
        minutes.tick().await;
        loop {
            minutes.tick().await;
            self.clone().save().await;
        }
    }

    /// Writes the file now. If that fails it is told and counted, and nothing else happens.
    pub async fn save(self: Arc<Self>) {
        let written = spawn_blocking(move || self.write()).await;
        if let Err(error) = written {
            tracing::error!(%error, "what was learned can't be written");
        }
    }

    /// What is to be told of it.
    pub fn saves(&self) -> Saves {
        self.saves.clone()
    }

    fn write(&self) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = document::encode(since_epoch(), &self.baselines.learned());
        let file = self.file.display();
        match file::write(&self.file, &bytes) {
            Ok(()) => {
                self.saves.0.succeeded.fetch_add(1, Ordering::Relaxed);
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!(%file, "what was learned can be written again");
                }
            }
            Err(error) => {
                self.saves.0.failed.fetch_add(1, Ordering::Relaxed);
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%file, %error, "what was learned can't be written");
                }
            }
        }
    }
}

/// Gives the breakers back what the file has, or says why not.
fn restore(file: &Path, bytes: &[u8], baselines: &Baselines) {
    let shown = file.display();
    let document = match document::decode(bytes) {
        Ok(document) => document,
        Err(why) => {
            match file::set_aside(file) {
                Ok(kept) => {
                    let kept = kept.display();
                    tracing::warn!(file = %shown, %why, %kept, "what was learned can't be used");
                }
                Err(error) => {
                    tracing::warn!(file = %shown, %why, %error, "what was learned can't be used, nor kept aside");
                }
            }
            return;
        }
    };
    // A clock that was set back makes a file of the future, which is as good as one of now.
    let age = since_epoch().saturating_sub(document.saved);
    if age > MOST_AGE {
        let days = age.as_secs() / 86_400;
        tracing::info!(file = %shown, days, "what was learned is too old to be used");
        return;
    }
    let routes = baselines.restore(&document);
    tracing::info!(file = %shown, routes, age_s = age.as_secs(), "what was learned is restored");
}

// === impl Saves ===

impl Saves {
    /// How often the file was written.
    pub fn succeeded(&self) -> u64 {
        self.0.succeeded.load(Ordering::Relaxed)
    }

    /// How often it could not be written.
    pub fn failed(&self) -> u64 {
        self.0.failed.load(Ordering::Relaxed)
    }
}

const BETWEEN_SAVES: Duration = Duration::from_secs(60);
/// After a week, what was usual says little of what is.
const MOST_AGE: Duration = Duration::from_secs(7 * 86_400);

#[cfg(test)]
mod tests;
