//! The text formats of Prometheus (0.0.4) and OpenMetrics (1.0.0), from what the SDK aggregated:
//! the same numbers that OTLP exports. OpenMetrics has exemplars too.
//!
//! Names follow the OpenTelemetry specification's rules for Prometheus: dots become underscores,
//! the unit is appended, counters end in `_total`. Exponential histograms are shown as classic
//! ones, see [`buckets`].

mod buckets;

use std::fmt::{Display, Write};

use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::data::{
    AggregatedMetrics, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, MetricData,
    ResourceMetrics,
};

use super::exemplars::{Exemplar, Exemplars};

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the caller chooses one of them")]
pub enum Exposition {
    /// The text format of Prometheus.
    Prometheus,
    /// OpenMetrics, with exemplars.
    OpenMetrics,
}

impl Exposition {
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Writes `metrics` as text. `exemplars` are those of the durations of requests.
pub(super) fn text(metrics: &ResourceMetrics, format: Exposition, exemplars: &Exemplars) -> String {
    let mut text = Text {
        text: String::new(),
        format,
        exemplars,
    };
    let resource = metrics.resource().iter();
    let resource = resource.map(|(key, value)| (key.as_str().to_owned(), value.to_string()));
    text.family("target_info", "gauge", "The program that is measured");
    text.sample("target_info", &Labels::of(resource), 1);
    for scope in metrics.scope_metrics() {
        for metric in scope.metrics() {
            match metric.data() {
                AggregatedMetrics::F64(data) => text.metric(metric, data),
                AggregatedMetrics::U64(data) => text.metric(metric, data),
                AggregatedMetrics::I64(data) => text.metric(metric, data),
            }
        }
    }
    if format == Exposition::OpenMetrics {
        text.line(format_args!("# EOF"));
    }
    text.text
}

/// The labels of a series, as both formats write them.
pub(super) fn labels(attributes: &[KeyValue]) -> String {
    Labels::of_attributes(attributes.iter()).0
}

/// The bounds of the buckets of an exponential histogram, but for the infinite one.
pub(super) fn classic_bounds() -> impl Iterator<Item = f64> {
    buckets::bounds()
}

struct Text<'a> {
    text: String,
    format: Exposition,
    exemplars: &'a Exemplars,
}

impl Text<'_> {
    fn metric<T: Copy + Display>(&mut self, metric: &Metric, data: &MetricData<T>) {
        let name = family_name(metric, data);
        match data {
            MetricData::Gauge(gauge) => {
                self.family(&name, "gauge", metric.description());
                for (labels, point) in sorted(gauge.data_points(), |point| {
                    Labels::of_attributes(point.attributes())
                }) {
                    self.sample(&name, &labels, point.value());
                }
            }
            MetricData::Sum(sum) => {
                let kind = if sum.is_monotonic() {
                    "counter"
                } else {
                    "gauge"
                };
                self.family(&name, kind, metric.description());
                for (labels, point) in sorted(sum.data_points(), |point| {
                    Labels::of_attributes(point.attributes())
                }) {
                    self.sample(&name, &labels, point.value());
                }
            }
            MetricData::Histogram(histogram) => {
                self.family(&name, "histogram", metric.description());
                for (labels, point) in sorted(histogram.data_points(), |point| {
                    Labels::of_attributes(point.attributes())
                }) {
                    self.explicit(&name, &labels, point);
                }
            }
            MetricData::ExponentialHistogram(histogram) => {
                self.family(&name, "histogram", metric.description());
                for (labels, point) in sorted(histogram.data_points(), |point| {
                    Labels::of_attributes(point.attributes())
                }) {
                    self.exponential(&name, &labels, point);
                }
            }
        }
    }

    fn exponential<T: Copy + Display>(
        &mut self,
        name: &str,
        labels: &Labels,
        point: &ExponentialHistogramDataPoint<T>,
    ) {
        let exemplars = self.exemplars_of(name, labels);
        let mut exemplars = exemplars.into_iter();
        for (bound, count) in buckets::cumulative(point) {
            let exemplar = exemplars.next().flatten();
            self.bucket(name, labels, Some(bound), count, exemplar);
        }
        let count = point.count() as u64;
        self.histogram_end(name, labels, count, point.sum(), exemplars.next().flatten());
    }

    fn explicit<T: Copy + Display>(
        &mut self,
        name: &str,
        labels: &Labels,
        point: &HistogramDataPoint<T>,
    ) {
        let exemplars = self.exemplars_of(name, labels);
        let mut exemplars = exemplars.into_iter();
        let mut total = 0;
        for (bound, count) in point.bounds().zip(point.bucket_counts()) {
            total += count;
            let exemplar = exemplars.next().flatten();
            self.bucket(name, labels, Some(bound), total, exemplar);
        }
        let rest = exemplars.next().flatten();
        self.histogram_end(name, labels, point.count(), point.sum(), rest);
    }

    fn exemplars_of(&self, name: &str, labels: &Labels) -> Vec<Option<Exemplar>> {
        match self.format {
            Exposition::OpenMetrics if name == WITH_EXEMPLARS => self.exemplars.of(&labels.0),
            _ => Vec::new(),
        }
    }

    /// A bucket up to `bound`, or the infinite one.
    fn bucket(
        &mut self,
        name: &str,
        labels: &Labels,
        bound: Option<f64>,
        count: u64,
        exemplar: Option<Exemplar>,
    ) {
        let bound = match (bound, self.format) {
            (None, _) => "+Inf".to_owned(),
            (Some(bound), Exposition::Prometheus) => bound.to_string(),
            // A whole number is written 1.0.
            (Some(bound), Exposition::OpenMetrics) => format!("{bound:?}"),
        };
        let told = exemplar.map(|Exemplar { trace, value, at }| {
            format!("# {{trace_id=\"{trace}\"}} {value} {:.3}", at.as_secs_f64())
        });
        let value = match told {
            Some(told) => format!("{count} {told}"),
            None => count.to_string(),
        };
        self.sample(&format!("{name}_bucket"), &labels.with("le", bound), value);
    }

    fn histogram_end(
        &mut self,
        name: &str,
        labels: &Labels,
        count: u64,
        sum: impl Display,
        exemplar: Option<Exemplar>,
    ) {
        self.bucket(name, labels, None, count, exemplar);
        self.sample(&format!("{name}_sum"), labels, sum);
        self.sample(&format!("{name}_count"), labels, count);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let mut help = help.replace('\\', r"\\").replace('\n', r"\n");
        let (mut name, mut kind) = (name, kind);
        if self.format == Exposition::OpenMetrics {
            help = help.replace('"', "\\\"");
            // There a family is named without the ending of its samples.
            if kind == "counter" {
                name = name.strip_suffix("_total").unwrap_or(name);
            } else if let Some(short) = name.strip_suffix("_info") {
                (name, kind) = (short, "info");
            }
        }
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &Labels, value: impl Display) {
        if labels.0.is_empty() {
            self.line(format_args!("{name} {value}"));
        } else {
            self.line(format_args!("{name}{{{}}} {value}", labels.0));
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("writing to a string does not fail");
    }
}

/// Labels as they are written, in the order of their names.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Labels(String);

impl Labels {
    fn of(pairs: impl Iterator<Item = (String, String)>) -> Self {
        let mut pairs: Vec<_> = pairs
            .map(|(key, value)| format!("{}=\"{}\"", sanitised(&key), escaped(&value)))
            .collect();
        pairs.sort_unstable();
        Self(pairs.join(","))
    }

    fn of_attributes<'a>(attributes: impl Iterator<Item = &'a KeyValue>) -> Self {
        Self::of(attributes.map(|pair| (pair.key.as_str().to_owned(), pair.value.to_string())))
    }

    fn with(&self, key: &str, value: impl Display) -> Self {
        let comma = if self.0.is_empty() { "" } else { "," };
        Self(format!("{}{comma}{key}=\"{value}\"", self.0))
    }
}

/// Points in the order of their labels, so that two scrapes differ only in numbers.
fn sorted<'a, P: 'a>(
    points: impl Iterator<Item = &'a P>,
    labels: impl Fn(&P) -> Labels,
) -> Vec<(Labels, &'a P)> {
    let mut sorted: Vec<_> = points.map(|point| (labels(point), point)).collect();
    sorted.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    sorted
}

fn family_name<T>(metric: &Metric, data: &MetricData<T>) -> String {
    if let Some((_, usual)) = USUAL.iter().find(|(name, _)| *name == metric.name()) {
        return (*usual).to_owned();
    }
    let mut name = sanitised(metric.name());
    let is_gauge = matches!(data, MetricData::Gauge(_));
    name.push_str(match metric.unit() {
        "s" => "_seconds",
        "By" => "_bytes",
        "1" if is_gauge => "_ratio",
        _ => "",
    });
    if matches!(data, MetricData::Sum(sum) if sum.is_monotonic()) {
        name.push_str("_total");
    }
    name
}

/// The one histogram that has exemplars.
const WITH_EXEMPLARS: &str = "http_server_request_duration_seconds";

/// What Prometheus' own clients call the metrics of a process. Dashboards ask for these names, and
/// promtool takes a gauge that ends with `_count` for a mistake.
const USUAL: [(&str, &str); 4] = [
    ("process.cpu.time", "process_cpu_seconds_total"),
    ("process.memory.usage", "process_resident_memory_bytes"),
    ("process.thread.count", "process_threads"),
    ("process.unix.file_descriptor.count", "process_open_fds"),
];

fn sanitised(name: &str) -> String {
    name.replace(
        |char: char| !char.is_ascii_alphanumeric() && char != '_',
        "_",
    )
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}

#[cfg(test)]
mod tests;
