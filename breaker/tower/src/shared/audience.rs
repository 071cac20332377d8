//! Those who want to hear of all breakers of a set.

use std::sync::{Arc, OnceLock};

use breaker_core::Event;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Tells subscribers of the events of many breakers.
#[derive(Debug, Default)]
pub(crate) struct Audience(OnceLock<broadcast::Sender<SetEvent>>);

/// An event of one breaker of a [`BreakerSet`](crate::BreakerSet).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SetEvent {
    /// The name of the breaker: its key.
    pub name: Arc<str>,
    /// The breaker's id. A breaker of the same key has another one after the first was removed.
    pub id: u64,
    /// The event.
    pub event: Event,
}

/// A subscription to the events of all breakers of a set.
#[derive(Debug)]
pub struct SetEvents {
    receiver: broadcast::Receiver<SetEvent>,
    missed: u64,
}

impl Audience {
    pub(crate) fn subscribe(&self) -> SetEvents {
        let sender = self.0.get_or_init(|| broadcast::Sender::new(EVENTS_KEPT));
        SetEvents {
            receiver: sender.subscribe(),
            missed: 0,
        }
    }

    pub(crate) fn tell(&self, name: &Arc<str>, id: u64, event: &Event) {
        if let Some(sender) = self.0.get() {
            // An error says that nobody is subscribed.
            let _ = sender.send(SetEvent {
                name: name.clone(),
                id,
                event: event.clone(),
            });
        }
    }
}

impl SetEvents {
    /// The next event; `None` when the set and its breakers are gone. If more than 1,024 events are
    /// unread, the oldest are skipped and [counted](Self::missed).
    ///
    /// Cancel safe.
    pub async fn recv(&mut self) -> Option<SetEvent> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(RecvError::Lagged(events)) => self.missed += events,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// How many events were skipped.
    pub const fn missed(&self) -> u64 {
        self.missed
    }
}

const EVENTS_KEPT: usize = 1024;
