//! What the breakers do, as it happens: for the dashboard, `watch` and `history`.
//!
//! One task reads every breaker each second, whoever watches. A reading adds a point to the history
//! of each breaker, which is bounded in time, and is shared by all watchers. Events reach watchers
//! at once. A watcher that is slow skips readings; nobody keeps them for it. Who has the reading
//! before gets what is new since then.

mod event;
mod history;
#[cfg(test)]
mod tests;
mod watcher;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, broadcast, watch};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use self::event::Log;
pub use self::event::{Event, Kind};
pub use self::history::{History, Point};
use self::history::{OfBreaker, Ticks};
pub use self::watcher::{Changes, Reading, TooManyWatchers, Update, Watcher};
use crate::clock::unix_now;
use crate::registry::Breakers;
use crate::report;

/// The hub between the breakers and those who watch them. Clones share it.
#[derive(Clone, Debug)]
pub struct Live(Arc<Hub>);

#[derive(Debug)]
struct Hub {
    breakers: Breakers,
    kept: Mutex<Kept>,
    /// Only the latest: whoever is slow finds nothing older.
    readings: watch::Sender<Arc<Reading>>,
    events: broadcast::Sender<Arc<Event>>,
    places: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Kept {
    ticks: Ticks,
    recent: HashMap<Arc<str>, OfBreaker>,
    log: Log,
}

impl Live {
    /// A hub for `breakers`, which [`Self::run`] reads.
    pub fn new(breakers: Breakers) -> Self {
        Self(Arc::new(Hub {
            breakers,
            kept: Mutex::default(),
            readings: watch::Sender::new(Arc::default()),
            events: broadcast::Sender::new(EVENTS_UNREAD),
            places: Arc::new(Semaphore::new(MAX_WATCHERS)),
        }))
    }

    /// Reads the breakers, now and then each second.
    pub async fn run(self) {
        let mut seconds = interval(EVERY);
        // A second that was missed is missing in the history.
        seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            seconds.tick().await;
            self.read(unix_now()).await;
        }
    }

    /// Reads the breakers once, at `t` seconds since 1970: [`Self::run`] does.
    pub async fn read(&self, t: f64) {
        let list = self.0.breakers.list();
        let mut reading = Reading::with_capacity(t, list.len());
        reading.panic = self.0.breakers.panic();
        self.kept().ticks.add(t);
        for some in list.chunks(AT_ONCE) {
            for watched in some {
                let (name, snapshot) = (watched.name(), watched.snapshot());
                let mut kept = self.kept();
                let Kept { ticks, recent, .. } = &mut *kept;
                let recent = recent.entry(name.clone()).or_default();
                reading.points.push(recent.add(ticks, &snapshot));
                drop(kept);
                reading
                    .breakers
                    .push(report::Breaker::new(watched, &snapshot));
            }
            tokio::task::yield_now().await;
        }
        {
            let mut kept = self.kept();
            let Kept { ticks, recent, .. } = &mut *kept;
            recent.retain(|_, recent| recent.deciding.is_current(ticks));
        }
        let before = self.0.readings.borrow().clone();
        // Long where there are many routes: others of this thread needn't wait.
        let made = spawn_blocking(move || {
            reading.follows(&before);
            reading
        });
        if let Ok(reading) = made.await {
            self.0.readings.send_replace(Arc::new(reading));
        }
    }

    /// Tells an event to the watchers, and keeps it.
    pub fn tell(&self, event: Event) {
        let event = Arc::new(event);
        self.kept().log.push(event.clone());
        // An error says that nobody watches.
        let _ = self.0.events.send(event);
    }

    /// The last five minutes of a breaker, by one of its sources or by those that explain it;
    /// `None` when no breaker has this name.
    pub fn history(&self, breaker: &str, source: Option<&str>) -> Option<History> {
        let breakers = self.0.breakers.list();
        let watched = breakers
            .iter()
            .find(|watched| &**watched.name() == breaker)?;
        let kept = self.kept();
        let recent = kept.recent.get(breaker);
        let recent = recent.map(|recent| match source {
            Some(source) => recent.of(source),
            None => &recent.deciding,
        });
        Some(History {
            points: recent.map_or_else(Vec::new, |recent| recent.points(&kept.ticks)),
            events: kept.log.of(breaker, watched.upstream()),
        })
    }

    /// Watches from now on.
    ///
    /// # Errors
    /// When 64 watch already.
    pub fn watch(&self) -> Result<Watcher, TooManyWatchers> {
        let place = self.0.places.clone().try_acquire_owned();
        let place = place.map_err(|_| TooManyWatchers {
            limit: MAX_WATCHERS,
        })?;
        let (readings, events) = (self.0.readings.subscribe(), self.0.events.subscribe());
        Ok(Watcher::new(readings, events, place))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const EVERY: Duration = Duration::from_secs(1);
/// Breakers that are read before others of the runtime get a turn.
const AT_ONCE: usize = 32;
const MAX_WATCHERS: usize = 64;
/// Events that are kept for those who have not read them: they are small, and shared.
const EVENTS_UNREAD: usize = 256;
