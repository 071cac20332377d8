//! Deadlines that callers chose: read from `grpc-timeout` and from a field that the route names,
//! passed on as what is left of them, and kept here, around whatever waits for the upstream.
//!
//! What such a deadline cuts short is the caller's doing, unless the upstream has had the route's
//! own time by then.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use breaker_tower::{CallerDeadline, format_grpc_timeout, parse_grpc_timeout};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;
use tower_service::Service;

use super::body::ResponseBody;
use crate::message::body::{RequestBody, Upload};
use crate::message::error::{ErrorKind, ProxyError};
use crate::message::headers::Fields;
use crate::message::timers::{Deadline, Timers};

/// Which deadlines of callers a route keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadlineRules {
    /// Whether `grpc-timeout` of gRPC calls is read. Default true.
    pub grpc: bool,
    /// A field with milliseconds, such as `x-request-timeout-ms`. Default none.
    pub header: Option<HeaderName>,
    /// What longer ones are cut to. Default none.
    pub max: Option<Duration>,
    /// Whether a longer deadline of a gRPC call takes the place of the route's timeout, which
    /// nobody has set.
    pub extends_timeout: bool,
}

impl Default for DeadlineRules {
    fn default() -> Self {
        Self {
            grpc: true,
            header: None,
            max: None,
            extends_timeout: true,
        }
    }
}

/// The deadline of one request; goes with it in its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallerTime {
    at: Instant,
    /// The time that the route gives the upstream.
    own: Option<Duration>,
}

/// What a request's fields say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stated {
    pub(crate) whole: Option<Duration>,
    /// It is a gRPC call's.
    pub(crate) by_grpc: bool,
    /// A field says what is no deadline. It is not passed on: upstreams would refuse the request
    /// for it.
    pub(crate) is_malformed: bool,
}

/// Keeps deadlines around `inner`.
#[derive(Debug, Clone)]
pub(crate) struct Deadlined<S> {
    inner: S,
    timers: Rc<Timers>,
}

/// The wait for a response; its caller's deadline, if it has one.
pub(crate) struct Waiting<F> {
    inner: F,
    kept: Option<Kept>,
}

/// The body of a response, within its caller's deadline.
#[derive(Debug)]
pub(crate) struct DeadlinedBody {
    inner: ResponseBody,
    deadline: Option<Deadline>,
}

struct Kept {
    time: CallerTime,
    deadline: Deadline,
    upload: Option<Rc<Upload>>,
    started: Instant,
}

// === impl CallerTime ===

impl CallerTime {
    /// When it is over.
    pub(crate) fn at(&self) -> Instant {
        self.at
    }
}

// === impl DeadlineRules ===

impl DeadlineRules {
    /// Reads what the fields of a request say, and removes those that say nothing.
    pub(crate) fn read(&self, headers: &mut HeaderMap, fields: Fields) -> Stated {
        let mut stated = Stated::default();
        if self.grpc && fields.has(Fields::GRPC) {
            stated.take(headers, &GRPC_TIMEOUT, parse_grpc_timeout);
            stated.by_grpc = stated.whole.is_some();
        }
        if let Some(header) = &self.header {
            stated.take(headers, header, millis);
        }
        stated
    }

    /// The deadline of a request that came with its head when it `started`, for the forwarder and
    /// for the breaker. `timeout` is the route's.
    pub(crate) fn apply(
        &self,
        whole: Duration,
        started: Instant,
        timeout: Option<Duration>,
    ) -> Option<(CallerTime, CallerDeadline)> {
        let (whole, own) = match self.max {
            // From then on it is the route's own bound.
            Some(max) if whole > max => (max, Some(timeout.map_or(max, |own| own.min(max)))),
            _ => (whole, timeout),
        };
        let at = started.checked_add(whole)?;
        let of_caller = match own {
            Some(own) if own <= whole => CallerDeadline::NONE,
            _ => CallerDeadline::since(started, whole),
        };
        Some((CallerTime { at, own }, of_caller))
    }

    /// Writes what is left where the request says how long it may take; `false` if nothing is.
    pub(crate) fn pass_on(&self, headers: &mut HeaderMap, time: CallerTime) -> bool {
        let left = time.at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        if headers.contains_key(&GRPC_TIMEOUT)
            && let Ok(value) = HeaderValue::try_from(format_grpc_timeout(left))
        {
            headers.insert(GRPC_TIMEOUT, value);
        }
        if let Some(header) = self
            .header
            .as_ref()
            .filter(|name| headers.contains_key(*name))
        {
            let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            if millis == 0 {
                return false;
            }
            headers.insert(header, HeaderValue::from(millis));
        }
        true
    }
}

impl Stated {
    /// The shortest of all counts.
    fn take(
        &mut self,
        headers: &mut HeaderMap,
        name: &HeaderName,
        parse: fn(&[u8]) -> Option<Duration>,
    ) {
        let mut values = headers.get_all(name).iter();
        let read = match (values.next(), values.next()) {
            (None, _) => return,
            (Some(value), None) => parse(value.as_bytes()),
            // Nobody can say which one counts.
            (Some(_), Some(_)) => None,
        };
        match read {
            Some(read) => self.whole = Some(self.whole.map_or(read, |whole| whole.min(read))),
            None => {
                headers.remove(name);
                self.is_malformed = true;
            }
        }
    }
}

/// Milliseconds, in at most 12 digits and nothing else.
fn millis(value: &[u8]) -> Option<Duration> {
    let is_number = (1..=12).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| is_number)?;
    text.parse().ok().map(Duration::from_millis)
}

// === impl Deadlined ===

impl<S> Deadlined<S> {
    pub(crate) fn new(inner: S, timers: Rc<Timers>) -> Self {
        Self { inner, timers }
    }
}

type Answer = Result<Response<DeadlinedBody>, ProxyError>;
type Forwarded = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, ProxyError>>>>;

impl<S> Service<Request<RequestBody>> for Deadlined<S>
where
    S: Service<
            Request<RequestBody>,
            Response = Response<ResponseBody>,
            Error = ProxyError,
            Future = Forwarded,
        >,
{
    type Response = Response<DeadlinedBody>;
    type Error = ProxyError;
    type Future = Waiting<Forwarded>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let Some(time) = request.extensions().get::<CallerTime>().copied() else {
            let inner = self.inner.call(request);
            return Waiting { inner, kept: None };
        };
        let kept = Kept {
            time,
            deadline: Deadline::new(time.at, &self.timers),
            upload: request.body().upload(),
            started: request.body().started(),
        };
        Waiting {
            inner: self.inner.call(request),
            kept: Some(kept),
        }
    }
}

impl<F> Future for Waiting<F>
where
    F: Future<Output = Result<Response<ResponseBody>, ProxyError>> + Unpin,
{
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let this = self.get_mut();
        if let Poll::Ready(answer) = Pin::new(&mut this.inner).poll(cx) {
            let deadline = this.kept.take().map(|kept| kept.deadline);
            return Poll::Ready(
                answer.map(|response| response.map(|inner| DeadlinedBody { inner, deadline })),
            );
        }
        match &mut this.kept {
            Some(kept) => kept.deadline.poll(cx).map(|()| Err(kept.passed().into())),
            None => Poll::Pending,
        }
    }
}

impl Kept {
    /// Whose doing it is that there is no answer: the upstream's, once it has had the route's own
    /// time for it.
    fn passed(&self) -> ErrorKind {
        let began = match &self.upload {
            Some(upload) => upload.ended(),
            None => Some(self.started),
        };
        match (began, self.time.own) {
            (Some(began), Some(own)) if began.elapsed() >= own => ErrorKind::ResponseTimeout,
            _ => ErrorKind::DeadlineExceeded,
        }
    }
}

// === impl DeadlinedBody ===

impl From<ResponseBody> for DeadlinedBody {
    fn from(inner: ResponseBody) -> Self {
        Self {
            inner,
            deadline: None,
        }
    }
}

impl Body for DeadlinedBody {
    type Data = Bytes;
    type Error = ProxyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ProxyError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        if polled.is_pending()
            && let Some(deadline) = &mut this.deadline
            && deadline.poll(cx).is_ready()
        {
            return Poll::Ready(Some(Err(ErrorKind::DeadlineExceeded.into())));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn read(rules: &DeadlineRules, fields: &[(&'static str, &'static str)]) -> (Stated, usize) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let found = Fields::of(&headers);
        let before = headers.len();
        let stated = rules.read(&mut headers, found);
        (stated, before - headers.len())
    }

    #[test]
    fn what_is_no_deadline_is_removed_and_counted() {
        let rules = DeadlineRules {
            header: Some(HeaderName::from_static("x-time")),
            ..DeadlineRules::default()
        };
        let grpc = ("content-type", "Application/gRPC+proto");
        for (fields, whole, removed) in [
            (vec![grpc, ("grpc-timeout", "2S")], Some(2 * SECOND), 0),
            (vec![grpc, ("grpc-timeout", "0S")], Some(Duration::ZERO), 0),
            (vec![grpc, ("grpc-timeout", "-2S")], None, 1),
            (vec![grpc, ("grpc-timeout", "99999999999H")], None, 1),
            (vec![grpc, ("grpc-timeout", "1x")], None, 1),
            (
                vec![grpc, ("grpc-timeout", "1S"), ("grpc-timeout", "2S")],
                None,
                2,
            ),
            // Of another protocol, and none of ours.
            (vec![("grpc-timeout", "1S")], None, 0),
            (vec![("x-time", "1000")], Some(SECOND), 0),
            (vec![("x-time", "soon")], None, 1),
            (vec![("x-time", "-1")], None, 1),
            (vec![("x-time", "1.5")], None, 1),
            (vec![("x-time", "")], None, 1),
            (vec![("x-time", "1000000000000")], None, 1),
            (
                vec![grpc, ("grpc-timeout", "5S"), ("x-time", "1000")],
                Some(SECOND),
                0,
            ),
            (
                vec![grpc, ("grpc-timeout", "5S"), ("x-time", "?")],
                Some(5 * SECOND),
                1,
            ),
        ] {
            let (stated, gone) = read(&rules, &fields);
            let found = (stated.whole, gone, stated.is_malformed);
            assert_eq!(found, (whole, removed, removed > 0), "{fields:?}");
        }
        let off = DeadlineRules {
            grpc: false,
            ..DeadlineRules::default()
        };
        let found = read(&off, &[grpc, ("grpc-timeout", "?")]);
        assert_eq!(found, (Stated::default(), 0));
    }

    #[test]
    fn a_deadline_is_the_callers_while_it_is_shorter_than_the_routes_own() {
        let now = Instant::now();
        let rules = |max| DeadlineRules {
            max,
            ..DeadlineRules::default()
        };
        for (whole, max, timeout, own, is_callers) in [
            (1, None, Some(15), Some(15), true),
            (15, None, Some(15), Some(15), false),
            (150, None, Some(15), Some(15), false),
            (150, None, None, None, true),
            (5, Some(10), Some(15), Some(15), true),
            (60, Some(10), Some(15), Some(10), false),
            (60, Some(10), None, Some(10), false),
        ] {
            let seconds = |seconds: Option<u64>| seconds.map(Duration::from_secs);
            let whole = Duration::from_secs(whole);
            let applied = rules(seconds(max)).apply(whole, now, seconds(timeout));
            let (time, deadline) = applied.unwrap();
            assert_eq!(time.own, seconds(own), "{whole:?}");
            assert_eq!(deadline != CallerDeadline::NONE, is_callers, "{whole:?}");
        }
        // Further off than clocks can tell: none.
        let far = Duration::from_secs(u64::MAX);
        assert_eq!(rules(None).apply(far, now, None), None);
    }
}
