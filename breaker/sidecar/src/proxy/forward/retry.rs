//! Sending a request again whose answer is bad, or is missing.
//!
//! What no endpoint has received is sent again within each attempt, without being asked. This is
//! about what may have had an effect: only as the route's rules say, to another endpoint, and
//! within a budget.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use breaker_tower::breaker_core::policy::GrpcCode;
use breaker_tower::breaker_core::{Attribution, EndpointId, State};
use breaker_tower::{Classified, Classify, Ending, HttpClassifier, is_grpc};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio::time::{Instant, sleep};

use super::spare::Spare;
use super::{Answer, Forward};
use crate::clock::since_epoch;
use crate::message::RequestBody;
use crate::message::error::ErrorKind;
use crate::message::headers::Fields;
use crate::proxy::body::ResponseBody;
use crate::proxy::deadline::CallerTime;
use crate::proxy::respond::GRPC_STATUS;
use crate::proxy::retry::{Retries, Retry, Trouble};
use crate::upstream::pool::Chosen;

/// A request that may be sent again.
pub(super) struct Retrying {
    forward: Forward,
    retries: Arc<Retries>,
    /// By when the last attempt must be answered.
    until: Option<Instant>,
    /// How often it was sent.
    sent: u32,
    tried: Vec<EndpointId>,
}

impl Retrying {
    /// The rules for `request`, if it may be sent again by its method.
    pub(super) fn of(forward: &Forward, request: &Request<RequestBody>) -> Option<Self> {
        let retries = forward.0.retries.as_ref()?;
        let is_switch = request.body().fields().has(Fields::SWITCH);
        if is_switch || !retries.rules.allows(request.method()) {
            return None;
        }
        let timeout = forward.timeout_of(request);
        let own = timeout.map(|timeout| request.body().started() + timeout);
        let caller = request.extensions().get::<CallerTime>();
        let caller = caller.map(CallerTime::at);
        Some(Self {
            forward: forward.clone(),
            retries: retries.clone(),
            until: own.into_iter().chain(caller).min(),
            sent: 0,
            tried: Vec::new(),
        })
    }

    pub(super) async fn run(
        mut self,
        mut chosen: Chosen,
        mut request: Request<RequestBody>,
    ) -> Answer {
        self.retries.requested();
        // It holds the breaker's clock while the caller uploads, and goes with one request alone.
        let mut upload = request.extensions_mut().remove::<breaker_tower::Upload>();
        loop {
            self.tried.push(chosen.connections.id());
            let spare = Spare::of(&request);
            if let Some(upload) = upload.take() {
                request.extensions_mut().insert(upload);
            }
            let per_try = self.retries.rules.per_try;
            let is_grpc = request.body().fields().has(Fields::GRPC);
            if is_grpc && self.sent > 0 {
                let attempts = HeaderValue::from(self.sent);
                request.headers_mut().insert(PREVIOUS_ATTEMPTS, attempts);
            }
            self.sent += 1;
            let answer = self
                .forward
                .send(chosen, request, per_try, self.sent == 1)
                .await;
            let Some((next, again, pause)) = self.next(&answer, spare) else {
                return answer;
            };
            if let Ok(response) = answer {
                response.into_body().give_up();
            }
            if !pause.is_zero() {
                sleep(pause).await;
            }
            (chosen, request) = (next, *again);
        }
    }

    /// What is sent where, and after which pause, if it is to be.
    fn next(
        &mut self,
        answer: &Answer,
        spare: Spare,
    ) -> Option<(Chosen, Box<Request<RequestBody>>, Duration)> {
        let rules = &self.retries.rules;
        let trouble = self.trouble(answer)?;
        if self.sent >= rules.attempts || !rules.wants(trouble) {
            return None;
        }
        let decided = self.decide(answer, &spare).and_then(|(chosen, pause)| {
            let again = spare.whole().ok_or(Retry::TooLarge)?;
            Ok((chosen, again, pause))
        });
        let outcome = decided.as_ref().err().copied();
        self.retries.count(outcome.unwrap_or(Retry::Sent));
        decided.ok()
    }

    /// Asks for what may be asked for in vain first: an endpoint's probe and the budget are for
    /// requests that are sent.
    fn decide(&self, answer: &Answer, spare: &Spare) -> Result<(Chosen, Duration), Retry> {
        let rules = &self.retries.rules;
        let asked_to_wait = self.wait_of(answer)?;
        if spare.kept().is_none_or(|kept| kept > rules.body) {
            return Err(Retry::TooLarge);
        }
        let breaker = &self.forward.0.breaker;
        // A trial asks what one request meets, and a queue grows by each that comes twice.
        if breaker.state() != State::Closed || breaker.snapshot().shedding.is_some() {
            return Err(Retry::NotRetryable);
        }
        let pool = &self.forward.0.pool;
        let (chosen, backoff) = match pool.pick(&self.tried) {
            Some(chosen) => (chosen, Duration::ZERO),
            None if pool.is_single() => {
                let chosen = pool.pick(&[]).ok_or(Retry::NoEndpoint)?;
                (chosen, BACKOFF * (1 << self.sent.saturating_sub(1).min(3)))
            }
            None => return Err(Retry::NoEndpoint),
        };
        let pause = asked_to_wait.unwrap_or_default().max(backoff);
        let left = self
            .until
            .map(|until| until.saturating_duration_since(Instant::now()));
        let left_after = left.map(|left| left.saturating_sub(pause));
        if !rules.has_time(left_after) {
            return Err(Retry::NoTime);
        }
        match self.retries.withdraw() {
            true => Ok((chosen, pause)),
            false => Err(Retry::Budget),
        }
    }

    /// What is wrong with an answer, if something is.
    fn trouble(&self, answer: &Answer) -> Option<Trouble> {
        match answer {
            Ok(response) => match self.ending_of_call(response).and_then(|ending| ending.grpc) {
                Some(GrpcCode::OK) => None,
                Some(code) => Some(Trouble::Grpc(code)),
                None => {
                    let status = response.status();
                    let is_bad = status.is_client_error() || status.is_server_error();
                    is_bad.then_some(Trouble::Http(status))
                }
            },
            Err(error) => Some(match error.kind() {
                ErrorKind::ResponseTimeout | ErrorKind::ConnectTimeout if self.has_time() => {
                    Trouble::Late
                }
                kind => Trouble::Error(kind),
            }),
        }
    }

    /// How a gRPC call ended whose answer is a head alone.
    fn ending_of_call(&self, response: &Response<ResponseBody>) -> Option<Ending> {
        let headers = response.headers();
        let media_type = headers.get(CONTENT_TYPE)?;
        let is_over = is_grpc(media_type.as_bytes()) && headers.contains_key(GRPC_STATUS);
        let policy = self.forward.0.breaker.policy();
        is_over.then(|| HttpClassifier.trailers(policy.failure(), Some(headers)))
    }

    /// Whether the time of all attempts is not over, so that only that of one was.
    fn has_time(&self) -> bool {
        self.retries.rules.per_try.is_some()
            && self.until.is_none_or(|until| Instant::now() < until)
    }

    /// How long the upstream asks to wait. A breaker further in, or a gRPC server that pushes back,
    /// asks not to come again.
    fn wait_of(&self, answer: &Answer) -> Result<Option<Duration>, Retry> {
        let Ok(response) = answer else {
            return Ok(None);
        };
        if let Some(ending) = self.ending_of_call(response)
            && response.headers().contains_key(PUSHBACK)
        {
            // One that is no time asks not to come again.
            return match ending.retry_after {
                Some(pushback) => Ok(Some(pushback)),
                None => Err(Retry::NotRetryable),
            };
        }
        let policy = self.forward.0.breaker.policy();
        let (status, headers) = (response.status(), response.headers());
        match HttpClassifier.head(policy.failure(), status, headers) {
            Classified::Head(ending) if ending.attribution == Attribution::Upstream => {
                Ok(wait_asked_for(headers, since_epoch()))
            }
            Classified::Head(_) => Err(Retry::NotRetryable),
            Classified::AtTrailers => Ok(None),
        }
    }
}

/// How long `Retry-After` asks to wait, in seconds or until a date (RFC 9110, 10.2.3); of several,
/// the longest. `now` is since 1970.
fn wait_asked_for(headers: &HeaderMap, now: Duration) -> Option<Duration> {
    let wait = |value: &HeaderValue| {
        let text = value.to_str().ok()?.trim();
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            // More than a u64 has is for ever.
            return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
        }
        let date = httpdate::parse_http_date(text).ok()?;
        let date = date.duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(date.saturating_sub(now))
    };
    headers.get_all(RETRY_AFTER).iter().filter_map(wait).max()
}

const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
/// Before the first retry at the only endpoint; doubled with each further one. Envoy's default.
const BACKOFF: Duration = Duration::from_millis(25);
