//! OTLP exporters: gRPC and HTTP/protobuf, over connections of our own making.
//!
//! The exporters of `opentelemetry-otlp` bring the encoding, the retries with back-off and the reading of what a collector answers.
//! Connections, TLS and headers are ours: one way for both protocols, with the variables that the SDK doesn't read.

mod http;
pub(super) mod tls;

use std::path::PathBuf;

use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, SpanExporter, WithExportConfig,
    WithHttpConfig, WithTonicConfig,
};

use self::http::Client;
use self::tls::Trust;
use super::settings::{Compression, Export, Metrics, Protocol};
use crate::upstream::Names;
use crate::upstream::resolve::Resolver;

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
    /// Names can't be resolved.
    #[error("names can't be resolved: {0}")]
    Names(String),
    /// The exporter of the SDK refuses the settings.
    #[error(transparent)]
    Exporter(#[from] ExporterBuildError),
    /// The runtime or the thread of the export can't be started.
    #[error("the export can't be started")]
    Start(#[from] std::io::Error),
}

/// An exporter of metrics. As all of them, it must be made within a Tokio runtime, and connects when it first exports.
pub(super) fn metrics(settings: &Metrics) -> Result<MetricExporter, OtlpError> {
    let builder = MetricExporter::builder().with_temporality(settings.temporality);
    let export = &settings.export;
    Ok(match export.protocol {
        Protocol::Grpc => grpc(builder.with_tonic(), export)?.build()?,
        Protocol::HttpProtobuf => http_protobuf(builder.with_http(), export)?.build()?,
    })
}

/// An exporter of spans, to where `export` says.
pub(super) fn spans(export: &Export) -> Result<SpanExporter, OtlpError> {
    let builder = SpanExporter::builder();
    Ok(match export.protocol {
        Protocol::Grpc => grpc(builder.with_tonic(), export)?.build()?,
        Protocol::HttpProtobuf => http_protobuf(builder.with_http(), export)?.build()?,
    })
}

/// An exporter of log records, to where `export` says.
pub(super) fn logs(export: &Export) -> Result<LogExporter, OtlpError> {
    let builder = LogExporter::builder();
    Ok(match export.protocol {
        Protocol::Grpc => grpc(builder.with_tonic(), export)?.build()?,
        Protocol::HttpProtobuf => http_protobuf(builder.with_http(), export)?.build()?,
    })
}

/// Connects to names as the proxy does; the scheme is looked at above it.
pub(crate) fn by_name() -> Result<HttpConnector<Resolver>, OtlpError> {
    let resolver = Resolver::new(&Names::of_system());
    let mut connector = HttpConnector::new_with_resolver(
        resolver.map_err(|error| OtlpError::Names(error.to_string()))?,
    );
    connector.enforce_http(false);
    Ok(connector)
}

fn grpc<B>(builder: B, export: &Export) -> Result<B, OtlpError>
where
    B: WithExportConfig + WithTonicConfig,
{
    let connector = tls::connector(&Trust::of(export))?
        .enable_http2()
        .wrap_connector(by_name()?);
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
    let builder = builder
        .with_channel(channel)
        .with_interceptor(interceptor)
        .with_timeout(export.timeout);
    Ok(match export.compression {
        Compression::None => builder,
        Compression::Gzip => builder.with_compression(opentelemetry_otlp::Compression::Gzip),
    })
}

fn http_protobuf<B>(builder: B, export: &Export) -> Result<B, OtlpError>
where
    B: WithExportConfig + WithHttpConfig,
{
    let connector = tls::connector(&Trust::of(export))?
        .enable_http1()
        .wrap_connector(by_name()?);
    let client = Client::new(connector, export.headers.clone(), export.timeout);
    let builder = builder
        .with_http_client(client)
        .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
        .with_endpoint(export.endpoint.to_string())
        .with_timeout(export.timeout);
    Ok(match export.compression {
        Compression::None => builder,
        Compression::Gzip => builder.with_compression(opentelemetry_otlp::Compression::Gzip),
    })
}
