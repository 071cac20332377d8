//! The way of a request: routed, admitted, read, decompressed, sampled, queued to be sent on,
//! answered.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use breaker_tower::is_grpc;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http::request::Parts;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::batch::{Accepted, Batch, Encoding, Sampler, Signal, Transport};
use super::decode::{Coding, decompress};
use super::forward::{Forwarder, Marker};
use super::guard::{Guard, Page};
use super::overload::{BatchSlot, Overload};
use super::refusal::Refusal;
use super::reply::{self, Dialect};
use super::settings::Limits;
use super::stats::Stats;
use super::{grpc, http as otlp_http};

/// What takes batches in.
pub(super) struct Handler {
    pub(super) sampler: Arc<dyn Sampler>,
    pub(super) forwarder: Option<Forwarder>,
    pub(super) limits: Limits,
    pub(super) overload: Overload,
    pub(super) stats: Arc<Stats>,
    pub(super) marker: Marker,
    guard: Guard,
    large: Arc<Semaphore>,
    loop_told: AtomicBool,
}

/// What a request's head tells.
struct Route {
    signal: Signal,
    encoding: Encoding,
    transport: Transport,
    coding: Option<Coding>,
}

impl Handler {
    pub(super) fn new(
        sampler: Arc<dyn Sampler>,
        forwarder: Option<Forwarder>,
        limits: Limits,
        stats: Arc<Stats>,
        marker: Marker,
        guard: Guard,
    ) -> Self {
        Self {
            sampler,
            forwarder,
            overload: Overload::new(&limits),
            limits,
            stats,
            marker,
            guard,
            large: Arc::new(Semaphore::new(LARGE_AT_ONCE)),
            loop_told: AtomicBool::new(false),
        }
    }

    /// Answers a request. `is_loopback`: it came to a loopback address.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        is_loopback: bool,
    ) -> Response<reply::Body> {
        let (mut head, mut body) = request.into_parts();
        let dialect = dialect(&head.headers);
        let page = match self.guard.check(&head, is_loopback) {
            Ok(page) => page,
            Err(refusal) => return self.answered(dialect, &head, body, Err(refusal)),
        };
        let mut response = if page.as_ref().is_some_and(Page::asks) {
            reply::asked()
        } else {
            let taken = match route(dialect, &head) {
                Ok(route) => {
                    let signal = route.signal;
                    let taken = self.take(route, &mut head, &mut body).await;
                    taken.map(|accepted| (signal, accepted))
                }
                Err(refusal) => Err(refusal),
            };
            self.answered(dialect, &head, body, taken)
        };
        if let Some(page) = page {
            page.permit(response.headers_mut());
        }
        response
    }

    /// The answer to a request of which this became.
    fn answered(
        &self,
        dialect: Dialect,
        head: &Parts,
        body: Incoming,
        taken: Result<(Signal, Accepted), Refusal>,
    ) -> Response<reply::Body> {
        // Who waits for a 100 sends nothing more once the answer is there.
        let sends_on = head.version < Version::HTTP_2 && !head.headers.contains_key(EXPECT);
        if sends_on && !body.is_end_stream() {
            tokio::spawn(drain(body));
        }
        match taken {
            Ok((signal, accepted)) => reply::accepted(dialect, signal, accepted),
            Err(refusal) => {
                self.stats.refused(refusal.reason());
                tracing::debug!(%refusal, path = head.uri.path(), "telemetry was refused");
                reply::refused(dialect, &refusal)
            }
        }
    }

    async fn take(
        self: &Arc<Self>,
        route: Route,
        head: &mut Parts,
        body: &mut Incoming,
    ) -> Result<Accepted, Refusal> {
        if self.marker.is_in(&head.headers) {
            self.drop_own(route.signal);
            return Ok(Accepted::default());
        }
        let announced = announced(&head.headers);
        // Before there is talk of overload: a sender that waits and comes back would be told the
        // same for ever.
        if announced > self.limits.batch + route.transport.prefix() {
            let limit = self.limits.batch;
            return Err(Refusal::TooLarge { limit });
        }
        let mut place = self.overload.admit(announced)?;
        let (frame, coding) = match route.transport {
            Transport::Grpc => {
                let (frame, compressed) = grpc::read(body, &self.limits, &mut place).await?;
                if compressed && route.coding.is_none() {
                    let what = "compressed, but grpc-encoding does not say how".to_owned();
                    return Err(Refusal::Malformed(what));
                }
                (frame, route.coding.filter(|_| compressed))
            }
            Transport::Http => {
                let compressed = route.coding.is_some();
                let frame = otlp_http::read(body, compressed, &self.limits, &mut place).await?;
                (frame, route.coding)
            }
        };
        let batch = Batch {
            signal: route.signal,
            encoding: route.encoding,
            transport: route.transport,
            coding,
            frame,
            headers: std::mem::take(&mut head.headers),
        };
        self.process(batch, place).await
    }

    /// Takes in a message of a topic: a batch in protobuf, as it is. It is not sent on: who else
    /// wants it can read the topic. Refusals are the caller's to count.
    #[cfg(feature = "kafka")]
    pub(super) async fn take_message(
        self: Arc<Self>,
        signal: Signal,
        message: Bytes,
    ) -> Result<Accepted, Refusal> {
        let (limit, size) = (self.limits.batch, message.len());
        if size > limit {
            return Err(Refusal::TooLarge { limit });
        }
        let mut place = self.overload.admit(size)?;
        place.grow(size)?;
        let this = self.clone();
        let sample = move || {
            let _place = place;
            this.sampler.sample(signal, Encoding::Protobuf, &message)
        };
        let sampled = if size <= SMALL_PAYLOAD {
            sample()
        } else {
            let turn = self.large.clone().acquire_owned().await;
            let sampled = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                sample()
            });
            sampled.await.map_err(|_panicked| Refusal::Internal)?
        };
        let accepted = sampled?;
        let (items, rejected) = (accepted.items, accepted.rejected);
        self.stats.took(signal, items, rejected, size);
        Ok(accepted)
    }

    /// Decompresses, samples and queues a batch: a small one at once, another one beside, so that
    /// others needn't wait for it.
    async fn process(
        self: &Arc<Self>,
        batch: Batch,
        mut place: BatchSlot,
    ) -> Result<Accepted, Refusal> {
        if batch.frame.len() <= SMALL {
            let most = SMALL_PAYLOAD.min(self.limits.batch);
            match self.sample(&batch, most, &mut place) {
                // A few bytes can stand for many.
                Err(Refusal::TooLarge { .. }) => {}
                sampled => return self.settle(batch, sampled),
            }
        }
        let turn = self.large.clone().acquire_owned().await;
        let this = self.clone();
        let processed = tokio::task::spawn_blocking(move || {
            // Goes on to its end though the sender may be gone; so the turn is this thread's.
            let _turn = turn;
            let sampled = this.sample(&batch, this.limits.batch, &mut place);
            this.settle(batch, sampled)
        });
        // A panic in the sampler is this request's end only.
        processed.await.unwrap_or(Err(Refusal::Internal))
    }

    fn sample(
        &self,
        batch: &Batch,
        most: usize,
        place: &mut BatchSlot,
    ) -> Result<Accepted, Refusal> {
        let message = batch.message();
        let payload = match batch.coding {
            None => Cow::Borrowed(&*message),
            Some(coding) => Cow::Owned(decompress(coding, &message, most, place)?),
        };
        let sampled = self.sampler.sample(batch.signal, batch.encoding, &payload);
        Ok(sampled?)
    }

    /// Counts a batch that was sampled, and queues it to be sent on: at once, so that a sender that
    /// goes away leaves no half. One that can't be read here is sent on too, as it came: whoever is
    /// behind may read it, and its sender won't send it again.
    fn settle(
        &self,
        batch: Batch,
        sampled: Result<Accepted, Refusal>,
    ) -> Result<Accepted, Refusal> {
        match &sampled {
            Ok(accepted) => {
                let (items, rejected) = (accepted.items, accepted.rejected);
                let size = batch.message().len();
                self.stats.took(batch.signal, items, rejected, size);
            }
            Err(Refusal::Malformed(_)) => {}
            Err(_) => return sampled,
        }
        if let Some(forwarder) = &self.forwarder {
            forwarder.offer(batch);
        }
        sampled
    }

    fn drop_own(&self, signal: Signal) {
        self.stats.own(signal);
        if !self.loop_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                signal = signal.name(),
                "telemetry that was sent on came back, and is dropped: the forward target leads here"
            );
        }
    }
}

fn dialect(headers: &HeaderMap) -> Dialect {
    let is_grpc = headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| is_grpc(value.as_bytes()));
    if is_grpc {
        return Dialect::Grpc;
    }
    // Who says neither reads texts best.
    Dialect::Http(otlp_http::encoding(headers).unwrap_or(Encoding::Json))
}

fn route(dialect: Dialect, head: &Parts) -> Result<Route, Refusal> {
    match dialect {
        Dialect::Grpc => grpc::route(head).map(|(signal, coding)| Route {
            signal,
            encoding: Encoding::Protobuf,
            transport: Transport::Grpc,
            coding,
        }),
        Dialect::Http(_) => otlp_http::route(head).map(|(signal, encoding, coding)| Route {
            signal,
            encoding,
            transport: Transport::Http,
            coding,
        }),
    }
}

fn announced(headers: &HeaderMap) -> usize {
    let length = headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    length.unwrap_or_default()
}

/// Takes the rest of a body that nobody wants, for a while: closing at once would reset the
/// connection, and the reset could overtake the answer that tells why (RFC 9112, 9.6).
async fn drain(mut body: Incoming) {
    let rest = async {
        let mut left = DRAIN_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let size = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(size) {
                Some(less) => left = less,
                None => break,
            }
        }
    };
    // In time or not, the answer is out.
    timeout(DRAIN, rest).await.ok();
}

/// Bytes up to which a batch, as it came and decompressed, is not worth a thread.
const SMALL: usize = 16 * 1024;
pub(super) const SMALL_PAYLOAD: usize = 256 * 1024;
/// Large batches that are digested at once: more would take the processor from traffic.
const LARGE_AT_ONCE: usize = 2;
const DRAIN: std::time::Duration = std::time::Duration::from_secs(2);
const DRAIN_BYTES: usize = 4 << 20;
