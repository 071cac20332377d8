//! Answers to senders: nobody else makes one.
//!
//! | refusal | OTLP/HTTP | OTLP/gRPC |
//! |---|---|---|
//! | overload | 429 + `Retry-After` | `UNAVAILABLE` + `RetryInfo` |
//! | too large | 413 | `RESOURCE_EXHAUSTED` without `RetryInfo`: not to be sent again |
//! | malformed | 400 | `INVALID_ARGUMENT` |
//! | slow, cut off | 408, 400 | `DEADLINE_EXCEEDED`, `CANCELLED` |
//! | another compression | 415 + `Accept-Encoding` | `UNIMPLEMENTED` + `grpc-accept-encoding` |
//! | another host's name, a page that may not | 421, 403 | by HTTP |
//! | another path, method, media type | 404, 405, 415 | `UNIMPLEMENTED` for a path; the rest by HTTP |
//!
//! Errors have a `google.rpc.Status` as their body over HTTP, in the sender's encoding.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::time::Duration;

use bytes::{BufMut, Bytes};
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::combinators::WithTrailers;
use http_body_util::{BodyExt, Either, Full};
use prost::Message;
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::batch::{Accepted, Encoding, PREFIX, Signal};
use super::refusal::Refusal;

/// How a sender wants to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Grpc,
    Http(Encoding),
}

pub(super) type Body = Either<Full<Bytes>, Trailed>;
type Trailed = WithTrailers<Full<Bytes>, Ready<Option<Result<HeaderMap, Infallible>>>>;

/// `ExportTraceServiceResponse`, and those of the other signals, whose fields have the same
/// numbers.
#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// The answer to a batch that was taken.
pub(super) fn accepted(dialect: Dialect, signal: Signal, accepted: Accepted) -> Response<Body> {
    let partial_success =
        (accepted.rejected != 0 || !accepted.message.is_empty()).then_some(PartialSuccess {
            rejected: accepted.rejected,
            error_message: accepted.message,
        });
    let response = ExportResponse { partial_success };
    match dialect {
        Dialect::Grpc => grpc(&response),
        Dialect::Http(Encoding::Protobuf) => {
            http(StatusCode::OK, Encoding::Protobuf, response.encode_to_vec())
        }
        Dialect::Http(Encoding::Json) => {
            http(StatusCode::OK, Encoding::Json, json(signal, &response))
        }
    }
}

/// The answer to a browser that asks what a page may send.
pub(super) fn asked() -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::default()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// The answer to what is refused.
pub(super) fn refused(dialect: Dialect, refusal: &Refusal) -> Response<Body> {
    let status = status(refusal);
    let mut response = match dialect {
        // What is wrong with HTTP is told by HTTP.
        Dialect::Grpc if by_http(refusal) => {
            let mut response = Response::new(Either::Left(Full::default()));
            *response.status_mut() = http_status(refusal);
            response
        }
        Dialect::Grpc => status.into_http::<Full<Bytes>>().map(Either::Left),
        Dialect::Http(encoding) => http(
            http_status(refusal),
            encoding,
            error_body(&status, refusal, encoding),
        ),
    };
    let fields = response.headers_mut();
    match (refusal, dialect) {
        (Refusal::Overloaded { retry }, Dialect::Http(_)) => {
            fields.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(*retry)));
        }
        (Refusal::UnknownCoding, Dialect::Http(_)) => {
            fields.insert(
                ACCEPT_ENCODING,
                HeaderValue::from_static("gzip, deflate, zstd"),
            );
        }
        (Refusal::UnknownCoding, Dialect::Grpc) => {
            fields.insert(GRPC_ACCEPT_ENCODING, ACCEPTED_BY_GRPC);
        }
        (Refusal::NotPost, _) => {
            fields.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        _ => {}
    }
    response
}

fn grpc(message: &ExportResponse) -> Response<Body> {
    let length = message.encoded_len();
    let mut frame = Vec::with_capacity(PREFIX + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).expect("a message of a few words is short"));
    frame.extend(message.encode_to_vec());
    let mut trailers = HeaderMap::new();
    trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(frame)).with_trailers(ready(Some(Ok(trailers))));
    let mut response = Response::new(Either::Right(body));
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    fields.insert(GRPC_ACCEPT_ENCODING, ACCEPTED_BY_GRPC);
    response
}

fn http(status: StatusCode, encoding: Encoding, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::from(body)));
    *response.status_mut() = status;
    let media_type = match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    };
    let media_type = HeaderValue::from_static(media_type);
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

fn json(signal: Signal, response: &ExportResponse) -> Vec<u8> {
    let Some(partial) = &response.partial_success else {
        return b"{}".to_vec();
    };
    let rejected = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Metrics => "rejectedDataPoints",
        Signal::Logs => "rejectedLogRecords",
    };
    // Protobuf's JSON has whole numbers of 64 bits as texts.
    let partial = json!({
        rejected: partial.rejected.to_string(),
        "errorMessage": partial.error_message,
    });
    json!({ "partialSuccess": partial }).to_string().into()
}

fn error_body(status: &Status, refusal: &Refusal, encoding: Encoding) -> Vec<u8> {
    if encoding == Encoding::Protobuf {
        // The details of a status are the whole message, code and text included.
        return status.details().to_vec();
    }
    let mut body = json!({ "code": i32::from(status.code()), "message": status.message() });
    if let Refusal::Overloaded { retry } = refusal {
        body["details"] = json!([{
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": format!("{:.3}s", retry.as_secs_f64()),
        }]);
    }
    body.to_string().into()
}

fn status(refusal: &Refusal) -> Status {
    let details = match refusal {
        Refusal::Overloaded { retry } => ErrorDetails::with_retry_info(Some(*retry)),
        _ => ErrorDetails::new(),
    };
    let code = match refusal {
        Refusal::Overloaded { .. } => Code::Unavailable,
        Refusal::TooLarge { .. } => Code::ResourceExhausted,
        Refusal::Malformed(_) | Refusal::UnknownType => Code::InvalidArgument,
        Refusal::Slow => Code::DeadlineExceeded,
        Refusal::Cut => Code::Cancelled,
        Refusal::UnknownPath => Code::NotFound,
        Refusal::UnknownCoding | Refusal::UnknownMethod | Refusal::NotPost | Refusal::NotHttp2 => {
            Code::Unimplemented
        }
        Refusal::ForeignHost | Refusal::ForeignOrigin => Code::PermissionDenied,
        Refusal::Internal => Code::Internal,
    };
    Status::with_error_details(code, refusal.to_string(), details)
}

const fn http_status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Overloaded { .. } => StatusCode::TOO_MANY_REQUESTS,
        Refusal::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Malformed(_) | Refusal::Cut => StatusCode::BAD_REQUEST,
        Refusal::Slow => StatusCode::REQUEST_TIMEOUT,
        Refusal::UnknownCoding | Refusal::UnknownType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Refusal::UnknownMethod | Refusal::UnknownPath => StatusCode::NOT_FOUND,
        Refusal::NotPost => StatusCode::METHOD_NOT_ALLOWED,
        Refusal::NotHttp2 => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        Refusal::ForeignHost => StatusCode::MISDIRECTED_REQUEST,
        Refusal::ForeignOrigin => StatusCode::FORBIDDEN,
        Refusal::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

const fn by_http(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::UnknownType
            | Refusal::NotPost
            | Refusal::NotHttp2
            | Refusal::ForeignHost
            | Refusal::ForeignOrigin
    )
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const ACCEPTED_BY_GRPC: HeaderValue = HeaderValue::from_static("identity,deflate,gzip,zstd");
