//! The trace that a request belongs to.

use breaker_core::TraceId;
use http::{HeaderMap, HeaderValue};

use crate::trace_context::{TraceContext, only_value};

/// The `traceparent` of a request. It is read only if somebody wants to know the trace: when the
/// request fails or is slow, or is observed.
#[derive(Clone, Debug, Default)]
pub(crate) struct TraceParent(Option<HeaderValue>);

impl TraceParent {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self(only_value(headers).cloned())
    }

    /// The trace id, where there is one and it is wanted.
    pub(crate) fn trace_id_if(&self, wanted: impl FnOnce() -> bool) -> Option<TraceId> {
        let value = self.0.as_ref().filter(|_| wanted())?;
        TraceId::new(TraceContext::parse(value.as_bytes())?.trace_id)
    }
}
