//! Requests as a recording keeps them, to be backtested: what their breaker measured and made of
//! them. While nothing is recorded there is no [`RequestRecorder`].

use std::time::Duration;

use breaker_tower::breaker_core::Classification;
use http::StatusCode;
use tokio::time::Instant;

use crate::message::decision::Judged;

/// Takes the requests of one worker that were not rejected; never shared between threads.
pub trait RequestRecorder {
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
    /// Up to the response's head or to the end of its body, as the policy measures; or until the
    /// request was given up.
    pub latency: Duration,
    /// The status, where it alone decides what the request counts as; other policies may judge it
    /// otherwise.
    pub status: Option<StatusCode>,
    /// What the request counted as.
    pub classification: Classification,
    /// Whether the route's timeout ended it.
    pub timed_out: bool,
}

impl Exchange {
    /// A request of `route` that is over; `None` if it was rejected.
    pub(crate) fn of(route: usize, judged: Judged) -> Option<Self> {
        let Judged { decision, began } = judged;
        Some(Self {
            route,
            started: began,
            latency: decision.latency,
            status: decision.status,
            classification: decision.classification()?,
            timed_out: decision.timed_out,
        })
    }
}
