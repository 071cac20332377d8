//! What an answer says of the upstream: classification, apart from decision and admission.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use breaker_core::policy::{FailureRules, GrpcCode};
use breaker_core::{Attribution, Classification};
use http::{Extensions, HeaderMap, HeaderName, StatusCode, header};

use crate::blame::{self, Blame};
use crate::grpc::{self, Framing, GRPC_PUSHBACK};
use crate::proxy_status;

/// Distinguishes success from failure.
pub trait Classify {
    /// Classifies the head of a response.
    fn head(&self, rules: &FailureRules, status: StatusCode, headers: &HeaderMap) -> Classified;

    /// Classifies a response with what the inner service has attached to it; by default as
    /// [`Self::head`] does.
    fn response(
        &self,
        rules: &FailureRules,
        status: StatusCode,
        headers: &HeaderMap,
        _extensions: &Extensions,
    ) -> Classified {
        self.head(rules, status, headers)
    }

    /// Classifies the end of a body whose head was [`Classified::AtTrailers`].
    fn trailers(&self, rules: &FailureRules, trailers: Option<&HeaderMap>) -> Ending;

    /// Classifies an error of the inner service or of the response's body. The error can be
    /// downcast to its type, often a [`BoxError`](crate::BoxError). By default it is
    /// [`Ending::of_error`].
    fn error(&self, error: &dyn Any) -> Ending {
        Ending::of_error(error)
    }
}

/// What is seen of the end of a request, for
/// [`BreakerLayer::classify_fn`](crate::BreakerLayer::classify_fn).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Seen<'a> {
    /// The head of the response. Of a gRPC call whose trailers decide, only these are seen.
    #[non_exhaustive]
    Head {
        /// The status.
        status: StatusCode,
        /// The header fields.
        headers: &'a HeaderMap,
        /// What the inner service has attached to the response.
        extensions: &'a Extensions,
    },
    /// The end of a gRPC call.
    #[non_exhaustive]
    Trailers {
        /// `None` if there were none.
        trailers: Option<&'a HeaderMap>,
    },
    /// An error of the inner service or of the response's body, of whatever type, often a
    /// [`BoxError`](crate::BoxError).
    Error(&'a dyn Any),
}

/// Classifies by a closure, and what the closure has no opinion on as [`HttpClassifier`] does.
#[derive(Clone, Copy)]
pub struct ClassifyFn<F>(pub(crate) F);

impl<F> Classify for ClassifyFn<F>
where
    F: Fn(Seen<'_>) -> Option<Ending>,
{
    fn head(&self, rules: &FailureRules, status: StatusCode, headers: &HeaderMap) -> Classified {
        self.response(rules, status, headers, &Extensions::new())
    }

    fn response(
        &self,
        rules: &FailureRules,
        status: StatusCode,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Classified {
        let usual = HttpClassifier.head(rules, status, headers);
        if usual == Classified::AtTrailers {
            return usual;
        }
        let seen = Seen::Head {
            status,
            headers,
            extensions,
        };
        (self.0)(seen).map_or(usual, Classified::Head)
    }

    fn trailers(&self, rules: &FailureRules, trailers: Option<&HeaderMap>) -> Ending {
        let usual = || HttpClassifier.trailers(rules, trailers);
        (self.0)(Seen::Trailers { trailers }).unwrap_or_else(usual)
    }

    fn error(&self, error: &dyn Any) -> Ending {
        let usual = || Ending::of_error(error);
        (self.0)(Seen::Error(error)).unwrap_or_else(usual)
    }
}

impl<F> fmt::Debug for ClassifyFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClassifyFn").finish_non_exhaustive()
    }
}

/// The classification of a response's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "implementations of Classify make it"
)]
pub enum Classified {
    /// The outcome if the body ends well.
    Head(Ending),
    /// Not known yet: the trailers decide (gRPC).
    AtTrailers,
}

/// How a request ended, as far as the answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "implementations of Classify make it"
)]
pub struct Ending {
    /// Success, failure, or ignored.
    pub classification: Classification,
    /// Who caused the outcome. If it was not the upstream, the outcome is ignored.
    pub attribution: Attribution,
    /// Whether the sender's timeout ended it.
    pub timed_out: bool,
    /// How long the upstream asks callers to wait.
    pub retry_after: Option<Duration>,
    /// The status of a gRPC call, if it decided the outcome.
    pub grpc: Option<GrpcCode>,
}

/// Classifies HTTP by status and gRPC by `grpc-status`, by the policy's rules. The response's
/// content type distinguishes the two.
///
/// A rejection by a breaker or a limit further upstream is ignored.
/// `Proxy-Status: …; error=destination_unavailable` or `connection_limit_reached` (RFC 9209) marks
/// it. The end of a proxy loop, `proxy_loop_detected`, is ignored too.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "classifiers of users fall back on it"
)]
pub struct HttpClassifier;

impl Classify for HttpClassifier {
    fn head(&self, rules: &FailureRules, status: StatusCode, headers: &HeaderMap) -> Classified {
        if let Some(by) = proxy_status::caused_by(headers) {
            return Classified::Head(Ending::caused_by(by));
        }
        let media_type = headers.get(header::CONTENT_TYPE);
        if let Some(framing) = media_type.and_then(|value| grpc::framing(value.as_bytes())) {
            return match headers.get(grpc::GRPC_STATUS) {
                // Trailers-only: the head is the end.
                Some(_) => Classified::Head(self.trailers(rules, Some(headers))),
                None if status == StatusCode::OK && framing == Framing::Http2 => {
                    Classified::AtTrailers
                }
                // With another HTTP status the answer comes from something between. gRPC-Web hides
                // its trailers in the body.
                None => Classified::Head(rules.of_http(status.as_u16()).into()),
            };
        }
        let retry_after = match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => retry_after(headers),
            _ => None,
        };
        let ending = Ending::from(rules.of_http(status.as_u16()));
        Classified::Head(ending.with_retry_after(retry_after))
    }

    fn trailers(&self, rules: &FailureRules, trailers: Option<&HeaderMap>) -> Ending {
        if let Some(by) = trailers.and_then(proxy_status::caused_by) {
            return Ending::caused_by(by);
        }
        // A status that is missing or unreadable is UNKNOWN: the stream was cut, or the server is
        // broken.
        let code = trailers.and_then(grpc::status).unwrap_or(GrpcCode::UNKNOWN);
        let pushback = trailers.and_then(|trailers| number(trailers, &GRPC_PUSHBACK));
        let pushback = pushback.map(Duration::from_millis);
        Ending {
            grpc: Some(code),
            ..Ending::from(rules.of_grpc(code)).with_retry_after(pushback)
        }
    }
}

impl Ending {
    /// The caller went away.
    pub const CALLER_GONE: Self = Self::caused_by(Attribution::Caller);

    /// The upstream did not answer in time: a failure.
    pub const TIMED_OUT: Self = Self {
        classification: Classification::Failure,
        attribution: Attribution::Upstream,
        timed_out: true,
        retry_after: None,
        grpc: None,
    };

    /// What an error of whatever type counts as, as far as its type tells: a failure of the
    /// upstream, except for
    ///
    /// * the rejection by a breaker further upstream, which is ignored;
    /// * a timeout (of this layer, tokio's, with the features also tower's and reqwest's), which is
    ///   [`Self::TIMED_OUT`];
    /// * with the feature `tower`, `Overloaded` of tower's `load_shed`: a limit of this program
    ///   rejected the request, and it is ignored. Without the feature it is a failure.
    pub fn of_error(error: &dyn Any) -> Self {
        match blame::of(error) {
            Some(Blame::Rejected) => Self::caused_by(Attribution::InnerBreaker),
            Some(Blame::TimedOut) => Self::TIMED_OUT,
            #[cfg(feature = "tower")]
            Some(Blame::Overloaded) => Self::caused_by(Attribution::Proxy),
            #[cfg(feature = "reqwest")]
            Some(Blame::Unbuilt) => Self::caused_by(Attribution::Caller),
            None => Classification::Failure.into(),
        }
    }

    /// An outcome that is no evidence about the upstream, because someone else caused it.
    pub const fn caused_by(attribution: Attribution) -> Self {
        Self {
            classification: Classification::Ignored,
            attribution,
            timed_out: false,
            retry_after: None,
            grpc: None,
        }
    }

    /// Adds how long the upstream asks callers to wait.
    #[must_use]
    pub const fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }
}

/// What the upstream answered.
impl From<Classification> for Ending {
    fn from(classification: Classification) -> Self {
        Self {
            classification,
            attribution: Attribution::Upstream,
            timed_out: false,
            retry_after: None,
            grpc: None,
        }
    }
}

/// `Retry-After` in its form of seconds. The form of a date is not read: it needs the wall clocks
/// of two machines to agree.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    number(headers, &header::RETRY_AFTER).map(Duration::from_secs)
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

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

    fn classification(classification: Classification) -> Classified {
        Classified::Head(classification.into())
    }

    fn grpc(code: GrpcCode, classification: Classification) -> Classified {
        Classified::Head(Ending {
            grpc: Some(code),
            ..classification.into()
        })
    }

    #[test]
    fn http_is_judged_by_its_status() {
        assert_eq!(head(200, &[]), classification(Classification::Success));
        assert_eq!(head(404, &[]), classification(Classification::Success));
        assert_eq!(head(500, &[]), classification(Classification::Failure));
    }

    #[test]
    fn grpc_is_judged_by_its_trailers_or_by_a_trailers_only_head() {
        let called = ("content-type", "application/grpc+proto");
        assert_eq!(head(200, &[called]), Classified::AtTrailers);
        assert_eq!(
            head(200, &[called, ("grpc-status", "14")]),
            grpc(GrpcCode::UNAVAILABLE, Classification::Failure)
        );
        assert_eq!(
            head(200, &[called, ("grpc-status", "5")]),
            grpc(GrpcCode::from_number(5), Classification::Success)
        );
        assert_eq!(
            head(502, &[called]),
            classification(Classification::Failure)
        );
        let web = ("content-type", "application/grpc-web+proto");
        assert_eq!(head(200, &[web]), classification(Classification::Success));
        let missing = HttpClassifier.trailers(&FailureRules::default(), None);
        assert_eq!(missing.classification, Classification::Failure);
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
        let ignored = Classified::Head(Ending::caused_by(Attribution::InnerBreaker));
        assert_eq!(head(503, &[inner]), ignored);
        assert_eq!(head(503, &[busy]), ignored);
        assert_eq!(
            head(503, &[("proxy-status", "cdn; error=dns_timeout")]),
            classification(Classification::Failure)
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
