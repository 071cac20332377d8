//! One who watches, and what is told.

use std::collections::HashMap;
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
    /// Which breakers are other than in the reading before: their positions. `None` when others are
    /// among them than were.
    #[serde(skip)]
    changed: Option<Vec<usize>>,
    /// Counts readings.
    #[serde(skip)]
    number: u64,
    #[serde(skip)]
    json: OnceLock<Bytes>,
    #[serde(skip)]
    changes: OnceLock<Bytes>,
}

/// What is new since the reading before. What is not in it is as it was, for one more second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// When, in seconds since 1970.
    pub t: f64,
    /// The breakers that are other than before.
    pub breakers: Vec<report::Breaker>,
    /// The second before, of each of them.
    pub points: Vec<Point>,
    /// While all breakers are forced closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub panic: Option<Panic>,
}

/// What a watcher is told.
#[derive(Clone, Debug)]
pub enum Update {
    /// All breakers.
    All(Arc<Reading>),
    /// The same, for who has the reading before: only what is new is to be told.
    Changes(Arc<Reading>),
    /// Something happened.
    Event(Arc<Event>),
}

/// One who watches. There is room for 64 at once; a watcher gives its place back when it is
/// dropped.
#[derive(Debug)]
pub struct Watcher {
    readings: watch::Receiver<Arc<Reading>>,
    events: broadcast::Receiver<Arc<Event>>,
    /// The reading that was handed out last.
    last: Option<u64>,
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
            changed: None,
            number: 0,
            json: OnceLock::new(),
            changes: OnceLock::new(),
        }
    }

    /// Notes what is other than `before`.
    pub(super) fn follows(&mut self, before: &Self) {
        self.number = before.number + 1;
        let mut changed = Vec::new();
        if self.breakers.len() != before.breakers.len() {
            return;
        }
        for (index, breaker) in self.breakers.iter().enumerate() {
            let was = &before.breakers[index];
            if was.name != breaker.name {
                return;
            }
            if !breaker.is_like(was) || !self.points[index].is_like(&before.points[index]) {
                changed.push(index);
            }
        }
        self.changed = Some(changed);
    }

    /// The reading after this one, of which `changes` says what is new.
    pub fn advance(&mut self, changes: Changes) {
        let passed = changes.t - self.t;
        self.t = changes.t;
        self.panic = changes.panic;
        for (breaker, point) in self.breakers.iter_mut().zip(&mut self.points) {
            breaker.lasted += passed;
            if let Some(tripped) = &mut breaker.tripped {
                tripped.lasted += passed;
            }
            point.t = changes.t;
        }
        let positions = self.breakers.iter().enumerate();
        let positions: HashMap<String, usize> = positions
            .map(|(at, breaker)| (breaker.name.clone(), at))
            .collect();
        for (breaker, point) in changes.breakers.into_iter().zip(changes.points) {
            if let Some(&at) = positions.get(&breaker.name) {
                self.breakers[at] = breaker;
                self.points[at] = point;
            }
        }
    }

    /// The breakers that are other than in the reading before.
    pub fn changed(&self) -> impl Iterator<Item = &report::Breaker> {
        self.changed_at().map(|at| &self.breakers[at])
    }

    fn changed_at(&self) -> impl Iterator<Item = usize> {
        self.changed.iter().flatten().copied()
    }

    /// What is new since the reading before as JSON, which is made once for all who want it.
    pub fn changes(&self) -> Bytes {
        let json = self.changes.get_or_init(|| {
            let changes = Changes {
                t: self.t,
                breakers: self.changed().cloned().collect(),
                points: self
                    .changed_at()
                    .map(|at| self.points[at].clone())
                    .collect(),
                panic: self.panic.clone(),
            };
            let json = serde_json::to_vec(&changes);
            json.expect("numbers and strings are good JSON").into()
        });
        json.clone()
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
            last: None,
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
        let reading = self.readings.borrow_and_update().clone();
        let before = self.last.replace(reading.number);
        let follows = before.is_some_and(|before| before + 1 == reading.number);
        match follows && reading.changed.is_some() {
            true => Update::Changes(reading),
            false => Update::All(reading),
        }
    }
}
