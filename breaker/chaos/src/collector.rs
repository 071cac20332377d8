//! A collector that counts: what came by OTLP/HTTP, by service, and which events breakers told of.
//!
//! Real ones do more; this one comes in the same image as the services, so that the demo needs no
//! other.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use breaker_sidecar::telemetry::{EVENT_ALERT, EVENT_TRANSITION, TRANSITION_FROM, TRANSITION_TO};
use bytes::Bytes;
use http::{StatusCode, header};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

/// A collector whose address is bound.
#[derive(Debug)]
pub(crate) struct Collector {
    listener: TcpListener,
    seen: Seen,
}

/// What it saw. Clones share it.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    services: BTreeMap<String, Received>,
    /// The last [`KEPT`], by their number.
    events: VecDeque<Event>,
    next: u64,
}

/// What one service sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Received {
    pub(crate) spans: usize,
    pub(crate) points: usize,
    pub(crate) transitions: usize,
    /// The transitions closed → open.
    pub(crate) trips: usize,
    pub(crate) alerts: usize,
}

/// What a breaker told of, as a log record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) number: u64,
    pub(crate) service: String,
    pub(crate) kind: EventKind,
    /// Why, with the numbers.
    pub(crate) reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EventKind {
    Transition { from: String, to: String },
    Alert,
}

// === impl Collector ===

impl Collector {
    /// Binds its address.
    ///
    /// # Errors
    /// When it is taken.
    pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await;
        Ok(Self {
            listener: listener.with_context(|| format!("cannot listen on {address}"))?,
            seen: Seen::default(),
        })
    }

    /// Where it receives.
    ///
    /// # Errors
    /// When the system does not tell.
    pub(crate) fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the process ends.
    ///
    /// # Errors
    /// When the listener fails.
    pub(crate) async fn serve(self) -> std::io::Result<()> {
        let router = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/metrics", post(metrics))
            .route("/v1/logs", post(logs))
            .route("/services", get(services))
            .route("/events/{after}", get(events))
            .route("/livez", get("ok\n"))
            .with_state(self.seen);
        axum::serve(self.listener, router).await
    }
}

type Taken = Result<([(header::HeaderName, &'static str); 1], Bytes), StatusCode>;

/// An empty message says that all was taken.
const TAKEN: Taken = Ok((
    [(header::CONTENT_TYPE, "application/x-protobuf")],
    Bytes::new(),
));

async fn traces(State(seen): State<Seen>, body: Bytes) -> Taken {
    let request = decode::<ExportTraceServiceRequest>(body)?;
    let mut seen = seen.lock();
    for resource in request.resource_spans {
        let spans = resource.scope_spans.iter().map(|scope| scope.spans.len());
        seen.service(resource.resource.as_ref()).spans += spans.sum::<usize>();
    }
    TAKEN
}

async fn metrics(State(seen): State<Seen>, body: Bytes) -> Taken {
    let request = decode::<ExportMetricsServiceRequest>(body)?;
    let mut seen = seen.lock();
    for resource in request.resource_metrics {
        let scopes = resource.scope_metrics.iter();
        let points = scopes
            .flat_map(|scope| &scope.metrics)
            .map(|metric| metric.data.as_ref().map_or(0, points));
        seen.service(resource.resource.as_ref()).points += points.sum::<usize>();
    }
    TAKEN
}

async fn logs(State(seen): State<Seen>, body: Bytes) -> Taken {
    let request = decode::<ExportLogsServiceRequest>(body)?;
    let mut seen = seen.lock();
    for resource in request.resource_logs {
        for record in resource
            .scope_logs
            .iter()
            .flat_map(|scope| &scope.log_records)
        {
            seen.record(resource.resource.as_ref(), record);
        }
    }
    TAKEN
}

async fn services(State(seen): State<Seen>) -> Json<BTreeMap<String, Received>> {
    Json(seen.lock().services.clone())
}

async fn events(State(seen): State<Seen>, Path(after): Path<u64>) -> Json<Vec<Event>> {
    let seen = seen.lock();
    let newer = seen.events.iter().filter(|event| event.number > after);
    Json(newer.cloned().collect())
}

fn decode<M: Message + Default>(body: Bytes) -> Result<M, StatusCode> {
    M::decode(body).map_err(|_malformed| StatusCode::BAD_REQUEST)
}

fn points(data: &Data) -> usize {
    match data {
        Data::Gauge(data) => data.data_points.len(),
        Data::Sum(data) => data.data_points.len(),
        Data::Histogram(data) => data.data_points.len(),
        Data::ExponentialHistogram(data) => data.data_points.len(),
        Data::Summary(data) => data.data_points.len(),
    }
}

// === impl Seen ===

impl Seen {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn service(&mut self, resource: Option<&Resource>) -> &mut Received {
        self.services.entry(name(resource)).or_default()
    }

    fn record(&mut self, resource: Option<&Resource>, record: &LogRecord) {
        let word = |key| text(&record.attributes, key).unwrap_or_default().to_owned();
        let kind = match &*record.event_name {
            EVENT_TRANSITION => EventKind::Transition {
                from: word(TRANSITION_FROM),
                to: word(TRANSITION_TO),
            },
            EVENT_ALERT => EventKind::Alert,
            _ => return,
        };
        let counts = self.service(resource);
        match &kind {
            EventKind::Alert => counts.alerts += 1,
            EventKind::Transition { from, to } => {
                counts.transitions += 1;
                counts.trips += usize::from(from == "closed" && to == "open");
            }
        }
        self.next += 1;
        let reason = record.body.as_ref().and_then(|body| body.value.as_ref());
        self.events.push_back(Event {
            number: self.next,
            service: name(resource),
            kind,
            reason: reason.and_then(string).unwrap_or_default().to_owned(),
        });
        if self.events.len() > KEPT {
            self.events.pop_front();
        }
    }
}

fn name(resource: Option<&Resource>) -> String {
    let name = resource.and_then(|resource| text(&resource.attributes, "service.name"));
    name.unwrap_or("unknown_service").to_owned()
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    string(attribute.value.as_ref()?.value.as_ref()?)
}

fn string(value: &any_value::Value) -> Option<&str> {
    match value {
        any_value::Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// Events that are kept for who asks.
const KEPT: usize = 1000;
