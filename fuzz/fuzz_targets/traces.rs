//! Whatever the bytes are, reading spans neither panics nor refuses what prost takes.
#![no_main]

use std::hint::black_box;

use breaker_otlp::{Attributes, Span, TraceVisitor, read_traces};
use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

struct Everything;

impl TraceVisitor for Everything {
    fn resource(&mut self, resource: Attributes<'_>) -> bool {
        black_box(resource.iter().count());
        black_box(resource.get("unwanted").is_none())
    }

    fn scope(&mut self, name: &str, version: &str) -> bool {
        black_box(name.len() + version.len()) < 1_000
    }

    fn span(&mut self, span: &Span<'_>) {
        assert!(span.trace_id != 0 && span.span_id != 0);
        black_box(span.attributes.iter().count());
    }
}

fuzz_target!(|bytes: &[u8]| {
    let read = read_traces(bytes, &mut Everything);
    if ExportTraceServiceRequest::decode(bytes).is_ok() {
        read.expect("prost takes it");
    }
});
