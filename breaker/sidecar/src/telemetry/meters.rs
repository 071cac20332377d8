//! The OpenTelemetry SDK, set up once: views, readers and instruments.
//!
//! One cumulative reader feeds both the Prometheus text and a cumulative OTLP export, so that a
//! measurement is aggregated once and both show the same numbers. Only an export that asks for
//! delta gets a reader of its own, and then each measurement is aggregated twice.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, Counter, Histogram, Meter, MeterProvider};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{
    Aggregation, Instrument, InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Stream,
    Temporality,
};

use super::certificates;
use super::exemplars::Exemplars;
use super::names::{self, Metric};
use super::observe::{self, Latest};
use super::process;
use super::prometheus::classic_bounds;
use super::signal::Signal;
use crate::lines::dropped_by_process;
use crate::registry::Breakers;

/// How histograms are aggregated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Histograms {
    /// Buckets that fit themselves to the data: a P99 within a few per cent.
    #[default]
    Exponential,
    /// The boundaries that the semantic conventions advise, for collectors that know no others.
    Explicit,
}

/// The instruments and their readers.
#[derive(Debug)]
pub(crate) struct Meters {
    pub(crate) server_duration: Histogram<f64>,
    pub(crate) client_duration: Histogram<f64>,
    pub(crate) open_duration: Histogram<f64>,
    pub(crate) malformed_deadlines: Counter<u64>,
    /// Of `server_duration`.
    pub(super) exemplars: Exemplars,
    exports: Counter<u64>,
    dropped: Counter<u64>,
    breakers: Breakers,
    latest: Latest,
    cumulative: SharedReader,
    delta: Option<SharedReader>,
    /// Held for a collection: the instruments that are observed share one look at the breakers.
    turn: Mutex<()>,
    meter: Meter,
    /// Ends the instruments when it is dropped.
    _provider: SdkMeterProvider,
}

impl Meters {
    /// Sets up the SDK. `temporality` is that of the OTLP export; Prometheus is always cumulative.
    pub(crate) fn new(
        resource: Resource,
        breakers: Breakers,
        histograms: Histograms,
        temporality: Temporality,
    ) -> Self {
        let cumulative = SharedReader::new(Temporality::Cumulative);
        let delta =
            (temporality != Temporality::Cumulative).then(|| SharedReader::new(temporality));

        let mut provider = SdkMeterProvider::builder()
            .with_resource(resource)
            .with_reader(cumulative.clone())
            .with_view(move |instrument: &Instrument| stream(instrument, histograms));
        if let Some(delta) = &delta {
            provider = provider.with_reader(delta.clone());
        }
        let provider = provider.build();
        let meter = provider.meter(names::SCOPE);

        let latest = Latest::default();
        observe::register(&meter, &latest);
        observe::register_log(&meter, dropped_by_process);
        observe::register_tasks(&meter);
        observe::register_limits(&meter);
        certificates::register_handshakes(&meter);
        process::register(&meter);
        observe::register_build(&meter);
        observe::register_panic(&meter, &breakers);
        Self {
            server_duration: histogram(&meter, names::SERVER_DURATION),
            client_duration: histogram(&meter, names::CLIENT_DURATION),
            open_duration: histogram(&meter, names::OPEN_DURATION),
            malformed_deadlines: counter(&meter, names::DEADLINES_MALFORMED),
            exemplars: Exemplars::new(match histograms {
                Histograms::Exponential => classic_bounds().collect(),
                Histograms::Explicit => EXPLICIT_BOUNDARIES.to_vec(),
            }),
            exports: counter(&meter, names::EXPORTS),
            dropped: counter(&meter, names::DROPPED),
            breakers,
            latest,
            cumulative,
            delta,
            turn: Mutex::new(()),
            meter,
            _provider: provider,
        }
    }

    /// For further instruments.
    pub(crate) const fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Everything since the start.
    pub(crate) fn collect(&self) -> ResourceMetrics {
        self.collect_from(&self.cumulative)
    }

    /// What the OTLP export sends next, in its temporality.
    pub(crate) fn collect_for_export(&self) -> ResourceMetrics {
        self.collect_from(self.delta.as_ref().unwrap_or(&self.cumulative))
    }

    fn collect_from(&self, reader: &SharedReader) -> ResourceMetrics {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.latest.refresh(&self.breakers);
        let mut metrics = ResourceMetrics::default();
        if let Err(error) = reader.collect(&mut metrics) {
            tracing::warn!(%error, "metrics can't be collected");
        }
        metrics
    }

    /// Counts an export to the collector.
    pub(crate) fn count_export(&self, signal: Signal, succeeded: bool) {
        let outcome = if succeeded { "success" } else { "failure" };
        self.exports.add(
            1,
            &[
                KeyValue::new(names::SIGNAL, signal.name()),
                KeyValue::new(names::EXPORT_OUTCOME, outcome),
            ],
        );
    }

    /// Counts items that an export that failed had.
    pub(crate) fn count_lost(&self, signal: Signal, items: usize) {
        let items = u64::try_from(items).unwrap_or(u64::MAX);
        self.dropped
            .add(items, &drop_attributes(signal, "export_failed"));
    }

    /// Counts items that there was no room for, where a lookup of the attributes would be felt.
    pub(crate) fn overflow(&self, signal: Signal) -> BoundCounter<u64> {
        self.dropped.bind(&drop_attributes(signal, "queue_full"))
    }
}

/// A reader that the provider and the exporters share.
#[derive(Clone, Debug)]
struct SharedReader(Arc<ManualReader>);

impl SharedReader {
    fn new(temporality: Temporality) -> Self {
        Self(Arc::new(
            ManualReader::builder()
                .with_temporality(temporality)
                .build(),
        ))
    }
}

impl MetricReader for SharedReader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

fn drop_attributes(signal: Signal, reason: &'static str) -> [KeyValue; 2] {
    [
        KeyValue::new(names::SIGNAL, signal.name()),
        KeyValue::new(names::DROP_REASON, reason),
    ]
}

fn counter(meter: &Meter, metric: Metric) -> Counter<u64> {
    meter
        .u64_counter(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .build()
}

fn histogram(meter: &Meter, metric: Metric) -> Histogram<f64> {
    meter
        .f64_histogram(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .build()
}

fn stream(instrument: &Instrument, histograms: Histograms) -> Option<Stream> {
    let mut stream = Stream::builder().with_cardinality_limit(MAX_SERIES);
    if instrument.kind() == InstrumentKind::Histogram {
        stream = stream
            .with_aggregation(match histograms {
                Histograms::Exponential => Aggregation::Base2ExponentialHistogram {
                    max_size: 160,
                    max_scale: 20,
                    record_min_max: true,
                },
                Histograms::Explicit => Aggregation::ExplicitBucketHistogram {
                    boundaries: EXPLICIT_BOUNDARIES.to_vec(),
                    record_min_max: true,
                },
            })
            .with_cardinality_limit(MAX_HISTOGRAM_SERIES);
    }
    stream.build().ok()
}

/// Series of a metric of breakers: five quantiles of each of 10,000 routes. What is more goes to
/// the SDK's overflow series.
const MAX_SERIES: usize = 50_000;
/// Series of a histogram: at most 1.4 KB each.
const MAX_HISTOGRAM_SERIES: usize = 2_000;

/// As the semantic conventions advise for request durations, in seconds.
const EXPLICIT_BOUNDARIES: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
