//! The `OTEL_*` variables, by the specification: an empty one counts as not set, one that can't be
//! understood is ignored with a warning, the one for a signal goes before the one for all signals.
//! The configuration goes before all of them, except that `OTEL_SDK_DISABLED` and
//! `OTEL_METRICS_EXPORTER=none`, `OTEL_LOGS_EXPORTER=none` turn exports off whatever it says: they
//! are there for that.

mod export;

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use opentelemetry_sdk::metrics::Temporality;

use super::meters::Histograms;
use super::percent;
use super::settings::{Batches, ExportSettings, Logs, Metrics, Sampling, SettingError, Traces};
use super::signal::Signal;
use crate::collector::Configured;

/// Environment variables, as an argument: tests don't touch those of the process.
#[derive(Clone, Default)]
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

    /// `OTEL_EXPORTER_OTLP_METRICS_…`, or else `OTEL_EXPORTER_OTLP_…`; with the name of the one
    /// that is set.
    fn otlp(&self, signal: Signal, setting: &str) -> Option<(String, &str)> {
        let own = format!("OTEL_EXPORTER_OTLP_{}_{setting}", signal.variable());
        [own, format!("OTEL_EXPORTER_OTLP_{setting}")]
            .into_iter()
            .find_map(|name| self.get(&name).map(|value| (name.clone(), value)))
    }
}

/// Without the values: some are credentials.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let variables = variables.into_iter();
        Self(variables.map(|(n, v)| (n.into(), v.into())).collect())
    }
}

/// See [`ExportSettings::resolve`].
pub(crate) fn resolve(
    configured: Option<&Configured>,
    environment: &Environment,
) -> Result<ExportSettings, SettingError> {
    let mut reader = Reader {
        environment,
        warnings: Vec::new(),
    };
    let or_default = || configured.cloned().unwrap_or_default();
    let export = |signal| {
        reader
            .exports(signal, configured.is_some())
            .then(or_default)
    };
    let [metrics, traces, logs] = [Signal::Metrics, Signal::Traces, Signal::Logs].map(export);
    Ok(ExportSettings {
        metrics: metrics
            .map(|configured| reader.metrics(&configured))
            .transpose()?,
        traces: traces
            .map(|configured| reader.traces(&configured))
            .transpose()?,
        logs: logs
            .map(|configured| reader.logs(&configured))
            .transpose()?,
        histograms: reader.histograms(),
        resource: reader.resource(),
        warnings: reader.warnings,
    })
}

struct Reader<'a> {
    environment: &'a Environment,
    warnings: Vec<String>,
}

impl Reader<'_> {
    /// Whether `signal` is exported, where `configured` is whether the configuration has an export.
    fn exports(&self, signal: Signal, configured: bool) -> bool {
        let off = |value: &str| value.eq_ignore_ascii_case("true");
        if self.environment.get("OTEL_SDK_DISABLED").is_some_and(off) {
            return false;
        }
        let exporters = format!("OTEL_{}_EXPORTER", signal.variable());
        match self.environment.get(&exporters) {
            Some(exporters) => exporters.split(',').any(|name| name.trim() == "otlp"),
            // Each request pays for its span: that is not switched on by naming a collector.
            None if signal == Signal::Traces => false,
            None => configured || self.environment.otlp(signal, "ENDPOINT").is_some(),
        }
    }

    fn metrics(&mut self, configured: &Configured) -> Result<Metrics, SettingError> {
        let longest = self.millis("OTEL_METRIC_EXPORT_TIMEOUT");
        Ok(Metrics {
            export: self.export(Signal::Metrics, configured, longest)?,
            interval: configured
                .interval
                .or_else(|| self.millis("OTEL_METRIC_EXPORT_INTERVAL"))
                .unwrap_or(DEFAULT_INTERVAL),
            temporality: self
                .word(Signal::Metrics, "TEMPORALITY_PREFERENCE", &TEMPORALITIES)
                .unwrap_or(Temporality::Cumulative),
        })
    }

    fn traces(&mut self, configured: &Configured) -> Result<Traces, SettingError> {
        let longest = self.millis("OTEL_BSP_EXPORT_TIMEOUT");
        Ok(Traces {
            export: self.export(Signal::Traces, configured, longest)?,
            sampling: self.sampling(),
            batches: self.batches("BSP", DEFAULT_SPAN_DELAY),
        })
    }

    fn logs(&mut self, configured: &Configured) -> Result<Logs, SettingError> {
        let longest = self.millis("OTEL_BLRP_EXPORT_TIMEOUT");
        Ok(Logs {
            export: self.export(Signal::Logs, configured, longest)?,
            batches: self.batches("BLRP", DEFAULT_LOG_DELAY),
        })
    }

    fn sampling(&mut self) -> Sampling {
        let name = self.environment.get(SAMPLER).unwrap_or_default();
        let (sampler, follows_parent) = match name.strip_prefix("parentbased_") {
            Some(sampler) => (sampler, true),
            None => (name, false),
        };
        let share = match sampler {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => self.ratio(),
            _ => {
                if !name.is_empty() {
                    self.ignore(SAMPLER, name, "not supported");
                }
                return Sampling {
                    share: 1.0,
                    follows_parent: true,
                };
            }
        };
        Sampling {
            share,
            follows_parent,
        }
    }

    fn ratio(&mut self) -> f64 {
        let Some(value) = self.environment.get(SAMPLER_ARG) else {
            return 1.0;
        };
        match value.parse() {
            Ok(share @ 0.0..=1.0) => share,
            _ => {
                self.ignore(SAMPLER_ARG, value, "not a number from 0 to 1");
                1.0
            }
        }
    }

    /// The settings of a batch processor: `OTEL_BSP_…` or `OTEL_BLRP_…`.
    fn batches(&mut self, processor: &str, delay: Duration) -> Batches {
        let variable = |setting| format!("OTEL_{processor}_{setting}");
        let delay = self.millis(&variable("SCHEDULE_DELAY")).unwrap_or(delay);
        let queue = self
            .count(&variable("MAX_QUEUE_SIZE"), MAX_QUEUE)
            .unwrap_or(DEFAULT_QUEUE);
        let size = self.count(&variable("MAX_EXPORT_BATCH_SIZE"), queue);
        Batches {
            delay,
            queue,
            size: size.unwrap_or(DEFAULT_BATCH.min(queue)),
        }
    }

    fn histograms(&mut self) -> Histograms {
        self.word(
            Signal::Metrics,
            "DEFAULT_HISTOGRAM_AGGREGATION",
            &HISTOGRAMS,
        )
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

    fn word<T: Copy>(&mut self, signal: Signal, setting: &str, words: &[(&str, T)]) -> Option<T> {
        let (variable, value) = self.environment.otlp(signal, setting)?;
        let known = words
            .iter()
            .find(|(word, _)| value.eq_ignore_ascii_case(word))
            .map(|(_, meaning)| *meaning);
        if known.is_none() {
            self.ignore(&variable, value, "not supported");
        }
        known
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

    fn count(&mut self, variable: &str, most: usize) -> Option<usize> {
        let value = self.environment.get(variable)?;
        match value.parse() {
            Ok(count) if (1..=most).contains(&count) => Some(count),
            _ => {
                self.ignore(variable, value, &format!("not a number from 1 to {most}"));
                None
            }
        }
    }

    fn ignore(&mut self, variable: &str, value: &str, why: &str) {
        self.warnings
            .push(format!("{variable}={value} is ignored: {why}"));
    }
}

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
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
/// The specification's minute is long beside a breaker that opens within a second.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);
const DEFAULT_SPAN_DELAY: Duration = Duration::from_secs(5);
const DEFAULT_LOG_DELAY: Duration = Duration::from_secs(1);
const DEFAULT_QUEUE: usize = 2048;
const DEFAULT_BATCH: usize = 512;
/// Twice this many may be in memory, at up to 4 KB each.
const MAX_QUEUE: usize = 65_536;

#[cfg(test)]
mod tests;
