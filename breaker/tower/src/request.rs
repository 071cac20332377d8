//! A request that was admitted, until its outcome is known.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use breaker_core::policy::LatencyMeasure;
use breaker_core::{Outcome, Permit, Policy, Verdict};
use http::HeaderMap;

use crate::handle::BreakerHandle;
use crate::trace::TraceParent;

/// A request that was admitted. Dropped before its outcome is known, it says that its caller went away.
#[derive(Debug)]
#[must_use = "dropping it reports that the caller went away"]
pub struct InFlight {
    breaker: BreakerHandle,
    policy: Arc<Policy>,
    permit: Held,
    /// The latency to the head of the response, once that has come.
    head_latency: Option<Duration>,
    traceparent: TraceParent,
}

/// Where the permit is: with the request, or with the upload of its body too.
#[derive(Debug)]
enum Held {
    Alone(Option<Permit>),
    WithUpload(Arc<Mutex<Option<Permit>>>),
}

/// The sending of a request's body: while it lasts, the upstream's time does not run.
///
/// [`BreakerService`](crate::BreakerService) puts it in the request's extensions when
/// [`await_upload`](crate::BreakerLayer::await_upload) is set. The upload is over when it and its clones are dropped.
#[derive(Clone, Debug)]
pub struct Upload(#[expect(dead_code, reason = "its drop is what counts")] Arc<UploadEnd>);

#[derive(Debug)]
struct UploadEnd {
    breaker: BreakerHandle,
    permit: Arc<Mutex<Option<Permit>>>,
}

/// Reports a failure when it is dropped by a panic that came after it.
struct FailOnPanic<'a> {
    request: &'a mut InFlight,
    panicked_before: bool,
}

// === impl InFlight ===

impl InFlight {
    pub(crate) fn new(breaker: BreakerHandle, permit: Permit, policy: Arc<Policy>) -> Self {
        Self {
            breaker,
            policy,
            permit: Held::Alone(Some(permit)),
            head_latency: None,
            traceparent: TraceParent::default(),
        }
    }

    /// Takes note of the trace that the request belongs to, by its header fields: a trip names the traces behind it.
    pub fn traced(&mut self, headers: &HeaderMap) {
        self.traceparent = TraceParent::of(headers);
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

    /// The caller is still sending its request. The upstream's time begins when what is returned, and its clones, are dropped.
    pub fn uploading(&mut self) -> Option<Upload> {
        let Held::Alone(permit) = &mut self.permit else {
            return None;
        };
        let mut permit = permit.take()?;
        self.breaker
            .with(|breaker, _| breaker.uploading(&mut permit));
        let permit = Arc::new(Mutex::new(Some(permit)));
        self.permit = Held::WithUpload(permit.clone());
        Some(Upload(Arc::new(UploadEnd {
            breaker: self.breaker.clone(),
            permit,
        })))
    }

    /// The head of the response has come, with `verdict` as far as it is known. From a head that is no failure on, the request no longer
    /// ages, where the policy measures the latency to the head.
    pub fn responded(&mut self, verdict: Verdict) {
        let breaker = &self.breaker;
        let latency = self.permit.with(|permit| {
            if verdict != Verdict::Success {
                return breaker.now().saturating_since(permit.admitted());
            }
            breaker.with(|breaker, now| {
                let latency = now.saturating_since(permit.admitted());
                breaker.responded(permit, latency, now);
                latency
            })
        });
        if self.policy.latency() == LatencyMeasure::Head {
            self.head_latency = latency;
        }
    }

    /// Does `act`, on whose panic the request has failed. Its drop would not tell: it may come long after, if somebody catches the panic.
    pub(crate) fn failing_on_panic<T>(&mut self, act: impl FnOnce() -> T) -> T {
        let _guard = FailOnPanic {
            panicked_before: thread::panicking(),
            request: self,
        };
        act()
    }

    /// The outcome is known.
    pub fn finish(mut self, verdict: Verdict, retry_after: Option<Duration>) {
        self.end(verdict, retry_after);
    }

    fn end(&mut self, verdict: Verdict, retry_after: Option<Duration>) {
        let Some(permit) = self.permit.take() else {
            return;
        };
        let head_latency = self.head_latency;
        let (policy, traceparent) = (&self.policy, &self.traceparent);
        self.breaker.with(|breaker, now| {
            let latency = head_latency.unwrap_or_else(|| now.saturating_since(permit.admitted()));
            let is_suspect = || {
                verdict == Verdict::Failure
                    || policy.slow_from().is_some_and(|bound| latency >= bound)
            };
            let trace = traceparent.trace_id_if(is_suspect);
            let outcome = Outcome::new(verdict, latency)
                .with_retry_after(retry_after)
                .traced(trace);
            breaker.record(permit, outcome, now);
        });
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.end(Verdict::Ignored, None);
    }
}

// === impl FailOnPanic ===

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        if !self.panicked_before && thread::panicking() {
            self.request.end(Verdict::Failure, None);
        }
    }
}

// === impl UploadEnd ===

impl Drop for UploadEnd {
    fn drop(&mut self) {
        let mut permit = self.permit.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(permit) = &mut *permit {
            self.breaker
                .with(|breaker, now| breaker.uploaded(permit, now));
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
