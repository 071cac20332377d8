use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Sent;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets as SentRange;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::prelude::*;
use prost::Message as _;
use serde_json::{Value as Json, json};

use super::*;
use crate::sample;

fn read_traces(json: &str) -> ExportTraceServiceRequest {
    let request = traces(json.as_bytes()).unwrap();
    ExportTraceServiceRequest::decode(&request.message[..]).unwrap()
}

fn read_metrics(json: &str) -> ExportMetricsServiceRequest {
    let request = metrics(json.as_bytes()).unwrap();
    ExportMetricsServiceRequest::decode(&request.message[..]).unwrap()
}

fn spans(spans: &str) -> String {
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#)
}

fn read_span(span: &str) -> Span {
    read_traces(&spans(span)).resource_spans[0].scope_spans[0].spans[0].clone()
}

fn read_value(value: &str) -> Option<Sent> {
    let span = read_span(&format!(
        r#"{{"attributes":[{{"key":"k","value":{value}}}]}}"#
    ));
    span.attributes[0].value.clone().unwrap().value
}

fn complaint(span: &str) -> String {
    let request = traces(spans(span).as_bytes()).unwrap();
    assert_eq!(request.invalid, 1, "{span}");
    request.complaint
}

/// The example of the specification, shortened.
const EXAMPLE: &str = r#"{
  "resourceSpans": [{
    "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]},
    "scopeSpans": [{
      "scope": {"name": "my.library", "version": "1.0.0",
        "attributes": [{"key": "my.scope.attribute", "value": {"stringValue": "some"}}]},
      "spans": [{
        "traceId": "5B8EFFF798038103D269B633813FC60C",
        "spanId": "EEE19B7EC3C1B174",
        "parentSpanId": "EEE19B7EC3C1B173",
        "name": "I'm a server span",
        "startTimeUnixNano": "1544712660000000000",
        "endTimeUnixNano": "1544712661000000000",
        "kind": 2,
        "status": {"code": 2, "message": "no"},
        "attributes": [{"key": "http.response.status_code", "value": {"intValue": "503"}}]
      }]
    }]
  }]
}"#;

#[test]
fn the_example_of_the_specification_is_read() {
    let request = read_traces(EXAMPLE);
    let resource = request.resource_spans[0].resource.clone().unwrap();
    assert_eq!(
        resource.attributes,
        [sample::text("service.name", "my.service")]
    );
    let scope_spans = &request.resource_spans[0].scope_spans[0];
    let scope = scope_spans.scope.clone().unwrap();
    assert_eq!(
        (&scope.name[..], &scope.version[..]),
        ("my.library", "1.0.0")
    );
    let span = &scope_spans.spans[0];
    assert_eq!(
        u128::from_be_bytes(span.trace_id[..].try_into().unwrap()),
        0x5b8e_fff7_9803_8103_d269_b633_813f_c60c
    );
    assert_eq!(span.span_id, 0xeee1_9b7e_c3c1_b174_u64.to_be_bytes());
    assert_eq!(span.kind, 2);
    assert_eq!(span.status.as_ref().unwrap().code, 2);
    assert_eq!(span.start_time_unix_nano, 1_544_712_660_000_000_000);
    assert_eq!(span.end_time_unix_nano, 1_544_712_661_000_000_000);
    let code = sample::attribute("http.response.status_code", Sent::IntValue(503));
    assert_eq!(span.attributes, [code]);
}

#[test]
fn ids_are_hex_in_either_case() {
    let upper =
        read_span(r#"{"traceId":"0123456789ABCDEF0123456789ABCDEF","spanId":"FEDCBA9876543210"}"#);
    let lower =
        read_span(r#"{"traceId":"0123456789abcdef0123456789abcdef","spanId":"fedcba9876543210"}"#);
    assert_eq!(upper, lower);
    assert_eq!(upper.span_id, 0xfedc_ba98_7654_3210_u64.to_be_bytes());
    for id in ["0", "xy", "+1", "é", "0123456789abcdeg"] {
        let complaint = complaint(&format!(r#"{{"spanId":"{id}"}}"#));
        assert!(complaint.contains("is no value of spanId"), "{complaint}");
    }
}

#[test]
fn whole_numbers_are_texts_or_numbers() {
    for (text, number) in [
        (r#""18446744073709551615""#, u64::MAX),
        ("18446744073709551615", u64::MAX),
        ("1e9", 1_000_000_000),
        ("0", 0),
    ] {
        let span = read_span(&format!(r#"{{"startTimeUnixNano":{text}}}"#));
        assert_eq!(span.start_time_unix_nano, number, "{text}");
    }
    for (text, number) in [
        (r#"{"intValue":"-9223372036854775808"}"#, i64::MIN),
        (r#"{"intValue":-5}"#, -5),
        (r#"{"intValue":0}"#, 0),
    ] {
        assert_eq!(read_value(text), Some(Sent::IntValue(number)), "{text}");
    }
    for bad in [
        "-1",
        "1.5",
        r#""1.5""#,
        r#""""#,
        r#""18446744073709551616""#,
        "1e30",
        "true",
        "{}",
        "[]",
    ] {
        complaint(&format!(r#"{{"startTimeUnixNano":{bad}}}"#));
    }
}

#[test]
fn doubles_are_numbers_or_names_of_what_json_cannot_write() {
    for (text, number) in [
        ("1", 1.0),
        ("-0.5", -0.5),
        (r#""2.5""#, 2.5),
        (r#""Infinity""#, f64::INFINITY),
        (r#""-Infinity""#, f64::NEG_INFINITY),
    ] {
        let value = read_value(&format!(r#"{{"doubleValue":{text}}}"#));
        assert_eq!(value, Some(Sent::DoubleValue(number)), "{text}");
    }
    let nan = read_value(r#"{"doubleValue":"NaN"}"#);
    assert!(matches!(nan, Some(Sent::DoubleValue(number)) if number.is_nan()));
    for bad in [r#""nan""#, r#""inf""#, r#""1e999""#, "true", "{}"] {
        let span = format!(r#"{{"attributes":[{{"key":"k","value":{{"doubleValue":{bad}}}}}]}}"#);
        assert!(read_span(&span).attributes.is_empty(), "{bad}");
    }
}

#[test]
fn enums_are_numbers_or_names() {
    for kind in ["3", r#""3""#, r#""SPAN_KIND_CLIENT""#] {
        assert_eq!(read_span(&format!(r#"{{"kind":{kind}}}"#)).kind, 3);
    }
    assert_eq!(read_span(r#"{"kind":77}"#).kind, 77);
    let status = read_span(r#"{"status":{"code":"STATUS_CODE_ERROR"}}"#).status;
    assert_eq!(status.unwrap().code, 2);
    assert_eq!(
        complaint(r#"{"kind":"CLIENT"}"#),
        r#""CLIENT" is no value of kind"#
    );
}

#[test]
fn attributes_of_every_kind_are_read_and_set_even_where_empty() {
    assert_eq!(
        read_value(r#"{"stringValue":"a\u00fc\n"}"#),
        Some(Sent::StringValue("aü\n".into()))
    );
    assert_eq!(
        read_value(r#"{"stringValue":""}"#),
        Some(Sent::StringValue(String::new()))
    );
    assert_eq!(
        read_value(r#"{"boolValue":false}"#),
        Some(Sent::BoolValue(false))
    );
    for base64 in ["+/8=", "+/8", "-_8=", "-_8"] {
        let value = read_value(&format!(r#"{{"bytesValue":"{base64}"}}"#));
        assert_eq!(value, Some(Sent::BytesValue(vec![0xfb, 0xff])));
    }
    assert_eq!(read_value("{}"), None);
    assert_eq!(read_value(r#"{"futureValue":{"a":[1]}}"#), None);
    let nested = read_value(
        r#"{"arrayValue":{"values":[{"intValue":1},{"kvlistValue":{"values":[{"key":"a","value":{"boolValue":true}}]}}]}}"#,
    );
    let Some(Sent::ArrayValue(array)) = nested else {
        panic!("{nested:?}");
    };
    assert_eq!(array.values[0].value, Some(Sent::IntValue(1)));
    let Some(Sent::KvlistValue(list)) = &array.values[1].value else {
        panic!("{array:?}");
    };
    assert_eq!(list.values, [sample::attribute("a", Sent::BoolValue(true))]);
}

#[test]
fn unknown_fields_snake_case_names_and_nulls_are_ignored() {
    let span = read_span(
        r#"{"name":"a","start_time_unix_nano":5,"new":{"deep":[1,{"x":null}]},"attributes":null,"status":null,"kind":null}"#,
    );
    let expected = Span {
        name: "a".into(),
        ..Span::default()
    };
    assert_eq!(span, expected);
}

#[test]
fn explicit_histograms_are_read() {
    let request = read_metrics(
        r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{
            "name":"http.server.request.duration","unit":"s","description":"ignored",
            "histogram":{"aggregationTemporality":1,"dataPoints":[{
                "startTimeUnixNano":"1544712660300000000","timeUnixNano":"1544712660300000001",
                "count":2,"sum":2.5,"bucketCounts":["1",1],"explicitBounds":[1],"min":0,"max":2,"flags":1,
                "attributes":[{"key":"a","value":{"stringValue":"b"}}]}]}}]}]}]}"#,
    );
    let metric = &request.resource_metrics[0].scope_metrics[0].metrics[0];
    assert_eq!(
        (&metric.name[..], &metric.unit[..]),
        ("http.server.request.duration", "s")
    );
    let Some(Data::Histogram(histogram)) = &metric.data else {
        panic!("{metric:?}");
    };
    assert_eq!(histogram.aggregation_temporality, 1);
    let point = &histogram.data_points[0];
    assert_eq!(point.start_time_unix_nano, 1_544_712_660_300_000_000);
    assert_eq!(point.time_unix_nano, 1_544_712_660_300_000_001);
    assert_eq!((point.count, point.sum, point.flags), (2, Some(2.5), 1));
    assert_eq!(
        (&point.bucket_counts[..], &point.explicit_bounds[..]),
        (&[1, 1][..], &[1.0][..])
    );
    assert_eq!(point.attributes, [sample::text("a", "b")]);
}

#[test]
fn exponential_histograms_are_read() {
    let request = read_metrics(
        r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"exponentialHistogram":{
            "aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE","dataPoints":[{
                "timeUnixNano":"7","count":"10","scale":-2,"zeroCount":"4","zeroThreshold":0.25,
                "positive":{"offset":-3,"bucketCounts":["1","2",3]},"negative":{}}]}}]}]}]}"#,
    );
    let metric = &request.resource_metrics[0].scope_metrics[0].metrics[0];
    let Some(Data::ExponentialHistogram(histogram)) = &metric.data else {
        panic!("{metric:?}");
    };
    assert_eq!(histogram.aggregation_temporality, 2);
    let point = &histogram.data_points[0];
    assert_eq!((point.count, point.scale, point.zero_count), (10, -2, 4));
    assert_eq!((point.sum, point.zero_threshold), (None, 0.25));
    let positive = SentRange {
        offset: -3,
        bucket_counts: vec![1, 2, 3],
    };
    assert_eq!(point.positive, Some(positive));
    assert_eq!(point.negative, Some(SentRange::default()));
}

#[test]
fn what_is_no_request_is_refused_with_its_place() {
    for bad in [
        "",
        "[]",
        "null",
        "7",
        "{",
        r#"{"resourceSpans":{}}"#,
        r#"{"resourceSpans":1}"#,
        r#"{"resourceSpans":[nan]}"#,
        r#"{"resourceSpans":[]} {}"#,
        "{\"resourceSpans\":[{\"scopeSpans\":[{\"scope\":{\"name\":\"\u{0}\"}}]}]}",
    ] {
        let complaint = traces(bad.as_bytes()).unwrap_err().to_string();
        assert!(complaint.starts_with("invalid OTLP/JSON: "), "{complaint}");
        assert!(complaint.contains("line 1 column"), "{complaint}");
    }
}

/// A good span that is named.
fn named(name: &str) -> String {
    format!(r#"{{"spanId":"00000000000000aa","name":"{name}"}}"#)
}

/// The names of the spans that are left, how many items were left out, and whether there is a
/// complaint.
fn left(text: &[u8]) -> (Vec<String>, u64, bool) {
    let request = traces(text).unwrap();
    let read = ExportTraceServiceRequest::decode(&request.message[..]).unwrap();
    let scopes = read
        .resource_spans
        .into_iter()
        .flat_map(|resource| resource.scope_spans);
    let names = scopes.flat_map(|scope| scope.spans).map(|span| span.name);
    (
        names.collect(),
        request.invalid,
        !request.complaint.is_empty(),
    )
}

#[test]
fn an_invalid_item_costs_itself() {
    let table = [
        // Wrong types of a field of a span.
        r#"{"startTimeUnixNano":true}"#,
        r#"{"startTimeUnixNano":{"a":[1]}}"#,
        r#"{"startTimeUnixNano":[1,[2]]}"#,
        r#"{"startTimeUnixNano":"soon"}"#,
        r#"{"endTimeUnixNano":-1}"#,
        r#"{"name":7}"#,
        r#"{"name":["a"]}"#,
        r#"{"attributes":{"a":1}}"#,
        r#"{"attributes":"a"}"#,
        r#"{"attributes":1}"#,
        r#"{"attributes":false}"#,
        r#"{"status":2}"#,
        r#"{"status":[]}"#,
        // Names of enums that nobody knows.
        r#"{"kind":"SPAN_KIND_CLOUD"}"#,
        r#"{"kind":""}"#,
        r#"{"status":{"code":"BAD"}}"#,
        // Numbers beyond all bounds.
        r#"{"startTimeUnixNano":18446744073709551616}"#,
        r#"{"startTimeUnixNano":"99999999999999999999999999999999999999999999"}"#,
        r#"{"startTimeUnixNano":1e999}"#,
        r#"{"startTimeUnixNano":NaN}"#,
        r#"{"startTimeUnixNano":-Infinity}"#,
        r#"{"kind":2147483648}"#,
        // Ids that are none.
        r#"{"traceId":"xyz"}"#,
        r#"{"traceId":5}"#,
        // No spans.
        "7",
        "-1",
        "0.5",
        "true",
        r#""span""#,
        "[]",
        "[{}]",
    ];
    for bad in table {
        for list in [
            format!("{bad},{},{}", named("a"), named("b")),
            format!("{},{bad},{}", named("a"), named("b")),
            format!("{},{},{bad}", named("a"), named("b")),
        ] {
            let (names, invalid, complains) = left(spans(&list).as_bytes());
            assert_eq!(
                (names, invalid, complains),
                (vec!["a".into(), "b".into()], 1, true),
                "{list}"
            );
        }
    }
}

#[test]
fn a_bad_attribute_costs_itself_and_not_its_span() {
    for bad in [
        r#"{"intValue":"x"}"#,
        r#"{"intValue":1e30}"#,
        r#"{"intValue":1e999}"#,
        r#"{"intValue":NaN}"#,
        r#"{"intValue":5.5}"#,
        r#"{"boolValue":"true"}"#,
        r#"{"stringValue":5}"#,
        r#"{"doubleValue":"much"}"#,
        r#"{"bytesValue":"*"}"#,
        r#"{"arrayValue":[]}"#,
        r#"{"kvlistValue":1}"#,
        "5",
        r#""text""#,
        "[]",
    ] {
        let span = format!(
            r#"{{"name":"a","attributes":[{{"key":"k","value":{bad}}},{{"key":"l","value":{{"intValue":1}}}}]}}"#
        );
        let request = traces(spans(&span).as_bytes()).unwrap();
        assert_eq!(
            (request.invalid, request.complaint.is_empty()),
            (0, false),
            "{bad}"
        );
        let attributes = read_span(&span).attributes;
        assert_eq!(
            attributes,
            [sample::attribute("l", Sent::IntValue(1))],
            "{bad}"
        );
    }
    // Bare, as some encoders write them, these are doubles all the same.
    assert_eq!(
        read_value(r#"{"doubleValue":-Infinity}"#),
        Some(Sent::DoubleValue(f64::NEG_INFINITY))
    );
    let nan = read_value(r#"{"doubleValue":NaN}"#);
    assert!(matches!(nan, Some(Sent::DoubleValue(number)) if number.is_nan()));
}

#[test]
fn a_bad_owner_costs_what_it_owns() {
    let good = spans(&named("a"));
    let good = &good[r#"{"resourceSpans":["#.len()..good.len() - 2];
    for bad in [
        "1",
        "[]",
        r#"{"resource":[]}"#,
        r#"{"scopeSpans":1}"#,
        r#"{"scopeSpans":[1]}"#,
        r#"{"scopeSpans":[{"scope":"s","spans":[{}]}]}"#,
        r#"{"scopeSpans":[{"spans":"none"}]}"#,
    ] {
        let text = format!(r#"{{"resourceSpans":[{bad},{good}]}}"#);
        assert_eq!(left(text.as_bytes()), (vec!["a".into()], 1, true), "{bad}");
    }
}

#[test]
fn a_bad_point_costs_itself() {
    let request = metrics(
        br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","histogram":{"dataPoints":[
            {"bucketCounts":[1,"x"]},{"count":-1},{"explicitBounds":[true]},{"timeUnixNano":"5"}]}}]}]}]}"#,
    )
    .unwrap();
    assert_eq!(request.invalid, 3);
    let read = ExportMetricsServiceRequest::decode(&request.message[..]).unwrap();
    let metric = &read.resource_metrics[0].scope_metrics[0].metrics[0];
    let Some(Data::Histogram(histogram)) = &metric.data else {
        panic!("{metric:?}");
    };
    let times: Vec<_> = histogram
        .data_points
        .iter()
        .map(|point| point.time_unix_nano)
        .collect();
    assert_eq!(times, [5]);
}

#[test]
fn half_of_a_pair_and_bytes_of_another_encoding_become_one_character() {
    let table: [(&[u8], &str); 14] = [
        (br"\ud83d", "\u{fffd}"),
        (br"\uDE00", "\u{fffd}"),
        (br"a\ud83db", "a\u{fffd}b"),
        (br"\ud83d\u0041", "\u{fffd}A"),
        (br"\ude00\ud83d", "\u{fffd}\u{fffd}"),
        (br"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
        (br"\ud83d\ude00", "\u{1f600}"),
        (br"\ud83d\n", "\u{fffd}\n"),
        (br#"\ud83d\""#, "\u{fffd}\""),
        (br"\\ud83d", "\\ud83d"),
        (br"\\\ud83d", "\\\u{fffd}"),
        (br#"\"NaN\ud83d"#, "\"NaN\u{fffd}"),
        (b"\xff", "\u{fffd}"),
        (b"f\xfcr 1e999 Infinity", "f\u{fffd}r 1e999 Infinity"),
    ];
    for (written, read) in table {
        let value = [br#"{"name":""#, written, br#""},"#].concat();
        let around = spans("|");
        let (before, after) = around.split_once('|').unwrap();
        let around = |inner: &[u8]| [before.as_bytes(), inner, after.as_bytes()].concat();
        let text = around(&[&value[..], named("b").as_bytes()].concat());
        let text_shown = String::from_utf8_lossy(&text).into_owned();
        assert_eq!(
            left(&text),
            (vec![read.into(), "b".into()], 0, false),
            "{text_shown}"
        );
        // In the name of a field, which is then another field.
        let key = [br#"{"name":"a","x"#, written, br#"":[1]}"#].concat();
        let text = around(&key);
        assert_eq!(left(&text), (vec!["a".into()], 0, false), "{text_shown}");
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| {
        let open = r#"{"arrayValue":{"values":["#.repeat(depth);
        spans(&format!(
            r#"{{"attributes":[{{"key":"k","value":{open}{}}}]}}"#,
            "]}}".repeat(depth)
        ))
    };
    assert!(traces(nested(10).as_bytes()).is_ok());
    assert!(traces(nested(100_000).as_bytes()).is_err());
    let unknown = format!(r#"{{"x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    // What is skipped is not descended into, so its depth costs no stack.
    assert!(traces(unknown.as_bytes()).is_ok());
}

#[test]
fn short_numbers_cannot_become_more_bytes_than_a_message_may_have() {
    let zeros = format!("{}0", "0,".repeat(MAX_MESSAGE / 8));
    let json = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":{{"dataPoints":[{{"bucketCounts":[{zeros}]}}]}}}}]}}]}}]}}"#
    );
    let complaint = metrics(json.as_bytes()).unwrap_err().to_string();
    assert!(complaint.contains("more than 64 MiB"), "{complaint}");
}

#[test]
fn logs_need_only_be_an_object() {
    assert!(check_logs(br#"{"resourceLogs":[{"anything":[1,"a",null]}]}"#).is_ok());
    for bad in ["", "[]", "1", "{]", r#"{"resourceLogs":[}"#, "{}{}"] {
        assert!(check_logs(bad.as_bytes()).is_err(), "{bad}");
    }
}

// === what a tree looks like as JSON ===

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn number(value: f64) -> Json {
    match value {
        _ if value.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        _ => json!(value),
    }
}

fn attributes_json(attributes: &[KeyValue]) -> Json {
    let value = |sent: &Sent| match sent {
        Sent::StringValue(text) => json!({"stringValue": text}),
        Sent::BoolValue(value) => json!({"boolValue": value}),
        Sent::IntValue(value) => json!({"intValue": value.to_string()}),
        Sent::DoubleValue(value) => json!({"doubleValue": number(*value)}),
        Sent::BytesValue(bytes) => json!({"bytesValue": STANDARD.encode(bytes)}),
        Sent::ArrayValue(_) => json!({"arrayValue": {"values": []}}),
        Sent::KvlistValue(_) => json!({"kvlistValue": {}}),
        Sent::StringValueStrindex(_) => json!({}),
    };
    attributes
        .iter()
        .map(|attribute| {
            let any = attribute.value.as_ref();
            let value = any.map(|any| any.value.as_ref().map_or(json!({}), value));
            json!({"key": attribute.key, "value": value})
        })
        .collect()
}

fn traces_json(request: &ExportTraceServiceRequest) -> Json {
    let span = |span: &Span| {
        json!({
            "traceId": hex(&span.trace_id),
            "spanId": hex(&span.span_id).to_uppercase(),
            "parentSpanId": hex(&span.parent_span_id),
            "name": span.name,
            "kind": span.kind,
            "startTimeUnixNano": span.start_time_unix_nano.to_string(),
            "endTimeUnixNano": span.end_time_unix_nano,
            "attributes": attributes_json(&span.attributes),
            "status": span.status.as_ref().map(|status| json!({"code": status.code, "message": status.message})),
            "events": [{"name": "event", "attributes": []}],
        })
    };
    let resources = request.resource_spans.iter().map(|resource_spans| {
        let scopes = resource_spans.scope_spans.iter().map(|scope_spans| {
            json!({
                "spans": scope_spans.spans.iter().map(span).collect::<Json>(),
                "scope": scope_spans.scope.as_ref().map(|scope| json!({"name": scope.name, "version": scope.version})),
            })
        });
        json!({
            "scopeSpans": scopes.collect::<Json>(),
            "resource": resource_spans.resource.as_ref().map(
                |resource| json!({"attributes": attributes_json(&resource.attributes)}),
            ),
            "schemaUrl": resource_spans.schema_url,
        })
    });
    json!({ "resourceSpans": resources.collect::<Json>() })
}

/// The tree without what is not read.
fn stripped(mut request: ExportTraceServiceRequest) -> ExportTraceServiceRequest {
    let strip = |attributes: &mut Vec<KeyValue>| {
        for attribute in attributes {
            match attribute.value.as_mut().and_then(|any| any.value.as_mut()) {
                Some(Sent::ArrayValue(array)) => array.values.clear(),
                Some(Sent::KvlistValue(list)) => list.values.clear(),
                _ => {}
            }
        }
    };
    for resource_spans in &mut request.resource_spans {
        resource_spans.schema_url.clear();
        if let Some(resource) = &mut resource_spans.resource {
            resource.dropped_attributes_count = 0;
            strip(&mut resource.attributes);
        }
        for scope_spans in &mut resource_spans.scope_spans {
            scope_spans.schema_url.clear();
            if let Some(scope) = &mut scope_spans.scope {
                scope.attributes.clear();
            }
            for span in &mut scope_spans.spans {
                strip(&mut span.attributes);
                span.parent_span_id.clear();
                span.trace_state.clear();
                span.events.clear();
                span.links.clear();
                span.flags = 0;
                if let Some(status) = &mut span.status {
                    status.message.clear();
                }
            }
        }
    }
    request
}

proptest! {
    #[test]
    fn a_tree_written_as_json_becomes_the_same_tree(request in sample::traces()) {
        let bytes = traces(traces_json(&request).to_string().as_bytes()).unwrap().message;
        let read = ExportTraceServiceRequest::decode(&bytes[..]).unwrap();
        // NaN is not equal to itself, but written the same.
        prop_assert_eq!(read.encode_to_vec(), stripped(request).encode_to_vec());
    }

    #[test]
    fn damaged_json_never_panics_and_what_is_written_is_well_formed(
        request in sample::traces(),
        mut seed: u64,
    ) {
        let json = sample::mutated(traces_json(&request).to_string().into_bytes(), &mut seed);
        if let Ok(Transcoded { message: bytes, .. }) = traces(&json) {
            prop_assert!(ExportTraceServiceRequest::decode(&bytes[..]).is_ok());
        }
        let _ = metrics(&json);
        let _ = check_logs(&json);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = traces(&bytes);
        let _ = metrics(&bytes);
        let _ = check_logs(&bytes);
    }
}
