//! The answers to rejected requests that no breaker on their way counts.

use std::fmt::Write as _;

use breaker_core::Rejected;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::grpc::{GRPC_MESSAGE, GRPC_PUSHBACK, GRPC_STATUS};
use crate::proxy_status;

/// Turns a [`Rejected`] into an answer.
///
/// Each answer is marked by `Proxy-Status` (RFC 9209), by which the breakers of all tiers before
/// this one see that no service has failed. A service that passes on the rejection of a call that
/// it made answers with one of these too.
pub trait RejectedExt: sealed::Sealed {
    /// An HTTP response with the policy's status (503 by default), `Retry-After`, `Proxy-Status`
    /// and the reason as text, or the policy's body.
    fn http_response<B: From<String>>(&self) -> Response<B>;

    /// What `Retry-After` says: the wait, rounded up to seconds.
    fn retry_after_seconds(&self) -> u64;

    /// The error of RFC 9209 in `Proxy-Status`: `connection_limit_reached` for what is shed, else
    /// `destination_unavailable`.
    fn proxy_error(&self) -> &'static str;

    /// A gRPC response without messages: `UNAVAILABLE`, the reason, `grpc-retry-pushback-ms` and
    /// `Proxy-Status`.
    fn grpc_response<B: Default>(&self) -> Response<B>;

    /// The status `UNAVAILABLE` with the reason, `grpc-retry-pushback-ms` and `Proxy-Status`.
    /// [`rejection`](crate::rejection) finds the [`Rejected`] in it.
    #[cfg(feature = "tonic")]
    fn grpc_status(&self) -> tonic::Status;
}

mod sealed {
    pub trait Sealed {}

    impl Sealed for breaker_core::Rejected {}
}

impl RejectedExt for Rejected {
    fn http_response<B: From<String>>(&self) -> Response<B> {
        let mut response = http_head(self);
        let media_type = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, media_type);
        let body = self.policy().reject().body.as_deref();
        response.map(|()| B::from(body.map_or_else(|| self.to_string(), str::to_owned)))
    }

    fn retry_after_seconds(&self) -> u64 {
        let wait = self.retry_after;
        wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
    }

    fn proxy_error(&self) -> &'static str {
        match self.shed {
            Some(_) => "connection_limit_reached",
            None => "destination_unavailable",
        }
    }

    fn grpc_response<B: Default>(&self) -> Response<B> {
        grpc(self).map(|()| B::default())
    }

    #[cfg(feature = "tonic")]
    fn grpc_status(&self) -> tonic::Status {
        let mut headers = HeaderMap::new();
        mark_call(self, &mut headers);
        let metadata = tonic::metadata::MetadataMap::from_headers(headers);
        let code = tonic::Code::Unavailable;
        let mut status = tonic::Status::with_metadata(code, self.to_string(), metadata);
        status.set_source(std::sync::Arc::new(self.clone()));
        status
    }
}

pub(crate) fn http_head(rejected: &Rejected) -> Response<()> {
    let mut response = Response::new(());
    // The policy's rules allow no other numbers than statuses.
    let status = StatusCode::from_u16(rejected.policy().reject().status);
    *response.status_mut() = status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, rejected.retry_after_seconds().into());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    proxy_status::mark(headers, rejected.proxy_error(), &rejected.to_string());
    response
}

pub(crate) fn grpc(rejected: &Rejected) -> Response<()> {
    let mut response = grpc_answer(UNAVAILABLE, &rejected.to_string());
    mark_call(rejected, response.headers_mut());
    response
}

/// The answer to a request that a service has not answered in time, which is its failure.
pub(crate) fn timed_out(is_grpc: bool) -> Response<()> {
    if is_grpc {
        return grpc_answer(DEADLINE_EXCEEDED, TIMED_OUT);
    }
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
    proxy_status::mark(response.headers_mut(), "http_response_timeout", TIMED_OUT);
    response
}

fn mark_call(rejected: &Rejected, headers: &mut HeaderMap) {
    let millis = u64::try_from(rejected.retry_after.as_millis()).unwrap_or(u64::MAX);
    headers.insert(GRPC_PUSHBACK, millis.into());
    proxy_status::mark(headers, rejected.proxy_error(), &rejected.to_string());
}

/// A gRPC answer that is a head alone (trailers-only), with the number of a status and a message.
pub fn grpc_answer(code: u16, message: &str) -> Response<()> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_STATUS, code.into());
    if let Ok(message) = HeaderValue::from_str(&percent_encoded(message)) {
        headers.insert(GRPC_MESSAGE, message);
    }
    response
}

/// `grpc-message` is percent-encoded (gRPC over HTTP/2, "Status-Message").
fn percent_encoded(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b'%' | ..b' ' | 0x7f.. => {
                let _ = write!(encoded, "%{byte:02X}");
            }
            _ => encoded.push(char::from(byte)),
        }
    }
    encoded
}

const TIMED_OUT: &str = "the service did not answer in time";
const DEADLINE_EXCEEDED: u16 = 4;
const UNAVAILABLE: u16 = 14;
