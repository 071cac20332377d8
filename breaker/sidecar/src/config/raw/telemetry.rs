//! The shape of telemetry that is exported and received.

use std::collections::BTreeMap;

use breaker_tower::breaker_core::policy::yaml::Period;
use schemars::JsonSchema;
use serde::Deserialize;

use super::RawReceive;

/// Exported and received telemetry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Telemetry")]
pub(in crate::config) struct RawTelemetry {
    /// The export of metrics and events by OTLP. The OTEL_* environment variables supply missing
    /// fields.
    pub(in crate::config) export: Option<RawExport>,
    /// The addresses and topics from which Breaker receives telemetry of applications, for the
    /// feeds of routes.
    pub(in crate::config) receive: Option<RawReceive>,
}

/// The export of metrics and events by OTLP. The OTEL_* environment variables supply missing
/// fields.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Export")]
pub(in crate::config) struct RawExport {
    /// The collector's URL, http or https.
    #[schemars(extend("x-default" = "what the OTEL_* variables say"))]
    #[schemars(extend("examples" = ["http://127.0.0.1:4317"]))]
    pub(in crate::config) endpoint: Option<String>,
    /// The protocol of the collector.
    #[schemars(extend("x-default" = "grpc, or http/protobuf for port 4318"))]
    #[schemars(extend("examples" = ["http/protobuf"]))]
    pub(in crate::config) protocol: Option<RawExportProtocol>,
    /// Time between exports.
    #[schemars(extend("x-default" = "10s, unless an OTEL_* variable says otherwise"))]
    #[schemars(extend("x-range" = "100ms to 1h"))]
    #[schemars(extend("examples" = ["30s"]))]
    pub(in crate::config) interval: Option<Period>,
    /// Maximum time for an export.
    #[schemars(extend("x-default" = "10s, unless an OTEL_* variable says otherwise"))]
    #[schemars(extend("x-range" = "100ms to 10m"))]
    #[schemars(extend("examples" = ["5s"]))]
    pub(in crate::config) timeout: Option<Period>,
    /// Headers sent with each export.
    #[serde(default)]
    #[schemars(extend("examples" = [{"api-key": "secret"}]))]
    pub(in crate::config) headers: BTreeMap<String, String>,
    /// The compression of exports.
    #[schemars(extend("x-default" = "none, unless an OTEL_* variable says otherwise"))]
    #[schemars(extend("examples" = ["gzip"]))]
    pub(in crate::config) compression: Option<RawCompression>,
    /// A PEM file with the certificates to trust instead of the system's, relative to this file.
    #[schemars(extend("x-default" = "the system's", "examples" = ["ca.pem"]))]
    pub(in crate::config) certificate: Option<String>,
    /// A PEM file with the certificate to show to the collector, relative to this file.
    #[schemars(extend("x-default" = "none", "examples" = ["client.pem"]))]
    pub(in crate::config) client_certificate: Option<String>,
    /// A PEM file with the key of client_certificate, relative to this file.
    #[schemars(extend("x-default" = "none", "examples" = ["client.key"]))]
    pub(in crate::config) client_key: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ExportProtocol")]
pub(in crate::config) enum RawExportProtocol {
    /// OTLP/gRPC.
    #[serde(rename = "grpc")]
    Grpc,
    /// OTLP/HTTP with protobuf bodies.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Compression")]
pub(in crate::config) enum RawCompression {
    /// Not at all.
    None,
    /// By gzip.
    Gzip,
}
