//! How far the upload of a request's body has got: who reads the body tells it, and who waits for
//! the answer, or judges it, asks.

use std::cell::Cell;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use tokio::time::Instant;

use super::PAUSE;
use crate::message::error::ErrorKind;

/// How far a request's body has got.
pub(crate) struct Upload {
    ended: Cell<Option<Instant>>,
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
    /// What is kept of it, in case that it has to be sent again.
    kept: Cell<Kept>,
}

/// What is kept of an upload: the whole, if that came in one piece, for as long as nothing came
/// back.
#[derive(Default)]
enum Kept {
    #[default]
    No,
    /// It is to be, and nothing has come.
    Nothing,
    Begin(Bytes),
    Whole(Bytes),
}

// === impl Upload ===

impl Default for Upload {
    fn default() -> Self {
        Self {
            ended: Cell::default(),
            fault: Cell::default(),
            pause: Cell::default(),
            ends_by: Cell::default(),
            waiting: Cell::default(),
            paused_at: Cell::default(),
            untaken_since: Cell::new(Some(Instant::now())),
            is_blocked: Cell::default(),
            kept: Cell::default(),
        }
    }
}

impl Upload {
    /// The last of it was handed on, or nobody wants more.
    pub(super) fn end(&self, is_whole: bool) {
        if self.ended.get().is_none() {
            self.ended.set(Some(Instant::now()));
            self.pause.set(None);
            if is_whole {
                self.paused_at.set(None);
            }
            self.kept.set(match self.kept.take() {
                Kept::Begin(content) if is_whole => Kept::Whole(content),
                _ => Kept::No,
            });
        }
    }

    /// Keeps what comes, if it is little, until it is asked for.
    pub(crate) fn keep(&self) {
        if self.ended.get().is_none() {
            self.kept.set(Kept::Nothing);
        }
    }

    /// The whole content, if it was kept.
    pub(crate) fn take_kept(&self) -> Option<Bytes> {
        match self.kept.take() {
            Kept::Whole(content) => Some(content),
            _ => None,
        }
    }

    pub(super) fn keep_frame(&self, frame: &Frame<Bytes>) {
        if let Kept::Nothing = self.kept.take()
            && let Some(content) = frame.data_ref()
        {
            self.kept.set(Kept::Begin(content.clone()));
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
