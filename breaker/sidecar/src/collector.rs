//! The way to a collector: its protocol, TLS to it, and how its name is resolved. Telemetry out and
//! what is forwarded take it.

mod tls;

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry_otlp::ExporterBuildError;

pub(crate) use self::tls::{Trust, connector};
use crate::upstream::Names;
use crate::upstream::resolve::Resolver;

/// `telemetry.export` of the configuration. What it leaves out is taken from the environment, then
/// from the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configured {
    /// The collector's URL.
    pub endpoint: Option<String>,
    /// How to speak to it.
    pub protocol: Option<Protocol>,
    /// The time between exports.
    pub interval: Option<Duration>,
    /// How long an export may take, its repetitions included.
    pub timeout: Option<Duration>,
    /// Sent with each export. They carry credentials: the values are sensitive.
    pub headers: HeaderMap,
    /// How exports are compressed.
    pub compression: Option<Compression>,
    /// A PEM file with the certificates to trust instead of the system's.
    pub certificate: Option<PathBuf>,
    /// A PEM file with the certificate to show to the collector.
    pub client_certificate: Option<PathBuf>,
    /// A PEM file with its key.
    pub client_key: Option<PathBuf>,
}

/// A header of exports and its value, if they are. Headers carry credentials: no debug output may
/// show them.
pub(crate) fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
}

/// How to speak to a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with protobuf bodies.
    HttpProtobuf,
}

/// How exports are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    None,
    /// By gzip.
    Gzip,
}

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

/// Connects to names as the proxy does; the scheme is looked at above it.
pub(crate) fn by_name() -> Result<HttpConnector<Resolver>, OtlpError> {
    let resolver = Resolver::new(&Names::of_system());
    let mut connector = HttpConnector::new_with_resolver(
        resolver.map_err(|error| OtlpError::Names(error.to_string()))?,
    );
    connector.enforce_http(false);
    Ok(connector)
}
