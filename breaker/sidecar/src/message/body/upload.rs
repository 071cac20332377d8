//! How far the upload of a request's body has got: who reads the body tells it, and who waits for
//! the answer, or judges it, asks.

use std::cell::Cell;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::PAUSE;
use crate::message::error::ErrorKind;

/// How far a request's body has got.
pub(crate) struct Upload {
    ended: Cell<Option<Instant>>,
    /// Whether it is over for good.
    is_over: Cell<bool>,
    fault: Cell<Option<ErrorKind>>,
    /// Keeps the breaker's clock from running meanwhile.
    pause: Cell<Option<breaker_tower::Upload>>,
    /// When it ends, complete or not: its answer is complete already.
    ends_by: Cell<Option<Instant>>,
    /// Whoever waits for more of it.
    waiting: Cell<Option<Waker>>,
    /// Since when the caller has been waited for.
    paused_at: Cell<Option<Instant>>,
    /// Since when the upstream takes nothing: there is more, or may be, and nobody has asked for
    /// it. At first nothing is asked for until there is a connection.
    untaken_since: Cell<Option<Instant>>,
    /// Whether that has lasted, and the breaker's clock runs.
    is_blocked: Cell<bool>,
}

// === impl Upload ===

impl Default for Upload {
    fn default() -> Self {
        Self {
            ended: Cell::default(),
            is_over: Cell::default(),
            fault: Cell::default(),
            pause: Cell::default(),
            ends_by: Cell::default(),
            waiting: Cell::default(),
            paused_at: Cell::default(),
            untaken_since: Cell::new(Some(Instant::now())),
            is_blocked: Cell::default(),
        }
    }
}

impl Upload {
    /// The last of it was handed on, or nobody will want more. Tells whether that is news.
    pub(super) fn end(&self, is_whole: bool) -> bool {
        let is_news = !self.is_over.replace(true);
        if is_news {
            self.is_left();
            self.pause.set(None);
            if is_whole {
                self.paused_at.set(None);
            }
        }
        is_news
    }

    /// Nobody wants more of it for now.
    pub(super) fn is_left(&self) {
        self.ended
            .set(self.ended.get().or_else(|| Some(Instant::now())));
    }

    /// It is wanted again, if it is not over.
    pub(super) fn is_resumed(&self) {
        if !self.is_over.get() {
            self.ended.set(None);
            self.untaken_since.set(Some(Instant::now()));
        }
    }

    /// Holds `pause` until the upload ends.
    pub(crate) fn pauses(&self, pause: Option<breaker_tower::Upload>) {
        self.pause.set(pause);
    }

    /// When the last of the body was handed on; `None` while the caller is uploading.
    pub(crate) fn ended(&self) -> Option<Instant> {
        self.ended.get()
    }

    /// The caller is waited for.
    pub(super) fn waits(&self, cx: &Context<'_>) {
        self.waiting.set(Some(cx.waker().clone()));
        if self.paused_at.get().is_none() {
            self.paused_at.set(Some(Instant::now()));
        }
    }

    /// More of it is asked for: the upstream has taken what was handed on.
    pub(super) fn is_asked(&self) {
        self.untaken_since.set(None);
        if self.is_blocked.take() {
            self.with_pause(breaker_tower::Upload::goes_on);
        }
    }

    /// The caller has sent more, which is handed on.
    pub(super) fn hands_on(&self) {
        self.paused_at.set(None);
        self.untaken_since.set(Some(Instant::now()));
    }

    /// Since when the upstream takes nothing of it.
    pub(crate) fn untaken_since(&self) -> Option<Instant> {
        self.untaken_since.get()
    }

    /// Lets the breaker's clock run if the upstream has taken nothing for so long. Somebody has to
    /// look: nothing happens while an upload is blocked.
    pub(crate) fn look(&self, pause: Duration) {
        let since = self.untaken_since.get();
        let is_blocked = since.is_some_and(|since| since.elapsed() >= pause);
        if is_blocked && !self.is_blocked.replace(true) {
            self.with_pause(breaker_tower::Upload::blocks);
        }
    }

    fn with_pause(&self, act: impl FnOnce(&breaker_tower::Upload)) {
        let pause = self.pause.take();
        if let Some(pause) = &pause {
            act(pause);
        }
        self.pause.set(pause);
    }

    /// The caller did something wrong: its request will never be complete.
    pub(super) fn fails(&self, kind: ErrorKind) {
        self.fault.set(Some(kind));
        if let Some(pause) = self.pause.take() {
            pause.cut();
        }
    }

    /// Whether the caller had sent nothing for long, though it was waited for, up to now or to the
    /// end of an upload that was cut.
    pub(crate) fn is_paused(&self) -> bool {
        let until = self.ended.get().unwrap_or_else(Instant::now);
        let since = self.paused_at.get();
        since.is_some_and(|since| until.saturating_duration_since(since) >= PAUSE)
    }

    /// When it ends, complete or not, if its answer is complete already.
    pub(super) fn ends(&self) -> Option<Instant> {
        self.ends_by.get()
    }

    /// Lets the upload go on until then at the longest.
    pub(crate) fn ends_by(&self, at: Instant) {
        self.ends_by.set(Some(at));
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }

    /// What the caller did wrong.
    pub(crate) fn fault(&self) -> Option<ErrorKind> {
        self.fault.get()
    }
}
