//! What is exported where: as the configuration says it, and as it stands once the environment was
//! asked.

use std::path::PathBuf;
use std::time::Duration;

use opentelemetry_sdk::metrics::Temporality;

use super::env::{self, Environment};
use super::meters::Histograms;
use crate::collector::{Compression, Configured, Protocol};

/// All of telemetry's settings, complete.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportSettings {
    /// How metrics are exported, if they are.
    pub metrics: Option<Metrics>,
    /// How spans of requests are made and exported, if they are.
    pub traces: Option<Traces>,
    /// How events of breakers are exported, if they are.
    pub logs: Option<Logs>,
    /// How histograms are aggregated.
    pub histograms: Histograms,
    /// Attributes of the resource that the environment names.
    pub resource: Vec<(String, String)>,
    /// Variables that were ignored, and why: for the log.
    pub warnings: Vec<String>,
}

/// How metrics are exported.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// Where to.
    pub export: Export,
    /// The time between exports.
    pub interval: Duration,
    /// Totals since the start, or since the last export.
    pub temporality: Temporality,
}

/// How spans of requests are made and exported.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// Where to.
    pub export: Export,
    /// Which traces are recorded.
    pub sampling: Sampling,
    /// How many spans wait, and for how long.
    pub batches: Batches,
}

/// How events of breakers are exported.
#[derive(Clone, Debug, PartialEq)]
pub struct Logs {
    /// Where to.
    pub export: Export,
    /// How many events wait, and for how long.
    pub batches: Batches,
}

/// Where and how telemetry is exported.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// The URL, with the path for HTTP.
    pub endpoint: http::Uri,
    /// How to speak to the collector.
    pub protocol: Protocol,
    /// How long an export may take, its repetitions included.
    pub timeout: Duration,
    /// Sent with each export.
    pub headers: http::HeaderMap,
    /// How exports are compressed.
    pub compression: Compression,
    /// A PEM file with the certificates to trust instead of the system's.
    pub certificate: Option<PathBuf>,
    /// A PEM file with the certificate to show to the collector.
    pub client_certificate: Option<PathBuf>,
    /// A PEM file with its key.
    pub client_key: Option<PathBuf>,
}

/// Which traces are recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// The share that is, 0 to 1, by the trace's id.
    pub share: f64,
    /// Whether a caller that has decided already is followed.
    pub follows_parent: bool,
}

/// How what is exported one by one is gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batches {
    /// How long an item may wait.
    pub delay: Duration,
    /// How many may wait; what is more is dropped.
    pub queue: usize,
    /// How many are sent at once, and without waiting any longer; at most `queue`.
    pub size: usize,
}

/// A setting that can't be followed, where ignoring it would send telemetry to the wrong place or
/// to none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {rule}, got {value:?}")]
pub struct SettingError {
    /// The field of the configuration or the variable.
    pub name: String,
    /// What it must be.
    pub rule: &'static str,
    /// What it is.
    pub value: String,
}

impl ExportSettings {
    /// Where each of the signals is exported to.
    pub(crate) fn exports(&self) -> impl Iterator<Item = &Export> {
        let metrics = self.metrics.as_ref().map(|metrics| &metrics.export);
        let traces = self.traces.as_ref().map(|traces| &traces.export);
        let logs = self.logs.as_ref().map(|logs| &logs.export);
        metrics.into_iter().chain(traces).chain(logs)
    }

    /// The same, to be changed.
    pub(crate) fn exports_mut(&mut self) -> impl Iterator<Item = &mut Export> {
        let metrics = self.metrics.as_mut().map(|metrics| &mut metrics.export);
        let traces = self.traces.as_mut().map(|traces| &mut traces.export);
        let logs = self.logs.as_mut().map(|logs| &mut logs.export);
        metrics.into_iter().chain(traces).chain(logs)
    }

    /// Settings of a configuration and an environment. Metrics and logs are exported if the
    /// configuration has `telemetry.export`, or the environment names an endpoint or sets
    /// `OTEL_METRICS_EXPORTER=otlp` or `OTEL_LOGS_EXPORTER=otlp`; traces with
    /// `OTEL_TRACES_EXPORTER=otlp` only, since they cost time at each request.
    ///
    /// # Errors
    /// An endpoint that is no URL, or a header that is none.
    pub fn resolve(
        configured: Option<&Configured>,
        environment: &Environment,
    ) -> Result<Self, SettingError> {
        env::resolve(configured, environment)
    }
}
