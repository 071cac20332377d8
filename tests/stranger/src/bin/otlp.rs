//! Counts the spans of a request.

use breaker_otlp::{Attributes, Span, TraceVisitor, read_traces};

#[derive(Default)]
struct Count(u64);

impl TraceVisitor for Count {
    fn resource(&mut self, _resource: Attributes<'_>) -> bool {
        true
    }

    fn scope(&mut self, _name: &str, _version: &str) -> bool {
        true
    }

    fn span(&mut self, _span: &Span<'_>) {
        self.0 += 1;
    }
}

fn main() {
    let mut count = Count::default();
    read_traces(b"", &mut count).unwrap();
    assert_eq!(count.0, 0);
}
