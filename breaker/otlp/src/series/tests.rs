use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets as SentRange;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Histogram, HistogramDataPoint, Metric,
    ResourceMetrics, ScopeMetrics,
};
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::{MetricVisitor, read_metrics, sample};

const SECOND: u64 = 1_000_000_000;
/// When the table begins, and when points come unless a test says otherwise.
const BEGIN: u64 = 1_000 * SECOND;
const NOW: u64 = 5_000 * SECOND;
/// Starts of series that began before and after the table.
const OLD: u64 = 500 * SECOND;
const NEW: u64 = 2_000 * SECOND;

/// What a table made of a point: latencies in microseconds with their counts.
type Made = Result<Vec<(u64, u64)>, Skipped>;

struct Apply<'t> {
    table: &'t mut SeriesTable,
    origin: Option<ScopeId>,
    now: u64,
    made: Vec<Made>,
}

impl MetricVisitor for Apply<'_> {
    fn resource(&mut self, resource: Attributes<'_>) -> bool {
        self.origin = Some(self.table.scope(self.table.resource(resource), "", ""));
        true
    }

    fn scope(&mut self, _name: &str, _version: &str) -> bool {
        true
    }

    fn histogram(&mut self, point: &HistogramPoint<'_>) {
        let made = self.table.apply(self.origin.unwrap(), point, self.now);
        self.made.push(made.map(|increase| {
            increase
                .iter()
                .map(|(latency, count)| (latency.as_micros() as u64, count))
                .collect()
        }));
    }
}

fn table() -> SeriesTable {
    SeriesTable::new(Limits::default(), BEGIN)
}

fn apply_all(table: &mut SeriesTable, now: u64, unit: &str, data: Data) -> Vec<Made> {
    let request = ResourceMetrics {
        scope_metrics: vec![ScopeMetrics {
            metrics: vec![Metric {
                name: "http.server.request.duration".into(),
                unit: unit.into(),
                data: Some(data),
                ..Metric::default()
            }],
            ..ScopeMetrics::default()
        }],
        ..ResourceMetrics::default()
    };
    let mut bytes = vec![0x0a];
    prost::encoding::encode_varint(request.encoded_len() as u64, &mut bytes);
    request.encode(&mut bytes).unwrap();
    let mut apply = Apply {
        table,
        origin: None,
        now,
        made: Vec::new(),
    };
    read_metrics(&bytes, &mut apply).unwrap();
    apply.made
}

fn apply(table: &mut SeriesTable, temporality: i32, point: HistogramDataPoint) -> Made {
    apply_at(table, NOW, temporality, point)
}

fn apply_at(
    table: &mut SeriesTable,
    now: u64,
    temporality: i32,
    point: HistogramDataPoint,
) -> Made {
    let histogram = Histogram {
        data_points: vec![point],
        aggregation_temporality: temporality,
    };
    let mut made = apply_all(table, now, "s", Data::Histogram(histogram));
    made.pop().expect("the reader takes the point")
}

fn apply_exponential(
    table: &mut SeriesTable,
    temporality: i32,
    point: ExponentialHistogramDataPoint,
) -> Made {
    let histogram = ExponentialHistogram {
        data_points: vec![point],
        aggregation_temporality: temporality,
    };
    let mut made = apply_all(table, NOW, "s", Data::ExponentialHistogram(histogram));
    made.pop().expect("the reader takes the point")
}

/// Bounds at 0.1 s and 1 s.
fn point(start: u64, time: u64, counts: &[u64]) -> HistogramDataPoint {
    HistogramDataPoint {
        start_time_unix_nano: start,
        time_unix_nano: time,
        count: counts.iter().sum(),
        bucket_counts: counts.to_vec(),
        explicit_bounds: vec![0.1, 1.0],
        ..HistogramDataPoint::default()
    }
}

fn named(mut point: HistogramDataPoint, attributes: Vec<KeyValue>) -> HistogramDataPoint {
    point.attributes = attributes;
    point
}

fn exponential(
    time: u64,
    scale: i32,
    offset: i32,
    counts: &[u64],
) -> ExponentialHistogramDataPoint {
    ExponentialHistogramDataPoint {
        start_time_unix_nano: NEW,
        time_unix_nano: time,
        count: counts.iter().sum(),
        scale,
        positive: Some(SentRange {
            offset,
            bucket_counts: counts.to_vec(),
        }),
        ..ExponentialHistogramDataPoint::default()
    }
}

const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;
/// What stands for the buckets of `point`, in microseconds.
const LOW: u64 = 50_000;
const MIDDLE: u64 = 100_001;
const HIGH: u64 = 1_000_001;

// === cumulative ===

#[test]
fn a_cumulative_point_counts_for_what_it_has_more_than_the_last() {
    let mut table = table();
    assert_eq!(
        apply(&mut table, CUMULATIVE, point(NEW, NEW + 10, &[1, 2, 3])),
        Ok(vec![(LOW, 1), (MIDDLE, 2), (HIGH, 3)])
    );
    assert_eq!(
        apply(&mut table, CUMULATIVE, point(NEW, NEW + 20, &[1, 4, 4])),
        Ok(vec![(MIDDLE, 2), (HIGH, 1)])
    );
    assert_eq!(
        apply(&mut table, CUMULATIVE, point(NEW, NEW + 30, &[1, 4, 4])),
        Ok(vec![])
    );
    assert_eq!(table.len(), 1);
}

#[test]
fn the_first_point_of_a_series_older_than_the_table_is_only_a_baseline() {
    for start in [0, OLD, BEGIN] {
        let mut table = table();
        let first = apply(&mut table, CUMULATIVE, point(start, NEW, &[100, 0, 0]));
        assert_eq!(first, Err(Skipped::Baseline));
        let second = apply(&mut table, CUMULATIVE, point(start, NEW + 1, &[101, 0, 0]));
        assert_eq!(second, Ok(vec![(LOW, 1)]));
    }
}

#[test]
fn a_count_that_goes_down_is_a_reset_and_counts_from_zero() {
    let mut table = table();
    let _ = apply(&mut table, CUMULATIVE, point(OLD, NEW, &[5, 5, 5]));
    let lower = apply(&mut table, CUMULATIVE, point(OLD, NEW + 1, &[1, 0, 2]));
    assert_eq!(lower, Ok(vec![(LOW, 1), (HIGH, 2)]));
    // More in all, but less in one bucket.
    let lower = apply(&mut table, CUMULATIVE, point(OLD, NEW + 2, &[9, 0, 1]));
    assert_eq!(lower, Ok(vec![(LOW, 9), (HIGH, 1)]));
    let next = apply(&mut table, CUMULATIVE, point(OLD, NEW + 3, &[9, 1, 1]));
    assert_eq!(next, Ok(vec![(MIDDLE, 1)]));
}

#[test]
fn a_new_start_is_a_reset_and_counts_from_zero() {
    let mut table = table();
    let _ = apply(&mut table, CUMULATIVE, point(OLD, NEW, &[5, 5, 5]));
    let restarted = point(NEW + 1, NEW + 2, &[6, 6, 6]);
    assert_eq!(
        apply(&mut table, CUMULATIVE, restarted),
        Ok(vec![(LOW, 6), (MIDDLE, 6), (HIGH, 6)])
    );
}

#[test]
fn two_processes_that_say_they_are_one_are_not_taken_for_restarts() {
    let mut table = table();
    for round in 0..5 {
        let time = NEW + 100 + round;
        let one = apply(
            &mut table,
            CUMULATIVE,
            point(NEW, time, &[1000 + round, 0, 0]),
        );
        let other = apply(
            &mut table,
            CUMULATIVE,
            point(NEW + 50, time, &[2000 + round, 0, 0]),
        );
        if round > 0 {
            assert_eq!((one, other), (Ok(vec![(LOW, 1)]), Ok(vec![(LOW, 1)])));
        }
    }
}

#[test]
fn duplicates_and_late_points_do_not_count() {
    let mut table = table();
    let _ = apply(&mut table, CUMULATIVE, point(NEW, NEW + 10, &[1, 0, 0]));
    for time in [NEW + 10, NEW + 9] {
        let again = apply(&mut table, CUMULATIVE, point(NEW, time, &[2, 0, 0]));
        assert_eq!(again, Err(Skipped::NotNewer));
    }
    let next = apply(&mut table, CUMULATIVE, point(NEW, NEW + 11, &[2, 0, 0]));
    assert_eq!(next, Ok(vec![(LOW, 1)]));
}

#[test]
fn other_bounds_are_a_baseline_unless_the_count_went_down() {
    let mut table = table();
    let _ = apply(&mut table, CUMULATIVE, point(NEW, NEW + 1, &[5, 5, 5]));
    let other = |time, counts: &[u64]| HistogramDataPoint {
        explicit_bounds: vec![0.2, 2.0],
        ..point(NEW, time, counts)
    };
    let changed = apply(&mut table, CUMULATIVE, other(NEW + 2, &[6, 5, 5]));
    assert_eq!(changed, Err(Skipped::Baseline));
    let next = apply(&mut table, CUMULATIVE, other(NEW + 3, &[7, 5, 5]));
    assert_eq!(next, Ok(vec![(100_000, 1)]));
    let lower = apply(&mut table, CUMULATIVE, point(NEW, NEW + 4, &[1, 0, 0]));
    assert_eq!(lower, Ok(vec![(LOW, 1)]));
}

#[test]
fn an_increase_says_when_its_samples_can_have_been_taken() {
    let mut table = table();
    for (time, since) in [(NEW + 5, NEW), (NEW + 9, NEW + 5)] {
        let request = request(&point(NEW, time, &[time, 0, 0]));
        let mut seen = None;
        read_only(&request, |point| {
            let origin = table.scope(table.resource(Attributes::new(&[], 1)), "", "");
            let increase = table.apply(origin, point, NOW).unwrap();
            seen = Some((increase.since(), increase.until(), increase.count()));
        });
        let counted = if since == NEW { time } else { 4 };
        assert_eq!(seen, Some((since, time, counted)));
    }
}

/// A request with one point of a cumulative histogram in seconds.
fn request(point: &HistogramDataPoint) -> Vec<u8> {
    let wrap = |field: u32, inner: Vec<u8>, beside: &[u8]| {
        let mut message = beside.to_vec();
        message.push((field << 3 | 2) as u8);
        prost::encoding::encode_varint(inner.len() as u64, &mut message);
        message.extend(inner);
        message
    };
    let histogram = wrap(1, point.encode_to_vec(), &[0x10, 2]);
    let metric = wrap(9, histogram, &[0x1a, 1, b's']);
    wrap(1, wrap(2, wrap(2, metric, &[]), &[]), &[])
}

fn read_only(request: &[u8], then: impl FnMut(&HistogramPoint<'_>)) {
    struct Only<F>(F);
    impl<F: FnMut(&HistogramPoint<'_>)> MetricVisitor for Only<F> {
        fn resource(&mut self, _: Attributes<'_>) -> bool {
            true
        }
        fn scope(&mut self, _: &str, _: &str) -> bool {
            true
        }
        fn histogram(&mut self, point: &HistogramPoint<'_>) {
            (self.0)(point);
        }
    }
    read_metrics(request, &mut Only(then)).unwrap();
}

// === delta ===

#[test]
fn a_delta_point_counts_once() {
    let mut table = table();
    let first = point(OLD, OLD + 10, &[1, 0, 2]);
    let second = point(OLD + 10, OLD + 20, &[0, 3, 0]);
    let counted = Ok(vec![(LOW, 1), (HIGH, 2)]);
    assert_eq!(apply(&mut table, DELTA, first.clone()), counted);
    assert_eq!(
        apply(&mut table, DELTA, first.clone()),
        Err(Skipped::NotNewer)
    );
    assert_eq!(
        apply(&mut table, DELTA, second.clone()),
        Ok(vec![(MIDDLE, 3)])
    );
    assert_eq!(apply(&mut table, DELTA, first), Err(Skipped::NotNewer));
    assert_eq!(apply(&mut table, DELTA, second), Err(Skipped::NotNewer));
}

#[test]
fn delta_and_cumulative_points_of_one_name_are_two_series() {
    let mut table = table();
    let _ = apply(&mut table, DELTA, point(NEW, NEW + 1, &[1, 0, 0]));
    let _ = apply(&mut table, CUMULATIVE, point(NEW, NEW + 1, &[1, 0, 0]));
    assert_eq!(table.len(), 2);
}

// === exponential ===

#[test]
fn exponential_buckets_count_at_their_geometric_middle() {
    let mut table = table();
    let point = ExponentialHistogramDataPoint {
        zero_count: 3,
        zero_threshold: 0.002,
        count: 10,
        ..exponential(NEW + 1, 0, -1, &[2, 5])
    };
    // (0.5, 1] and (1, 2], at √2/2 and √2 seconds; the zero bucket at half its threshold.
    assert_eq!(
        apply_exponential(&mut table, CUMULATIVE, point),
        Ok(vec![(1_000, 3), (707_106, 2), (1_414_213, 5)])
    );
}

#[test]
fn a_coarser_scale_than_before_is_compared_at_the_coarser_one() {
    let mut table = table();
    // Indices 2 to 5 at scale 1 are 1, 1, 2, 2 at scale 0.
    let _ = apply_exponential(
        &mut table,
        CUMULATIVE,
        exponential(NEW + 1, 1, 2, &[1, 2, 3, 4]),
    );
    let coarser = apply_exponential(
        &mut table,
        CUMULATIVE,
        exponential(NEW + 2, 0, 0, &[9, 5, 7]),
    );
    assert_eq!(coarser, Ok(vec![(1_414_213, 9), (2_828_427, 2)]));
    // Finer again, as after a reset of the sender's scale: still compared at scale 0.
    let finer = exponential(NEW + 3, 1, 0, &[4, 5, 1, 4, 8, 0]);
    let finer = apply_exponential(&mut table, CUMULATIVE, finer);
    assert_eq!(finer, Ok(vec![(5_656_854, 1)]));
}

#[test]
fn negative_indices_are_merged_downwards() {
    let mut table = table();
    // Indices -3, -2, -1, 0 at scale 1 are -2, -1, -1, 0 at scale 0.
    let _ = apply_exponential(
        &mut table,
        CUMULATIVE,
        exponential(NEW + 1, 1, -3, &[1, 2, 3, 4]),
    );
    let same = apply_exponential(
        &mut table,
        CUMULATIVE,
        exponential(NEW + 2, 0, -2, &[1, 5, 4]),
    );
    assert_eq!(same, Ok(vec![]));
}

#[test]
fn buckets_that_a_wider_zero_bucket_swallows_have_not_gone_down() {
    let mut table = table();
    let _ = apply_exponential(
        &mut table,
        CUMULATIVE,
        exponential(NEW + 1, 0, 0, &[1, 2, 3]),
    );
    let wider = ExponentialHistogramDataPoint {
        zero_threshold: 4.0,
        zero_count: 4,
        count: 8,
        ..exponential(NEW + 2, 0, 2, &[4])
    };
    assert_eq!(
        apply_exponential(&mut table, CUMULATIVE, wider),
        Ok(vec![(2_000_000, 1), (5_656_854, 1)])
    );
}

#[test]
fn an_exponential_count_that_goes_down_is_a_reset() {
    let mut table = table();
    let _ = apply_exponential(&mut table, CUMULATIVE, exponential(NEW + 1, 0, 0, &[5, 5]));
    // Bucket 1 is not sent at all any more.
    let reset = exponential(NEW + 2, 0, 0, &[20]);
    assert_eq!(
        apply_exponential(&mut table, CUMULATIVE, reset),
        Ok(vec![(1_414_213, 20)])
    );
}

#[test]
fn extreme_offsets_and_scales_do_not_overflow() {
    let mut table = table();
    let mut time = NEW;
    for (scale, offset) in [
        (20, i32::MAX),
        (-10, i32::MIN),
        (20, i32::MIN),
        (-10, i32::MAX),
    ] {
        time += 1;
        let point = exponential(time, scale, offset, &[1, 0, 1]);
        assert!(apply_exponential(&mut table, CUMULATIVE, point).is_ok());
    }
}

// === units and what says too little ===

#[test]
fn milliseconds_are_milliseconds() {
    let histogram = |point| {
        Data::Histogram(Histogram {
            data_points: vec![point],
            aggregation_temporality: DELTA,
        })
    };
    let mut point = point(NEW, NEW + 1, &[1, 1, 1]);
    point.explicit_bounds = vec![100.0, 1000.0];
    let made = apply_all(&mut table(), NOW, "ms", histogram(point.clone()));
    assert_eq!(made, [Ok(vec![(LOW, 1), (MIDDLE, 1), (HIGH, 1)])]);
    let made = apply_all(&mut table(), NOW, "By", histogram(point));
    assert_eq!(made, [Err(Skipped::Unit)]);
}

#[test]
fn a_single_bucket_counts_at_the_mean_if_there_is_a_sum() {
    let single = |time, count, sum| HistogramDataPoint {
        start_time_unix_nano: NEW,
        time_unix_nano: time,
        count,
        sum,
        ..HistogramDataPoint::default()
    };
    let mut table = table();
    assert_eq!(
        apply(&mut table, CUMULATIVE, single(NEW + 1, 4, Some(2.0))),
        Ok(vec![(500_000, 4)])
    );
    assert_eq!(
        apply(&mut table, CUMULATIVE, single(NEW + 2, 6, Some(4.0))),
        Ok(vec![(1_000_000, 2)])
    );
    assert_eq!(
        apply(&mut table, CUMULATIVE, single(NEW + 3, 7, None)),
        Err(Skipped::NoBuckets)
    );
}

#[test]
fn points_without_a_value_or_temporality_or_from_the_future_are_skipped() {
    let mut table = table();
    let gone = HistogramDataPoint {
        flags: 1,
        ..point(NEW, NEW + 1, &[0, 0, 0])
    };
    assert_eq!(apply(&mut table, CUMULATIVE, gone), Err(Skipped::NoValue));
    let unspecified = apply(&mut table, 0, point(NEW, NEW + 1, &[1, 0, 0]));
    assert_eq!(unspecified, Err(Skipped::Temporality));
    let ahead = point(NEW, NOW + AHEAD + 1, &[1, 0, 0]);
    assert_eq!(apply(&mut table, CUMULATIVE, ahead), Err(Skipped::Ahead));
    assert!(table.is_empty());
    let just_ahead = point(NEW, NOW + AHEAD, &[1, 0, 0]);
    assert!(apply(&mut table, CUMULATIVE, just_ahead).is_ok());
}

// === identity ===

#[test]
fn the_order_of_attributes_does_not_matter_and_everything_else_does() {
    let mut table = table();
    let a = || sample::text("a", "1");
    let b = || sample::text("b", "2");
    let _ = apply(
        &mut table,
        CUMULATIVE,
        named(point(NEW, NEW + 1, &[1, 0, 0]), vec![a(), b()]),
    );
    let swapped = named(point(NEW, NEW + 2, &[2, 0, 0]), vec![b(), a()]);
    assert_eq!(apply(&mut table, CUMULATIVE, swapped), Ok(vec![(LOW, 1)]));
    assert_eq!(table.len(), 1);
    let others = [
        vec![],
        vec![a()],
        vec![a(), b(), b()],
        vec![sample::text("a", "2"), sample::text("b", "1")],
        vec![sample::text("a1", ""), b()],
    ];
    for (at, attributes) in others.into_iter().enumerate() {
        let other = named(point(NEW, NEW + 1, &[1, 0, 0]), attributes);
        let _ = apply(&mut table, CUMULATIVE, other);
        assert_eq!(table.len(), at + 2);
    }
}

#[test]
fn resources_and_scopes_are_told_apart() {
    let table = table();
    let resource = ResourceMetrics::default().encode_to_vec();
    let empty = Attributes::new(&resource, 1);
    let origin = |scope, version| table.scope(table.resource(empty), scope, version);
    assert_eq!(origin("a", "b"), origin("a", "b"));
    assert_ne!(origin("a", "b"), origin("ab", ""));
    assert_ne!(origin("a", "b"), origin("b", "a"));
    let named = opentelemetry_proto::tonic::resource::v1::Resource {
        attributes: vec![sample::text("service.name", "pay")],
        ..Default::default()
    };
    let named = named.encode_to_vec();
    assert_ne!(
        table.scope(table.resource(Attributes::new(&named, 1)), "a", "b"),
        origin("a", "b")
    );
}

// === bounds ===

#[test]
fn a_million_attribute_values_do_not_grow_the_table_or_push_out_what_is_alive() {
    let mut table = table();
    let origin = table.scope(table.resource(Attributes::new(&[], 1)), "", "");
    let alive = point(NEW, NEW + 1, &[1, 0, 0]);
    assert!(apply(&mut table, CUMULATIVE, alive).is_ok());
    // One point whose attribute value, eight digits, is overwritten a million times.
    let attribute = sample::text("user.id", "xxxxxxxx");
    let flood = named(point(NEW, NEW + 1, &[1, 0, 0]), vec![attribute]);
    let mut flood = request(&flood);
    let at = flood.windows(8).position(|window| window == b"xxxxxxxx");
    let at = at.unwrap();
    for value in 0..1_000_000_u32 {
        flood[at..at + 8].copy_from_slice(format!("{value:08}").as_bytes());
        read_only(&flood, |point| {
            let _ = table.apply(origin, point, NOW);
        });
    }
    assert_eq!(table.len(), 10_000);
    assert_eq!(table.refused(), 1_000_000 - 9_999);
    assert_eq!(table.evicted(), 0);
    let alive = point(NEW, NEW + 2, &[2, 0, 0]);
    assert_eq!(apply(&mut table, CUMULATIVE, alive), Ok(vec![(LOW, 1)]));
}

#[test]
fn a_silent_series_gives_way_when_the_table_is_full() {
    let limits = Limits {
        series: 2,
        ..Limits::default()
    };
    let mut table = SeriesTable::new(limits, BEGIN);
    let named = |name: &str, time, count| {
        named(
            point(NEW, time, &[count, 0, 0]),
            vec![sample::text("name", name)],
        )
    };
    let minute = 60 * SECOND;
    let _ = apply_at(&mut table, NOW, CUMULATIVE, named("a", NEW + 1, 1));
    let _ = apply_at(&mut table, NOW + minute, CUMULATIVE, named("b", NEW + 1, 1));
    let early = apply_at(
        &mut table,
        NOW + 4 * minute,
        CUMULATIVE,
        named("c", NEW + 1, 1),
    );
    assert_eq!(early, Err(Skipped::Refused));
    // "a" has been silent for five minutes now. Where "c" has been in the meantime nobody knows.
    let late = apply_at(
        &mut table,
        NOW + 5 * minute,
        CUMULATIVE,
        named("c", NEW + 2, 1),
    );
    assert_eq!(late, Err(Skipped::Baseline));
    assert_eq!((table.len(), table.evicted(), table.refused()), (2, 1, 1));
    // "a" comes back, with all that has been counted before: it must not count again.
    let back = apply_at(
        &mut table,
        NOW + 7 * minute,
        CUMULATIVE,
        named("a", NEW + 9, 8),
    );
    assert_eq!(back, Err(Skipped::Baseline));
}

#[test]
fn a_series_that_is_idle_for_an_hour_is_forgotten() {
    let mut table = table();
    let hour = 60 * 60 * SECOND;
    let _ = apply_at(&mut table, NOW, CUMULATIVE, point(NEW, NEW + 1, &[1, 0, 0]));
    table.expire(NOW + hour - 1);
    assert_eq!(table.len(), 1);
    table.expire(NOW + hour);
    assert_eq!((table.len(), table.evicted()), (0, 1));
    let back = apply_at(
        &mut table,
        NOW + hour,
        CUMULATIVE,
        point(NEW, NEW + 2, &[9, 0, 0]),
    );
    assert_eq!(back, Err(Skipped::Baseline));
}

#[test]
fn points_with_too_many_buckets_are_skipped() {
    let sized = |buckets: usize| HistogramDataPoint {
        start_time_unix_nano: NEW,
        time_unix_nano: NEW + 1,
        bucket_counts: vec![0; buckets],
        explicit_bounds: (1..buckets).map(|bound| bound as f64).collect(),
        ..HistogramDataPoint::default()
    };
    let mut table = table();
    assert_eq!(apply(&mut table, CUMULATIVE, sized(1_024)), Ok(vec![]));
    assert_eq!(
        apply(&mut table, CUMULATIVE, sized(1_025)),
        Err(Skipped::TooManyBuckets)
    );
}

#[test]
fn the_buckets_of_all_series_together_are_bounded() {
    let limits = Limits {
        total_buckets: 7,
        ..Limits::default()
    };
    let mut table = SeriesTable::new(limits, BEGIN);
    let named = |name: &str, point| named(point, vec![sample::text("name", name)]);
    let _ = apply(
        &mut table,
        CUMULATIVE,
        named("a", point(NEW, NEW + 1, &[1, 0, 0])),
    );
    let _ = apply(
        &mut table,
        CUMULATIVE,
        named("b", point(NEW, NEW + 1, &[1, 0, 0])),
    );
    let third = apply(
        &mut table,
        CUMULATIVE,
        named("c", point(NEW, NEW + 1, &[1, 0, 0])),
    );
    assert_eq!(third, Err(Skipped::Refused));
    let grown = HistogramDataPoint {
        explicit_bounds: vec![1.0, 2.0, 3.0, 4.0],
        ..point(NEW, NEW + 2, &[1, 0, 0, 0, 0])
    };
    let grown = apply(&mut table, CUMULATIVE, named("b", grown));
    assert_eq!(grown, Err(Skipped::Refused));
    assert_eq!((table.len(), table.buckets), (1, 3));
}

proptest! {
    #[test]
    fn increases_add_up_to_the_last_cumulative_point(
        steps in prop::collection::vec(prop::collection::vec(0..5_u64, 12), 1..8),
        scales in prop::collection::vec(0..4_i32, 8),
        offset in -20..20_i32,
    ) {
        // The sender only ever gets coarser, as SDKs do.
        let mut table = table();
        let mut total = vec![0; 12];
        let mut counted = 0;
        let mut scale = 3;
        for (at, step) in steps.iter().enumerate() {
            total.iter_mut().zip(step).for_each(|(total, step)| *total += step);
            scale = scale.min(scales[at]);
            let shift = 3 - scale;
            let first = offset >> shift;
            let mut counts = vec![0; (((offset + 11) >> shift) - first + 1) as usize];
            for (index, total) in (offset..).zip(&total) {
                counts[((index >> shift) - first) as usize] += total;
            }
            let point = exponential(NEW + 1 + at as u64, scale, first, &counts);
            let made = apply_exponential(&mut table, CUMULATIVE, point).unwrap();
            let added: u64 = made.iter().map(|(_, count)| count).sum();
            prop_assert_eq!(added, step.iter().sum::<u64>());
            counted += added;
        }
        prop_assert_eq!(counted, total.iter().sum::<u64>());
    }

    #[test]
    fn no_points_make_a_table_panic_or_forget_its_bounds(
        requests in prop::collection::vec((sample::metrics(), any::<u64>()), 1..6),
    ) {
        let limits = Limits {
            series: 3,
            buckets: 8,
            total_buckets: 16,
            stale: Duration::ZERO,
            idle: Duration::from_secs(60),
        };
        let mut table = SeriesTable::new(limits, 100);
        for (request, mut seed) in requests {
            let now = seed % 2_000;
            let bytes = sample::mutated(request.encode_to_vec(), &mut seed);
            let mut apply = Apply { table: &mut table, origin: None, now, made: Vec::new() };
            let _ = read_metrics(&bytes, &mut apply);
            prop_assert!(table.len() <= 3);
            prop_assert!(table.buckets <= 16);
            let held: usize = table.series.iter().map(|(_, series)| series.last.buckets()).sum();
            prop_assert_eq!(table.buckets, held);
        }
    }
}
