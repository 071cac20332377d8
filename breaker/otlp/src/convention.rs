//! What a span or a point says about its request, by the semantic conventions, old and new.
//!
//! A status of the protocol is judged by the policy's failure rules, as in the proxy. A 404 is a
//! success of the service that answers it, although OpenTelemetry marks the client's span as an
//! error. Only without such a status do the span status and `error.type` decide. Recorded
//! exceptions are events of a span and no failures by themselves, because applications handle most
//! of them.
//!
//! A status that its protocol does not define, such as HTTP's 0 or 9999, is treated as absent. gRPC
//! is different: every unknown number is UNKNOWN.
//!
//! A caller that went away is no evidence about the service. So these are ignored, unless the
//! policy counts CANCELLED or 499 as failures: gRPC CANCELLED, the HTTP status 499 (nginx, Envoy),
//! Envoy's response flag DC and the error types [`CALLER_GONE`]. `_OTHER` is not among them: it is
//! any error for which the instrumentation has no name.
//!
//! Neither is a deadline that a caller chose. gRPC deadlines are always the caller's, in spans of
//! clients and of servers, and no span says how long the deadline was. So DEADLINE_EXCEEDED and the
//! error types [`CALLERS_DEADLINE`] are always ignored. Otherwise a client with deadlines of a
//! millisecond, or one that only pretends to have them, could open a breaker for others.

use std::fmt;

use breaker_core::Classification;
use breaker_core::policy::{FailureRules, GrpcCode};

pub use self::words::{CALLER_GONE, CALLERS_DEADLINE};
use crate::{Attributes, StatusCode, Value};

mod words;

/// What the attributes of a span or point say about the outcome of its request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Facts<'a> {
    http: Option<u16>,
    grpc: Option<GrpcCode>,
    error: Option<&'a str>,
    /// `error: true`, which came before OpenTelemetry and is still what Envoy and bridges of old
    /// tracers send.
    flagged: bool,
    /// Envoy's response flag DC: the downstream connection was closed. Where there is a status, the
    /// upstream had answered by then: Envoy has DC beside a 503 whose head made its caller close,
    /// as Python's urllib does.
    gone: bool,
}

impl<'a> Facts<'a> {
    /// Reads the attributes of a span or point once, for the policies of all feeds. If an attribute
    /// has several names, the newest one counts.
    pub fn of(attributes: Attributes<'a>) -> Self {
        let (mut facts, mut old_http, mut exception) = (Self::default(), None, None);
        for (name, value) in attributes.iter() {
            match name {
                "http.response.status_code" => facts.http = http(value),
                "http.status_code" => old_http = http(value),
                "rpc.response.status_code" => facts.grpc = rpc(value).or(facts.grpc),
                // The last one is Envoy's.
                "rpc.grpc.status_code" | "grpc.status_code" => {
                    facts.grpc = facts.grpc.or(grpc(value));
                }
                "error.type" => facts.error = text(value),
                "exception.type" => exception = text(value),
                "response_flags" => facts.gone = text(value).is_some_and(has_dc),
                "error" => facts.flagged = matches!(value, Value::Bool(true) | Value::Str("true")),
                _ => {}
            }
        }
        facts.http = facts.http.or(old_http);
        facts.error = facts.error.or(exception);
        facts
    }

    /// The classification by `rules`, with the status of the span. Points have no status, which is
    /// [`StatusCode::Unset`].
    pub fn classification(&self, status: StatusCode, rules: &FailureRules) -> Classification {
        // gRPC goes by HTTP, with a status of 200 whatever happened.
        if let Some(code) = self.grpc {
            return of_grpc(code, rules);
        }
        if let Some(status) = self.http {
            return of_http(status, rules);
        }
        if self.gone {
            return of_grpc(CANCELLED, rules);
        }
        match (status, self.error) {
            // "Analysis tools SHOULD respond to an Ok status by suppressing any errors they would
            // otherwise generate."
            (StatusCode::Ok, _) => Classification::Success,
            (_, Some(error)) => of_error(error, rules),
            (StatusCode::Error, None) => Classification::Failure,
            (_, None) if self.flagged => Classification::Failure,
            (_, None) => Classification::Success,
        }
    }

    /// How it failed, if [`Self::classification`] says that it did: what that went by.
    pub const fn failed(&self) -> Failed<'a> {
        match (self.grpc, self.http, self.gone, self.error) {
            (Some(code), ..) => Failed::Grpc(code),
            (_, Some(status), ..) => Failed::Http(status),
            (.., true, _) => Failed::Grpc(CANCELLED),
            (.., Some(error)) => Failed::Error(error),
            _ => Failed::Other,
        }
    }
}

/// How a request failed, of which [`Facts::classification`] says that it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failed<'a> {
    /// By its gRPC status.
    Grpc(GrpcCode),
    /// By its HTTP status.
    Http(u16),
    /// By an error that the instrumentation named.
    Error(&'a str),
    /// Nothing says how.
    Other,
}

/// As `error.type` of the conventions has it.
impl fmt::Display for Failed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grpc(code) => f.write_str(code.name()),
            Self::Http(status) => write!(f, "{status}"),
            Self::Error(error) => f.write_str(error),
            Self::Other => f.write_str("_OTHER"),
        }
    }
}

fn of_grpc(code: GrpcCode, rules: &FailureRules) -> Classification {
    match rules.of_grpc(code) {
        _ if code == GrpcCode::DEADLINE_EXCEEDED => Classification::Ignored,
        Classification::Success if code == CANCELLED => Classification::Ignored,
        classification => classification,
    }
}

fn of_http(status: u16, rules: &FailureRules) -> Classification {
    match (status, rules.of_http(status)) {
        (CLIENT_CLOSED_REQUEST, Classification::Success) => Classification::Ignored,
        (_, classification) => classification,
    }
}

/// The conventions let `error.type` be a status of the protocol, and views may leave only it on a
/// point.
fn of_error(error: &str, rules: &FailureRules) -> Classification {
    if let Some(status) = status(error) {
        return of_http(status, rules);
    }
    if let Ok(code) = error.parse() {
        return of_grpc(code, rules);
    }
    if words::is_caller_gone(error) {
        return of_grpc(CANCELLED, rules);
    }
    if words::is_callers_deadline(error) {
        return of_grpc(GrpcCode::DEADLINE_EXCEEDED, rules);
    }
    Classification::Failure
}

/// Envoy's status 0 is none: it stands for a refused connection and a time-out as well as for a
/// caller that went away.
fn http(value: Value<'_>) -> Option<u16> {
    let status = match value {
        Value::Int(number) => u16::try_from(number).ok(),
        Value::Str(text) => return status(text),
        _ => None,
    };
    status.filter(|status| (100..=599).contains(status))
}

/// An HTTP status in digits.
fn status(text: &str) -> Option<u16> {
    let is_plain = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    let status = is_plain.then(|| text.parse().ok()).flatten();
    status.filter(|status| (100..=599).contains(status))
}

/// A gRPC code by number or name; what is neither is UNKNOWN, as the gRPC specification says.
fn grpc(value: Value<'_>) -> Option<GrpcCode> {
    match value {
        Value::Other => None,
        value => Some(rpc(value).unwrap_or(GrpcCode::UNKNOWN)),
    }
}

/// The status of any RPC system: a gRPC code if it is one, in capitals or as Connect writes it.
/// Those of other systems (JSON-RPC, Dubbo) say nothing here; their spans have `error.type`.
fn rpc(value: Value<'_>) -> Option<GrpcCode> {
    let number = match value {
        Value::Int(number) => u64::try_from(number).ok(),
        Value::Str(text) => match text.parse() {
            Ok(number) => Some(number),
            Err(_) => return code(text),
        },
        _ => None,
    };
    let number = number.filter(|number| *number <= 16);
    number.map(GrpcCode::from_number)
}

fn code(name: &str) -> Option<GrpcCode> {
    let mut codes = (0..=16).map(GrpcCode::from_number);
    match name {
        "canceled" => Some(CANCELLED),
        name => codes.find(|code| code.name().eq_ignore_ascii_case(name)),
    }
}

fn has_dc(flags: &str) -> bool {
    flags.split(',').any(|flag| flag == "DC")
}

fn text(value: Value<'_>) -> Option<&str> {
    match value {
        Value::Str("") => None,
        Value::Str(text) => Some(text),
        _ => None,
    }
}

const CANCELLED: GrpcCode = GrpcCode::from_number(1);
/// The caller closed the connection before there was an answer.
const CLIENT_CLOSED_REQUEST: u16 = 499;

#[cfg(test)]
mod tests;
