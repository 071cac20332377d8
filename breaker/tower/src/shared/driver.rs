//! The one timer of a breaker, or of all breakers of a set.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::runtime::{self, Handle};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::SharedBreaker;

/// Starts and wakes the task that calls breakers when their timeouts are due.
#[derive(Default)]
pub(crate) struct Driver(Mutex<Timers>);

#[derive(Default)]
struct Timers {
    task: Option<Task>,
    /// By when they are due, and the breaker's id.
    due: BTreeMap<(Instant, u64), Weak<SharedBreaker>>,
}

#[derive(Clone)]
struct Task {
    wake: Arc<Notify>,
    runtime: runtime::Id,
}

/// Says, by being dropped, that the task is gone: at its end, or with the runtime that it was
/// started on.
struct Running {
    driver: Weak<Driver>,
    wake: Arc<Notify>,
}

/// What the task is to do.
enum Next {
    Call(Instant, Weak<SharedBreaker>),
    WaitUntil(Option<Instant>),
    /// Another task has its place.
    End,
}

impl Driver {
    /// Calls `shared` at `due`, and no longer at the time that this `replaces`. Outside of a
    /// runtime there may be no task, and the answer is `false`: then time is seen at the next call.
    pub(crate) fn arm(
        self: &Arc<Self>,
        shared: &Arc<SharedBreaker>,
        replaces: Option<Instant>,
        due: Instant,
    ) -> bool {
        let mut timers = self.lock();
        if timers.task.is_none() && !self.start(&mut timers) {
            return false;
        }
        if let Some(replaced) = replaces {
            timers.due.remove(&(replaced, shared.id));
        }
        timers.add(shared, due);
        true
    }

    /// The breaker `id` is gone, and with it what was due at `at`.
    pub(crate) fn disarm(&self, id: u64, at: Instant) {
        self.lock().due.remove(&(at, id));
    }

    /// Moves the task to the current runtime: somebody waits here, so this one is alive. The one
    /// that used the breakers first may never run again.
    pub(crate) fn move_here(self: &Arc<Self>) {
        let mut timers = self.lock();
        let here = Handle::try_current().ok().map(|runtime| runtime.id());
        let Some(old) = timers
            .task
            .clone()
            .filter(|task| Some(task.runtime) != here)
        else {
            return;
        };
        if self.start(&mut timers) {
            // It sees that it is not the one any more.
            old.wake.notify_one();
        }
    }

    fn start(self: &Arc<Self>, timers: &mut Timers) -> bool {
        let Ok(runtime) = Handle::try_current() else {
            return false;
        };
        let wake = Arc::<Notify>::default();
        timers.task = Some(Task {
            wake: wake.clone(),
            runtime: runtime.id(),
        });
        runtime.spawn(drive(Running {
            driver: Arc::downgrade(self),
            wake,
        }));
        true
    }

    fn next(&self, wake: &Arc<Notify>) -> Next {
        let mut timers = self.lock();
        if !timers.is_current(wake) {
            return Next::End;
        }
        match timers.due.first_entry() {
            Some(first) if first.key().0 <= Instant::now() => {
                let ((at, _), shared) = first.remove_entry();
                Next::Call(at, shared)
            }
            first => Next::WaitUntil(first.map(|first| first.key().0)),
        }
    }

    /// The breaker that was called is to be called again.
    fn again(&self, shared: &Arc<SharedBreaker>, due: Instant) {
        self.lock().add(shared, due);
    }

    /// The task of `wake` is gone. If there is no other, nobody keeps the times that are due: the
    /// next use of each breaker starts one.
    fn ended(&self, wake: &Arc<Notify>) {
        let mut timers = self.lock();
        if !timers.is_current(wake) {
            return;
        }
        timers.task = None;
        let due = std::mem::take(&mut timers.due);
        drop(timers);
        for shared in due.into_values() {
            if let Some(shared) = shared.upgrade() {
                shared.forget_timer();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Timers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The task sees that nothing is left to drive.
        if let Some(task) = &self.lock().task {
            task.wake.notify_one();
        }
    }
}

impl Timers {
    fn is_current(&self, wake: &Arc<Notify>) -> bool {
        let task = self.task.as_ref();
        task.is_some_and(|task| Arc::ptr_eq(&task.wake, wake))
    }

    /// Notes when `shared` is due, and wakes the task if it would sleep too long for that.
    fn add(&mut self, shared: &Arc<SharedBreaker>, due: Instant) {
        let key = (due, shared.id);
        self.due.insert(key, Arc::downgrade(shared));
        let is_first = self
            .due
            .first_key_value()
            .is_some_and(|(first, _)| *first == key);
        if let Some(task) = self.task.as_ref().filter(|_| is_first) {
            task.wake.notify_one();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.upgrade() {
            driver.ended(&self.wake);
        }
    }
}

async fn drive(running: Running) {
    while let Some(driver) = running.driver.upgrade() {
        let next = driver.next(&running.wake);
        match next {
            Next::Call(at, shared) => {
                if let Some(shared) = shared.upgrade()
                    && let Some(due) = shared.handle_timeout(at)
                {
                    driver.again(&shared, due);
                }
                drop(driver);
                // Thousands of breakers may be due at once.
                tokio::task::consume_budget().await;
            }
            Next::WaitUntil(due) => {
                drop(driver);
                match due {
                    Some(due) => drop(timeout_at(due, running.wake.notified()).await),
                    None => running.wake.notified().await,
                }
            }
            Next::End => return,
        }
    }
}
