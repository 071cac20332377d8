//! OTLP exporters: gRPC and HTTP/protobuf, over connections of our own making.
//!
//! The exporters of `opentelemetry-otlp` bring the encoding, the retries with back-off and the reading of what a collector answers.
//! Connections, TLS and headers are ours: one way for both protocols, with the variables that the SDK doesn't read.

mod http;
pub(super) mod tls;

use std::path::PathBuf;

use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};

use self::http::Client;
use self::tls::Trust;
use super::settings::{Compression, Export, Protocol};

/// Why an exporter can't be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OtlpError {
    /// A file with certificates or a key can't be used.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// TLS can't be set up.
    #[error("TLS to the collector can't be set up: {0}")]
    Tls(String),
    /// The exporter of the SDK refuses the settings.
    #[error(transparent)]
    Exporter(#[from] ExporterBuildError),
    /// The runtime or the thread of the export can't be started.
    #[error("the export can't be started")]
    Start(#[from] std::io::Error),
}

/// An exporter to where `export` says. Must be called within a Tokio runtime; connects when it first exports.
pub(super) fn exporter(export: &Export) -> Result<MetricExporter, OtlpError> {
    match export.protocol {
        Protocol::Grpc => grpc(export),
        Protocol::HttpProtobuf => http_protobuf(export),
    }
}

fn grpc(export: &Export) -> Result<MetricExporter, OtlpError> {
    let connector = tls::connector(&Trust::of(export))?.enable_http2().build();
    let channel = tonic::transport::Endpoint::from(export.endpoint.clone())
        .timeout(export.timeout)
        .connect_timeout(export.timeout)
        .connect_with_connector_lazy(connector);

    // An interceptor has the last word, after what the SDK reads from the environment by itself.
    let headers = export.headers.clone();
    let interceptor = move |mut request: tonic::Request<()>| {
        let mut all = std::mem::take(request.metadata_mut()).into_headers();
        all.extend(headers.clone());
        *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(all);
        Ok(request)
    };
    let mut builder = MetricExporter::builder()
        .with_temporality(export.temporality)
        .with_tonic()
        .with_channel(channel)
        .with_interceptor(interceptor)
        .with_timeout(export.timeout);
    if export.compression == Compression::Gzip {
        builder = builder.with_compression(opentelemetry_otlp::Compression::Gzip);
    }
    Ok(builder.build()?)
}

fn http_protobuf(export: &Export) -> Result<MetricExporter, OtlpError> {
    let connector = tls::connector(&Trust::of(export))?.enable_http1().build();
    let client = Client::new(connector, export.headers.clone(), export.timeout);
    let mut builder = MetricExporter::builder()
        .with_temporality(export.temporality)
        .with_http()
        .with_http_client(client)
        .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
        .with_endpoint(export.endpoint.to_string())
        .with_timeout(export.timeout);
    if export.compression == Compression::Gzip {
        builder = builder.with_compression(opentelemetry_otlp::Compression::Gzip);
    }
    Ok(builder.build()?)
}
