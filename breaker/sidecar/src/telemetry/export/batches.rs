//! The export of what waits in a queue.

use std::future::Future;
use std::sync::Arc;

use opentelemetry_sdk::error::OTelSdkResult;
use tokio::sync::watch;

use super::Line;
use crate::telemetry::queue::Queue;

/// Exports what waits in `queue` with `send`, in batches, until `stopping`; then what is left. A
/// batch that can't be exported is dropped, and counted: the exporter has tried again by then.
pub(super) async fn run<T, S, F>(
    queue: Arc<Queue<T>>,
    send: S,
    mut line: Line,
    mut stopping: watch::Receiver<bool>,
) where
    S: Fn(Vec<T>) -> F,
    F: Future<Output = OTelSdkResult> + Send + 'static,
{
    let mut is_last = false;
    while !is_last {
        is_last = tokio::select! {
            // Nobody to stop it is a reason to stop, too.
            _ = stopping.wait_for(|&stop| stop) => true,
            () = queue.due() => false,
        };
        let mut waiting = queue.take().into_iter().map(|item| *item).peekable();
        while waiting.peek().is_some() {
            let batch: Vec<T> = waiting.by_ref().take(queue.batch_size()).collect();
            let size = batch.len();
            if !line.export(send(batch)).await {
                line.count_lost(size);
            }
        }
    }
}
