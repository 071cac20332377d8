//! A request that was admitted, until its outcome is known.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use breaker_core::policy::LatencyMeasure;
use breaker_core::{Breaker, Classification, Outcome, Permit, Policy, State, Timestamp, TraceId};
use http::HeaderMap;

use super::BreakerHandle;
use crate::classify::Ending;
use crate::decision::Decision;
use crate::trace_context::trace_of;

/// An admitted request. If it is dropped before its outcome is known, it reports what its
/// [`OnDrop`] says.
#[derive(Debug)]
#[must_use = "dropping it reports an end that nobody has looked at"]
pub struct InFlight {
    breaker: BreakerHandle,
    policy: Arc<Policy>,
    permit: Held,
    /// The latency to the head of the response, once that has come.
    head_latency: Option<Duration>,
    /// For how long the upstream was waited for, before the caller last paused reading.
    spent: Duration,
    /// When the upstream's time began first, if the caller ever paused.
    began: Option<Timestamp>,
    /// Whether the caller is waited for, to take what has come.
    is_paused: bool,
    /// Read at once: an id is less than half as large as the field, and the request is moved
    /// several times.
    trace: Option<TraceId>,
    /// The breaker's when it was admitted.
    state: State,
    on_drop: OnDrop,
}

/// What it means if an [`InFlight`] is dropped before [`InFlight::finish`]: an early return, a
/// panic, or a future that nobody polls any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnDrop {
    /// Nobody waits for the outcome any more, which is no evidence about the service: right where
    /// each failure reaches `finish`. An early return by `?` in between hides failures.
    Ignored,
    /// The request failed: right where failures leave by `?`. Callers that go away count as
    /// failures too.
    Failure,
}

/// Where the permit is: with the request, or with the upload of its body too.
#[derive(Debug)]
enum Held {
    Alone(Option<Permit>),
    WithUpload(Arc<Mutex<Option<Permit>>>),
}

/// The upload of a request's body. While it lasts, the upstream's time does not run.
///
/// [`BreakerService`](crate::BreakerService) puts it in the request's extensions when
/// [`await_upload`](crate::BreakerLayer::await_upload) is set. The upload is over when it and its
/// clones are dropped.
#[derive(Clone, Debug)]
pub struct Upload(Arc<UploadEnd>);

#[derive(Debug)]
struct UploadEnd {
    breaker: BreakerHandle,
    permit: Arc<Mutex<Option<Permit>>>,
    is_cut: AtomicBool,
}

// === impl InFlight ===

impl InFlight {
    pub(crate) fn new(
        breaker: BreakerHandle,
        permit: Permit,
        policy: Arc<Policy>,
        state: State,
        on_drop: OnDrop,
    ) -> Self {
        Self {
            breaker,
            policy,
            permit: Held::Alone(Some(permit)),
            head_latency: None,
            spent: Duration::ZERO,
            began: None,
            is_paused: false,
            trace: None,
            state,
            on_drop,
        }
    }

    /// Records the trace of the request from its header fields: a trip names the traces behind it.
    pub fn traced(&mut self, headers: &HeaderMap) {
        self.trace = trace_of(headers);
    }

    /// The policy under which the request was admitted.
    pub const fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Whether the request is a probe of a half-open breaker.
    pub fn is_probe(&mut self) -> bool {
        self.permit
            .with(|permit| permit.is_probe())
            .unwrap_or(false)
    }

    /// The caller is still sending its request. The upstream's time begins when the returned value
    /// and its clones are dropped.
    pub fn uploading(&mut self) -> Option<Upload> {
        if let Held::Alone(Some(permit)) = &mut self.permit {
            self.breaker.with(|breaker, _| breaker.uploading(permit));
        }
        self.shared()
    }

    /// The upload of a request of which nothing is awaited yet.
    pub(crate) fn shared(&mut self) -> Option<Upload> {
        let Held::Alone(permit) = &mut self.permit else {
            return None;
        };
        let permit = permit.take()?;
        let permit = Arc::new(Mutex::new(Some(permit)));
        self.permit = Held::WithUpload(permit.clone());
        Some(Upload(Arc::new(UploadEnd {
            breaker: self.breaker.clone(),
            permit,
            is_cut: AtomicBool::new(false),
        })))
    }

    /// The head of the response arrived, with `classification` if it is known. For gRPC it is not
    /// known yet, since the trailers decide. If the policy measures the latency to the head, the
    /// request no longer ages after a head that is no failure. After a successful head, it counts
    /// as a success unless it fails later.
    pub fn responded(&mut self, classification: Option<Classification>) {
        let breaker = &self.breaker;
        let latency = self.permit.with(|permit| {
            if !matches!(classification, None | Some(Classification::Success)) {
                return breaker.now().saturating_since(permit.admitted());
            }
            breaker.with(|breaker, now| {
                let latency = now.saturating_since(permit.admitted());
                match classification {
                    Some(_) => breaker.responded_well(permit, latency, now),
                    None => breaker.responded(permit, latency, now),
                }
                latency
            })
        });
        if self.policy.latency() == LatencyMeasure::Head {
            self.head_latency = latency;
        }
    }

    /// The answer has begun well, although it can't be judged yet: the first message of a gRPC
    /// stream arrived. It counts as a success from now on, unless it fails later.
    pub fn begun(&mut self) {
        let breaker = &self.breaker;
        self.permit
            .with(|permit| breaker.with(|breaker, now| breaker.begun(permit, now)));
    }

    /// The caller does not read on: the upstream's time does not run until [`Self::resumed`].
    /// Nothing happens if the policy does not [observe](Policy::observes_readers) that.
    pub fn paused(&mut self) {
        if self.is_paused || !self.policy.observes_readers() {
            return;
        }
        self.is_paused = true;
        let breaker = &self.breaker;
        let began = &mut self.began;
        let ran = self.permit.with(|permit| {
            if !permit.is_uploading() {
                began.get_or_insert(permit.admitted());
            }
            breaker.with(|breaker, now| breaker.paused(permit, now))
        });
        self.spent += ran.unwrap_or_default();
    }

    /// The caller has read what there was, and the upstream is waited for.
    pub fn resumed(&mut self) {
        if std::mem::take(&mut self.is_paused) {
            let breaker = &self.breaker;
            self.permit
                .with(|permit| breaker.with(|breaker, now| breaker.resumed(permit, now)));
        }
    }

    /// For how long the service has been waited for; `None` while it waits for its caller.
    pub(crate) fn waited(&mut self) -> Option<Duration> {
        let now = self.breaker.now();
        let waited = self.permit.with(|permit| {
            let waits = !permit.is_uploading();
            waits.then(|| now.saturating_since(permit.admitted()))
        });
        waited.flatten().filter(|_| !self.is_paused)
    }

    /// The outcome is known.
    pub fn finish(mut self, ending: impl Into<Ending>) {
        self.end(ending.into(), false);
    }

    /// Reports how the request ended, and returns what was made of it; `None` if that was known
    /// before. With `wants_trace` its trace is named if it has one, else only where the breaker has
    /// a use for it.
    pub(crate) fn end(&mut self, ending: Ending, wants_trace: bool) -> Option<Decision> {
        let permit = self.permit.take()?;
        let (head_latency, state) = (self.head_latency, self.state);
        let (spent, began, is_paused) = (self.spent, self.began, self.is_paused);
        let (policy, trace) = (&self.policy, self.trace);
        Some(self.breaker.with(|breaker, now| {
            let running = match is_paused {
                true => Duration::ZERO,
                false => now.saturating_since(permit.admitted()),
            };
            let waited = now.saturating_since(began.unwrap_or(permit.admitted()));
            let latency = head_latency.unwrap_or(spent + running);
            let outcome = Outcome::new(ending.classification, latency)
                .caused_by(ending.attribution)
                .timed_out(ending.timed_out)
                .with_retry_after(ending.retry_after);
            let classification = outcome.classification;
            let is_suspect = || {
                classification == Classification::Failure
                    || policy.slow_from().is_some_and(|bound| latency >= bound)
            };
            let trace = trace.filter(|_| wants_trace || is_suspect());
            breaker.record(permit, outcome.traced(trace), now);
            Decision {
                ending: Some((classification, ending.attribution)),
                timed_out: ending.timed_out,
                latency,
                waited,
                trace,
                ..Decision::rejected(state)
            }
        }))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.end(self.on_drop.ending(), false);
    }
}

// === impl OnDrop ===

impl OnDrop {
    fn ending(self) -> Ending {
        match self {
            Self::Ignored => Ending::CALLER_GONE,
            Self::Failure => Classification::Failure.into(),
        }
    }
}

// === impl Upload ===

impl Upload {
    /// The upstream takes nothing of it: its time runs until [`Self::goes_on`].
    pub fn blocks(&self) {
        self.0
            .tell(|breaker, permit, now| breaker.uploaded(permit, now));
    }

    /// The upstream takes more of it, and the caller is waited for again.
    pub fn goes_on(&self) {
        self.0.tell(|breaker, permit, _| breaker.uploading(permit));
    }

    /// The caller will never complete its request: it is malformed, too large or broken off. The
    /// upstream's time does not begin.
    pub fn cut(self) {
        self.0.is_cut.store(true, Ordering::Relaxed);
    }
}

// === impl UploadEnd ===

impl UploadEnd {
    fn tell(&self, act: impl FnOnce(&mut Breaker, &mut Permit, Timestamp)) {
        let mut permit = self.permit.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(permit) = &mut *permit {
            self.breaker.with(|breaker, now| act(breaker, permit, now));
        }
    }
}

impl Drop for UploadEnd {
    fn drop(&mut self) {
        if !*self.is_cut.get_mut() {
            self.tell(|breaker, permit, now| breaker.uploaded(permit, now));
        }
    }
}

// === impl Held ===

impl Held {
    fn with<T>(&mut self, act: impl FnOnce(&mut Permit) -> T) -> Option<T> {
        match self {
            Self::Alone(permit) => permit.as_mut().map(act),
            Self::WithUpload(permit) => permit
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .as_mut()
                .map(act),
        }
    }

    fn take(&mut self) -> Option<Permit> {
        match self {
            Self::Alone(permit) => permit.take(),
            Self::WithUpload(permit) => {
                permit.lock().unwrap_or_else(PoisonError::into_inner).take()
            }
        }
    }
}
