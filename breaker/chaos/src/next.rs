//! The service that a service needs for its own answer.

use std::time::Duration;

use breaker_sidecar::client::Client;
use breaker_sidecar::message::PROXY_STATUS;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Response, Uri};

/// A service, and how patiently it is called.
#[derive(Debug)]
pub(crate) struct Next {
    pub(crate) client: Client,
    pub(crate) address: Uri,
    /// For each attempt.
    pub(crate) timeout: Duration,
    pub(crate) retries: u32,
}

/// What became of a call.
#[derive(Debug)]
pub(crate) enum Called {
    Done,
    /// A breaker refused it; these fields are for the caller's caller.
    Refused(HeaderMap),
    /// After all attempts.
    Failed,
}

impl Next {
    /// Calls it, and again after a failure, at once: what most clients do.
    pub(crate) async fn call(&self) -> Called {
        for _attempt in 0..=self.retries {
            match self.client.get(&self.address, self.timeout).await {
                Ok(answer) if answer.status().is_success() => return Called::Done,
                // Told when to come back: now would only add to the load.
                Ok(answer) if answer.headers().contains_key(RETRY_AFTER) => {
                    return Called::Refused(passed_on(&answer));
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "a call failed"),
            }
        }
        Called::Failed
    }
}

/// The fields that tell breakers further out that it was no failure of the service.
fn passed_on(answer: &Response<Bytes>) -> HeaderMap {
    [RETRY_AFTER, PROXY_STATUS]
        .into_iter()
        .filter_map(|name| {
            let value = answer.headers().get(&name)?.clone();
            Some((name, value))
        })
        .collect()
}
