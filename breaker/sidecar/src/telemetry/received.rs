//! What telemetry in counts: batches, and what became of the feeds' samples.

use std::sync::Arc;

use opentelemetry::metrics::{AsyncInstrument, Meter};
use opentelemetry::{KeyValue, StringValue};

use super::names::{self, Metric};
#[cfg(feature = "kafka")]
use crate::ingest::KafkaStats;
use crate::ingest::{FeedSampler, SampleDisposition, Snapshot, Stats};

/// The counters of telemetry in.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "made by the composition root")]
pub struct Received {
    /// Of the receiver.
    pub stats: Arc<Stats>,
    /// Of the feeds.
    pub feeds: Arc<FeedSampler>,
    /// Of the topics of Kafka, if any are read.
    #[cfg(feature = "kafka")]
    pub kafka: Option<Arc<KafkaStats>>,
}

/// Registers the instruments that observe `received`.
pub(super) fn register(meter: &Meter, received: &Received) {
    let Received { stats, feeds, .. } = received;
    #[cfg(feature = "kafka")]
    if let Some(kafka) = &received.kafka {
        topics(meter, kafka);
    }
    counter(meter, names::RECEIVED, stats, |stats, counter| {
        for signal in &stats.signals {
            counter.observe(signal.batches, &[of(signal.signal.name())]);
        }
    });
    counter(meter, names::RECEIVE_REFUSED, stats, |stats, counter| {
        for (reason, count) in &stats.refused {
            let reason = KeyValue::new(names::REFUSED_REASON, reason.name());
            counter.observe(*count, &[reason]);
        }
    });
    counter(meter, names::RECEIVE_INVALID, stats, |stats, counter| {
        counter.observe(stats.rejected_items, &[]);
    });
    counter(meter, names::FORWARDED, stats, |stats, counter| {
        for signal in &stats.signals {
            counter.observe(signal.forwarded, &[of(signal.signal.name())]);
        }
    });
    counter(meter, names::FORWARD_DROPPED, stats, |stats, counter| {
        for signal in &stats.signals {
            for (why, count) in &signal.dropped {
                let why = KeyValue::new(names::DROP_REASON, why.name());
                counter.observe(*count, &[of(signal.signal.name()), why]);
            }
        }
    });
    queue(meter, stats.clone());
    samples(meter, feeds.clone());
}

fn of(signal: &'static str) -> KeyValue {
    KeyValue::new(names::SIGNAL, signal)
}

fn counter(
    meter: &Meter,
    metric: Metric,
    stats: &Arc<Stats>,
    observe: fn(&Snapshot, &dyn AsyncInstrument<u64>),
) {
    let stats = stats.clone();
    meter
        .u64_observable_counter(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |counter| observe(&stats.snapshot(), counter))
        .build();
}

fn queue(meter: &Meter, stats: Arc<Stats>) {
    let metric = names::FORWARD_QUEUE;
    meter
        .u64_observable_gauge(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |gauge| {
            for signal in &stats.snapshot().signals {
                gauge.observe(signal.queued_bytes, &[of(signal.signal.name())]);
            }
        })
        .build();
}

#[cfg(feature = "kafka")]
fn topics(meter: &Meter, kafka: &Arc<KafkaStats>) {
    let gauge = |metric: Metric, read: fn(&KafkaStats) -> Option<u64>| {
        let kafka = kafka.clone();
        meter
            .u64_observable_gauge(metric.name)
            .with_unit(metric.unit)
            .with_description(metric.description)
            .with_callback(move |gauge| {
                if let Some(value) = read(&kafka) {
                    gauge.observe(value, &[]);
                }
            })
            .build()
    };
    gauge(names::KAFKA_CONNECTED, |kafka| {
        Some(kafka.is_connected().into())
    });
    gauge(names::KAFKA_PARTITIONS, |kafka| Some(kafka.partitions()));
    gauge(names::KAFKA_LAG, KafkaStats::lag);
    let (kafka, metric) = (kafka.clone(), names::KAFKA_PAUSES);
    meter
        .u64_observable_counter(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |counter| counter.observe(kafka.pauses(), &[]))
        .build();
}

fn samples(meter: &Meter, feeds: Arc<FeedSampler>) {
    let metric = names::FEED_SAMPLES;
    meter
        .u64_observable_counter(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |counter| {
            for (breaker, feed, told) in feeds.telling() {
                for fate in SampleDisposition::ALL {
                    let attributes = [
                        KeyValue::new(names::BREAKER_NAME, StringValue::from(breaker.clone())),
                        KeyValue::new(names::BREAKER_SOURCE, StringValue::from(feed.clone())),
                        KeyValue::new(names::SAMPLE_FATE, fate.name()),
                    ];
                    counter.observe(told.of(fate), &attributes);
                }
            }
        })
        .build();
}
