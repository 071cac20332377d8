//! Bad policies, and what is said about them.

use crate::policy::yaml::parse;

fn said(text: &str) -> String {
    let error = parse(text, Some("x.yaml")).expect_err(text).to_string();
    let said = error.strip_prefix("x.yaml:").expect("the file's name");
    said.to_owned()
}

#[test]
fn a_bad_field_is_named_with_its_place_and_rule() {
    for (fields, expected) in FIELDS {
        let text = format!("name: x\ntrip:\n  - error_rate: 8%\n{fields}\n");
        assert_eq!(said(&text), *expected, "{fields}");
    }
}

#[test]
fn a_bad_policy_is_told_where_and_why() {
    for (text, expected) in POLICIES {
        assert_eq!(said(text), *expected, "{text}");
    }
}

#[test]
fn a_text_without_a_file_is_told_by_line_and_column() {
    let error = parse("name: x\ntrip: 1\n", None).unwrap_err();
    assert_eq!(error.to_string(), "2:7: trip: must be a list");
}

#[test]
fn a_text_of_more_than_16_mebibytes_is_not_read() {
    let error = parse(&" ".repeat((16 << 20) + 1), None).unwrap_err();
    assert_eq!(error.to_string(), "1:1: must be at most 16 MiB");
}

/// The fourth line of a policy that is good without it.
const FIELDS: &[(&str, &str)] = &[
    (
        "window: 10",
        "4:9: window: must have a unit: write 10s, 10ms or 10m",
    ),
    ("window: 50ms", "4:9: window: must be 100ms to 1h"),
    ("window: 2h", "4:9: window: must be 100ms to 1h"),
    (
        "window: 1.5s",
        "4:9: window: must be a time with its unit, such as 250ms, 10s, 5m, 1h or 1m30s",
    ),
    (
        "window: ten seconds",
        "4:9: window: must be a time with its unit, such as 250ms, 10s, 5m, 1h or 1m30s",
    ),
    (
        "window: 30s1m",
        "4:9: window: must be a time with its unit, such as 250ms, 10s, 5m, 1h or 1m30s",
    ),
    (
        "window: 99999999999999999999s",
        "4:9: window: must be a time with its unit, such as 250ms, 10s, 5m, 1h or 1m30s",
    ),
    ("window: 9999999999999999h", "4:9: window: is too long"),
    (
        "window: -5s",
        "4:9: window: must be a time with its unit, such as 250ms, 10s, 5m, 1h or 1m30s",
    ),
    ("window: [10s]", "4:9: window: must be a single value"),
    ("window:", "4:7: window: must have a value"),
    (
        "window: \"\"",
        "4:9: window: must be a time with its unit, such as 250ms, 10s, 5m, 1h or 1m30s",
    ),
    (
        "window: .inf",
        "4:9: window: must be a time with its unit, such as 250ms, 10s, 5m, 1h or 1m30s",
    ),
    (
        "min_requests: 0",
        "4:15: min_requests: must be 1 to 1000000",
    ),
    (
        "min_requests: -1",
        "4:15: min_requests: must be a whole number, at least 0",
    ),
    (
        "min_requests: many",
        "4:15: min_requests: must be a whole number, at least 0",
    ),
    (
        "min_requests: 20%",
        "4:15: min_requests: must be a whole number, at least 0",
    ),
    (
        "min_requests: 2000000",
        "4:15: min_requests: must be 1 to 1000000",
    ),
    (
        "open: { for: 10 }",
        "4:14: open.for: must have a unit: write 10s, 10ms or 10m",
    ),
    ("open: { for: 1ms }", "4:14: open.for: must be 10ms to 1h"),
    (
        "open: { factor: 0.5 }",
        "4:17: open.factor: must be 1 to 10",
    ),
    (
        "open: { factor: .nan }",
        "4:17: open.factor: must be 1 to 10",
    ),
    (
        "open: { factor: twice }",
        "4:17: open.factor: must be a number",
    ),
    (
        "open: { factor: 2, max: 1s }",
        "4:25: open.max: must not be less than open.for",
    ),
    (
        "open: { for: 10m }",
        "4:1: open.max: must not be less than open.for",
    ),
    ("open: { max: 25h }", "4:14: open.max: must be at most 24h"),
    (
        "open: { jitter: 20 }",
        "4:17: open.jitter: must be a share: write 20% or 0.2",
    ),
    (
        "open: { jitter: 120% }",
        "4:17: open.jitter: must be 0% to 100%",
    ),
    (
        "open: { jitter: -5% }",
        "4:17: open.jitter: must be a share, such as 8% or 0.08",
    ),
    (
        "open: { jitter: 0.5.1% }",
        "4:17: open.jitter: must be a share, such as 8% or 0.08",
    ),
    (
        "open: { jitter: 1 }",
        "4:17: open.jitter: must be a share: write 1% or 100%",
    ),
    (
        "open: { jitter: 1.5 }",
        "4:17: open.jitter: must be a share: write 1.5% or 0.015",
    ),
    (
        "open: { jitter: -1 }",
        "4:17: open.jitter: must be a share, such as 8% or 0.08",
    ),
    (
        "open: { jitter: 250 }",
        "4:17: open.jitter: must be 0% to 100%",
    ),
    (
        "open: { jitter: high }",
        "4:17: open.jitter: must be a share, such as 8% or 0.08",
    ),
    (
        "open: { jitter: true }",
        "4:17: open.jitter: must be a share, such as 8% or 0.08",
    ),
    ("open: 10s", "4:7: open: must be a mapping of fields"),
    ("open: [10s]", "4:7: open: must be a mapping of fields"),
    (
        "open: { fro: 10s }",
        "4:9: open.fro: is not a field here; did you mean for?",
    ),
    (
        "open: { period: 10s }",
        "4:9: open.period: is not a field here; the fields are for, factor, max, jitter",
    ),
    (
        "half_open: { probes: 0 }",
        "4:22: half_open.probes: must be 1 to 1000",
    ),
    (
        "half_open: { probes: 2 }",
        "4:1: half_open.concurrent: must be 1 to half_open.probes",
    ),
    (
        "half_open: { concurrent: 6 }",
        "4:26: half_open.concurrent: must be 1 to half_open.probes",
    ),
    (
        "half_open: { success: 0% }",
        "4:23: half_open.success: must be more than 0% and at most 100%",
    ),
    (
        "half_open: { probe_timeout: 0s }",
        "4:29: half_open.probe_timeout: must be 10ms to 1h",
    ),
    (
        "half_open: { probes: 99999999999 }",
        "4:22: half_open.probes: must be a whole number, at most 4294967295",
    ),
    (
        "ramp: { start: 0% }",
        "4:16: ramp.start: must be 1% to 100%",
    ),
    ("ramp: { for: 2h }", "4:14: ramp.for: must be 0s to 1h"),
    ("latency: body", "4:10: latency: must be head or complete"),
    ("latency: [head]", "4:10: latency: must be a word"),
    (
        "failure: { http: [600] }",
        "4:19: failure.http[0]: must be an HTTP status, 100 to 599, or a range such as 500-599",
    ),
    (
        "failure: { http: [599-500] }",
        "4:19: failure.http[0]: must be an HTTP status, 100 to 599, or a range such as 500-599",
    ),
    (
        "failure: { http: [5xx] }",
        "4:19: failure.http[0]: must be an HTTP status, 100 to 599, or a range such as 500-599",
    ),
    (
        "failure: { http: 500-599 }",
        "4:18: failure.http: must be a list",
    ),
    (
        "failure: { grpc: [UNAVAILABL] }",
        "4:19: failure.grpc[0]: must be a gRPC code; did you mean UNAVAILABLE?",
    ),
    (
        "failure: { grpc: [14] }",
        "4:19: failure.grpc[0]: must be a gRPC code, such as UNAVAILABLE",
    ),
    (
        "failure: { codes_as_ignored: [404, 4.5] }",
        "4:36: failure.codes_as_ignored[1]: must be an HTTP status, 100 to 599, or a range such as 500-599",
    ),
    (
        "failure: { codes_as_ignored: [99999] }",
        "4:31: failure.codes_as_ignored[0]: must be an HTTP status, 100 to 599, or a range such as 500-599",
    ),
    (
        "reject: { status: 200 }",
        "4:19: reject.status: must be 400 to 599",
    ),
    (
        "reject: { status: 99999 }",
        "4:19: reject.status: must be a whole number, at most 65535",
    ),
    (
        "honour_retry_after: yes",
        "4:21: honour_retry_after: must be true or false",
    ),
    (
        "honour_retry_after: 1",
        "4:21: honour_retry_after: must be true or false",
    ),
    (
        "honor_retry_after: true",
        "4:1: honor_retry_after: is not a field here; did you mean honour_retry_after?",
    ),
    ("name: y", "4:1: name: is given twice"),
    ("base: unknown", "4:7: base: must name a known policy"),
    (
        "colour: red",
        "4:1: colour: is not a field here; the fields are name, base, window, min_requests, trip, false_alarm_budget, usual_errors, deadline, recovery, open, half_open, ramp, latency, failure, reject, honour_retry_after",
    ),
    (
        "failure: { http: [404, true] }",
        "4:24: failure.http[1]: must be an HTTP status, 100 to 599, or a range such as 500-599",
    ),
    (
        "failure: { http: [404, [1]] }",
        "4:24: failure.http[1]: must be a single value",
    ),
    (
        "failure: { codes_as_ignored: [404, .inf] }",
        "4:36: failure.codes_as_ignored[1]: must be a gRPC code, such as UNAVAILABLE",
    ),
    (
        "half_open: { probes: {} }",
        "4:22: half_open.probes: must be a single value",
    ),
    (
        "open: { jitter: {} }",
        "4:17: open.jitter: must be a single value",
    ),
];

const POLICIES: &[(&str, &str)] = &[
    ("", "1:1: must not be empty"),
    ("# only a comment", "1:17: must not be empty"),
    ("name: x", "1:1: trip: is required without a base"),
    ("trip: [{ error_rate: 8% }]", "1:1: name: is required"),
    ("name: x\ntrip: []", "2:1: trip: must have 1 to 16 entries"),
    ("name: x\ntrip: 8%", "2:7: trip: must be a list"),
    (
        "name: x\ntrip: [8%]",
        "2:8: trip[0]: must be a mapping of fields",
    ),
    (
        "name: x\ntrip: { error_rate: 8% }",
        "2:7: trip: must be a list",
    ),
    (
        "name: x\ntrip:\n  - {}",
        "3:5: trip[0]: must have a condition: error_rate, p50, p90, p95, p99, p999, slow_rate, timeout_rate, concurrency, consecutive_failures or anomaly",
    ),
    (
        "name: x\ntrip:\n  - action: alert",
        "3:5: trip[0]: must have a condition: error_rate, p50, p90, p95, p99, p999, slow_rate, timeout_rate, concurrency, consecutive_failures or anomaly",
    ),
    (
        "name: x\ntrip:\n  - error_rate: 8",
        "3:17: trip[0].error_rate: must be a share: write 8% or 0.08",
    ),
    (
        "name: x\ntrip:\n  - error_rate: 0%",
        "3:17: trip[0].error_rate: must be more than 0% and at most 100%",
    ),
    (
        "name: x\ntrip:\n  - error_rate: 101%",
        "3:17: trip[0].error_rate: must be 0% to 100%",
    ),
    (
        "name: x\ntrip:\n  - error_rate:",
        "3:15: trip[0].error_rate: must have a value",
    ),
    (
        "name: x\ntrip:\n  - eror_rate: 8%",
        "3:5: trip[0].eror_rate: is not a field here; did you mean error_rate?",
    ),
    (
        "name: x\ntrip:\n  - p95s: 1s",
        "3:5: trip[0].p95s: is not a field here; did you mean p95?",
    ),
    (
        "name: x\ntrip:\n  - p99: 0.5ms",
        "3:10: trip[0].p99: must be a time with its unit, such as 250ms, 10s, 5m, 1h or 1m30s",
    ),
    (
        "name: x\ntrip:\n  - p99: 0s",
        "3:10: trip[0].p99: must be 1ms to 1h",
    ),
    (
        "name: x\ntrip:\n  - slow_rate: 50%",
        "3:16: trip[0].slow_rate: needs slow_threshold beside it",
    ),
    (
        "name: x\ntrip:\n  - error_rate: 8%\n  - slow_threshold: 1s",
        "4:21: trip[1].slow_threshold: needs slow_rate beside it",
    ),
    (
        "name: x\ntrip:\n  - { slow_rate: 50%, slow_threshold: 2h }",
        "3:39: trip[0].slow_threshold: must be 1ms to 1h",
    ),
    (
        "name: x\ntrip:\n  - { slow_rate: 0%, slow_threshold: 1s }",
        "3:18: trip[0].slow_rate: must be more than 0% and at most 100%",
    ),
    (
        "name: x\ntrip:\n  - error_rate: 8%\n    error_rate: 9%",
        "4:5: trip[0].error_rate: is given twice",
    ),
    (
        "name: x\ntrip:\n  - concurrency: 0",
        "3:18: trip[0].concurrency: must be at least 1",
    ),
    (
        "name: x\ntrip:\n  - consecutive_failures: 0",
        "3:27: trip[0].consecutive_failures: must be at least 1",
    ),
    (
        "name: x\ntrip:\n  - { error_rate: 8%, at_least: 40% }",
        "3:33: trip[0].at_least: needs anomaly beside it",
    ),
    (
        "name: x\ntrip:\n  - { error_rate: 8%, blip: 3s }",
        "3:29: trip[0].blip: needs anomaly beside it",
    ),
    (
        "name: x\ntrip:\n  - { anomaly: errors, blip: 61s }",
        "3:30: trip[0].blip: must be 0s to 1m",
    ),
    (
        "name: x\ntrip:\n  - { anomaly: errors, blip: 3 }",
        "3:30: trip[0].blip: must have a unit: write 3s, 3ms or 3m",
    ),
    (
        "name: x\ntrip:\n  - anomaly: errors\ndeadline: 1ms",
        "4:11: deadline: must be 10ms to 1h",
    ),
    (
        "name: x\ntrip:\n  - { error_rate: 8%, action: shed }",
        "3:31: trip[0].action: must not be shed without a condition on latency: p50, p90, p95, p99, p999, slow_rate, anomaly: latency or anomaly: deadline",
    ),
    (
        "name: x\ntrip:\n  - { error_rate: 8%, action: close }",
        "3:31: trip[0].action: must be open, alert or shed",
    ),
    ("name: x\nname: y\ntrip: []", "2:1: name: is given twice"),
    (
        "name: \"x y\"\ntrip: [{ error_rate: 8% }]",
        "1:7: name: must be 1 to 64 letters, digits, '-', '_' or '.'",
    ),
    (
        "name: [x]\ntrip: [{ error_rate: 8% }]",
        "1:7: name: must be a single value",
    ),
    ("[1, 2]", "1:1: must be a mapping of fields"),
    ("just text", "1:1: must be a mapping of fields"),
    ("name: x\n---\nname: y", "3:1: must be one YAML document"),
    ("name: \"x", "1:7: unclosed quote"),
    (
        "name: x\n\ttrip: []",
        "1:7: while scanning a plain scalar, found a tab",
    ),
    ("name: {", "1:7: unclosed bracket '{'"),
    ("name: *base", "1:7: alias references unknown anchor"),
    ("name: x\ntrip: &t [*t]", "2:11: must not contain itself"),
    (
        "name: x\nbase: sensitive\ntrip:\n  - { slow_rate: 1%, slow_threshold: 1s }\n  - { slow_rate: 1%, slow_threshold: 2s }\n  - { slow_rate: 1%, slow_threshold: 3s }\n  - { slow_rate: 1%, slow_threshold: 4s }\n  - { slow_rate: 1%, slow_threshold: 5s }",
        "3:1: trip: must not have more than 4 different slow_threshold",
    ),
    (
        "name: x\nbase: sensitive\nopen: { for: 10m }",
        "3:1: open.max: must not be less than open.for",
    ),
    (
        "name: x\n\"bad\\u001bkey\": 1",
        "2:1: bad\\u{1b}key: is not a field here; the fields are name, base, window, min_requests, trip, false_alarm_budget, usual_errors, deadline, recovery, open, half_open, ramp, latency, failure, reject, honour_retry_after",
    ),
    (
        "window: [10s]\nname: x\ntrip: []",
        "1:9: window: must be a single value",
    ),
    (
        "open:\n  jitter: true\nname: x\ntrip: []",
        "2:11: open.jitter: must be a share, such as 8% or 0.08",
    ),
    (
        "open:\n  factor: []\nname: x\ntrip: []",
        "2:11: open.factor: must be a single value",
    ),
    (
        "open:\n  for: {}\n  factor: 3\nname: x\ntrip: []",
        "2:8: open.for: must be a single value",
    ),
    (
        "name: x\ntrip:\n  - p99: true",
        "3:10: trip[0].p99: must be a time with its unit, such as 250ms, 10s, 5m, 1h or 1m30s",
    ),
    (
        "name: x\ntrip: [{ error_rate: 8% }]\nopen: { for: &t 10, max: 5s }\nramp: {for: *t}",
        "3:17: open.for: must have a unit: write 10s, 10ms or 10m",
    ),
    (
        "name: x\ntrip: [{ error_rate: 8% }]\nopen: { max: 5m }\nopen: { max: 6m }",
        "4:1: open: is given twice",
    ),
];
