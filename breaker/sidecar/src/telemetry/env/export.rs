//! Where and how one signal is exported.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderMap, Uri};

use super::Reader;
use crate::collector::{Compression, Configured, Protocol, header};
use crate::telemetry::settings::{Export, SettingError};
use crate::telemetry::signal::Signal;

impl Reader<'_> {
    /// The export of `signal`, of which one may take no longer than `longest`.
    pub(super) fn export(
        &mut self,
        signal: Signal,
        configured: &Configured,
        longest: Option<Duration>,
    ) -> Result<Export, SettingError> {
        let protocol = configured
            .protocol
            .or_else(|| self.word(signal, "PROTOCOL", &PROTOCOLS))
            .unwrap_or_else(|| self.protocol_of_port(signal, configured));
        let timeout = configured
            .timeout
            .or_else(|| self.timeout(signal))
            .unwrap_or(DEFAULT_TIMEOUT);
        Ok(Export {
            endpoint: self.endpoint(signal, configured, protocol)?,
            protocol,
            timeout: longest.map_or(timeout, |longest| timeout.min(longest)),
            headers: self.headers(signal, &configured.headers),
            compression: configured
                .compression
                .or_else(|| self.word(signal, "COMPRESSION", &COMPRESSIONS))
                .unwrap_or(Compression::None),
            certificate: self.path(signal, &configured.certificate, "CERTIFICATE"),
            client_certificate: self.path(
                signal,
                &configured.client_certificate,
                "CLIENT_CERTIFICATE",
            ),
            client_key: self.path(signal, &configured.client_key, "CLIENT_KEY"),
        })
    }

    /// Without a word about the protocol, a collector's port for HTTP is taken to mean it.
    fn protocol_of_port(&self, signal: Signal, configured: &Configured) -> Protocol {
        let endpoint = match &configured.endpoint {
            Some(endpoint) => Some(endpoint.as_str()),
            None => self
                .environment
                .otlp(signal, "ENDPOINT")
                .map(|(_, value)| value),
        };
        let port = endpoint
            .and_then(|endpoint| endpoint.parse::<Uri>().ok())
            .and_then(|uri| uri.port_u16());
        if port == Some(HTTP_PORT) {
            Protocol::HttpProtobuf
        } else {
            Protocol::Grpc
        }
    }

    fn endpoint(
        &self,
        signal: Signal,
        configured: &Configured,
        protocol: Protocol,
    ) -> Result<Uri, SettingError> {
        let (name, value) = match &configured.endpoint {
            Some(endpoint) => ("telemetry.export.endpoint".to_owned(), endpoint.as_str()),
            None => match self.environment.otlp(signal, "ENDPOINT") {
                Some((name, value)) => (name, value),
                None => return Ok(default_endpoint(signal, protocol)),
            },
        };
        let error = |rule| SettingError {
            name: name.clone(),
            rule,
            value: without_user(value),
        };
        if value.contains('@') {
            return Err(error(USER_RULE));
        }

        let with_scheme = if value.contains("://") || protocol == Protocol::HttpProtobuf {
            value.to_owned()
        } else {
            format!("{}://{value}", self.scheme_of_grpc(signal))
        };
        let uri: Uri = with_scheme.parse().map_err(|_| error(ENDPOINT_RULE))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return Err(error(ENDPOINT_RULE));
        }
        // The variable for a signal is the whole URL; a base URL gets the signal's path.
        let is_whole = name.ends_with(&format!("{}_ENDPOINT", signal.variable()));
        if protocol == Protocol::Grpc || is_whole {
            return Ok(uri);
        }
        let base = match &configured.endpoint {
            // With a path the field is the whole URL of metrics, and the other signals are beside
            // them.
            Some(_) if uri.path() != "/" && signal == Signal::Metrics => return Ok(uri),
            Some(_) => with_scheme
                .strip_suffix(Signal::Metrics.path())
                .unwrap_or(&with_scheme),
            None => &with_scheme,
        };
        let base = base.trim_end_matches('/');
        format!("{base}{}", signal.path())
            .parse()
            .map_err(|_| error(ENDPOINT_RULE))
    }

    fn scheme_of_grpc(&self, signal: Signal) -> &'static str {
        match self.environment.otlp(signal, "INSECURE") {
            Some((_, value)) if value.eq_ignore_ascii_case("true") => "http",
            _ => "https",
        }
    }

    /// Headers of both; for one that both have, the configuration's value.
    fn headers(&mut self, signal: Signal, configured: &HeaderMap) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some((variable, list)) = self.environment.otlp(signal, "HEADERS") {
            for (key, value) in self.pairs(&variable, list) {
                match header(&key, &value) {
                    Some((name, value)) => drop(headers.insert(name, value)),
                    None => self.ignore(&variable, &key, "not a header"),
                }
            }
        }
        for (name, value) in configured {
            headers.insert(name.clone(), value.clone());
        }
        headers
    }

    fn timeout(&mut self, signal: Signal) -> Option<Duration> {
        let (variable, _) = self.environment.otlp(signal, "TIMEOUT")?;
        self.millis(&variable)
    }

    fn path(&self, signal: Signal, configured: &Option<PathBuf>, setting: &str) -> Option<PathBuf> {
        configured
            .clone()
            .or_else(|| Some(self.environment.otlp(signal, setting)?.1.into()))
    }
}

/// A URL without what stands before its host: that may be a password.
fn without_user(url: &str) -> String {
    let Some((before, host)) = url.rsplit_once('@') else {
        return url.to_owned();
    };
    let scheme = before.find("://").map_or("", |end| &before[..end + 3]);
    format!("{scheme}…@{host}")
}

fn default_endpoint(signal: Signal, protocol: Protocol) -> Uri {
    match (protocol, signal) {
        (Protocol::Grpc, _) => Uri::from_static("http://localhost:4317"),
        (Protocol::HttpProtobuf, Signal::Metrics) => {
            Uri::from_static("http://localhost:4318/v1/metrics")
        }
        (Protocol::HttpProtobuf, Signal::Traces) => {
            Uri::from_static("http://localhost:4318/v1/traces")
        }
        (Protocol::HttpProtobuf, Signal::Logs) => Uri::from_static("http://localhost:4318/v1/logs"),
    }
}

const PROTOCOLS: [(&str, Protocol); 2] = [
    ("grpc", Protocol::Grpc),
    ("http/protobuf", Protocol::HttpProtobuf),
];
const COMPRESSIONS: [(&str, Compression); 2] =
    [("none", Compression::None), ("gzip", Compression::Gzip)];

const ENDPOINT_RULE: &str = "must be a URL with the scheme http or https";
const USER_RULE: &str = "must not name a user; credentials are for OTEL_EXPORTER_OTLP_HEADERS";
const HTTP_PORT: u16 = 4318;
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
