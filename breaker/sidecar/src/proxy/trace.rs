//! Spans of requests: begun at the front, ended when the request is over. While tracing is off
//! there is no [`Tracer`], and all of this is one branch.

use breaker_tower::{Decision, TraceContext};
use http::request::Parts;
use http::{HeaderName, HeaderValue};

use crate::message::record::Finished;

/// Makes the spans of one worker's requests; never shared between threads.
pub trait Tracer {
    /// Begins the span of a request from the address `client`. `parent` is what its `traceparent`
    /// says, if that is valid.
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
    /// Ends the span of a request that is over, with what its breaker made of it; `None` if it
    /// never came to one.
    fn end(self: Box<Self>, finished: &Finished<'_>, decision: Option<Decision>);
}

/// Begins the span of a request, and names it to the upstream as the parent.
pub(crate) fn begin(
    tracer: &dyn Tracer,
    request: &mut Parts,
    client: &HeaderValue,
) -> Option<Box<dyn Span>> {
    let parent = TraceContext::of(&request.headers);
    let (context, span) = tracer.begin(parent, request, client);
    if parent.is_none() {
        // It belongs to a trace that is not known.
        request.headers.remove(TRACESTATE);
    }
    context.write(&mut request.headers);
    span
}

/// Goes with `traceparent`, and without it says nothing.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
