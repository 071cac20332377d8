//! The task that empties a queue, one batch after the other.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::pace::Pace;
use super::queue::Queue;
use super::target::{Attempt, Targets};
use crate::ingest::batch::{Batch, Signal};
use crate::ingest::settings::Retry;
use crate::ingest::stats::{Lost, Stats};
use crate::random;

/// What sends the batches of one signal.
pub(super) struct Sender {
    pub(super) signal: Signal,
    pub(super) queue: Arc<Queue>,
    pub(super) targets: Arc<Targets>,
    /// For one attempt.
    pub(super) timeout: Duration,
    pub(super) retry: Retry,
    pub(super) stats: Arc<Stats>,
    pub(super) closing: watch::Receiver<bool>,
}

impl Sender {
    /// Sends until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        // Whether the last batch was not taken: the log tells changes, not each batch.
        let mut lost = false;
        while let Some(batch) = self.queue.next().await {
            let size = batch.message().len();
            match self.send(&batch, &mut lost).await {
                None => {
                    self.stats.forwarded(self.signal, size);
                    if lost {
                        lost = false;
                        tracing::info!(signal = self.signal.name(), "telemetry is sent on again");
                    }
                }
                Some(why) => {
                    self.stats.dropped(self.signal, why, 1);
                }
            }
            self.queue.done();
            self.queue.tell(&self.stats, self.signal);
        }
    }

    /// Sends a batch, as often as it takes; tells why it was not sent, if it was not.
    async fn send(&mut self, batch: &Batch, lost: &mut bool) -> Option<Lost> {
        let start = Instant::now();
        let mut pace = Pace::new(&self.retry);
        loop {
            let attempt = timeout(self.timeout, self.targets.send(batch)).await;
            let attempt = attempt.unwrap_or_else(|_| {
                Attempt::Later(format!("no answer within {:?}", self.timeout), None)
            });
            let asked = match attempt {
                Attempt::Taken => return None,
                Attempt::NoTarget => return Some(Lost::NoTarget),
                Attempt::Refused(why) => {
                    self.tell(lost, &why, "telemetry is refused by the forward target");
                    return Some(Lost::Refused);
                }
                Attempt::Later(why, asked) => {
                    self.tell(lost, &why, "telemetry can't be sent on; trying again");
                    asked
                }
            };
            self.pause(pace.pause(asked, random::unit())).await;
            // After the pause: the next batch, too, comes no sooner than the target asked for.
            if start.elapsed() >= self.retry.give_up {
                return Some(Lost::GaveUp);
            }
            self.stats.retried(self.signal);
        }
    }

    /// Waits, but not for long at the end.
    async fn pause(&mut self, pause: Duration) {
        let closed = *self.closing.borrow_and_update();
        if closed {
            return sleep(pause.min(LAST_PAUSE)).await;
        }
        tokio::select! {
            () = sleep(pause) => {}
            // An error: the forwarder is gone, and this task ends with it.
            _ = self.closing.changed() => {}
        }
    }

    fn tell(&self, lost: &mut bool, why: &str, what: &str) {
        let signal = self.signal.name();
        if *lost {
            tracing::debug!(signal, why, "{what}");
        } else {
            *lost = true;
            tracing::warn!(signal, why, "{what}");
        }
    }
}

/// Between attempts while the process ends.
const LAST_PAUSE: Duration = Duration::from_millis(250);
