//! Spans of requests: begun at the front, ended when the request is over. While tracing is off there is no [`Tracer`], and all of this is
//! one branch.

use breaker_tower::BreakerHandle;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response};

use super::error::ProxyError;
use super::judging::{Decision, Judging};
use super::record::Finished;
use super::trace_context::{TRACESTATE, TraceContext};

/// Makes the spans of one worker's requests; never shared between threads.
pub trait Tracer {
    /// Begins the span of a request from the address `client`. `parent` is what its `traceparent` says, if that is valid.
    ///
    /// Returns what the upstream is told, and the span, unless the trace is not recorded.
    fn begin(
        &self,
        parent: Option<TraceContext>,
        request: &Parts,
        client: &HeaderValue,
    ) -> (TraceContext, Option<Box<dyn Span>>);
}

/// The span of a request under way.
pub trait Span {
    /// Ends the span of a request that is over, with what its breaker made of it; `None` if it never came to one.
    fn end(self: Box<Self>, finished: &Finished<'_>, decision: Option<Decision>);
}

/// A request that has a span.
pub(crate) struct Traced {
    span: Box<dyn Span>,
    judging: Option<Judging>,
}

// === impl Traced ===

impl Traced {
    /// Begins the span of a request, and names it to the upstream as the parent.
    pub(crate) fn begin(
        tracer: &dyn Tracer,
        request: &mut Parts,
        client: &HeaderValue,
    ) -> Option<Box<Self>> {
        let parent = TraceContext::of(&request.headers);
        let (context, span) = tracer.begin(parent, request, client);
        if parent.is_none() {
            // It belongs to a trace that is not known.
            request.headers.remove(TRACESTATE);
        }
        context.write(&mut request.headers);
        span.map(|span| {
            Box::new(Self {
                span,
                judging: None,
            })
        })
    }

    /// The request has come to its breaker.
    pub(crate) fn came_to(&mut self, breaker: &BreakerHandle) {
        self.judging = Some(Judging::of(breaker));
    }

    /// The head of the answer is there, and with `is_complete` all of it.
    pub(crate) fn answered<B>(
        &mut self,
        method: &Method,
        response: &Response<B>,
        is_complete: bool,
    ) {
        if let Some(judging) = &mut self.judging {
            judging.answered(method, response, is_complete);
        }
    }

    /// The answer is complete.
    pub(crate) fn ended(&mut self, trailers: Option<&HeaderMap>) {
        if let Some(judging) = &mut self.judging {
            judging.ended(trailers);
        }
    }

    /// The request failed on the way.
    pub(crate) fn failed(&mut self, error: &ProxyError) {
        if let Some(judging) = &mut self.judging {
            judging.failed(error);
        }
    }

    pub(crate) fn end(self, finished: &Finished<'_>) {
        let decision = self.judging.as_ref().map(Judging::decision);
        self.span.end(finished, decision);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    use breaker_tower::core::Verdict;
    use breaker_tower::{Policy, State};
    use http::{StatusCode, Version};

    use super::*;
    use crate::proxy::error::ErrorKind;

    struct Kept(Rc<Cell<Option<Decision>>>);

    impl Span for Kept {
        fn end(self: Box<Self>, _: &Finished<'_>, decision: Option<Decision>) {
            self.0.set(decision);
        }
    }

    /// What a span is told of a request that went as `act` says.
    fn decision(act: impl FnOnce(&mut Traced)) -> Decision {
        let kept = Rc::new(Cell::new(None));
        let mut traced = Traced {
            span: Box::new(Kept(kept.clone())),
            judging: None,
        };
        traced.came_to(&BreakerHandle::with_seed("pay", Policy::sensitive(), 1));
        act(&mut traced);
        traced.end(&Finished {
            route: Some(0),
            method: &Method::GET,
            version: Version::HTTP_2,
            status: None,
            duration: Duration::ZERO,
            error: None,
        });
        kept.get().unwrap()
    }

    fn verdict(act: impl FnOnce(&mut Traced)) -> Verdict {
        decision(act).verdict.expect("not rejected")
    }

    fn response(status: u16, headers: &[(&'static str, &'static str)]) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            response
                .headers_mut()
                .insert(*name, HeaderValue::from_static(value));
        }
        response
    }

    #[test]
    fn a_request_is_judged_by_its_head_when_its_body_ended_well() {
        for (status, expected) in [
            (200, Verdict::Success),
            (404, Verdict::Success),
            (500, Verdict::Failure),
        ] {
            let answer = response(status, &[]);
            let whole = verdict(|traced| traced.answered(&Method::GET, &answer, true));
            let streamed = verdict(|traced| {
                traced.answered(&Method::GET, &answer, false);
                traced.ended(None);
            });
            let head = verdict(|traced| traced.answered(&Method::HEAD, &answer, false));
            assert_eq!([whole, streamed, head], [expected; 3], "{status}");
        }
    }

    #[test]
    fn a_grpc_call_is_judged_by_its_trailers() {
        let answer = response(200, &[("content-type", "application/grpc")]);
        for (code, expected) in [("0", Verdict::Success), ("14", Verdict::Failure)] {
            let trailers = HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                HeaderValue::from_static(code),
            )]);
            let verdict = verdict(|traced| {
                traced.answered(&Method::POST, &answer, false);
                traced.ended(Some(&trailers));
                traced.ended(None);
            });
            assert_eq!(verdict, expected, "{code}");
        }
    }

    #[test]
    fn an_error_is_judged_by_whose_fault_it_is_and_a_caller_that_goes_is_ignored() {
        let good = response(200, &[]);
        let bad = response(500, &[]);
        let refused = ErrorKind::ConnectRefused.into();
        let cut = ErrorKind::ResponseIncomplete.into();
        let gone = ErrorKind::ClientGone.into();
        let answered = |traced: &mut Traced| traced.answered(&Method::GET, &good, false);
        assert_eq!(verdict(|traced| traced.failed(&refused)), Verdict::Failure);
        assert_eq!(verdict(|traced| traced.failed(&gone)), Verdict::Ignored);
        let cut_off = verdict(|traced| {
            answered(traced);
            traced.failed(&cut);
        });
        assert_eq!(cut_off, Verdict::Failure);
        assert_eq!(verdict(answered), Verdict::Ignored);
        assert_eq!(verdict(|_| {}), Verdict::Ignored);
        let failed_head = verdict(|traced| traced.answered(&Method::GET, &bad, false));
        assert_eq!(failed_head, Verdict::Failure);
    }

    #[test]
    fn a_rejection_tells_the_state_that_rejected() {
        let breaker = BreakerHandle::with_seed("pay", Policy::sensitive(), 1);
        breaker.force(breaker_tower::Mode::ForcedOpen);
        let mut answer = response(503, &[]);
        answer
            .extensions_mut()
            .insert(breaker.try_acquire().unwrap_err());
        let rejected = decision(|traced| traced.answered(&Method::GET, &answer, true));
        let expected = Decision {
            state: State::Open,
            verdict: None,
        };
        assert_eq!(rejected, expected);
    }
}
