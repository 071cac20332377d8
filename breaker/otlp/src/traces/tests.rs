use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span as SentSpan, Status as SentStatus,
};
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::Value;
use crate::sample::{self, OwnedAttributes, TRACES, mutated, owned, owned_tree};

/// All that is told, with what it belongs to.
#[derive(Clone, Debug, Default, PartialEq)]
struct Told {
    resource: OwnedAttributes,
    scope: (String, String),
    /// Scopes whose spans are not wanted.
    unwanted: &'static [&'static str],
    spans: Vec<OwnedSpan>,
    invalid: u32,
    seen_resources: u32,
    seen_scopes: u32,
}

#[derive(Clone, Debug, PartialEq)]
struct OwnedSpan {
    resource: OwnedAttributes,
    scope: (String, String),
    ids: (u128, u64),
    kind: SpanKind,
    name: String,
    times: (u64, u64),
    status: StatusCode,
    attributes: OwnedAttributes,
}

impl TraceVisitor for Told {
    fn resource(&mut self, resource: Attributes<'_>) -> bool {
        self.resource = owned(resource);
        self.seen_resources += 1;
        resource.get("unwanted").is_none()
    }

    fn scope(&mut self, name: &str, version: &str) -> bool {
        self.scope = (name.into(), version.into());
        self.seen_scopes += 1;
        !self.unwanted.contains(&name)
    }

    fn span(&mut self, span: &Span<'_>) {
        self.spans.push(OwnedSpan {
            resource: self.resource.clone(),
            scope: self.scope.clone(),
            ids: (span.trace_id, span.span_id),
            kind: span.kind,
            name: span.name.into(),
            times: (span.start, span.end),
            status: span.status,
            attributes: owned(span.attributes),
        });
    }

    fn invalid_span(&mut self) {
        self.invalid += 1;
    }
}

fn read(message: &[u8]) -> Result<Told, Malformed> {
    let mut told = Told::default();
    read_traces(message, &mut told).map(|()| told)
}

/// The same, from the tree.
fn expected(request: &ExportTraceServiceRequest) -> (Vec<OwnedSpan>, u32) {
    let (mut spans, mut invalid) = (Vec::new(), 0);
    for resource_spans in &request.resource_spans {
        let resource = resource_spans.resource.clone().unwrap_or_default();
        for scope_spans in &resource_spans.scope_spans {
            let scope = scope_spans.scope.clone().unwrap_or_default();
            for span in &scope_spans.spans {
                let (Some(trace_id), Some(span_id)) = (id128(&span.trace_id), id64(&span.span_id))
                else {
                    invalid += 1;
                    continue;
                };
                spans.push(OwnedSpan {
                    resource: owned_tree(&resource.attributes),
                    scope: (scope.name.clone(), scope.version.clone()),
                    ids: (trace_id, span_id),
                    kind: SpanKind::from_number(span.kind),
                    name: span.name.clone(),
                    times: (span.start_time_unix_nano, span.end_time_unix_nano),
                    status: StatusCode::from_number(
                        span.status.as_ref().map_or(0, |status| status.code),
                    ),
                    attributes: owned_tree(&span.attributes),
                });
            }
        }
    }
    (spans, invalid)
}

fn span(name: &str) -> SentSpan {
    SentSpan {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: name.into(),
        kind: 3,
        start_time_unix_nano: 20,
        end_time_unix_nano: 10,
        status: Some(SentStatus {
            message: "too bad".into(),
            code: 2,
        }),
        ..SentSpan::default()
    }
}

fn request(scopes: &[(&str, Vec<SentSpan>)]) -> ExportTraceServiceRequest {
    let scope_spans = scopes.iter().map(|(name, spans)| ScopeSpans {
        scope: Some(InstrumentationScope {
            name: (*name).into(),
            ..InstrumentationScope::default()
        }),
        spans: spans.clone(),
        ..ScopeSpans::default()
    });
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![sample::text("service.name", "checkout")],
                ..Resource::default()
            }),
            scope_spans: scope_spans.collect(),
            ..ResourceSpans::default()
        }],
    }
}

#[test]
fn an_empty_request_has_no_spans() {
    assert_eq!(read(&[]), Ok(Told::default()));
}

#[test]
fn a_span_that_ends_before_it_starts_is_told_as_it_is() {
    let told = read(&request(&[("scope", vec![span("query")])]).encode_to_vec()).unwrap();
    assert_eq!(told.spans[0].times, (20, 10));
    assert_eq!(told.spans[0].kind, SpanKind::Client);
    assert_eq!(told.spans[0].status, StatusCode::Error);
    assert_eq!(told.spans[0].ids.0, u128::from_be_bytes([1; 16]));
}

#[test]
fn spans_with_ids_of_wrong_length_or_zero_are_counted_and_left_out() {
    let spans = [
        (vec![], vec![2; 8]),
        (vec![1; 15], vec![2; 8]),
        (vec![1; 17], vec![2; 8]),
        (vec![0; 16], vec![2; 8]),
        (vec![1; 16], vec![]),
        (vec![1; 16], vec![2; 16]),
        (vec![1; 16], vec![0; 8]),
        (vec![1; 16], vec![2; 8]),
    ];
    let spans = spans.map(|(trace_id, span_id)| SentSpan {
        trace_id,
        span_id,
        ..SentSpan::default()
    });
    let told = read(&request(&[("scope", spans.to_vec())]).encode_to_vec()).unwrap();
    assert_eq!((told.spans.len(), told.invalid), (1, 7));
}

#[test]
fn what_is_not_wanted_is_not_told() {
    let mut request = request(&[("noisy", vec![span("a")]), ("wanted", vec![span("b")])]);
    let mut unwanted = request.resource_spans[0].clone();
    let resource = unwanted.resource.as_mut().unwrap();
    resource.attributes.push(sample::text("unwanted", "yes"));
    request.resource_spans.push(unwanted);
    let mut told = Told {
        unwanted: &["noisy"],
        ..Told::default()
    };
    read_traces(&request.encode_to_vec(), &mut told).unwrap();
    assert_eq!((told.seen_resources, told.seen_scopes), (2, 2));
    let names: Vec<_> = told.spans.iter().map(|span| &span.name[..]).collect();
    assert_eq!(names, ["b"]);
}

#[test]
fn of_a_repeated_scalar_the_last_counts_and_statuses_are_merged() {
    let mut message = span("first").encode_to_vec();
    let later = SentSpan {
        name: "last".into(),
        status: Some(SentStatus {
            message: "no code".into(),
            code: 0,
        }),
        ..SentSpan::default()
    };
    message.extend(later.encode_to_vec());
    let read = Span::read(&message).unwrap().unwrap();
    assert_eq!(read.name, "last");
    assert_eq!((read.kind, read.start), (SpanKind::Client, 20));
    assert_eq!(read.status, StatusCode::Error);
}

#[test]
fn a_name_that_is_no_utf_8_is_empty() {
    let mut message = span("x").encode_to_vec();
    let at = message
        .windows(3)
        .position(|window| window == [0x2a, 1, b'x'])
        .unwrap();
    message[at + 2] = 0xff;
    assert_eq!(Span::read(&message).unwrap().unwrap().name, "");
}

#[test]
fn known_fields_of_another_wire_type_are_malformed() {
    for field in [1, 2, 3, 4, 5, 9, 11, 13, 15] {
        assert_eq!(
            Span::read(&[field << 3, 1]).map(drop),
            Err(Malformed::WireType)
        );
    }
    for field in [6, 7, 8] {
        assert_eq!(
            Span::read(&[field << 3 | 2, 0]).map(drop),
            Err(Malformed::WireType)
        );
    }
}

#[test]
fn every_truncation_of_a_request_is_malformed() {
    let bytes = request(&[("scope", vec![span("query"), span("other")])]).encode_to_vec();
    for length in 1..bytes.len() {
        assert_eq!(
            read(&bytes[..length]),
            Err(Malformed::Truncated),
            "{length}"
        );
    }
}

#[test]
fn messages_nested_in_attributes_do_not_cost_stack() {
    // A value that is a list of a value that is a list, 100,000 deep: a list's length, then the
    // value's in it.
    let mut lengths = vec![0];
    for _ in 0..200_000 {
        let inner = *lengths.last().unwrap();
        lengths.push(1 + prost::encoding::encoded_len_varint(inner) as u64 + inner);
    }
    let mut value = Vec::new();
    for (depth, length) in lengths.iter().rev().skip(1).enumerate() {
        value.push(if depth % 2 == 0 { 0x2a } else { 0x0a });
        prost::encoding::encode_varint(*length, &mut value);
    }
    assert_eq!(value.len() as u64, lengths[200_000]);
    let mut deep = vec![0x0a, 1, b'k', 0x12];
    prost::encoding::encode_varint(value.len() as u64, &mut deep);
    deep.extend(value);
    let mut message = span("deep").encode_to_vec();
    message.push(0x4a);
    prost::encoding::encode_varint(deep.len() as u64, &mut message);
    message.extend(deep);
    let read = Span::read(&message).unwrap().unwrap();
    let attributes: Vec<_> = read.attributes.iter().collect();
    assert_eq!(attributes, [("k", Value::Other)]);
}

proptest! {
    #[test]
    fn a_valid_request_in_any_order_gives_the_spans_of_its_tree(
        request in sample::traces(),
        mut seed: u64,
    ) {
        let (spans, invalid) = expected(&request);
        let bytes = request.encode_to_vec();
        let told = read(&bytes).unwrap();
        prop_assert_eq!(&told.spans, &spans);
        prop_assert_eq!(told.invalid, invalid);
        let shuffled = sample::shuffled(&bytes, &TRACES, &mut seed);
        prop_assert!(shuffled.len() > bytes.len());
        let told = read(&shuffled).unwrap();
        prop_assert_eq!(told.spans, spans);
    }

    #[test]
    fn what_prost_reads_of_a_damaged_request_is_read(request in sample::traces(), mut seed: u64) {
        let bytes = mutated(request.encode_to_vec(), &mut seed);
        let told = read(&bytes);
        if ExportTraceServiceRequest::decode(&bytes[..]).is_ok() {
            prop_assert!(told.is_ok(), "{:?}", told);
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
        let _ = Span::read(&bytes).map(|span| span.map(|span| owned(span.attributes)));
    }
}
