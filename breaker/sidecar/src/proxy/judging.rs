//! What a request's breaker makes of it, for those who tell or record it: judged as the breaker's layer does, by the same judge and the
//! same rules. The layer tells its verdict to the breaker alone.

use std::sync::Arc;

use breaker_tower::core::Verdict;
use breaker_tower::{BreakerHandle, Classified, Classify, Policy, Rejected, State};
use http::{HeaderMap, Method, Response};

use super::error::ProxyError;
use super::stack::Judge;

/// What a breaker made of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// The breaker's state when the request came to it.
    pub state: State,
    /// What the request counts as; `None` if it was rejected.
    pub verdict: Option<Verdict>,
}

/// A request that has come to its breaker.
pub(crate) struct Judging {
    policy: Arc<Policy>,
    state: State,
    progress: Progress,
}

#[derive(Clone, Copy)]
enum Progress {
    /// No head yet.
    Sent,
    /// The body is under way.
    Answered(Classified),
    Judged(Verdict),
    Rejected,
}

impl Judging {
    /// The request has come to `breaker`.
    pub(crate) fn of(breaker: &BreakerHandle) -> Self {
        Self {
            policy: breaker.policy(),
            state: breaker.state(),
            progress: Progress::Sent,
        }
    }

    /// The policy by which it judges.
    pub(crate) const fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// The head of the answer is there, and with `is_complete` all of it.
    pub(crate) fn answered<B>(
        &mut self,
        method: &Method,
        response: &Response<B>,
        is_complete: bool,
    ) {
        if let Some(rejected) = response.extensions().get::<Rejected>() {
            self.state = rejected.state;
            self.progress = Progress::Rejected;
            return;
        }
        let rules = self.policy.failure();
        let head = Judge::default().head(rules, response.status(), response.headers());
        self.progress = match head {
            Classified::Head(ending) if method == Method::HEAD => Progress::Judged(ending.verdict),
            head => Progress::Answered(head),
        };
        if is_complete {
            self.ended(None);
        }
    }

    /// The answer is complete.
    pub(crate) fn ended(&mut self, trailers: Option<&HeaderMap>) {
        if let Progress::Answered(head) = self.progress {
            let ending = match head {
                Classified::Head(ending) => ending,
                Classified::AtTrailers => {
                    Judge::default().trailers(self.policy.failure(), trailers)
                }
            };
            self.progress = Progress::Judged(ending.verdict);
        }
    }

    /// The request failed on the way.
    pub(crate) fn failed(&mut self, error: &ProxyError) {
        if matches!(self.progress, Progress::Sent | Progress::Answered(_)) {
            self.progress = Progress::Judged(Judge::default().error(error));
        }
    }

    /// What came of it, when nothing more comes.
    pub(crate) fn decision(&self) -> Decision {
        let verdict = match self.progress {
            Progress::Rejected => None,
            Progress::Judged(verdict) => Some(verdict),
            // The caller went away. A head that was a failure stays one.
            Progress::Answered(Classified::Head(ending)) if ending.verdict == Verdict::Failure => {
                Some(Verdict::Failure)
            }
            Progress::Sent | Progress::Answered(_) => Some(Verdict::Ignored),
        };
        Decision {
            state: self.state,
            verdict,
        }
    }
}
