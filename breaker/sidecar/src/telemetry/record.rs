//! The hot path: one call for each finished request.
//!
//! A worker keeps the histograms that its recent requests went to, bound to their attributes (an experimental feature of the SDK), in
//! a direct-mapped cache: a request that looks like one before it costs a hash, a comparison and two records. Whatever callers and
//! upstreams do, the cache has a fixed size and the SDK caps the series.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode, Version};
use opentelemetry::KeyValue;
use opentelemetry::metrics::BoundHistogram;

use super::meters::Meters;
use super::names;

/// What indices in requests stand for.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Names or templates of the routes: `http.route`.
    pub routes: Vec<Arc<str>>,
    /// Upstream endpoints, as configured: `server.address` and `server.port`.
    pub endpoints: Vec<(Arc<str>, u16)>,
}

/// A finished request, as the proxy's caller saw it.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    /// The method.
    pub method: &'a Method,
    /// `http` or `https`.
    pub scheme: &'static str,
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
    /// The request that the proxy sent, where it sent one.
    pub upstream: Option<Sent>,
}

/// A request that the proxy sent to an upstream.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// The endpoint's index in the [`Catalog`].
    pub endpoint: u16,
    /// The version that the upstream spoke.
    pub version: Version,
    /// The status that came back, where one did.
    pub status: Option<StatusCode>,
    /// What went wrong, of a small set of words. A status from 400 on speaks for itself.
    pub error: Option<&'static str>,
    /// From sending to the end of the response.
    pub duration: Duration,
}

/// Records finished requests. Each worker has one of its own.
pub struct Recorder {
    meters: Arc<Meters>,
    catalog: Arc<Catalog>,
    cache: RefCell<Box<[Option<Slot>]>>,
}

/// All that attributes depend on.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    server: Shape,
    client: Option<Shape>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    /// A route or an endpoint.
    index: Option<u16>,
    status: Option<StatusCode>,
    method: u8,
    version: Version,
    scheme: &'static str,
    error: Option<&'static str>,
}

struct Slot {
    key: Key,
    server: BoundHistogram<f64>,
    client: Option<BoundHistogram<f64>>,
}

// === impl Recorder ===

impl Recorder {
    pub(crate) fn new(meters: Arc<Meters>, catalog: Arc<Catalog>) -> Self {
        Self {
            meters,
            catalog,
            cache: RefCell::new((0..SLOTS).map(|_| None).collect()),
        }
    }

    /// Records a finished request in `http.server.request.duration`, and in `http.client.request.duration` if it was sent on.
    pub fn record(&self, finished: &Finished<'_>) {
        let key = Key::of(finished);
        let mut cache = self.cache.borrow_mut();
        let slot = &mut cache[key.slot()];
        let bound = match slot {
            Some(bound) if bound.key == key => bound,
            _ => slot.insert(self.bind(key)),
        };
        bound.server.record(finished.duration.as_secs_f64());
        if let (Some(client), Some(sent)) = (&bound.client, &finished.upstream) {
            client.record(sent.duration.as_secs_f64());
        }
    }

    #[cold]
    fn bind(&self, key: Key) -> Slot {
        Slot {
            key,
            server: self
                .meters
                .server_duration
                .bind(&self.server_attributes(&key.server)),
            client: key.client.map(|client| {
                self.meters
                    .client_duration
                    .bind(&self.client_attributes(&client))
            }),
        }
    }

    fn server_attributes(&self, shape: &Shape) -> Vec<KeyValue> {
        let mut attributes = shape.attributes(500);
        let route = shape
            .index
            .and_then(|index| self.catalog.routes.get(usize::from(index)));
        attributes.extend(route.map(|route| KeyValue::new(names::ROUTE, route.clone())));
        attributes
    }

    fn client_attributes(&self, shape: &Shape) -> Vec<KeyValue> {
        let mut attributes = shape.attributes(400);
        let endpoint = shape
            .index
            .and_then(|index| self.catalog.endpoints.get(usize::from(index)));
        if let Some((address, port)) = endpoint {
            attributes.push(KeyValue::new(names::SERVER_ADDRESS, address.clone()));
            attributes.push(KeyValue::new(names::SERVER_PORT, i64::from(*port)));
        }
        attributes
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

// === impl Key ===

impl Key {
    fn of(finished: &Finished<'_>) -> Self {
        let method = method_index(finished.method);
        Self {
            server: Shape {
                index: finished.route,
                status: finished.status,
                method,
                version: finished.version,
                scheme: finished.scheme,
                error: finished.error,
            },
            client: finished.upstream.map(|sent| Shape {
                index: Some(sent.endpoint),
                status: sent.status,
                method,
                version: sent.version,
                scheme: "http",
                error: sent.error,
            }),
        }
    }

    /// Where in the cache the key belongs. Only what varies most takes part: keys that collide replace each other.
    fn slot(&self) -> usize {
        let status = |status: Option<StatusCode>| status.map_or(0, |status| status.as_u16());
        let index = |index: Option<u16>| index.map_or(0, |index| u64::from(index) + 1);
        let server = index(self.server.index) << 16 | u64::from(status(self.server.status));
        let client = self.client.map_or(0, |client| {
            index(client.index) << 16 | u64::from(status(client.status))
        });
        let mixed = (server << 8 | u64::from(self.server.method))
            .wrapping_add(client.rotate_left(40))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> (64 - SLOTS.ilog2())) as usize
    }
}

// === impl Shape ===

impl Shape {
    /// The attributes that both metrics have. A status from `error_from` on is the error, unless there is a better word.
    fn attributes(&self, error_from: u16) -> Vec<KeyValue> {
        let mut attributes = vec![
            KeyValue::new(names::REQUEST_METHOD, METHODS[usize::from(self.method)]),
            KeyValue::new(names::URL_SCHEME, self.scheme),
            KeyValue::new(names::NETWORK_PROTOCOL_VERSION, version(self.version)),
        ];
        if let Some(status) = self.status {
            let code = i64::from(status.as_u16());
            attributes.push(KeyValue::new(names::RESPONSE_STATUS, code));
        }
        let by_status = self
            .status
            .filter(|status| status.as_u16() >= error_from)
            .map(|status| status.as_u16().to_string());
        if let Some(word) = self.error {
            attributes.push(KeyValue::new(names::ERROR_TYPE, word));
        } else if let Some(code) = by_status {
            attributes.push(KeyValue::new(names::ERROR_TYPE, code));
        }
        attributes
    }
}

fn method_index(method: &Method) -> u8 {
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

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

/// By [`method_index`]. Others are one, as the conventions ask: a caller can't make series.
const METHODS: [&str; 10] = [
    "_OTHER", "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE",
];

/// Slots of a worker's cache: 40 KB.
const SLOTS: usize = 256;
