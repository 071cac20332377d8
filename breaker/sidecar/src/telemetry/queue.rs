//! What waits to be exported: spans and log records, a bounded number of each.
//!
//! It takes the place of the SDK's batch processors. Those export on threads without a runtime,
//! which the exporters' connections need, keep to no timeout, and count what they drop in a global
//! meter.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry::metrics::BoundCounter;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogProcessor, SdkLogRecord};
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::sync::Notify;
use tokio::time;

use super::settings::Batches;

/// Items that wait for their export.
pub(crate) struct Queue<T> {
    /// Boxed, so that what is done under the lock is to move a pointer.
    items: Mutex<Vec<Box<T>>>,
    batches: Batches,
    /// Notified when a batch is complete, and not at every item: waking another thread costs
    /// more than the item.
    complete: Notify,
    dropped: BoundCounter<u64>,
}

/// Puts finished spans into a queue.
#[derive(Debug)]
pub(crate) struct SpanQueue(pub(crate) Arc<Queue<SpanData>>);

/// Puts log records into a queue.
#[derive(Debug)]
pub(crate) struct LogQueue(pub(crate) Arc<Queue<SdkLogRecord>>);

// === impl Queue ===

impl<T> Queue<T> {
    /// A queue that counts in `dropped` what there is no room for.
    pub(crate) fn new(batches: Batches, dropped: BoundCounter<u64>) -> Self {
        Self {
            items: Mutex::default(),
            batches,
            complete: Notify::new(),
            dropped,
        }
    }

    /// How many items are exported at once.
    pub(crate) const fn batch_size(&self) -> usize {
        self.batches.size
    }

    /// Adds an item, or drops it if the queue is full. Never waits for an export.
    pub(crate) fn push(&self, item: T) {
        let item = Box::new(item);
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = items.len();
        if waiting >= self.batches.queue {
            drop(items);
            self.dropped.add(1);
            return;
        }
        items.push(item);
        drop(items);
        if waiting + 1 == self.batches.size {
            self.complete.notify_one();
        }
    }

    /// Waits until a batch is complete, or the longest time that an item may wait has passed.
    pub(crate) async fn due(&self) {
        // Either way what is there is exported.
        let _ = time::timeout(self.batches.delay, self.complete.notified()).await;
    }

    /// Takes all that waits.
    pub(crate) fn take(&self) -> Vec<Box<T>> {
        std::mem::take(&mut *self.items.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("batches", &self.batches)
            .finish_non_exhaustive()
    }
}

// === impl SpanQueue ===

impl SpanProcessor for SpanQueue {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.0.push(span);
        }
    }

    /// Does nothing: the export's own thread sees to it.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    /// Does nothing: the export is shut down by itself.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

// === impl LogQueue ===

impl LogProcessor for LogQueue {
    fn emit(&self, record: &mut SdkLogRecord, _: &InstrumentationScope) {
        self.0.push(record.clone());
    }

    /// Does nothing: the export's own thread sees to it.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    /// Does nothing: the export is shut down by itself.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::metrics::MeterProvider;
    use opentelemetry::metrics::noop::NoopMeterProvider;
    use tokio::time::Instant;

    use super::*;

    fn queue(queue: usize, size: usize) -> Queue<u32> {
        let counter = NoopMeterProvider::new()
            .meter("test")
            .u64_counter("dropped")
            .build();
        let delay = Duration::from_secs(5);
        Queue::new(Batches { delay, queue, size }, counter.bind(&[]))
    }

    #[tokio::test(start_paused = true)]
    async fn a_complete_batch_is_due_at_once_and_a_part_of_one_after_the_delay() {
        let queue = queue(10, 3);
        let start = Instant::now();
        for item in 0..3 {
            queue.push(item);
        }
        queue.due().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(queue.take().len(), 3);

        queue.push(3);
        queue.due().await;
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        assert_eq!(queue.take(), [Box::new(3)]);
    }

    #[test]
    fn what_there_is_no_room_for_is_dropped() {
        let queue = queue(2, 1);
        for item in 0..5 {
            queue.push(item);
        }
        assert_eq!(queue.take(), [Box::new(0), Box::new(1)]);
        queue.push(5);
        assert_eq!(queue.take(), [Box::new(5)]);
    }
}
