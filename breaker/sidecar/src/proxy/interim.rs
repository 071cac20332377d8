//! Interim responses (1xx) of an upstream on their way to the client (RFC 9110, 15.2).
//!
//! hyper gives those of an HTTP/1.1 upstream to a callback, and has no way to send any as a server.
//! So they are written as they are to the client's socket, before hyper writes the final response
//! to it. Neither end does HTTP/2: hyper's client drops what comes over it, and its server has no
//! call for it (h2 has one, which hyper does not hand out).

use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, Request, StatusCode};

use crate::message::framing;
use crate::message::headers;

/// Where hyper puts the interim responses to one request.
#[derive(Clone, Default)]
pub(crate) struct Interim(Arc<Mutex<Vec<(StatusCode, HeaderMap)>>>);

impl Interim {
    /// Listens for the interim responses to `request`.
    pub(crate) fn of<B>(request: &mut Request<B>) -> Self {
        let interim = Self::default();
        let into = interim.clone();
        hyper::ext::on_informational(request, move |response| {
            // 100 is between each two: it was not passed on that the client expects it.
            if response.status() > StatusCode::SWITCHING_PROTOCOLS {
                let mut waiting = into.0.lock().unwrap_or_else(PoisonError::into_inner);
                if waiting.len() < WAITING {
                    waiting.push((response.status(), response.headers().clone()));
                }
            }
        });
        interim
    }

    /// What came since, as it is written to a client.
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() {
            return None;
        }
        let mut written = Vec::new();
        for (status, mut headers) in waiting.drain(..) {
            headers::strip_response(&mut headers, false);
            framing::settle_length(status, &mut headers);
            let reason = status.canonical_reason().unwrap_or_default();
            written
                .extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
            for (name, value) in &headers {
                written.extend_from_slice(name.as_str().as_bytes());
                written.extend_from_slice(b": ");
                written.extend_from_slice(value.as_bytes());
                written.extend_from_slice(b"\r\n");
            }
            written.extend_from_slice(b"\r\n");
        }
        Some(written)
    }
}

/// Interim responses that are kept until they are taken; further ones are dropped, as they may be.
const WAITING: usize = 16;
