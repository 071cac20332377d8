//! The `OTEL_*` variables, by the specification: an empty one counts as not set, one that can't be understood is ignored with a
//! warning, the one for metrics goes before the one for all signals. The configuration goes before all of them, except that
//! `OTEL_SDK_DISABLED` and `OTEL_METRICS_EXPORTER=none` turn the export off whatever it says: they are there for that.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use opentelemetry_sdk::metrics::Temporality;

use super::meters::Histograms;
use super::settings::{Compression, Configured, Export, Protocol, SettingError, Settings};
use crate::telemetry::percent;

/// Environment variables, as an argument: tests don't touch those of the process.
#[derive(Clone, Debug, Default)]
pub struct Environment(HashMap<String, String>);

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("OTEL_"))
            .collect()
    }

    fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?.trim();
        (!value.is_empty()).then_some(value)
    }

    /// `OTEL_EXPORTER_OTLP_METRICS_…`, or else `OTEL_EXPORTER_OTLP_…`; with the name of the one that is set.
    fn otlp(&self, setting: &str) -> Option<(String, &str)> {
        ["METRICS_", ""].into_iter().find_map(|signal| {
            let name = format!("OTEL_EXPORTER_OTLP_{signal}{setting}");
            self.get(&name).map(|value| (name.clone(), value))
        })
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let variables = variables.into_iter();
        Self(variables.map(|(n, v)| (n.into(), v.into())).collect())
    }
}

/// See [`Settings::resolve`].
pub(crate) fn resolve(
    configured: Option<&Configured>,
    environment: &Environment,
) -> Result<Settings, SettingError> {
    let mut reader = Reader {
        environment,
        warnings: Vec::new(),
    };
    let export = if reader.exports(configured.is_some()) {
        Some(reader.export(configured.unwrap_or(&Configured::default()))?)
    } else {
        None
    };
    Ok(Settings {
        export,
        histograms: reader.histograms(),
        resource: reader.resource(),
        warnings: reader.warnings,
    })
}

struct Reader<'a> {
    environment: &'a Environment,
    warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    fn exports(&mut self, configured: bool) -> bool {
        let off = |value: &str| value.eq_ignore_ascii_case("true");
        if self.environment.get("OTEL_SDK_DISABLED").is_some_and(off) {
            return false;
        }
        match self.environment.get("OTEL_METRICS_EXPORTER") {
            Some(exporters) => exporters.split(',').any(|name| name.trim() == "otlp"),
            None => configured || self.environment.otlp("ENDPOINT").is_some(),
        }
    }

    fn export(&mut self, configured: &Configured) -> Result<Export, SettingError> {
        let protocol = configured
            .protocol
            .or_else(|| self.word("PROTOCOL", &PROTOCOLS))
            .unwrap_or_else(|| self.protocol_of_port(configured));
        let timeout = configured
            .timeout
            .or_else(|| self.otlp_millis("TIMEOUT"))
            .unwrap_or(DEFAULT_TIMEOUT);
        let longest = self.millis("OTEL_METRIC_EXPORT_TIMEOUT");
        Ok(Export {
            endpoint: self.endpoint(configured, protocol)?,
            protocol,
            interval: configured
                .interval
                .or_else(|| self.millis("OTEL_METRIC_EXPORT_INTERVAL"))
                .unwrap_or(DEFAULT_INTERVAL),
            timeout: longest.map_or(timeout, |longest| timeout.min(longest)),
            headers: self.headers(&configured.headers)?,
            compression: configured
                .compression
                .or_else(|| self.word("COMPRESSION", &COMPRESSIONS))
                .unwrap_or(Compression::None),
            temporality: self
                .word("TEMPORALITY_PREFERENCE", &TEMPORALITIES)
                .unwrap_or(Temporality::Cumulative),
            certificate: self.path(&configured.certificate, "CERTIFICATE"),
            client_certificate: self.path(&configured.client_certificate, "CLIENT_CERTIFICATE"),
            client_key: self.path(&configured.client_key, "CLIENT_KEY"),
        })
    }

    /// Without a word about the protocol, a collector's port for HTTP is taken to mean it.
    fn protocol_of_port(&self, configured: &Configured) -> Protocol {
        let endpoint = match &configured.endpoint {
            Some(endpoint) => Some(endpoint.as_str()),
            None => self.environment.otlp("ENDPOINT").map(|(_, value)| value),
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

    fn endpoint(&self, configured: &Configured, protocol: Protocol) -> Result<Uri, SettingError> {
        let (name, value) = match &configured.endpoint {
            Some(endpoint) => ("telemetry.export.endpoint".to_owned(), endpoint.as_str()),
            None => match self.environment.otlp("ENDPOINT") {
                Some((name, value)) => (name, value),
                None => return Ok(default_endpoint(protocol)),
            },
        };
        let error = |rule| SettingError {
            name: name.clone(),
            rule,
            value: value.to_owned(),
        };

        let with_scheme = if value.contains("://") || protocol == Protocol::HttpProtobuf {
            value.to_owned()
        } else {
            format!("{}://{value}", self.scheme_of_grpc())
        };
        let uri: Uri = with_scheme.parse().map_err(|_| error(ENDPOINT_RULE))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return Err(error(ENDPOINT_RULE));
        }
        // The variable for metrics is the whole URL; a base URL gets the signal's path.
        let whole = name == "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
            || (configured.endpoint.is_some() && uri.path() != "/");
        if protocol == Protocol::Grpc || whole {
            return Ok(uri);
        }
        let base = with_scheme.trim_end_matches('/');
        format!("{base}{METRICS_PATH}")
            .parse()
            .map_err(|_| error(ENDPOINT_RULE))
    }

    fn scheme_of_grpc(&self) -> &'static str {
        match self.environment.otlp("INSECURE") {
            Some((_, value)) if value.eq_ignore_ascii_case("true") => "http",
            _ => "https",
        }
    }

    /// Headers of both; for one that both have, the configuration's value.
    fn headers(&mut self, configured: &[(String, String)]) -> Result<HeaderMap, SettingError> {
        let mut headers = HeaderMap::new();
        if let Some((variable, list)) = self.environment.otlp("HEADERS") {
            for (key, value) in self.pairs(&variable, list) {
                match header(&key, &value) {
                    Some((name, value)) => drop(headers.insert(name, value)),
                    None => self.ignore(&variable, &key, "not a header"),
                }
            }
        }
        for (key, value) in configured {
            let (name, value) = header(key, value).ok_or_else(|| SettingError {
                name: format!("telemetry.export.headers.{key}"),
                rule: "must be a valid header name and value",
                value: key.clone(),
            })?;
            headers.insert(name, value);
        }
        Ok(headers)
    }

    fn histograms(&mut self) -> Histograms {
        self.word("DEFAULT_HISTOGRAM_AGGREGATION", &HISTOGRAMS)
            .unwrap_or_default()
    }

    fn resource(&mut self) -> Vec<(String, String)> {
        let list = self.environment.get(RESOURCE_ATTRIBUTES);
        let mut attributes =
            list.map_or_else(Vec::new, |list| self.pairs(RESOURCE_ATTRIBUTES, list));
        if let Some(name) = self.environment.get("OTEL_SERVICE_NAME") {
            attributes.retain(|(key, _)| key != "service.name");
            attributes.push(("service.name".to_owned(), name.to_owned()));
        }
        attributes
    }

    /// `key=value,key=value`, values percent-encoded.
    fn pairs(&mut self, variable: &str, list: &str) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for entry in list.split(',').filter(|entry| !entry.trim().is_empty()) {
            let pair = entry.split_once('=').and_then(|(key, value)| {
                let key = key.trim();
                (!key.is_empty()).then_some((key, percent::decode(value.trim())?))
            });
            match pair {
                Some((key, value)) => pairs.push((key.to_owned(), value)),
                // The entry may be a secret: it is not repeated.
                None => self.ignore(variable, "…", "an entry is not key=value"),
            }
        }
        pairs
    }

    fn word<T: Copy>(&mut self, setting: &str, words: &[(&str, T)]) -> Option<T> {
        let (variable, value) = self.environment.otlp(setting)?;
        let known = words
            .iter()
            .find(|(word, _)| value.eq_ignore_ascii_case(word))
            .map(|(_, meaning)| *meaning);
        if known.is_none() {
            self.ignore(&variable, value, "not supported");
        }
        known
    }

    fn otlp_millis(&mut self, setting: &str) -> Option<Duration> {
        let (variable, _) = self.environment.otlp(setting)?;
        self.millis(&variable)
    }

    fn millis(&mut self, variable: &str) -> Option<Duration> {
        let value = self.environment.get(variable)?;
        match value.parse() {
            Ok(millis) if millis > 0 => Some(Duration::from_millis(millis)),
            _ => {
                self.ignore(variable, value, "not a positive number of milliseconds");
                None
            }
        }
    }

    fn path(&self, configured: &Option<PathBuf>, setting: &str) -> Option<PathBuf> {
        configured
            .clone()
            .or_else(|| Some(self.environment.otlp(setting)?.1.into()))
    }

    fn ignore(&mut self, variable: &str, value: &str, why: &str) {
        self.warnings
            .push(format!("{variable}={value} is ignored: {why}"));
    }
}

fn default_endpoint(protocol: Protocol) -> Uri {
    Uri::from_static(match protocol {
        Protocol::Grpc => "http://localhost:4317",
        Protocol::HttpProtobuf => "http://localhost:4318/v1/metrics",
    })
}

fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let mut value = HeaderValue::from_str(value).ok()?;
    // Headers carry credentials: no debug output may show them.
    value.set_sensitive(true);
    Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
}

const PROTOCOLS: [(&str, Protocol); 2] = [
    ("grpc", Protocol::Grpc),
    ("http/protobuf", Protocol::HttpProtobuf),
];
const COMPRESSIONS: [(&str, Compression); 2] =
    [("none", Compression::None), ("gzip", Compression::Gzip)];
const TEMPORALITIES: [(&str, Temporality); 3] = [
    ("cumulative", Temporality::Cumulative),
    ("delta", Temporality::Delta),
    ("lowmemory", Temporality::LowMemory),
];
const HISTOGRAMS: [(&str, Histograms); 2] = [
    (
        "base2_exponential_bucket_histogram",
        Histograms::Exponential,
    ),
    ("explicit_bucket_histogram", Histograms::Explicit),
];

const RESOURCE_ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
const ENDPOINT_RULE: &str = "must be a URL with the scheme http or https";
const METRICS_PATH: &str = "/v1/metrics";
const HTTP_PORT: u16 = 4318;
/// The specification's minute is long beside a breaker that opens within a second.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
