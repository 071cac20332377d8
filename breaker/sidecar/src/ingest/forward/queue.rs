//! What waits to be sent on: bounded by bytes and by number, the batch being sent included.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::ingest::batch::{Batch, Signal};
use crate::ingest::settings::Forward;
use crate::ingest::stats::Stats;

/// A queue with one reader.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
    max_bytes: usize,
    max_batches: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Batch>,
    /// Of all that waits, and of the batch that is being sent.
    bytes: usize,
    sending: Option<usize>,
    closed: bool,
}

impl Queue {
    pub(super) fn new(forward: &Forward) -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            max_bytes: forward.queue_bytes,
            max_batches: forward.queue_batches,
        }
    }

    /// Takes a batch, and drops the oldest for it if it must, or the batch if it would not fit even
    /// so. Tells how many were dropped.
    pub(super) fn offer(&self, batch: Batch) -> usize {
        let mut state = self.lock();
        let size = size(&batch);
        let sending = state.sending.unwrap_or(0);
        let places = usize::from(state.sending.is_some());
        if state.closed || sending + size > self.max_bytes || places >= self.max_batches {
            return 1;
        }
        let mut dropped = 0;
        while state.bytes + size > self.max_bytes
            || state.waiting.len() + places >= self.max_batches
        {
            let Some(oldest) = state.waiting.pop_front() else {
                break;
            };
            state.bytes -= self::size(&oldest);
            dropped += 1;
        }
        state.bytes += size;
        state.waiting.push_back(batch);
        drop(state);
        self.changed.notify_one();
        dropped
    }

    /// The oldest batch, which counts until [`done`](Self::done); `None` once the queue is closed
    /// and empty.
    pub(super) async fn next(&self) -> Option<Batch> {
        loop {
            {
                let mut state = self.lock();
                if let Some(batch) = state.waiting.pop_front() {
                    state.sending = Some(size(&batch));
                    return Some(batch);
                }
                if state.closed {
                    return None;
                }
            }
            // A notification between the look and the wait is kept.
            self.changed.notified().await;
        }
    }

    /// The batch that was taken last is sent, or given up.
    pub(super) fn done(&self) {
        let mut state = self.lock();
        state.bytes -= state.sending.take().unwrap_or(0);
    }

    /// Takes no more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Drops all that waits, the batch being sent included; tells how many those are.
    pub(super) fn clear(&self) -> usize {
        let mut state = self.lock();
        let count = state.waiting.len() + usize::from(state.sending.take().is_some());
        state.waiting.clear();
        state.bytes = 0;
        count
    }

    /// Tells what waits.
    pub(super) fn tell(&self, stats: &Stats, signal: Signal) {
        let state = self.lock();
        let batches = state.waiting.len() + usize::from(state.sending.is_some());
        stats.queue_is(signal, batches, state.bytes);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a batch costs: its bytes, those of its fields, and what the allocator takes for them.
fn size(batch: &Batch) -> usize {
    let fields = batch.headers.iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + FIELD);
    batch.frame.len() + fields.sum::<usize>() + BATCH
}

const FIELD: usize = 96;
const BATCH: usize = 256;

#[cfg(test)]
mod tests;
