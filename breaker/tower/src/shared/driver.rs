//! The one timer of a breaker.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::Notify;
use tokio::time::timeout_at;

use super::Shared;

/// Wakes or starts the task that calls the breaker when its timeout is due.
#[derive(Debug, Default)]
pub(crate) struct Driver {
    wake: Arc<Notify>,
    running: AtomicBool,
}

/// Says, by being dropped, that the task is gone: at its end, or with the runtime that it was
/// started on.
struct Running(Weak<Shared>);

impl Driver {
    /// Makes the task look at the breaker's timeout anew. Outside of a runtime there is none, and
    /// the answer is `false`: then time is seen at the next call.
    pub(crate) fn wake_or_start(&self, shared: &Arc<Shared>) -> bool {
        if self.running.load(Ordering::Acquire) {
            self.wake.notify_one();
            return true;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return false;
        };
        if !self.running.swap(true, Ordering::AcqRel) {
            runtime.spawn(drive(Running(Arc::downgrade(shared)), self.wake.clone()));
        }
        true
    }

    /// Lets the task see that the breaker is gone.
    pub(crate) fn end(&self) {
        self.wake.notify_one();
    }

    pub(crate) fn ended(&self) {
        self.running.store(false, Ordering::Release);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.driver_ended();
        }
    }
}

async fn drive(running: Running, wake: Arc<Notify>) {
    while let Some(shared) = running.0.upgrade() {
        let due = shared.handle_timeout();
        drop(shared);
        match due {
            // Whether it was the time or the wake-up: the breaker knows what to do.
            Some(due) => drop(timeout_at(due, wake.notified()).await),
            None => wake.notified().await,
        }
    }
}
