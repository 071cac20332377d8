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
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, number_data_point};
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::codec::CompressionEncoding;
use tonic::transport::server::TcpIncoming;

/// What came in with one export.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) headers: HeaderMap,
    request: ExportMetricsServiceRequest,
}

pub(super) struct Collector {
    pub(super) address: SocketAddr,
    received: mpsc::UnboundedReceiver<Received>,
    behaviour: Behaviour,
    server: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
struct Behaviour {
    sender: mpsc::UnboundedSender<Received>,
    refuses: Arc<AtomicBool>,
}

impl Collector {
    pub(super) async fn grpc(address: SocketAddr) -> Self {
        let (listener, behaviour, received) = Self::parts(address).await;
        let address = listener.local_addr().unwrap();
        let service = MetricsServiceServer::new(behaviour.clone())
            .accept_compressed(CompressionEncoding::Gzip);
        let server = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpIncoming::from(listener));
        Self {
            address,
            received,
            behaviour,
            server: tokio::spawn(async { server.await.unwrap() }),
        }
    }

    pub(super) async fn http(address: SocketAddr) -> Self {
        let (listener, behaviour, received) = Self::parts(address).await;
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/v1/metrics", post(export))
            .with_state(behaviour.clone());
        Self {
            address,
            received,
            behaviour,
            server: tokio::spawn(async { axum::serve(listener, router).await.unwrap() }),
        }
    }

    async fn parts(
        address: SocketAddr,
    ) -> (TcpListener, Behaviour, mpsc::UnboundedReceiver<Received>) {
        let (sender, received) = mpsc::unbounded_channel();
        let behaviour = Behaviour {
            sender,
            refuses: Arc::default(),
        };
        let listener = TcpListener::bind(address).await.unwrap();
        (listener, behaviour, received)
    }

    /// Answers each export with an error that is not worth a repetition.
    pub(super) fn refuse(&self, refuses: bool) {
        self.behaviour.refuses.store(refuses, Ordering::Relaxed);
    }

    /// Whether nothing has come that was not taken by [`Self::next`].
    pub(super) fn is_untouched(&self) -> bool {
        self.received.is_empty()
    }

    pub(super) async fn next(&mut self) -> Received {
        let next = tokio::time::timeout(Duration::from_secs(20), self.received.recv());
        next.await.expect("an export in time").unwrap()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[tonic::async_trait]
impl MetricsService for Behaviour {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, tonic::Status> {
        let (metadata, _, request) = request.into_parts();
        let headers = metadata.into_headers();
        self.sender.send(Received { headers, request }).ok();
        if self.refuses.load(Ordering::Relaxed) {
            return Err(tonic::Status::invalid_argument("no"));
        }
        Ok(tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}

async fn export(
    State(behaviour): State<Behaviour>,
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
    let request = ExportMetricsServiceRequest::decode(&*protobuf).unwrap();
    behaviour.sender.send(Received { headers, request }).ok();
    if behaviour.refuses.load(Ordering::Relaxed) {
        return (StatusCode::BAD_REQUEST, Vec::new());
    }
    let answer = ExportMetricsServiceResponse::default();
    (StatusCode::OK, answer.encode_to_vec())
}

impl Received {
    pub(super) fn resource(&self, key: &str) -> Option<String> {
        let resource = self.request.resource_metrics[0].resource.as_ref().unwrap();
        resource
            .attributes
            .iter()
            .find(|pair| pair.key == key)
            .map(text)
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

fn text(pair: &KeyValue) -> String {
    let value = pair.value.as_ref().and_then(|value| value.value.clone());
    match value.unwrap() {
        any_value::Value::StringValue(value) => value,
        any_value::Value::IntValue(value) => value.to_string(),
        other => format!("{other:?}"),
    }
}
