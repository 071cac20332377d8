//! What an answer or an error says of the upstream.

use std::any::Any;

use breaker_tower::breaker_core::policy::FailureRules;
use breaker_tower::breaker_core::{Attribution, Classification};
use breaker_tower::{Classified, Classify, Ending, HttpClassifier};
use http::{Extensions, HeaderMap, StatusCode};

use crate::message::error::{ErrorKind, ProxyError};
use crate::upstream::attempt::OfOneEndpoint;

/// Judges answers as HTTP and gRPC say, and errors by whose fault they are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Judge(HttpClassifier);

impl Classify for Judge {
    fn head(&self, rules: &FailureRules, status: StatusCode, headers: &HeaderMap) -> Classified {
        self.0.head(rules, status, headers)
    }

    /// A failure of one endpoint, of several that do not fail, is the matter of who chooses among
    /// them.
    fn response(
        &self,
        rules: &FailureRules,
        status: StatusCode,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Classified {
        match self.head(rules, status, headers) {
            Classified::Head(ending)
                if ending.classification == Classification::Failure
                    && extensions.get::<OfOneEndpoint>().is_some() =>
            {
                Classified::Head(Ending::caused_by(Attribution::Proxy))
            }
            classified => classified,
        }
    }

    fn trailers(&self, rules: &FailureRules, trailers: Option<&HeaderMap>) -> Ending {
        self.0.trailers(rules, trailers)
    }

    fn error(&self, error: &dyn Any) -> Ending {
        let Some(error) = error.downcast_ref::<ProxyError>() else {
            return Classification::Failure.into();
        };
        match (error.kind(), error.attribution()) {
            (ErrorKind::ResponseTimeout, Attribution::Upstream) => Ending::TIMED_OUT,
            (_, Attribution::Upstream) => Classification::Failure.into(),
            (_, other) => Ending::caused_by(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_upstream_caused_is_a_failure() {
        let judge = Judge(HttpClassifier);
        for kind in ErrorKind::ALL {
            let ending = judge.error(&ProxyError::from(kind));
            let expected = match kind.attribution() {
                Attribution::Upstream => Classification::Failure,
                _ => Classification::Ignored,
            };
            assert_eq!(ending.classification, expected, "{kind}");
            assert_eq!(ending.attribution, kind.attribution(), "{kind}");
            let timed_out = kind == ErrorKind::ResponseTimeout;
            assert_eq!(ending.timed_out, timed_out, "{kind}");
        }
    }
}
