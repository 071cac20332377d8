//! Every response that the proxy itself makes, for HTTP and for gRPC callers; nobody else makes
//! one.
//!
//! HTTP callers get a status, RFC 9209's `Proxy-Status` and RFC 9457's problem document; gRPC
//! callers get a trailers-only response, which is HTTP 200 with the gRPC status in the head.

use breaker_tower::{Rejected, RejectedExt, grpc_answer, proxy_status};
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use serde::{Serialize, Serializer};

use super::body::ResponseBody;
use super::fallback::FixedAnswer;
use super::route::Unrouted;
use crate::message::error::{ErrorKind, ProxyError};
use crate::message::headers::{Fields, PROXY_STATUS};

/// How a caller wants its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As HTTP.
    Http(Version),
    /// As gRPC.
    Grpc,
}

/// RFC 9457, with members of our own for rejections.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    title: &'a str,
    #[serde(serialize_with = "as_number")]
    status: StatusCode,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    breaker: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

impl<'a> Problem<'a> {
    fn new(status: StatusCode, detail: &'a str) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status,
            detail,
            breaker: None,
            state: None,
            reason: None,
            retry_after: None,
        }
    }
}

impl Form {
    pub(crate) fn of(fields: Fields, version: Version) -> Self {
        if fields.has(Fields::GRPC) {
            Self::Grpc
        } else {
            Self::Http(version)
        }
    }
}

/// Answers a request that breaks a rule; the connection is closed, since its next bytes cannot be
/// trusted.
pub(crate) fn refused(form: Form, status: StatusCode, detail: &str) -> Response<ResponseBody> {
    let error = (status == StatusCode::LOOP_DETECTED).then_some("proxy_loop_detected");
    let mut response = plain(form, status, detail, error);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let methods = HeaderValue::from_static(METHODS);
        response.headers_mut().insert(ALLOW, methods);
    }
    close(form, &mut response);
    response
}

/// Answers OPTIONS that goes no farther than here.
pub(crate) fn options() -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::local(""));
    let methods = HeaderValue::from_static(METHODS);
    response.headers_mut().insert(ALLOW, methods);
    response
}

/// Answers a request that no route is for.
pub(crate) fn unrouted(form: Form, why: &Unrouted) -> Response<ResponseBody> {
    match why {
        Unrouted::NotFound => plain(
            form,
            StatusCode::NOT_FOUND,
            "no route for this request",
            Some("destination_not_found"),
        ),
        Unrouted::Method(methods) => {
            let mut response = plain(
                form,
                StatusCode::METHOD_NOT_ALLOWED,
                "no route for this method",
                None,
            );
            let methods: Vec<_> = methods.iter().map(Method::as_str).collect();
            if let Ok(allow) = HeaderValue::from_str(&methods.join(", ")) {
                response.headers_mut().insert(ALLOW, allow);
            }
            response
        }
    }
}

/// Answers a request that failed on the way.
pub(crate) fn failed(form: Form, error: &ProxyError) -> Response<ResponseBody> {
    let kind = error.kind();
    let mut response = plain(
        form,
        status_of(kind),
        &kind.to_string(),
        Some(kind.proxy_status()),
    );
    if let Some(alert) = error.alert() {
        mark_alert(response.headers_mut(), alert);
    }
    if kind.spoils_connection() {
        close(form, &mut response);
    }
    response
}

/// Answers a request above a route's limit of requests in flight.
pub(crate) fn busy(form: Form) -> Response<ResponseBody> {
    let mut response = plain(
        form,
        StatusCode::TOO_MANY_REQUESTS,
        "too many requests in flight",
        Some("connection_limit_reached"),
    );
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Answers a request that the breaker called `breaker` rejects.
pub(crate) fn rejected(form: Form, breaker: &str, rejected: &Rejected) -> Response<ResponseBody> {
    let response = match form {
        Form::Grpc => rejected_call(breaker, rejected),
        Form::Http(_) => rejected_request(breaker, rejected, None),
    };
    response.map(ResponseBody::local)
}

/// The same, where the upstream called `fallback` was asked in vain.
pub(crate) fn rejected_twice(
    form: Form,
    breaker: &str,
    rejected: &Rejected,
    fallback: &str,
    reason: &str,
) -> Response<ResponseBody> {
    let detail = format!(
        "{}; fallback {fallback}: {reason}",
        detail(breaker, rejected)
    );
    let response = match form {
        Form::Grpc => call(rejected, &detail),
        Form::Http(_) => request(breaker, rejected, None, &detail),
    };
    response.map(ResponseBody::local)
}

/// The answer that takes the place of a rejection.
pub(crate) fn fixed(answer: &FixedAnswer, rejected: &Rejected) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::local(answer.body.clone()));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    if let Some(content_type) = &answer.content_type {
        headers.insert(CONTENT_TYPE, content_type.clone());
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let asks_to_wait = answer.status.is_server_error();
    if asks_to_wait || answer.status == StatusCode::TOO_MANY_REQUESTS {
        headers.insert(
            RETRY_AFTER,
            HeaderValue::from(rejected.retry_after_seconds()),
        );
    }
    mark(headers, rejected.proxy_error(), "answered by fallback");
    response
}

/// Notes that the upstream called `name` has answered in the place of a rejection.
pub(crate) fn fell_back(headers: &mut HeaderMap, name: &str, rejected: &Rejected) {
    let details = format!("answered by fallback {name}");
    if let Some(value) = proxy_status(rejected.proxy_error(), &details) {
        headers.append(PROXY_STATUS, value);
    }
}

/// The answer to a rejected HTTP request, with the policy's status or with `status`.
pub(crate) fn rejected_request(
    breaker: &str,
    rejected: &Rejected,
    status: Option<StatusCode>,
) -> Response<Bytes> {
    request(breaker, rejected, status, &detail(breaker, rejected))
}

fn request(
    breaker: &str,
    rejected: &Rejected,
    status: Option<StatusCode>,
    detail: &str,
) -> Response<Bytes> {
    let seconds = rejected.retry_after_seconds();
    let reject = rejected.policy().reject();
    // The policy's rules allow no other numbers than statuses.
    let status = status
        .or_else(|| StatusCode::from_u16(reject.status).ok())
        .unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let mut response = problem(&Problem {
        breaker: Some(breaker),
        state: Some(rejected.state.name()),
        reason: Some(rejected.cause().label()),
        retry_after: Some(seconds),
        ..Problem::new(status, detail)
    });
    if let Some(body) = &reject.body {
        *response.body_mut() = body.clone().into();
        let media_type = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, media_type);
    }
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    mark(headers, rejected.proxy_error(), detail);
    response
}

/// The answer to a rejected gRPC call.
pub(crate) fn rejected_call(breaker: &str, rejected: &Rejected) -> Response<Bytes> {
    call(rejected, &detail(breaker, rejected))
}

fn call(rejected: &Rejected, detail: &str) -> Response<Bytes> {
    let mut response = grpc(UNAVAILABLE, detail);
    let millis = u64::try_from(rejected.retry_after.as_millis()).unwrap_or(u64::MAX);
    let headers = response.headers_mut();
    headers.insert(GRPC_RETRY_PUSHBACK, HeaderValue::from(millis));
    mark(headers, rejected.proxy_error(), detail);
    response
}

/// Why a request is rejected, as a sentence.
pub(crate) fn detail(breaker: &str, rejected: &Rejected) -> String {
    let (state, cause) = (rejected.state, rejected.cause());
    format!("breaker {breaker} is {state}: {cause}")
}

/// What is written to a client whose header section does not arrive; there is no request to answer
/// yet.
pub(crate) const REQUEST_TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

fn plain(
    form: Form,
    status: StatusCode,
    detail: &str,
    error: Option<&str>,
) -> Response<ResponseBody> {
    let mut response = match form {
        Form::Grpc => grpc(grpc_code(status), detail),
        Form::Http(_) => problem(&Problem::new(status, detail)),
    };
    if let Some(error) = error {
        mark(response.headers_mut(), error, detail);
    }
    response.map(ResponseBody::local)
}

fn as_number<S: Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

fn problem(problem: &Problem<'_>) -> Response<Bytes> {
    let document = serde_json::to_vec(problem).unwrap_or_default();
    let mut response = Response::new(document.into());
    *response.status_mut() = problem.status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    response
}

fn grpc(code: u16, message: &str) -> Response<Bytes> {
    grpc_answer(code, message).map(|()| Bytes::new())
}

fn mark(headers: &mut HeaderMap, error: &str, details: &str) {
    if let Some(value) = proxy_status(error, details) {
        headers.insert(PROXY_STATUS, value);
    }
}

/// Adds the number of an alert of TLS to the error (RFC 9209, section 2.3.15).
fn mark_alert(headers: &mut HeaderMap, alert: u8) {
    if let Some(status) = headers.get_mut(PROXY_STATUS) {
        let told = [status.as_bytes(), format!("; alert-id={alert}").as_bytes()].concat();
        if let Ok(told) = HeaderValue::from_bytes(&told) {
            *status = told;
        }
    }
}

fn close(form: Form, response: &mut Response<ResponseBody>) {
    if matches!(form, Form::Http(version) if version < Version::HTTP_2) {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

const fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::ClientGone | ErrorKind::RequestBodyMalformed => StatusCode::BAD_REQUEST,
        ErrorKind::RequestBodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::RequestHeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ErrorKind::RequestBodyTimeout => StatusCode::REQUEST_TIMEOUT,
        ErrorKind::ConnectTimeout
        | ErrorKind::ResolveTimeout
        | ErrorKind::ResponseTimeout
        | ErrorKind::DeadlineExceeded
        | ErrorKind::ResponseBodyTimeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Refused | ErrorKind::NoStream | ErrorKind::NoIdentity => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_GATEWAY,
    }
}

/// The gRPC status for an HTTP one, as gRPC itself maps them, and finer where we know more.
fn grpc_code(status: StatusCode) -> u16 {
    match status {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => UNIMPLEMENTED,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            RESOURCE_EXHAUSTED
        }
        StatusCode::GATEWAY_TIMEOUT | StatusCode::REQUEST_TIMEOUT => DEADLINE_EXCEEDED,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE => UNAVAILABLE,
        _ => INTERNAL,
    }
}

/// The methods that are forwarded, where no route says which.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(crate) const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_RETRY_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

const DEADLINE_EXCEEDED: u16 = 4;
const RESOURCE_EXHAUSTED: u16 = 8;
const UNIMPLEMENTED: u16 = 12;
const INTERNAL: u16 = 13;
pub(crate) const UNAVAILABLE: u16 = 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_status_that_fits() {
        for (kind, status, error) in [
            (ErrorKind::ConnectRefused, 502, "connection_refused"),
            (ErrorKind::ConnectTimeout, 504, "connection_timeout"),
            (ErrorKind::Resolve, 502, "dns_error"),
            (ErrorKind::ResolveTimeout, 504, "dns_timeout"),
            (ErrorKind::ResponseTimeout, 504, "http_response_timeout"),
            (ErrorKind::Terminated, 502, "connection_terminated"),
            (ErrorKind::Unreceived, 502, "connection_terminated"),
            (ErrorKind::Refused, 503, "connection_terminated"),
            (ErrorKind::NoStream, 503, "connection_limit_reached"),
            (ErrorKind::RequestBodyTooLarge, 413, "http_request_denied"),
        ] {
            let response = failed(Form::Http(Version::HTTP_2), &kind.into());
            assert_eq!(response.status(), status);
            let details = response.headers()["proxy-status"].to_str().unwrap();
            assert!(
                details.starts_with(&format!("breaker; error={error}; details=")),
                "{details}"
            );
            assert!(!response.headers().contains_key("connection"));
        }
    }

    #[test]
    fn details_cannot_break_out_of_their_quotes() {
        let mut response = grpc(UNAVAILABLE, "");
        mark(response.headers_mut(), "x", "a\"b\\c\r\nd");
        assert_eq!(
            response.headers()["proxy-status"],
            "breaker; error=x; details=\"a\\\"b\\\\c??d\""
        );
        let response = grpc(UNAVAILABLE, "50 %\n");
        assert_eq!(response.headers()[GRPC_MESSAGE], "50 %25%0A");
    }
}
