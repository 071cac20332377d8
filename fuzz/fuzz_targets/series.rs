//! Whatever the bytes are, points neither panic nor break the bounds of their table; and what is
//! new in a point is never more than what it has.
#![no_main]

use std::time::Duration;

use breaker_otlp::{Attributes, HistogramPoint, MetricVisitor, read_metrics};
use breaker_otlp::series::{Limits, ScopeId, SeriesTable};
use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;

struct Points {
    table: SeriesTable,
    origin: Option<ScopeId>,
    now: u64,
}

impl MetricVisitor for Points {
    fn resource(&mut self, resource: Attributes<'_>) -> bool {
        self.origin = Some(self.table.scope(self.table.resource(resource), "scope", ""));
        true
    }

    fn scope(&mut self, _name: &str, _version: &str) -> bool {
        true
    }

    fn histogram(&mut self, point: &HistogramPoint<'_>) {
        // Each point comes a little later, so that series grow idle too.
        self.now = self.now.saturating_add(point.time % 1_000_000);
        let origin = self.origin.expect("the resource comes first");
        if let Ok(increase) = self.table.apply(origin, point, self.now) {
            assert!(increase.count() <= point.count);
        }
        assert!(self.table.len() <= 4);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut limits = Limits::default();
    limits.series = 4;
    limits.buckets = 16;
    limits.total_buckets = 32;
    limits.idle = Duration::from_millis(10);
    limits.stale = Duration::from_millis(1);
    let mut points = Points {
        table: SeriesTable::new(limits, 1_000),
        origin: None,
        now: u64::MAX / 2,
    };
    // The second time all is a duplicate, or a series that was forgotten.
    for _ in 0..2 {
        let read = read_metrics(bytes, &mut points);
        if ExportMetricsServiceRequest::decode(bytes).is_ok() {
            read.expect("prost takes it");
        }
    }
});
