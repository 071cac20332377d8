//! The three kinds of telemetry that OTLP carries.

/// A kind of telemetry, as variables, paths and counters name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Metrics,
    Traces,
    Logs,
}

impl Signal {
    /// The word for counters and for the log.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Traces => "traces",
            Self::Logs => "logs",
        }
    }

    /// The word in `OTEL_EXPORTER_OTLP_…_ENDPOINT` and `OTEL_…_EXPORTER`.
    pub(crate) const fn variable(self) -> &'static str {
        match self {
            Self::Metrics => "METRICS",
            Self::Traces => "TRACES",
            Self::Logs => "LOGS",
        }
    }

    /// Where OTLP/HTTP has it, below a base URL.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Metrics => "/v1/metrics",
            Self::Traces => "/v1/traces",
            Self::Logs => "/v1/logs",
        }
    }
}
