//! OTLP exporters: gRPC and HTTP/protobuf, over connections of our own making.
//!
//! The exporters of `opentelemetry-otlp` bring the encoding, the retries with back-off and the
//! reading of what a collector answers. Connections, TLS and headers are ours: one way for both
//! protocols, with the variables that the SDK doesn't read.

mod http;

use opentelemetry_otlp::{
    LogExporter, MetricExporter, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};

use self::http::Client;
use super::settings::{Export, Metrics};
use crate::collector::{Compression, OtlpError, Protocol, Trust, by_name, connector};

/// An exporter of metrics. As all of them, it must be made within a Tokio runtime, and connects
/// when it first exports.
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

/// Whom to trust, and what to show.
fn trust(export: &Export) -> Trust<'_> {
    Trust {
        is_secure: export.endpoint.scheme_str() == Some("https"),
        certificate: export.certificate.as_deref(),
        client_certificate: export.client_certificate.as_deref(),
        client_key: export.client_key.as_deref(),
    }
}

fn grpc<B>(builder: B, export: &Export) -> Result<B, OtlpError>
where
    B: WithExportConfig + WithTonicConfig,
{
    let connector = connector(&trust(export))?
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
    let connector = connector(&trust(export))?
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
