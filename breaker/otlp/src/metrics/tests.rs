use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets as SentRange;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Histogram, HistogramDataPoint,
    Metric as SentMetric, ResourceMetrics, ScopeMetrics,
};
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::sample::{self, METRICS, OwnedAttributes, mutated, owned, owned_tree};

#[derive(Clone, Debug, Default, PartialEq)]
struct Told {
    resource: OwnedAttributes,
    scope: (String, String),
    unwanted: Option<&'static str>,
    points: Vec<OwnedPoint>,
    rejected: Vec<Rejection>,
}

#[derive(Clone, Debug, PartialEq)]
struct OwnedPoint {
    resource: OwnedAttributes,
    scope: (String, String),
    name: String,
    unit: String,
    temporality: Temporality,
    attributes: OwnedAttributes,
    times: (u64, u64),
    count: u64,
    sum: Option<f64>,
    no_recorded_value: bool,
    buckets: OwnedBuckets,
}

#[derive(Clone, Debug, PartialEq)]
enum OwnedBuckets {
    Explicit(Vec<f64>, Vec<u64>),
    Exponential(i32, u64, f64, i32, Vec<u64>),
}

impl MetricVisitor for Told {
    fn resource(&mut self, resource: Attributes<'_>) -> bool {
        self.resource = owned(resource);
        true
    }

    fn scope(&mut self, name: &str, version: &str) -> bool {
        self.scope = (name.into(), version.into());
        true
    }

    fn metric(&mut self, name: &str, _unit: &str) -> bool {
        self.unwanted != Some(name)
    }

    fn histogram(&mut self, point: &HistogramPoint<'_>) {
        self.points.push(OwnedPoint {
            resource: self.resource.clone(),
            scope: self.scope.clone(),
            name: point.name.into(),
            unit: point.unit.into(),
            temporality: point.temporality,
            attributes: owned(point.attributes),
            times: (point.start, point.time),
            count: point.count,
            sum: point.sum,
            no_recorded_value: point.no_recorded_value,
            buckets: match point.buckets {
                Buckets::Explicit { bounds, counts } => {
                    OwnedBuckets::Explicit(bounds.iter().collect(), counts.iter().collect())
                }
                Buckets::Exponential {
                    scale,
                    zero_count,
                    zero_threshold,
                    positive,
                } => OwnedBuckets::Exponential(
                    scale,
                    zero_count,
                    zero_threshold,
                    positive.offset,
                    positive.counts.iter().collect(),
                ),
            },
        });
    }

    fn rejected_point(&mut self, _metric: &str, reason: Rejection) {
        self.rejected.push(reason);
    }
}

fn read(message: &[u8]) -> Result<Told, Malformed> {
    let mut told = Told::default();
    read_metrics(message, &mut told).map(|()| told)
}

fn request(data: Data) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![SentMetric {
                    name: "http.server.request.duration".into(),
                    unit: "s".into(),
                    data: Some(data),
                    ..SentMetric::default()
                }],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

fn explicit(bounds: &[f64], counts: &[u64]) -> HistogramDataPoint {
    HistogramDataPoint {
        time_unix_nano: 10,
        count: counts.iter().fold(0, |sum, count| sum.wrapping_add(*count)),
        bucket_counts: counts.to_vec(),
        explicit_bounds: bounds.to_vec(),
        ..HistogramDataPoint::default()
    }
}

fn exponential(scale: i32, counts: &[u64]) -> ExponentialHistogramDataPoint {
    ExponentialHistogramDataPoint {
        time_unix_nano: 10,
        count: counts.iter().fold(0, |sum, count| sum.wrapping_add(*count)),
        scale,
        positive: Some(SentRange {
            offset: -7,
            bucket_counts: counts.to_vec(),
        }),
        ..ExponentialHistogramDataPoint::default()
    }
}

fn read_point(point: HistogramDataPoint) -> Result<OwnedPoint, Rejection> {
    read_only(Data::Histogram(Histogram {
        data_points: vec![point],
        aggregation_temporality: 2,
    }))
}

fn read_exponential_point(point: ExponentialHistogramDataPoint) -> Result<OwnedPoint, Rejection> {
    read_only(Data::ExponentialHistogram(ExponentialHistogram {
        data_points: vec![point],
        aggregation_temporality: 1,
    }))
}

fn read_only(data: Data) -> Result<OwnedPoint, Rejection> {
    let mut told = read(&request(data).encode_to_vec()).unwrap();
    match told.rejected.pop() {
        Some(rejection) => Err(rejection),
        None => Ok(told.points.pop().unwrap()),
    }
}

/// What must be made of a point of the tree, written down without iterators and wire formats.
fn expected(point: &HistogramDataPoint) -> Result<OwnedBuckets, Rejection> {
    let (bounds, counts) = (&point.explicit_bounds, &point.bucket_counts);
    let ascending = bounds.iter().all(|bound| bound.is_finite())
        && bounds.windows(2).all(|pair| pair[0] < pair[1]);
    let total = counts.iter().map(|&count| u128::from(count)).sum::<u128>();
    let unknown = bounds.is_empty() && counts.is_empty();
    if !ascending {
        return Err(Rejection::Bounds);
    }
    if !unknown && (counts.len() != bounds.len() + 1 || total != u128::from(point.count)) {
        return Err(Rejection::BucketCounts);
    }
    let below_zero = bounds
        .iter()
        .zip(counts)
        .any(|(bound, &count)| *bound < 0.0 && count > 0);
    if below_zero {
        return Err(Rejection::Negative);
    }
    expected_common(point.start_time_unix_nano, point.time_unix_nano, point.sum)?;
    Ok(OwnedBuckets::Explicit(bounds.clone(), counts.clone()))
}

fn expected_exponential(point: &ExponentialHistogramDataPoint) -> Result<OwnedBuckets, Rejection> {
    let positive = point.positive.clone().unwrap_or_default();
    let negative = point.negative.clone().unwrap_or_default();
    let sum = |counts: &[u64]| counts.iter().map(|&count| u128::from(count)).sum::<u128>();
    let threshold = point.zero_threshold;
    if !(-10..=20).contains(&point.scale) || !threshold.is_finite() || threshold < 0.0 {
        return Err(Rejection::Scale);
    }
    if sum(&negative.bucket_counts) != 0 {
        return Err(Rejection::Negative);
    }
    let total = sum(&positive.bucket_counts) + u128::from(point.zero_count);
    if total != u128::from(point.count) {
        return Err(Rejection::BucketCounts);
    }
    expected_common(point.start_time_unix_nano, point.time_unix_nano, point.sum)?;
    Ok(OwnedBuckets::Exponential(
        point.scale,
        point.zero_count,
        threshold,
        positive.offset,
        positive.bucket_counts,
    ))
}

fn expected_common(start: u64, time: u64, sum: Option<f64>) -> Result<(), Rejection> {
    if time == 0 || start > time {
        return Err(Rejection::Time);
    }
    if sum.is_some_and(|sum| sum.is_finite() && sum < 0.0) {
        return Err(Rejection::Negative);
    }
    Ok(())
}

/// Buckets and rejections in the order in which a request has them, and the attributes of the
/// points.
fn expected_all(
    request: &ExportMetricsServiceRequest,
) -> (Vec<(OwnedBuckets, OwnedAttributes)>, Vec<Rejection>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    let mut sort = |point, attributes: &[_]| match point {
        Ok(buckets) => good.push((buckets, owned_tree(attributes))),
        Err(rejection) => bad.push(rejection),
    };
    let scopes = request
        .resource_metrics
        .iter()
        .flat_map(|resource| &resource.scope_metrics);
    for metric in scopes.flat_map(|scope| &scope.metrics) {
        match &metric.data {
            Some(Data::Histogram(histogram)) => {
                for point in &histogram.data_points {
                    sort(expected(point), &point.attributes);
                }
            }
            Some(Data::ExponentialHistogram(histogram)) => {
                for point in &histogram.data_points {
                    sort(expected_exponential(point), &point.attributes);
                }
            }
            _ => {}
        }
    }
    (good, bad)
}

#[test]
fn an_explicit_point_is_told_with_all_that_it_has() {
    let told = read_point(HistogramDataPoint {
        attributes: vec![sample::text("http.route", "/pay")],
        start_time_unix_nano: 3,
        sum: Some(4.5),
        ..explicit(&[0.0, 0.5, 1.0], &[0, 1, 2, 3])
    });
    let told = told.unwrap();
    assert_eq!(told.name, "http.server.request.duration");
    assert_eq!(told.unit, "s");
    assert_eq!(told.temporality, Temporality::Cumulative);
    assert_eq!(told.attributes.len(), 1);
    assert_eq!((told.times, told.count, told.sum), ((3, 10), 6, Some(4.5)));
    assert!(!told.no_recorded_value);
    let buckets = OwnedBuckets::Explicit(vec![0.0, 0.5, 1.0], vec![0, 1, 2, 3]);
    assert_eq!(told.buckets, buckets);
}

#[test]
fn an_exponential_point_is_told_with_all_that_it_has() {
    let told = read_exponential_point(ExponentialHistogramDataPoint {
        zero_count: 2,
        zero_threshold: 1e-3,
        count: 5,
        flags: 1,
        ..exponential(3, &[1, 2])
    });
    let told = told.unwrap();
    assert_eq!(told.temporality, Temporality::Delta);
    assert!(told.no_recorded_value);
    let buckets = OwnedBuckets::Exponential(3, 2, 1e-3, -7, vec![1, 2]);
    assert_eq!(told.buckets, buckets);
}

#[test]
fn no_buckets_at_all_are_one_bucket_that_holds_everything() {
    let point = HistogramDataPoint {
        count: 7,
        sum: Some(1.0),
        ..explicit(&[], &[])
    };
    let told = read_point(point).unwrap();
    assert_eq!(told.count, 7);
    assert_eq!(told.buckets, OwnedBuckets::Explicit(vec![], vec![]));
    assert!(read_point(explicit(&[], &[7])).is_ok());
}

#[test]
fn bounds_that_are_infinite_no_numbers_or_not_ascending_are_rejected() {
    for bounds in [
        [1.0, f64::NAN],
        [f64::NAN, 1.0],
        [1.0, f64::INFINITY],
        [f64::NEG_INFINITY, 1.0],
        [1.0, 1.0],
        [2.0, 1.0],
    ] {
        let rejected = read_point(explicit(&bounds, &[1, 2, 3]));
        assert_eq!(rejected, Err(Rejection::Bounds), "{bounds:?}");
    }
}

#[test]
fn counts_that_fit_neither_the_bounds_nor_the_count_are_rejected() {
    for counts in [&[][..], &[1], &[1, 2], &[1, 2, 3, 4]] {
        let rejected = read_point(explicit(&[1.0, 2.0], counts));
        assert_eq!(rejected, Err(Rejection::BucketCounts), "{counts:?}");
    }
    let wrong_sum = HistogramDataPoint {
        count: 5,
        ..explicit(&[1.0], &[1, 3])
    };
    assert_eq!(read_point(wrong_sum), Err(Rejection::BucketCounts));
    // 2^64 and 1 are 1 in 64 bits.
    let overflow = explicit(&[1.0, 2.0], &[u64::MAX, 1, 1]);
    assert_eq!(read_point(overflow), Err(Rejection::BucketCounts));
    let overflow = exponential(0, &[u64::MAX, 1, 1]);
    assert_eq!(
        read_exponential_point(overflow),
        Err(Rejection::BucketCounts)
    );
}

#[test]
fn negative_samples_are_rejected_and_negative_bounds_without_any_are_not() {
    assert_eq!(
        read_point(explicit(&[-1.0, 0.0], &[1, 0, 0])),
        Err(Rejection::Negative)
    );
    assert!(read_point(explicit(&[-1.0, 0.0], &[0, 1, 1])).is_ok());
    let sum = HistogramDataPoint {
        sum: Some(-1.0),
        ..explicit(&[1.0], &[1, 0])
    };
    assert_eq!(read_point(sum), Err(Rejection::Negative));
    let negative = ExponentialHistogramDataPoint {
        negative: Some(SentRange {
            offset: 0,
            bucket_counts: vec![0, 1],
        }),
        count: 2,
        ..exponential(0, &[1])
    };
    assert_eq!(read_exponential_point(negative), Err(Rejection::Negative));
}

#[test]
fn a_sum_that_is_no_number_is_no_sum() {
    for sum in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let point = HistogramDataPoint {
            sum: Some(sum),
            ..explicit(&[1.0], &[1, 0])
        };
        assert_eq!(read_point(point).unwrap().sum, None);
    }
}

#[test]
fn impossible_scales_and_thresholds_are_rejected() {
    for scale in [i32::MIN, -11, 21, i32::MAX] {
        let rejected = read_exponential_point(exponential(scale, &[1]));
        assert_eq!(rejected, Err(Rejection::Scale), "{scale}");
    }
    for zero_threshold in [f64::NAN, f64::INFINITY, -1.0] {
        let point = ExponentialHistogramDataPoint {
            zero_threshold,
            ..exponential(0, &[1])
        };
        assert_eq!(read_exponential_point(point), Err(Rejection::Scale));
    }
}

#[test]
fn a_point_without_a_time_or_with_one_before_its_start_is_rejected() {
    for (start, time) in [(0, 0), (5, 4)] {
        let point = HistogramDataPoint {
            start_time_unix_nano: start,
            time_unix_nano: time,
            ..explicit(&[1.0], &[1, 0])
        };
        assert_eq!(read_point(point), Err(Rejection::Time));
    }
}

#[test]
fn numbers_are_read_packed_and_each_in_its_own_field() {
    let mut message = explicit(&[1.0], &[3]).encode_to_vec();
    // Another bound and two more counts, 4 and 5, outside the packed lists; then a new count.
    message.push(0x39);
    message.extend(2.0_f64.to_le_bytes());
    for count in [4_u64, 5] {
        message.push(0x31);
        message.extend(count.to_le_bytes());
    }
    message.push(0x21);
    message.extend(12_u64.to_le_bytes());
    let metric = Metric {
        name: "",
        unit: "",
        temporality: Temporality::Delta,
    };
    let point = read_explicit(&message, metric).unwrap().unwrap();
    let Buckets::Explicit { bounds, counts } = point.buckets else {
        panic!("{point:?}");
    };
    assert!(bounds.iter().eq([1.0, 2.0]));
    assert!(counts.iter().eq([3, 4, 5]));
}

#[test]
fn packed_numbers_that_end_too_early_are_malformed() {
    let metric = Metric {
        name: "",
        unit: "",
        temporality: Temporality::Delta,
    };
    let message = [0x32, 7, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(
        read_explicit(&message, metric).map(drop),
        Err(Malformed::Packed)
    );
    let message = [0x42, 3, 0x12, 1, 0x80];
    assert_eq!(
        read_exponential(&message, metric).map(drop),
        Err(Malformed::Packed)
    );
}

#[test]
fn metrics_that_are_not_wanted_are_not_told() {
    let request = request(Data::Histogram(Histogram {
        data_points: vec![explicit(&[1.0], &[1, 0])],
        aggregation_temporality: 1,
    }));
    let mut told = Told {
        unwanted: Some("http.server.request.duration"),
        ..Told::default()
    };
    read_metrics(&request.encode_to_vec(), &mut told).unwrap();
    assert!(told.points.is_empty());
}

#[test]
fn every_truncation_of_a_request_is_malformed() {
    let bytes = request(Data::Histogram(Histogram {
        data_points: vec![explicit(&[1.0], &[1, 0]); 2],
        aggregation_temporality: 1,
    }));
    let bytes = bytes.encode_to_vec();
    for length in 1..bytes.len() {
        assert_eq!(
            read(&bytes[..length]),
            Err(Malformed::Truncated),
            "{length}"
        );
    }
}

proptest! {
    #[test]
    fn a_valid_request_in_any_order_gives_the_points_of_its_tree(
        request in sample::metrics(),
        mut seed: u64,
    ) {
        let (good, bad) = expected_all(&request);
        let bytes = request.encode_to_vec();
        let told = read(&bytes).unwrap();
        let points: Vec<_> = told
            .points
            .iter()
            .map(|point| (point.buckets.clone(), point.attributes.clone()))
            .collect();
        prop_assert_eq!(points, good);
        prop_assert_eq!(&told.rejected, &bad);
        let again = read(&sample::shuffled(&bytes, &METRICS, &mut seed)).unwrap();
        prop_assert_eq!(again.points, told.points);
        prop_assert_eq!(again.rejected, bad);
    }

    #[test]
    fn what_prost_reads_of_a_damaged_request_is_read(request in sample::metrics(), mut seed: u64) {
        let bytes = mutated(request.encode_to_vec(), &mut seed);
        let told = read(&bytes);
        if ExportMetricsServiceRequest::decode(&bytes[..]).is_ok() {
            prop_assert!(told.is_ok(), "{:?}", told);
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
        let metric = Metric { name: "", unit: "", temporality: Temporality::Delta };
        let _ = read_explicit(&bytes, metric);
        let _ = read_exponential(&bytes, metric);
    }
}
