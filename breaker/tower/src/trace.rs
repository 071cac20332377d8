//! The trace that a request belongs to, by its `traceparent`.

use breaker_core::TraceId;
use http::{HeaderMap, HeaderValue};

/// The `traceparent` of a request. It is read only if the request fails or is slow, which is when somebody wants to know its trace.
#[derive(Clone, Debug, Default)]
pub(crate) struct TraceParent(Option<HeaderValue>);

impl TraceParent {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self(headers.get("traceparent").cloned())
    }

    /// The trace id, where there is one and it is wanted.
    pub(crate) fn trace_id_if(&self, wanted: impl FnOnce() -> bool) -> Option<TraceId> {
        self.0.as_ref().filter(|_| wanted()).and_then(trace_id)
    }
}

/// The trace id of a `traceparent` (W3C Trace Context, section 3.2): `version "-" trace-id "-" …`, in lower-case hexadecimal digits.
fn trace_id(traceparent: &HeaderValue) -> Option<TraceId> {
    let bytes = traceparent.as_bytes();
    let [v, w, b'-', rest @ ..] = bytes else {
        return None;
    };
    let id = rest.get(..32).filter(|_| rest.get(32) == Some(&b'-'))?;
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if ![v, w].into_iter().chain(id).all(is_hex) || (*v, *w) == (b'f', b'f') {
        return None;
    }
    let id = std::str::from_utf8(id).ok()?;
    TraceId::new(u128::from_str_radix(id, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_is_read_from_a_valid_traceparent_only() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (traceparent, expected) in [
            (format!("00-{id}-00f067aa0ba902b7-01"), Some(id)),
            (format!("cc-{id}-00f067aa0ba902b7-01-more"), Some(id)),
            (format!("ff-{id}-00f067aa0ba902b7-01"), None),
            (
                format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase()),
                None,
            ),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), None),
            (format!("00-{id}"), None),
            (String::new(), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", traceparent.parse().unwrap());
            let read = TraceParent::of(&headers).trace_id_if(|| true);
            assert_eq!(
                read.map(|id| id.to_string()).as_deref(),
                expected,
                "{traceparent}"
            );
        }
    }
}
