//! One who watches, and what is told.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};

use super::{Event, Point};
use crate::registry::Panic;
use crate::report;

/// What all breakers knew at one time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reading {
    /// When, in seconds since 1970.
    pub t: f64,
    /// The breakers, in the order of the configuration.
    pub breakers: Vec<report::Breaker>,
    /// The second before, of each of them: what the reading adds to their histories.
    pub points: Vec<Point>,
    /// While all of them are forced closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub panic: Option<Panic>,
    #[serde(skip)]
    json: OnceLock<Bytes>,
}

/// What a watcher is told.
#[derive(Clone, Debug)]
pub enum Update {
    /// All breakers.
    Reading(Arc<Reading>),
    /// Something happened.
    Event(Arc<Event>),
}

/// One who watches. There is room for 64 at once; a watcher gives its place back when it is
/// dropped.
#[derive(Debug)]
pub struct Watcher {
    readings: watch::Receiver<Arc<Reading>>,
    events: broadcast::Receiver<Arc<Event>>,
    _place: OwnedSemaphorePermit,
}

/// Too many watch.
#[derive(Clone, Copy, Debug, Error)]
#[error("{limit} watch already")]
pub struct TooManyWatchers {
    /// How many may.
    pub limit: usize,
}

impl Reading {
    pub(super) fn with_capacity(t: f64, breakers: usize) -> Self {
        Self {
            t,
            breakers: Vec::with_capacity(breakers),
            points: Vec::with_capacity(breakers),
            panic: None,
            json: OnceLock::new(),
        }
    }

    /// The reading as JSON, which is made once for all who want it.
    pub fn json(&self) -> Bytes {
        let json = self.json.get_or_init(|| {
            let json = serde_json::to_vec(self);
            json.expect("numbers and strings are good JSON").into()
        });
        json.clone()
    }
}

impl Watcher {
    pub(super) fn new(
        mut readings: watch::Receiver<Arc<Reading>>,
        events: broadcast::Receiver<Arc<Event>>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        readings.mark_changed();
        Self {
            readings,
            events,
            _place: place,
        }
    }

    /// What comes next: a reading at once and each second, and each event. Who comes so late that
    /// events were lost gets a reading. `None` when there is nothing more to come.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<Update> {
        tokio::select! {
            // Events are few; a reading would not tell them.
            biased;
            event = self.events.recv() => match event {
                Ok(event) => Some(Update::Event(event)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some(self.reading()),
                Err(broadcast::error::RecvError::Closed) => None,
            },
            changed = self.readings.changed() => changed.ok().map(|()| self.reading()),
        }
    }

    fn reading(&mut self) -> Update {
        Update::Reading(self.readings.borrow_and_update().clone())
    }
}
