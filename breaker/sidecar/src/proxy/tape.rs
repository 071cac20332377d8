//! Requests as a recording keeps them, to be backtested: what their breaker measured and made of them. While nothing is recorded there is
//! no [`Tape`], and all of this is one branch.

use std::rc::Rc;
use std::time::Duration;

use breaker_tower::BreakerHandle;
use breaker_tower::core::Verdict;
use breaker_tower::core::policy::LatencyMeasure;
use http::{Method, Response, StatusCode};
use tokio::time::Instant;

use super::body::request::Upload;
use super::judging::Judging;

/// Takes the requests of one worker that were not rejected; never shared between threads.
pub trait Tape {
    /// Records a request that is over.
    fn record(&self, exchange: &Exchange);
}

/// A request that a breaker admitted, and that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exchange {
    /// The route's index in the configuration's table.
    pub route: usize,
    /// When the upstream's time began: with the request's head, or at the end of its upload.
    pub started: Instant,
    /// Up to the response's head or to the end of its body, as the policy measures; or until the request was given up.
    pub latency: Duration,
    /// The status, where it alone decides what the request counts as; other policies may judge it otherwise.
    pub status: Option<StatusCode>,
    /// What the request counted as.
    pub verdict: Verdict,
}

/// A request under way that is to be recorded.
pub(crate) struct Taped {
    judging: Judging,
    came: Instant,
    upload: Option<Rc<Upload>>,
    head: Option<(Instant, StatusCode)>,
}

impl Taped {
    /// A request that `came` with its head, and has come to `breaker`.
    pub(crate) fn begin(
        breaker: &BreakerHandle,
        came: Instant,
        upload: Option<Rc<Upload>>,
    ) -> Box<Self> {
        Box::new(Self {
            judging: Judging::of(breaker),
            came,
            upload,
            head: None,
        })
    }

    /// The head of the answer is there, and with `is_complete` all of it.
    pub(crate) fn answered<B>(
        &mut self,
        method: &Method,
        response: &Response<B>,
        is_complete: bool,
    ) {
        self.head = Some((Instant::now(), response.status()));
        self.judging.answered(method, response, is_complete);
    }

    /// What comes to its breaker's judge later.
    pub(crate) const fn judging(&mut self) -> &mut Judging {
        &mut self.judging
    }

    /// The request of `route` is over; `None` if it was rejected.
    pub(crate) fn end(self, route: usize) -> Option<Exchange> {
        let verdict = self.judging.decision().verdict?;
        let policy = self.judging.policy();
        let ended = match (policy.latency(), self.head) {
            (LatencyMeasure::Head, Some((at, _))) => at,
            _ => Instant::now(),
        };
        let uploaded = self.upload.and_then(|upload| upload.ended());
        // An answer that came before the upload was over is as late as the request is long.
        let started = uploaded
            .filter(|uploaded| *uploaded <= ended)
            .unwrap_or(self.came);
        let status = self.head.map(|(_, status)| status);
        let decides = |status: &StatusCode| policy.failure().of_http(status.as_u16()) == verdict;
        Some(Exchange {
            route,
            started,
            latency: ended.saturating_duration_since(started),
            status: status.filter(decides),
            verdict,
        })
    }
}
