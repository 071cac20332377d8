//! The Prometheus text format (0.0.4), from what the SDK aggregated: the same numbers that OTLP
//! exports.
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

/// The media type of the format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes `metrics` as text.
pub(crate) fn text(metrics: &ResourceMetrics) -> String {
    let mut text = Text::default();
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
    text.0
}

#[derive(Default)]
struct Text(String);

impl Text {
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
        for (bound, count) in buckets::cumulative(point) {
            self.bucket(name, labels, bound, count);
        }
        self.histogram_end(name, labels, point.count() as u64, point.sum());
    }

    fn explicit<T: Copy + Display>(
        &mut self,
        name: &str,
        labels: &Labels,
        point: &HistogramDataPoint<T>,
    ) {
        let mut total = 0;
        for (bound, count) in point.bounds().zip(point.bucket_counts()) {
            total += count;
            self.bucket(name, labels, bound, total);
        }
        self.histogram_end(name, labels, point.count(), point.sum());
    }

    fn bucket(&mut self, name: &str, labels: &Labels, bound: impl Display, count: u64) {
        self.sample(&format!("{name}_bucket"), &labels.with("le", bound), count);
    }

    fn histogram_end(&mut self, name: &str, labels: &Labels, count: u64, sum: impl Display) {
        self.bucket(name, labels, "+Inf", count);
        self.sample(&format!("{name}_sum"), labels, sum);
        self.sample(&format!("{name}_count"), labels, count);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let help = help.replace('\\', r"\\").replace('\n', r"\n");
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
        writeln!(self.0, "{line}").expect("writing to a string does not fail");
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
