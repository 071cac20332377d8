//! A request that was admitted, until its outcome is known.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use breaker_core::policy::LatencyMeasure;
use breaker_core::{Breaker, Classification, Outcome, Permit, Policy, Timestamp};
use http::{HeaderMap, Method};

use super::BreakerHandle;
use crate::classify::Ending;
use crate::deadline::CallerDeadline;
use crate::decision::Decision;
use crate::shared::flight::{Flight, Held, Reader};
#[cfg(any(feature = "metrics", feature = "opentelemetry"))]
use crate::shared::tally::FailureKind;
use crate::trace_context::trace_of;

/// An admitted request. If it is dropped before its outcome is known, it reports what its
/// [`OnDrop`] says.
#[derive(Debug)]
#[must_use = "dropping it reports an end that nobody has looked at"]
pub struct InFlight {
    breaker: BreakerHandle,
    /// Small, because a request is moved several times; `None` once its outcome is known.
    flight: Option<Box<Flight>>,
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
    pub(crate) const fn new(breaker: BreakerHandle, flight: Box<Flight>, on_drop: OnDrop) -> Self {
        Self {
            breaker,
            flight: Some(flight),
            on_drop,
        }
    }

    /// Records the trace of the request from its header fields: a trip names the traces behind it.
    pub fn traced(&mut self, headers: &HeaderMap) {
        if let Some(flight) = &mut self.flight {
            flight.trace = trace_of(headers);
        }
    }

    /// How the request is sent, as far as the meaning of its answer depends on that.
    pub(crate) fn sends(&mut self, method: &Method, headers: &HeaderMap, deadline: CallerDeadline) {
        if let Some(flight) = &mut self.flight {
            flight.trace = trace_of(headers);
            flight.answer.deadline = deadline;
            flight.answer.is_bodiless = method == Method::HEAD;
        }
    }

    /// The policy under which the request was admitted.
    pub fn policy(&self) -> &Arc<Policy> {
        let flight = self.flight.as_ref();
        &flight.expect("`finish` takes the request").policy
    }

    /// What is known of the request; `None` once its outcome is known.
    pub(crate) fn known(&mut self) -> Option<&mut Flight> {
        self.flight.as_deref_mut()
    }

    /// Whether the request is a probe of a half-open breaker.
    pub fn is_probe(&mut self) -> bool {
        self.with_permit(|permit, _, _| permit.is_probe())
            .unwrap_or(false)
    }

    /// The caller is still sending its request. The upstream's time begins when the returned value
    /// and its clones are dropped.
    pub fn uploading(&mut self) -> Option<Upload> {
        if let Held::Alone(Some(permit)) = &mut self.flight.as_mut()?.permit {
            self.breaker.with(|breaker, _| breaker.uploading(permit));
        }
        self.shared()
    }

    /// The upload of a request of which nothing is awaited yet.
    pub(crate) fn shared(&mut self) -> Option<Upload> {
        let flight = self.flight.as_mut()?;
        let Held::Alone(permit) = &mut flight.permit else {
            return None;
        };
        let permit = permit.take()?;
        let permit = Arc::new(Mutex::new(Some(permit)));
        flight.permit = Held::WithUpload(permit.clone());
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
        let mut whole_at = None;
        let latency = self.with_permit(|permit, _, breaker| {
            if !matches!(classification, None | Some(Classification::Success)) {
                return breaker.now().saturating_since(permit.admitted());
            }
            breaker.with(|breaker, now| {
                let latency = now.saturating_since(permit.admitted());
                match classification {
                    Some(_) => {
                        breaker.responded_well(permit, latency, now);
                        whole_at = Some(now);
                    }
                    None => breaker.responded(permit, latency, now),
                }
                latency
            })
        });
        if let Some(flight) = &mut self.flight
            && flight.policy.latency() == LatencyMeasure::Head
        {
            flight.head_latency = latency;
            flight.whole_at = whole_at;
        }
    }

    /// The answer has begun well, although it can't be judged yet: the first message of a gRPC
    /// stream arrived. It counts as a success from now on, unless it fails later.
    pub fn begun(&mut self) {
        self.with_permit(|permit, _, breaker| {
            breaker.with(|breaker, now| breaker.begun(permit, now));
        });
    }

    /// The caller does not read on: the upstream's time does not run until [`Self::resumed`].
    /// Nothing happens if the policy does not [observe](Policy::observes_readers) that.
    pub fn paused(&mut self) {
        self.with_permit(|permit, reader, breaker| {
            if reader.is_paused || !reader.is_observed {
                return;
            }
            reader.is_paused = true;
            if !permit.is_uploading() {
                reader.began.get_or_insert(permit.admitted());
            }
            reader.spent += breaker.with(|breaker, now| breaker.paused(permit, now));
        });
    }

    /// The caller has read what there was, and the upstream is waited for.
    pub fn resumed(&mut self) {
        self.awaited();
        self.with_permit(|permit, reader, breaker| {
            if std::mem::take(&mut reader.is_paused) {
                breaker.with(|breaker, now| breaker.resumed(permit, now));
            }
        });
    }

    /// For how long the service has been waited for; `None` while it waits for its caller.
    pub(crate) fn waited(&mut self) -> Option<Duration> {
        let waited = self.with_permit(|permit, reader, breaker| {
            let waits = !permit.is_uploading() && !reader.is_paused;
            waits.then(|| breaker.now().saturating_since(permit.admitted()))
        });
        waited.flatten()
    }

    /// The outcome is known.
    pub fn finish(mut self, ending: impl Into<Ending>) {
        self.awaited();
        self.end(ending.into(), false);
    }

    /// More of the answer may have come after its head.
    fn awaited(&mut self) {
        if let Some(flight) = &mut self.flight {
            flight.whole_at = None;
        }
    }

    /// Reports how the request ended, and returns what was made of it; `None` if that was known
    /// before. If `is_watched`, the time of the end is exact and its trace is named if it has one;
    /// else only where the breaker has a use for it.
    pub(crate) fn end(&mut self, ending: Ending, is_watched: bool) -> Option<Decision> {
        let flight = self.flight.take()?;
        let is_exact = is_watched || ending.classification != Classification::Success;
        // An answer that was never waited for after its head ended well with it, as far as anybody
        // knows. Then the clock need not be read again.
        let with_head = flight.whole_at.filter(|_| !is_exact);
        #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
        let kind = FailureKind::of(&ending, &flight.answer);
        let decision = self.breaker.end(flight, with_head, |flight, permit, now| {
            let reader = &flight.reader;
            let running = match reader.is_paused {
                true => Duration::ZERO,
                false => now.saturating_since(permit.admitted()),
            };
            let waited = now.saturating_since(reader.began.unwrap_or(permit.admitted()));
            let latency = flight.head_latency.unwrap_or(reader.spent + running);
            let outcome = Outcome::new(ending.classification, latency)
                .caused_by(ending.attribution)
                .timed_out(ending.timed_out)
                .with_retry_after(ending.retry_after);
            let classification = outcome.classification;
            let is_suspect = || {
                classification == Classification::Failure
                    || flight
                        .policy
                        .slow_from()
                        .is_some_and(|bound| latency >= bound)
            };
            let trace = flight.trace.filter(|_| is_watched || is_suspect());
            let decision = Decision {
                ending: Some((classification, ending.attribution)),
                timed_out: ending.timed_out,
                latency,
                waited,
                trace,
                ..Decision::rejected(flight.state)
            };
            (outcome.traced(trace), decision)
        });
        #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
        if decision.and_then(|decision| decision.classification()) == Some(Classification::Failure)
        {
            self.breaker.failed(kind);
        }
        decision
    }

    /// Does something with the permit, unless the outcome is known.
    fn with_permit<T>(
        &mut self,
        act: impl FnOnce(&mut Permit, &mut Reader, &BreakerHandle) -> T,
    ) -> Option<T> {
        let flight = self.flight.as_mut()?;
        let reader = &mut flight.reader;
        flight
            .permit
            .with(|permit| act(permit, reader, &self.breaker))
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
