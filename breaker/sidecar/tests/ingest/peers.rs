//! tonic's clients, as SDKs use them.

use breaker_sidecar::ingest::{Encoding, Limits, ReceiverSettings, Signal};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic::transport::Endpoint;

use crate::collector::Collector;
use crate::harness::{Running, quick, settings, url};

fn traces() -> ExportTraceServiceRequest {
    let resource_spans = vec![ResourceSpans {
        schema_url: "https://example.com/".repeat(2000),
        ..ResourceSpans::default()
    }];
    ExportTraceServiceRequest { resource_spans }
}

fn metrics() -> ExportMetricsServiceRequest {
    let resource_metrics = vec![ResourceMetrics::default(); 3];
    ExportMetricsServiceRequest { resource_metrics }
}

fn logs() -> ExportLogsServiceRequest {
    let resource_logs = vec![ResourceLogs::default(); 3];
    ExportLogsServiceRequest { resource_logs }
}

#[tokio::test]
async fn tonics_clients_are_understood_with_and_without_compression() {
    let mut collector = Collector::start().await;
    let receiver = Running::forwarding(quick(Some(collector.address), None));
    let endpoint = Endpoint::from(url(receiver.address));
    let channel = endpoint.connect().await.unwrap();
    for coding in [
        None,
        Some(CompressionEncoding::Gzip),
        Some(CompressionEncoding::Zstd),
    ] {
        let mut trace = TraceServiceClient::new(channel.clone());
        let mut metric = MetricsServiceClient::new(channel.clone());
        let mut log = LogsServiceClient::new(channel.clone());
        if let Some(coding) = coding {
            trace = trace.send_compressed(coding).accept_compressed(coding);
            metric = metric.send_compressed(coding).accept_compressed(coding);
            log = log.send_compressed(coding).accept_compressed(coding);
        }
        let answer = trace.export(traces()).await.unwrap();
        assert_eq!(answer.into_inner().partial_success, None);
        metric.export(metrics()).await.unwrap();
        log.export(logs()).await.unwrap();
        let expected = [
            (Signal::Traces, Encoding::Protobuf, traces().encode_to_vec()),
            (
                Signal::Metrics,
                Encoding::Protobuf,
                metrics().encode_to_vec(),
            ),
            (Signal::Logs, Encoding::Protobuf, logs().encode_to_vec()),
        ];
        assert_eq!(receiver.kept.take(), expected);
        for _ in 0..3 {
            let received = collector.next().await;
            assert_eq!(received.body[0], u8::from(coding.is_some()));
            assert_eq!(
                received.headers.contains_key("grpc-encoding"),
                coding.is_some()
            );
        }
    }
}

#[tokio::test]
async fn tonics_clients_understand_refusals() {
    let receiver = Running::start(ReceiverSettings {
        limits: Limits {
            batch: 1000,
            ..Limits::default()
        },
        ..settings()
    });
    let endpoint = Endpoint::from(url(receiver.address));
    let mut client = TraceServiceClient::new(endpoint.connect().await.unwrap());
    let status = client.export(traces()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "the batch is larger than 1000 bytes");
    let small = ExportTraceServiceRequest::default();
    client.export(small).await.unwrap();
}
