//! What the endpoints of an upstream are told of an attempt at one of them.
//!
//! Each attempt is an outcome of its endpoint; the last one is that of the route too, which its
//! breaker decides by itself.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::breaker_core::{self, Attribution, Classification, Outcome};
use breaker_tower::{BreakerHandle, Classified, Classify, HttpClassifier};
use http::{HeaderMap, Response};
use http_body::Body;
use tokio::time::Instant;

use crate::message::body::Upload;
use crate::message::error::ErrorKind;
use crate::upstream::instances::InstanceSet;

/// An attempt that counts for its endpoint.
pub(crate) struct Tracked {
    set: Arc<InstanceSet>,
    /// `None` once it has ended.
    attempt: Option<breaker_core::Attempt>,
    began: Instant,
    judged_by: Option<JudgedBy>,
    /// What the answer says so far.
    classification: Classification,
    is_at_trailers: bool,
}

/// What says what a failure is.
pub(super) struct JudgedBy {
    breaker: BreakerHandle,
    upload: Option<Rc<Upload>>,
}

impl Tracked {
    pub(crate) fn new(set: Arc<InstanceSet>, attempt: breaker_core::Attempt) -> Self {
        Self {
            set,
            attempt: Some(attempt),
            began: Instant::now(),
            judged_by: None,
            classification: Classification::Success,
            is_at_trailers: false,
        }
    }

    pub(super) fn judged_by(&mut self, breaker: &BreakerHandle, upload: Option<Rc<Upload>>) {
        self.as_before(JudgedBy {
            breaker: breaker.clone(),
            upload,
        });
    }

    pub(super) fn as_before(&mut self, judged_by: JudgedBy) {
        let is_uploading = judged_by
            .upload
            .as_ref()
            .is_some_and(|upload| upload.ended().is_none());
        if is_uploading && let Some(attempt) = &mut self.attempt {
            self.set.state().uploading(attempt);
        }
        self.judged_by = Some(judged_by);
    }

    /// Notes the head of the answer. Tells whether that is a failure of this endpoint alone.
    pub(super) fn answered<T: Body>(&mut self, response: &Response<T>) -> bool {
        if let Some(JudgedBy { breaker, .. }) = &self.judged_by {
            let policy = breaker.policy();
            let (status, headers) = (response.status(), response.headers());
            match HttpClassifier.head(policy.failure(), status, headers) {
                // A loop, which only this endpoint leads into.
                Classified::Head(ending) if ending.attribution == Attribution::Proxy => {
                    self.classification = Classification::Failure;
                }
                Classified::Head(ending) => self.classification = ending.classification,
                Classified::AtTrailers => self.is_at_trailers = true,
            }
        }
        let latency = self.waited();
        let now = self.set.now();
        if let Some(attempt) = &mut self.attempt {
            let mut state = self.set.state();
            state.responded(attempt, latency, now);
            match self.classification {
                Classification::Success if !response.body().is_end_stream() => {
                    state.begun(attempt, now)
                }
                Classification::Failure => return state.is_own_failure(attempt, now),
                _ => {}
            }
        }
        false
    }

    /// Whether a failure of it is the matter of this endpoint alone.
    pub(super) fn is_own_failure(&mut self) -> bool {
        let now = self.set.now();
        let attempt = self.attempt.as_mut();
        attempt.is_some_and(|attempt| self.set.state().is_own_failure(attempt, now))
    }

    pub(super) fn ended_by(&mut self, trailers: &HeaderMap) {
        self.judge_trailers(Some(trailers));
    }

    /// The answer is over. What has its status in trailers is judged by them, or by their lack.
    fn judge_trailers(&mut self, trailers: Option<&HeaderMap>) {
        if let Some(JudgedBy { breaker, .. }) = &self.judged_by
            && std::mem::take(&mut self.is_at_trailers)
        {
            let policy = breaker.policy();
            let ending = HttpClassifier.trailers(policy.failure(), trailers);
            self.classification = ending.classification;
        }
    }

    /// Ends it, well or with an error, and returns what another attempt is judged by.
    pub(super) fn end(mut self, error: Option<ErrorKind>) -> Option<JudgedBy> {
        if error.is_none() {
            self.judge_trailers(None);
        }
        let classification = match error {
            None => self.classification,
            Some(error) if error.is_of_endpoint() => Classification::Failure,
            Some(_) => Classification::Ignored,
        };
        self.finish(classification, error.is_some_and(ErrorKind::is_unreachable));
        self.judged_by.take()
    }

    fn finish(&mut self, classification: Classification, is_unreachable: bool) {
        let Some(attempt) = self.attempt.take() else {
            return;
        };
        let latency = self.waited();
        let now = self.set.now();
        let mut state = self.set.state();
        match is_unreachable {
            true => state.unreachable(attempt, latency, now),
            false => state.end(attempt, Outcome::new(classification, latency), now),
        }
    }

    /// How long the endpoint has been waited for: not while the caller was uploading.
    fn waited(&self) -> Duration {
        let upload = self.judged_by.as_ref().and_then(|by| by.upload.as_ref());
        let since = match upload {
            None => self.began,
            Some(upload) => match upload.ended() {
                Some(ended) => ended.max(self.began),
                None => Instant::now(),
            },
        };
        since.elapsed()
    }
}

/// One that was chosen and never went anywhere says nothing.
impl Drop for Tracked {
    fn drop(&mut self) {
        self.finish(Classification::Ignored, false);
    }
}
