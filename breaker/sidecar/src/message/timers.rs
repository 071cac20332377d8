//! Deadlines that cost next to nothing when they are not reached.
//!
//! Almost no deadline of a proxy ever fires, so registering each with the timer wheel is wasted
//! work. A `Deadline` borrows an alarm that is already set, for whatever moment, and moves it only
//! if it would ring too late; an alarm that rings early is set again for the true moment.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// The alarms of one worker that are set and not in use.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    idle: RefCell<Vec<Pin<Box<Sleep>>>>,
}

/// A moment by which something must have happened.
#[derive(Debug)]
pub(crate) struct Deadline {
    at: Instant,
    alarm: Option<Pin<Box<Sleep>>>,
    timers: Rc<Timers>,
}

impl Deadline {
    pub(crate) fn new(at: Instant, timers: &Rc<Timers>) -> Self {
        Self {
            at,
            alarm: None,
            timers: timers.clone(),
        }
    }

    pub(crate) const fn at(&self) -> Instant {
        self.at
    }

    /// Moves the deadline; the alarm follows only where it must.
    pub(crate) fn set(&mut self, at: Instant) {
        self.at = at;
    }

    /// Ready once the deadline has passed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let at = self.at;
        let timers = &self.timers;
        let alarm = self.alarm.get_or_insert_with(|| {
            timers
                .idle
                .borrow_mut()
                .pop()
                .unwrap_or_else(|| Box::pin(sleep_until(at)))
        });
        if alarm.deadline() > at || alarm.is_elapsed() {
            alarm.as_mut().reset(at);
        }
        loop {
            ready!(alarm.as_mut().poll(cx));
            if alarm.deadline() >= at {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(at);
        }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        if let Some(alarm) = self.alarm.take() {
            let mut idle = self.timers.idle.borrow_mut();
            if idle.len() < KEPT {
                idle.push(alarm);
            }
        }
    }
}

/// Alarms kept for later use by one worker.
const KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_borrowed_alarm_that_rings_early_is_set_again() {
        let timers = Rc::new(Timers::default());
        let start = Instant::now();
        let wait = |after: u64| {
            let mut deadline = Deadline::new(start + Duration::from_secs(after), &timers);
            async move { poll_fn(|cx| deadline.poll(cx)).await }
        };
        {
            // Leaves an alarm set for one second behind.
            let abandoned = tokio::time::timeout(Duration::from_millis(1), wait(1)).await;
            assert!(abandoned.is_err());
        }
        assert_eq!(timers.idle.borrow().len(), 1);
        wait(5).await;
        assert_eq!(start.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_borrowed_alarm_that_would_ring_late_is_moved() {
        let timers = Rc::new(Timers::default());
        let start = Instant::now();
        let mut late = Deadline::new(start + Duration::from_secs(60), &timers);
        assert!(poll_fn(|cx| Poll::Ready(late.poll(cx))).await.is_pending());
        drop(late);
        let mut soon = Deadline::new(start + Duration::from_secs(2), &timers);
        poll_fn(|cx| soon.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 2);
    }
}
