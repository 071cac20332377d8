//! The hot path: one call for each finished request, and one for each attempt to have it answered
//! by an endpoint.
//!
//! A worker keeps the histograms that its recent requests went to, bound to their attributes (an
//! experimental feature of the SDK), in direct-mapped caches: a request that looks like one before
//! it costs a hash, a comparison and a record. Whatever callers and upstreams do, the caches have a
//! fixed size and the SDK caps the series.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::TraceContext;
use breaker_tower::breaker_core::TraceId;
use http::{Method, StatusCode, Version};
use opentelemetry::KeyValue;
use opentelemetry::metrics::BoundHistogram;

use super::exemplars::Series;
use super::meters::Meters;
use super::names;
use super::prometheus::labels;
use crate::message;

/// What indices in requests stand for.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Names or templates of the routes: `http.route`.
    pub routes: Vec<Arc<str>>,
    /// Upstream endpoints, as configured: `server.address` and `server.port`.
    pub endpoints: Vec<(Arc<str>, Option<u16>)>,
}

/// A finished request, as the proxy's caller saw it.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    /// The method.
    pub method: &'a Method,
    /// Whether the caller came by TLS: `url.scheme`.
    pub https: bool,
    /// The version that the caller spoke.
    pub version: Version,
    /// The route's index in the [`Catalog`], where one matched.
    pub route: Option<u16>,
    /// The status that was sent, where one was.
    pub status: Option<StatusCode>,
    /// What went wrong, of a small set of words. A status from 500 on speaks for itself.
    pub error: Option<&'static str>,
    /// From the request's head to the end of the response.
    pub duration: Duration,
    /// The trace that it belongs to, if that is recorded.
    pub trace: Option<TraceId>,
}

/// A request that the proxy sent to an endpoint, or tried to.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// The method.
    pub method: &'a Method,
    /// The endpoint's index in the [`Catalog`].
    pub endpoint: Option<u16>,
    /// Whether it was sent by TLS: `url.scheme`.
    pub https: bool,
    /// The version that the upstream spoke.
    pub version: Version,
    /// The status that came back, where one did.
    pub status: Option<StatusCode>,
    /// What went wrong, of a small set of words. A status from 400 on speaks for itself.
    pub error: Option<&'static str>,
    /// From sending to the end of the response.
    pub duration: Duration,
    /// How many attempts of the same request went before; from `MANY` on they are told alike.
    pub resends: u32,
}

/// Records finished requests. Each worker has one of its own.
pub struct Recorder {
    meters: Arc<Meters>,
    catalog: Arc<Catalog>,
    server: Cache,
    client: Cache,
}

/// The series of one histogram that were used recently.
struct Cache(RefCell<Box<[Option<Slot>]>>);

struct Slot {
    key: Key,
    bound: BoundHistogram<f64>,
    exemplars: Option<Arc<Series>>,
}

/// All that attributes depend on, in few words: it is made and compared for each request.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    packed: u64,
    error: Option<&'static str>,
}

// === impl Recorder ===

impl Recorder {
    pub(crate) fn new(meters: Arc<Meters>, catalog: Arc<Catalog>) -> Self {
        Self {
            meters,
            catalog,
            server: Cache::new(),
            client: Cache::new(),
        }
    }

    /// Records a finished request in `http.server.request.duration`.
    pub fn record(&self, finished: &Finished<'_>) {
        let key = Key::of(finished);
        self.server
            .record(key, finished.duration, finished.trace, || {
                let attributes = self.server_attributes(finished);
                let exemplars = self.meters.exemplars.series(labels(&attributes));
                (self.meters.server_duration.bind(&attributes), exemplars)
            });
    }

    /// Records a request that was sent on in `http.client.request.duration`.
    pub fn sent(&self, sent: &Sent<'_>) {
        let key = Key::of_sent(sent);
        self.client.record(key, sent.duration, None, || {
            let attributes = self.client_attributes(sent);
            (self.meters.client_duration.bind(&attributes), None)
        });
    }

    fn server_attributes(&self, finished: &Finished<'_>) -> Vec<KeyValue> {
        let mut attributes = shared_attributes(finished.method, finished.https, finished.version);
        push_result(&mut attributes, finished.status, finished.error, 500);
        let route = finished
            .route
            .and_then(|index| self.catalog.routes.get(usize::from(index)));
        attributes.extend(route.map(|route| KeyValue::new(names::ROUTE, route.clone())));
        attributes
    }

    fn client_attributes(&self, sent: &Sent<'_>) -> Vec<KeyValue> {
        let mut attributes = shared_attributes(sent.method, sent.https, sent.version);
        push_result(&mut attributes, sent.status, sent.error, 400);
        let endpoint = sent
            .endpoint
            .and_then(|index| self.catalog.endpoints.get(usize::from(index)));
        if let Some((address, port)) = endpoint {
            attributes.push(KeyValue::new(names::SERVER_ADDRESS, address.clone()));
            let port = port.map(|port| KeyValue::new(names::SERVER_PORT, i64::from(port)));
            attributes.extend(port);
        }
        if let resends @ 1.. = sent.resends.min(MANY) {
            attributes.push(KeyValue::new(names::RESEND_COUNT, i64::from(resends)));
        }
        attributes
    }
}

impl message::Recorder for Recorder {
    fn record(&self, finished: &message::Finished<'_>) {
        Self::record(
            self,
            &Finished {
                method: finished.method,
                https: finished.is_secure,
                version: finished.version,
                route: finished.route.and_then(|index| u16::try_from(index).ok()),
                status: finished.status,
                error: finished.error.map(|error| error.proxy_status()),
                duration: finished.duration,
                trace: finished
                    .trace
                    .filter(|trace| trace.is_sampled())
                    .and_then(id),
            },
        );
    }

    fn sent(&self, sent: &message::Sent<'_>) {
        Self::sent(
            self,
            &Sent {
                method: sent.method,
                endpoint: u16::try_from(sent.endpoint).ok(),
                https: sent.is_secure,
                version: sent.version,
                status: sent.status,
                error: sent.error.map(|error| error.proxy_status()),
                duration: sent.duration,
                resends: sent.resends,
            },
        );
    }

    fn malformed_deadline(&self, route: usize) {
        let name = self.catalog.routes.get(route).cloned();
        let name = name.map(|name| KeyValue::new(names::BREAKER_NAME, name));
        self.meters.malformed_deadlines.add(1, name.as_slice());
    }
}

impl Clone for Recorder {
    /// A recorder with a cache of its own, for another worker.
    fn clone(&self) -> Self {
        Self::new(self.meters.clone(), self.catalog.clone())
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("catalog", &self.catalog)
            .finish_non_exhaustive()
    }
}

// === impl Cache ===

impl Cache {
    fn new() -> Self {
        Self(RefCell::new((0..SLOTS).map(|_| None).collect()))
    }

    /// Records in the series of `key`, which `bind` makes if it is not the one in its slot.
    fn record(
        &self,
        key: Key,
        duration: Duration,
        trace: Option<TraceId>,
        bind: impl FnOnce() -> (BoundHistogram<f64>, Option<Arc<Series>>),
    ) {
        let mut slots = self.0.borrow_mut();
        let slot = &mut slots[key.slot()];
        let series = match slot {
            Some(series) if series.key == key => series,
            _ => {
                let (bound, exemplars) = bind();
                slot.insert(Slot {
                    key,
                    bound,
                    exemplars,
                })
            }
        };
        let seconds = duration.as_secs_f64();
        series.bound.record(seconds);
        if let (Some(trace), Some(exemplars)) = (trace, &series.exemplars) {
            exemplars.saw(trace, seconds);
        }
    }
}

// === impl Key ===

impl Key {
    fn of(finished: &Finished<'_>) -> Self {
        let Finished {
            method, version, ..
        } = *finished;
        Self {
            packed: packed(
                finished.route,
                finished.status,
                method,
                version,
                finished.https,
            ),
            error: finished.error,
        }
    }

    fn of_sent(sent: &Sent<'_>) -> Self {
        let Sent {
            method, version, ..
        } = *sent;
        Self {
            packed: packed(sent.endpoint, sent.status, method, version, sent.https)
                | u64::from(sent.resends.min(MANY)) << 52,
            error: sent.error,
        }
    }

    /// Where in the cache the key belongs. Keys that collide replace each other.
    fn slot(&self) -> usize {
        let mixed = self.packed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> (64 - SLOTS.ilog2())) as usize
    }
}

fn id(trace: TraceContext) -> Option<TraceId> {
    TraceId::new(trace.trace_id)
}

fn packed(
    index: Option<u16>,
    status: Option<StatusCode>,
    method: &Method,
    version: Version,
    https: bool,
) -> u64 {
    let index = index.map_or(0, |index| u64::from(index) + 1);
    let status = status.map_or(0, |status| u64::from(status.as_u16()));
    let method = method_index(method) as u64;
    let version = version_index(version) as u64;
    index << 32 | status << 16 | method << 8 | version << 1 | u64::from(https)
}

/// The attributes of the request itself.
pub(super) fn shared_attributes(method: &Method, https: bool, version: Version) -> Vec<KeyValue> {
    let scheme = if https { "https" } else { "http" };
    vec![
        KeyValue::new(names::REQUEST_METHOD, METHODS[method_index(method)]),
        KeyValue::new(names::URL_SCHEME, scheme),
        KeyValue::new(
            names::NETWORK_PROTOCOL_VERSION,
            VERSIONS[version_index(version)],
        ),
    ]
}

/// The attributes of how it ended. A status from `error_from` on is the error, unless there is a
/// better word.
pub(super) fn push_result(
    attributes: &mut Vec<KeyValue>,
    status: Option<StatusCode>,
    error: Option<&'static str>,
    error_from: u16,
) {
    if let Some(status) = status {
        let code = i64::from(status.as_u16());
        attributes.push(KeyValue::new(names::RESPONSE_STATUS, code));
    }
    let by_status = status.filter(|status| status.as_u16() >= error_from);
    if let Some(word) = error {
        attributes.push(KeyValue::new(names::ERROR_TYPE, word));
    } else if let Some(status) = by_status {
        attributes.push(KeyValue::new(names::ERROR_TYPE, status.as_str().to_owned()));
    }
}

pub(super) fn method_index(method: &Method) -> usize {
    match *method {
        Method::GET => 1,
        Method::POST => 2,
        Method::PUT => 3,
        Method::DELETE => 4,
        Method::HEAD => 5,
        Method::OPTIONS => 6,
        Method::PATCH => 7,
        Method::CONNECT => 8,
        Method::TRACE => 9,
        _ => 0,
    }
}

fn version_index(version: Version) -> usize {
    match version {
        Version::HTTP_2 => 1,
        Version::HTTP_10 => 2,
        Version::HTTP_3 => 3,
        _ => 0,
    }
}

/// By [`method_index`]. Others are one, as the conventions ask: a caller can't make series.
pub(super) const METHODS: [&str; 10] = [
    "_OTHER", "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE",
];

/// By [`version_index`].
const VERSIONS: [&str; 4] = ["1.1", "2", "1.0", "3"];

/// Attempts of one request that are told apart in metrics: as many as a route may ask for.
const MANY: u32 = 5;

/// Slots of a worker's cache for each of both histograms: 10 KB.
const SLOTS: usize = 256;
