//! Requests for tests: made as trees by `opentelemetry-proto`, encoded by prost, and then sent as
//! nobody sends them.

use std::collections::VecDeque;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Sent;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets as SentRange;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, ResourceMetrics, ScopeMetrics,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::wire::{Fields, Payload};
use super::{Attributes, Value};

// === values that are compared ===

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Owned {
    Str(String),
    Bool(bool),
    Int(i64),
    /// The bits, so that NaN is NaN.
    Double(u64),
    Other,
}

pub(crate) type OwnedAttributes = Vec<(String, Owned)>;

pub(crate) fn owned(attributes: Attributes<'_>) -> OwnedAttributes {
    let own = |value| match value {
        Value::Str(text) => Owned::Str(text.into()),
        Value::Bool(value) => Owned::Bool(value),
        Value::Int(value) => Owned::Int(value),
        Value::Double(value) => Owned::Double(value.to_bits()),
        Value::Other => Owned::Other,
    };
    attributes
        .iter()
        .map(|(name, value)| (name.to_owned(), own(value)))
        .collect()
}

pub(crate) fn owned_tree(attributes: &[KeyValue]) -> OwnedAttributes {
    let own = |attribute: &KeyValue| match attribute.value.clone().and_then(|any| any.value) {
        Some(Sent::StringValue(text)) => Owned::Str(text),
        Some(Sent::BoolValue(value)) => Owned::Bool(value),
        Some(Sent::IntValue(value)) => Owned::Int(value),
        Some(Sent::DoubleValue(value)) => Owned::Double(value.to_bits()),
        _ => Owned::Other,
    };
    attributes
        .iter()
        .map(|attribute| (attribute.key.clone(), own(attribute)))
        .collect()
}

// === trees ===

pub(crate) fn attribute(key: &str, value: Sent) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Sent::StringValue(value.into()))
}

fn any_value() -> impl Strategy<Value = Option<AnyValue>> {
    let value = prop_oneof![
        8 => ".{0,20}".prop_map(Sent::StringValue),
        2 => any::<bool>().prop_map(Sent::BoolValue),
        3 => any::<i64>().prop_map(Sent::IntValue),
        2 => any::<f64>().prop_map(Sent::DoubleValue),
        1 => vec(any::<u8>(), 0..9).prop_map(Sent::BytesValue),
        1 => any::<i64>().prop_map(|value| Sent::ArrayValue(ArrayValue {
            values: vec![AnyValue { value: Some(Sent::IntValue(value)) }],
        })),
        1 => ".{0,5}".prop_map(|key| Sent::KvlistValue(KeyValueList {
            values: vec![text(&key, "nested")],
        })),
    ];
    option::weighted(
        0.95,
        option::weighted(0.95, value).prop_map(|value| AnyValue { value }),
    )
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let attribute = ("[a-z.]{0,12}", any_value()).prop_map(|(key, value)| KeyValue {
        key,
        value,
        ..KeyValue::default()
    });
    vec(attribute, 0..6)
}

fn resource() -> impl Strategy<Value = Option<Resource>> {
    option::of(attributes().prop_map(|attributes| Resource {
        attributes,
        dropped_attributes_count: 3,
        ..Resource::default()
    }))
}

fn scope() -> impl Strategy<Value = Option<InstrumentationScope>> {
    option::of(
        ("[a-z]{0,8}", "[0-9.]{0,5}").prop_map(|(name, version)| InstrumentationScope {
            name,
            version,
            attributes: vec![text("scope", "attribute")],
            ..InstrumentationScope::default()
        }),
    )
}

fn id(length: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => vec(any::<u8>(), length),
        1 => vec(any::<u8>(), 0..20),
        1 => Just(vec![0; length]),
    ]
}

prop_compose! {
    fn span()(
        trace_id in id(16),
        span_id in id(8),
        name in ".{0,12}",
        kind in -1..8,
        (start, end) in any::<(u64, u64)>(),
        attributes in attributes(),
        status in option::of((".{0,5}", -1..5)),
        extras in any::<bool>(),
    ) -> Span {
        Span {
            trace_id,
            span_id,
            parent_span_id: vec![1; 8],
            trace_state: "a=b".into(),
            name,
            kind,
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes,
            status: status.map(|(message, code)| Status { message, code }),
            events: vec![Event { name: "event".into(), ..Event::default() }; usize::from(extras)],
            links: vec![Link { span_id: vec![2; 8], ..Link::default() }; usize::from(extras)],
            flags: 257,
            ..Span::default()
        }
    }
}

pub(crate) fn traces() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scope_spans = (scope(), vec(span(), 0..4)).prop_map(|(scope, spans)| ScopeSpans {
        scope,
        spans,
        schema_url: "scope schema".into(),
    });
    let resource_spans =
        (resource(), vec(scope_spans, 0..3)).prop_map(|(resource, scope_spans)| ResourceSpans {
            resource,
            scope_spans,
            schema_url: "resource schema".into(),
        });
    vec(resource_spans, 0..3)
        .prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

prop_compose! {
    fn explicit_point()(
        mut bounds in vec(prop_oneof![9 => -1.0..1e4, 1 => any::<f64>()], 0..12),
        counts in vec(0..1_000_u64, 14),
        buckets in option::weighted(0.2, 0..14_usize),
        wrong in option::weighted(0.1, any::<u64>()),
        sum in option::of(any::<f64>()),
        attributes in attributes(),
        (start, length) in (0..1_000_u64, 0..1_000_u64),
        flags in 0..3_u32,
        sorted in prop::bool::weighted(0.9),
    ) -> HistogramDataPoint {
        if sorted {
            bounds.sort_by(f64::total_cmp);
        }
        let bucket_counts = counts[..buckets.unwrap_or(bounds.len() + 1)].to_vec();
        HistogramDataPoint {
            attributes,
            start_time_unix_nano: start,
            time_unix_nano: start + length,
            count: wrong.unwrap_or(bucket_counts.iter().sum()),
            sum,
            bucket_counts,
            explicit_bounds: bounds,
            flags,
            min: sum,
            max: sum,
            ..HistogramDataPoint::default()
        }
    }
}

prop_compose! {
    fn exponential_point()(
        positive in option::of((any::<i32>(), vec(prop_oneof![0..1_000_u64, any::<u64>()], 0..12))),
        negative in option::weighted(0.2, (any::<i32>(), vec(0..3_u64, 0..4))),
        wrong in option::weighted(0.1, any::<u64>()),
        (scale, zero_count) in (-12..23, 0..1_000_u64),
        zero_threshold in prop_oneof![Just(0.0), 0.0..1.0, any::<f64>()],
        attributes in attributes(),
        (start, length) in (0..1_000_u64, 0..1_000_u64),
        flags in 0..3_u32,
    ) -> ExponentialHistogramDataPoint {
        let sum = |range: &Option<(i32, Vec<u64>)>| {
            range.iter().flat_map(|(_, counts)| counts).copied().fold(0, u64::wrapping_add)
        };
        let total = zero_count.wrapping_add(sum(&positive)).wrapping_add(sum(&negative));
        let range = |(offset, bucket_counts)| SentRange { offset, bucket_counts };
        ExponentialHistogramDataPoint {
            attributes,
            start_time_unix_nano: start,
            time_unix_nano: start + length,
            count: wrong.unwrap_or(total),
            sum: Some(1.0),
            scale,
            zero_count,
            zero_threshold,
            positive: positive.map(range),
            negative: negative.map(range),
            flags,
            ..ExponentialHistogramDataPoint::default()
        }
    }
}

fn metric() -> impl Strategy<Value = Metric> {
    let data = prop_oneof![
        (vec(explicit_point(), 0..4), -1..4).prop_map(|(data_points, aggregation_temporality)| {
            Data::Histogram(Histogram {
                data_points,
                aggregation_temporality,
            })
        }),
        (vec(exponential_point(), 0..4), -1..4).prop_map(
            |(data_points, aggregation_temporality)| {
                Data::ExponentialHistogram(ExponentialHistogram {
                    data_points,
                    aggregation_temporality,
                })
            }
        ),
        Just(Data::Gauge(Gauge::default())),
    ];
    let unit = prop_oneof![Just("s"), Just("ms"), Just("By"), Just("")];
    ("[a-z.]{0,12}", unit, option::of(data)).prop_map(|(name, unit, data)| Metric {
        name,
        description: "what it is".into(),
        unit: unit.into(),
        data,
        ..Metric::default()
    })
}

pub(crate) fn metrics() -> impl Strategy<Value = ExportMetricsServiceRequest> {
    let scope_metrics = (scope(), vec(metric(), 0..4)).prop_map(|(scope, metrics)| ScopeMetrics {
        scope,
        metrics,
        schema_url: "scope schema".into(),
    });
    let resource_metrics =
        (resource(), vec(scope_metrics, 0..3)).prop_map(|(resource, scope_metrics)| {
            ResourceMetrics {
                resource,
                scope_metrics,
                schema_url: "resource schema".into(),
            }
        });
    vec(resource_metrics, 0..3)
        .prop_map(|resource_metrics| ExportMetricsServiceRequest { resource_metrics })
}

// === bytes ===

/// Which fields of a message are messages themselves.
pub(crate) struct Shape(&'static [(u32, &'static Self)]);

const LEAF: Shape = Shape(&[]);
const KEY_VALUE: Shape = Shape(&[(2, &LEAF)]);
const RESOURCE: Shape = Shape(&[(1, &KEY_VALUE)]);
const SCOPE: Shape = Shape(&[(3, &KEY_VALUE)]);
const SPAN: Shape = Shape(&[(9, &KEY_VALUE), (15, &LEAF)]);
const EXPLICIT: Shape = Shape(&[(1, &Shape(&[(9, &KEY_VALUE)]))]);
const EXPONENTIAL: Shape = Shape(&[(1, &Shape(&[(1, &KEY_VALUE), (8, &LEAF), (9, &LEAF)]))]);
const METRIC: Shape = Shape(&[(9, &EXPLICIT), (10, &EXPONENTIAL)]);
pub(crate) const TRACES: Shape = Shape(&[(
    1,
    &Shape(&[(1, &RESOURCE), (2, &Shape(&[(1, &SCOPE), (2, &SPAN)]))]),
)]);
pub(crate) const METRICS: Shape = Shape(&[(
    1,
    &Shape(&[(1, &RESOURCE), (2, &Shape(&[(1, &SCOPE), (2, &METRIC)]))]),
)]);

/// The same message with its fields in another order at every level, but those of one number in
/// their own, and with fields between them that nobody knows.
pub(crate) fn shuffled(message: &[u8], shape: &Shape, seed: &mut u64) -> Vec<u8> {
    let mut by_number = std::collections::BTreeMap::<u32, VecDeque<Vec<u8>>>::new();
    let mut order = Vec::new();
    let mut fields = Fields::new(message);
    let mut before = message;
    while let Some(field) = fields.next() {
        let (number, payload) = field.expect("prost has written it");
        let mut raw = before[..before.len() - fields.left()].to_vec();
        before = &message[message.len() - fields.left()..];
        let inner = shape.0.iter().find(|(field, _)| *field == number);
        if let (Some((_, inner)), Payload::Bytes(bytes)) = (inner, payload) {
            let bytes = shuffled(bytes, inner, seed);
            raw.clear();
            prost::encoding::encode_key(
                number,
                prost::encoding::WireType::LengthDelimited,
                &mut raw,
            );
            prost::encoding::encode_varint(bytes.len() as u64, &mut raw);
            raw.extend(bytes);
        }
        order.push(number);
        by_number.entry(number).or_default().push_back(raw);
    }
    for unknown in UNKNOWN {
        order.push(UNKNOWN_FIELD);
        by_number
            .entry(UNKNOWN_FIELD)
            .or_default()
            .push_back(unknown.to_vec());
    }
    for at in (1..order.len()).rev() {
        order.swap(at, (random(seed) % (at as u64 + 1)) as usize);
    }
    order
        .iter()
        .flat_map(|number| by_number.get_mut(number).and_then(VecDeque::pop_front))
        .flatten()
        .collect()
}

/// The same bytes with a few of them changed, left out or doubled, and perhaps the end cut off.
pub(crate) fn mutated(mut bytes: Vec<u8>, seed: &mut u64) -> Vec<u8> {
    for _ in 0..1 + random(seed) % 4 {
        if bytes.is_empty() {
            break;
        }
        let at = (random(seed) % bytes.len() as u64) as usize;
        match random(seed) % 5 {
            0 => bytes[at] ^= 1 << (random(seed) % 8),
            1 => bytes[at] = random(seed) as u8,
            2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, bytes[at]),
            _ => bytes.truncate(at),
        }
    }
    bytes
}

/// SplitMix64.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

const UNKNOWN_FIELD: u32 = 100;
/// Field 100 in every wire type.
const UNKNOWN: [&[u8]; 5] = [
    &[0xa0, 0x06, 0xff, 0x01],
    &[0xa1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8],
    &[0xa2, 0x06, 2, 0xff, 0xff],
    &[0xa3, 0x06, 0x0b, 0x10, 0x01, 0x0c, 0xa4, 0x06],
    &[0xa5, 0x06, 1, 2, 3, 4],
];
