//! A collector that keeps what it gets and answers as it is told.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::codec::CompressionEncoding;
use tonic::transport::server::TcpIncoming;

/// What came in with one export.
#[derive(Debug)]
pub(super) struct Received<T = ExportMetricsServiceRequest> {
    pub(super) headers: HeaderMap,
    request: T,
}

pub(super) struct Collector {
    pub(super) address: SocketAddr,
    metrics: mpsc::UnboundedReceiver<Received>,
    traces: mpsc::UnboundedReceiver<Received<ExportTraceServiceRequest>>,
    logs: mpsc::UnboundedReceiver<Received<ExportLogsServiceRequest>>,
    refuses: Arc<AtomicBool>,
    server: tokio::task::JoinHandle<()>,
}

/// What one of its services does.
struct Service<T> {
    sender: mpsc::UnboundedSender<Received<T>>,
    refuses: Arc<AtomicBool>,
}

impl Collector {
    pub(super) async fn grpc(address: SocketAddr) -> Self {
        Self::start(address, |listener, metrics, traces, logs| {
            let server = tonic::transport::Server::builder()
                .add_service(
                    MetricsServiceServer::new(metrics).accept_compressed(CompressionEncoding::Gzip),
                )
                .add_service(
                    TraceServiceServer::new(traces).accept_compressed(CompressionEncoding::Gzip),
                )
                .add_service(
                    LogsServiceServer::new(logs).accept_compressed(CompressionEncoding::Gzip),
                )
                .serve_with_incoming(TcpIncoming::from(listener));
            tokio::spawn(async { server.await.unwrap() })
        })
        .await
    }

    pub(super) async fn http(address: SocketAddr) -> Self {
        Self::start(address, |listener, metrics, traces, logs| {
            let router = Router::new()
                .route("/v1/metrics", post(export).with_state(metrics))
                .route("/v1/traces", post(export).with_state(traces))
                .route("/v1/logs", post(export).with_state(logs));
            tokio::spawn(async { axum::serve(listener, router).await.unwrap() })
        })
        .await
    }

    async fn start(
        address: SocketAddr,
        serve: impl FnOnce(
            TcpListener,
            Service<ExportMetricsServiceRequest>,
            Service<ExportTraceServiceRequest>,
            Service<ExportLogsServiceRequest>,
        ) -> tokio::task::JoinHandle<()>,
    ) -> Self {
        let refuses = Arc::<AtomicBool>::default();
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (metrics_service, metrics) = Service::new(&refuses);
        let (traces_service, traces) = Service::new(&refuses);
        let (logs_service, logs) = Service::new(&refuses);
        Self {
            address,
            metrics,
            traces,
            logs,
            refuses,
            server: serve(listener, metrics_service, traces_service, logs_service),
        }
    }

    /// Answers each export with an error that is not worth a repetition.
    pub(super) fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::Relaxed);
    }

    /// Whether nothing has come that was not taken by [`Self::next`].
    pub(super) fn is_untouched(&self) -> bool {
        self.metrics.is_empty()
    }

    /// The next export of metrics.
    pub(super) async fn next(&mut self) -> Received {
        in_time(self.metrics.recv()).await
    }

    /// The next export of spans.
    pub(super) async fn spans(&mut self) -> Received<ExportTraceServiceRequest> {
        in_time(self.traces.recv()).await
    }

    /// The next export of log records.
    pub(super) async fn logs(&mut self) -> Received<ExportLogsServiceRequest> {
        in_time(self.logs.recv()).await
    }
}

async fn in_time<T>(next: impl Future<Output = Option<T>>) -> T {
    let next = tokio::time::timeout(Duration::from_secs(20), next);
    next.await.expect("an export in time").unwrap()
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl<T> Service<T> {
    fn new(refuses: &Arc<AtomicBool>) -> (Self, mpsc::UnboundedReceiver<Received<T>>) {
        let (sender, received) = mpsc::unbounded_channel();
        let refuses = refuses.clone();
        (Self { sender, refuses }, received)
    }

    /// Keeps a request; returns whether it is taken.
    fn keep(&self, headers: HeaderMap, request: T) -> bool {
        self.sender.send(Received { headers, request }).ok();
        !self.refuses.load(Ordering::Relaxed)
    }

    fn answer<A: Default>(
        &self,
        request: tonic::Request<T>,
    ) -> Result<tonic::Response<A>, tonic::Status> {
        let (metadata, _, request) = request.into_parts();
        if self.keep(metadata.into_headers(), request) {
            Ok(tonic::Response::new(A::default()))
        } else {
            Err(tonic::Status::invalid_argument("no"))
        }
    }
}

impl<T> Clone for Service<T> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            refuses: self.refuses.clone(),
        }
    }
}

#[tonic::async_trait]
impl MetricsService for Service<ExportMetricsServiceRequest> {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, tonic::Status> {
        self.answer(request)
    }
}

#[tonic::async_trait]
impl TraceService for Service<ExportTraceServiceRequest> {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.answer(request)
    }
}

#[tonic::async_trait]
impl LogsService for Service<ExportLogsServiceRequest> {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, tonic::Status> {
        self.answer(request)
    }
}

/// The answer is empty for each of the signals.
async fn export<T: Message + Default>(
    State(service): State<Service<T>>,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let mut protobuf = Vec::new();
    if headers
        .get("content-encoding")
        .is_some_and(|encoding| encoding == "gzip")
    {
        let mut decoder = flate2::read::GzDecoder::new(&*body);
        decoder.read_to_end(&mut protobuf).unwrap();
    } else {
        protobuf.extend(body);
    }
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = T::decode(&*protobuf).unwrap();
    if service.keep(headers, request) {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    }
}

impl Received<ExportTraceServiceRequest> {
    pub(super) fn spans(&self) -> impl Iterator<Item = &Span> {
        let resources = self.request.resource_spans.iter();
        resources
            .flat_map(|resource| &resource.scope_spans)
            .flat_map(|scope| &scope.spans)
    }

    pub(super) fn resource(&self, key: &str) -> Option<String> {
        let resource = self.request.resource_spans[0].resource.as_ref().unwrap();
        attribute(&resource.attributes, key)
    }
}

impl Received<ExportLogsServiceRequest> {
    pub(super) fn records(&self) -> impl Iterator<Item = &LogRecord> {
        let resources = self.request.resource_logs.iter();
        resources
            .flat_map(|resource| &resource.scope_logs)
            .flat_map(|scope| &scope.log_records)
    }

    pub(super) fn resource(&self, key: &str) -> Option<String> {
        let resource = self.request.resource_logs[0].resource.as_ref().unwrap();
        attribute(&resource.attributes, key)
    }
}

impl Received {
    pub(super) fn resource(&self, key: &str) -> Option<String> {
        let resource = self.request.resource_metrics[0].resource.as_ref().unwrap();
        attribute(&resource.attributes, key)
    }

    pub(super) fn metric(&self, name: &str) -> Option<&Metric> {
        let scopes = self.request.resource_metrics.iter();
        scopes
            .flat_map(|resource| &resource.scope_metrics)
            .flat_map(|scope| &scope.metrics)
            .find(|metric| metric.name == name)
    }

    /// The value of the point of `name` that has all of `attributes`; of a histogram, its count.
    pub(super) fn value(&self, name: &str, attributes: &[(&str, &str)]) -> Option<f64> {
        let has_all = |have: &[KeyValue]| {
            attributes.iter().all(|(key, value)| {
                have.iter()
                    .any(|pair| pair.key == *key && text(pair) == *value)
            })
        };
        let numbers = match self.metric(name)?.data.as_ref()? {
            Data::Gauge(gauge) => &gauge.data_points,
            Data::Sum(sum) => &sum.data_points,
            Data::ExponentialHistogram(histogram) => {
                let mut points = histogram.data_points.iter();
                let point = points.find(|point| has_all(&point.attributes))?;
                return Some(point.count as f64);
            }
            _ => return None,
        };
        let point = numbers.iter().find(|point| has_all(&point.attributes))?;
        Some(match point.value? {
            number_data_point::Value::AsDouble(value) => value,
            number_data_point::Value::AsInt(value) => value as f64,
        })
    }
}

/// An attribute's value, as text.
pub(super) fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let pair = attributes.iter().find(|pair| pair.key == key);
    pair.map(text)
}

fn text(pair: &KeyValue) -> String {
    let value = pair.value.as_ref().and_then(|value| value.value.clone());
    match value.unwrap() {
        any_value::Value::StringValue(value) => value,
        any_value::Value::IntValue(value) => value.to_string(),
        other => format!("{other:?}"),
    }
}
