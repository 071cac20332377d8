//! The one timer of a breaker.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::runtime::{self, Handle};
use tokio::sync::Notify;
use tokio::time::timeout_at;

use super::SharedBreaker;

/// Wakes or starts the task that calls the breaker when its timeout is due.
#[derive(Debug, Default)]
pub(crate) struct Driver(Mutex<Option<Task>>);

#[derive(Clone, Debug)]
struct Task {
    wake: Arc<Notify>,
    runtime: runtime::Id,
}

/// Says, by being dropped, that the task is gone: at its end, or with the runtime that it was
/// started on.
struct Running {
    shared: Weak<SharedBreaker>,
    wake: Arc<Notify>,
}

impl Driver {
    /// Makes the task look at the breaker's timeout anew. Outside of a runtime there is none, and
    /// the answer is `false`: then time is seen at the next call.
    pub(crate) fn wake_or_start(&self, shared: &Arc<SharedBreaker>) -> bool {
        let mut task = self.lock();
        match &*task {
            Some(task) => {
                task.wake.notify_one();
                true
            }
            None => Self::start(&mut task, shared),
        }
    }

    /// Moves the task to the current runtime: somebody waits here, so this one is alive. The one
    /// that used the breaker first may never run again.
    pub(crate) fn move_here(&self, shared: &Arc<SharedBreaker>) {
        let mut task = self.lock();
        let here = Handle::try_current().ok().map(|runtime| runtime.id());
        let Some(old) = task.clone().filter(|task| Some(task.runtime) != here) else {
            return;
        };
        if Self::start(&mut task, shared) {
            // It sees that it is not the one any more.
            old.wake.notify_one();
        }
    }

    fn start(task: &mut Option<Task>, shared: &Arc<SharedBreaker>) -> bool {
        let Ok(runtime) = Handle::try_current() else {
            return false;
        };
        let wake = Arc::<Notify>::default();
        *task = Some(Task {
            wake: wake.clone(),
            runtime: runtime.id(),
        });
        runtime.spawn(drive(Running {
            shared: Arc::downgrade(shared),
            wake,
        }));
        true
    }

    /// Lets the task see that the breaker is gone.
    pub(crate) fn end(&self) {
        if let Some(task) = &*self.lock() {
            task.wake.notify_one();
        }
    }

    /// The task of `wake` is gone. Whether there is none now.
    pub(crate) fn ended(&self, wake: &Arc<Notify>) -> bool {
        let mut task = self.lock();
        let is_current = is_of(&task, wake);
        if is_current {
            *task = None;
        }
        is_current
    }

    fn is_current(&self, wake: &Arc<Notify>) -> bool {
        is_of(&self.lock(), wake)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Task>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_of(task: &Option<Task>, wake: &Arc<Notify>) -> bool {
    task.as_ref()
        .is_some_and(|task| Arc::ptr_eq(&task.wake, wake))
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.driver_ended(&self.wake);
        }
    }
}

async fn drive(running: Running) {
    while let Some(shared) = running.shared.upgrade() {
        if !shared.driver.is_current(&running.wake) {
            return;
        }
        let due = shared.handle_timeout();
        drop(shared);
        match due {
            // Whether it was the time or the wake-up: the breaker knows what to do.
            Some(due) => drop(timeout_at(due, running.wake.notified()).await),
            None => running.wake.notified().await,
        }
    }
}
