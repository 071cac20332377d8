//! What an answer says of the upstream: classification, apart from decision and admission.

use std::any::Any;
use std::time::Duration;

use breaker_core::Verdict;
use breaker_core::policy::{FailureRules, GrpcCode};
use http::{HeaderMap, HeaderName, StatusCode, header};

use crate::reject::is_rejection_error;

/// Tells success from failure.
pub trait Classify {
    /// Classifies the head of a response.
    fn head(&self, rules: &FailureRules, status: StatusCode, headers: &HeaderMap) -> Classified;

    /// Classifies the end of a body whose head was [`Classified::AtTrailers`].
    fn trailers(&self, rules: &FailureRules, trailers: Option<&HeaderMap>) -> Ending;

    /// Classifies an error of the inner service or of the response's body, which can be downcast to the type of error that it is, often a
    /// [`BoxError`](crate::BoxError). Unless the implementation knows better, it is a failure, but for the rejection of a breaker further in.
    fn error(&self, error: &dyn Any) -> Verdict {
        match is_rejection_error(error) {
            true => Verdict::Ignored,
            false => Verdict::Failure,
        }
    }
}

/// What the head of a response says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "implementations of Classify make it"
)]
pub enum Classified {
    /// How it will end, if the body ends well.
    Head(Ending),
    /// Nothing yet: the trailers will tell (gRPC).
    AtTrailers,
}

/// How a request ended, as far as its answer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "implementations of Classify make it"
)]
pub struct Ending {
    /// The verdict.
    pub verdict: Verdict,
    /// For how long the upstream asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// Classifies HTTP by status and gRPC by `grpc-status`, told apart by the response's content type, by the policy's rules.
///
/// A rejection by a breaker or a limit further in, marked by `Proxy-Status: …; error=destination_unavailable` or
/// `connection_limit_reached` (RFC 9209), is ignored.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "classifiers of users fall back on it"
)]
pub struct HttpClassifier;

impl Classify for HttpClassifier {
    fn head(&self, rules: &FailureRules, status: StatusCode, headers: &HeaderMap) -> Classified {
        if is_rejection(headers) {
            return Classified::Head(Verdict::Ignored.into());
        }
        if let Some(framing) = grpc_framing(headers) {
            return match headers.get(GRPC_STATUS) {
                // Trailers-only: the head is the end.
                Some(_) => Classified::Head(self.trailers(rules, Some(headers))),
                None if status == StatusCode::OK && framing == Framing::Http2 => {
                    Classified::AtTrailers
                }
                // With another HTTP status the answer comes from something between. gRPC-Web hides its trailers in the body.
                None => Classified::Head(rules.of_http(status.as_u16()).into()),
            };
        }
        Classified::Head(Ending {
            verdict: rules.of_http(status.as_u16()),
            retry_after: match status {
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                    retry_after(headers)
                }
                _ => None,
            },
        })
    }

    fn trailers(&self, rules: &FailureRules, trailers: Option<&HeaderMap>) -> Ending {
        // A status that is missing or unreadable is UNKNOWN: the stream was cut, or the server is broken.
        let code = trailers
            .and_then(|trailers| number(trailers, &GRPC_STATUS))
            .map_or(GrpcCode::UNKNOWN, GrpcCode::from_number);
        let pushback = trailers.and_then(|trailers| number(trailers, &GRPC_PUSHBACK));
        Ending {
            verdict: rules.of_grpc(code),
            retry_after: pushback.map(Duration::from_millis),
        }
    }
}

impl From<Verdict> for Ending {
    fn from(verdict: Verdict) -> Self {
        Self {
            verdict,
            retry_after: None,
        }
    }
}

/// Whether an intermediary refused the request because it holds its upstream for unavailable, or as busy as it may be.
fn is_rejection(headers: &HeaderMap) -> bool {
    let members = headers.get_all(PROXY_STATUS).into_iter();
    members
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .any(|parameter| {
            matches!(
                parameter.trim(),
                "error=destination_unavailable" | "error=connection_limit_reached"
            )
        })
}

/// Where a gRPC answer has its status.
#[derive(PartialEq, Eq)]
enum Framing {
    /// In the trailers.
    Http2,
    /// In the last message of the body.
    Web,
}

fn grpc_framing(headers: &HeaderMap) -> Option<Framing> {
    let content_type = headers.get(header::CONTENT_TYPE)?.as_bytes();
    let (prefix, rest) = content_type.split_at_checked(GRPC_CONTENT_TYPE.len())?;
    if !prefix.eq_ignore_ascii_case(GRPC_CONTENT_TYPE) {
        return None;
    }
    match rest.first() {
        None | Some(b'+' | b';') => Some(Framing::Http2),
        Some(b'-') => Some(Framing::Web),
        Some(_) => None,
    }
}

/// `Retry-After` in its form of seconds. The form of a date is not read: it needs the wall clocks of two machines to agree.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    number(headers, &header::RETRY_AFTER).map(Duration::from_secs)
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

const GRPC_CONTENT_TYPE: &[u8] = b"application/grpc";
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, headers: &[(&'static str, &'static str)]) -> Classified {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        HttpClassifier.head(
            &FailureRules::default(),
            StatusCode::from_u16(status).unwrap(),
            &map,
        )
    }

    fn verdict(verdict: Verdict) -> Classified {
        Classified::Head(verdict.into())
    }

    #[test]
    fn http_is_judged_by_its_status() {
        assert_eq!(head(200, &[]), verdict(Verdict::Success));
        assert_eq!(head(404, &[]), verdict(Verdict::Success));
        assert_eq!(head(500, &[]), verdict(Verdict::Failure));
    }

    #[test]
    fn grpc_is_judged_by_its_trailers_or_by_a_trailers_only_head() {
        let grpc = ("content-type", "application/grpc+proto");
        assert_eq!(head(200, &[grpc]), Classified::AtTrailers);
        assert_eq!(
            head(200, &[grpc, ("grpc-status", "14")]),
            verdict(Verdict::Failure)
        );
        assert_eq!(
            head(200, &[grpc, ("grpc-status", "5")]),
            verdict(Verdict::Success)
        );
        assert_eq!(head(502, &[grpc]), verdict(Verdict::Failure));
        let web = ("content-type", "application/grpc-web+proto");
        assert_eq!(head(200, &[web]), verdict(Verdict::Success));
        let missing = HttpClassifier.trailers(&FailureRules::default(), None);
        assert_eq!(missing.verdict, Verdict::Failure);
    }

    #[test]
    fn a_rejection_of_a_breaker_further_in_is_ignored() {
        let inner = (
            "proxy-status",
            "inner; error=destination_unavailable; details=\"open\"",
        );
        let busy = (
            "proxy-status",
            "inner; error=connection_limit_reached; details=\"shedding\"",
        );
        assert_eq!(head(503, &[inner]), verdict(Verdict::Ignored));
        assert_eq!(head(503, &[busy]), verdict(Verdict::Ignored));
        assert_eq!(
            head(503, &[("proxy-status", "cdn; error=dns_timeout")]),
            verdict(Verdict::Failure)
        );
    }

    #[test]
    fn retry_after_is_read_from_429_and_503_only() {
        let asked = |status| match head(status, &[("retry-after", "7")]) {
            Classified::Head(ending) => ending.retry_after,
            Classified::AtTrailers => None,
        };
        let seven = Some(Duration::from_secs(7));
        assert_eq!(
            [asked(429), asked(503), asked(200), asked(500)],
            [seven, seven, None, None]
        );
    }
}
