use std::fmt::Write;
use std::io::{Cursor, Read};

use super::*;

fn options(names: &[&str]) -> Options {
    let policy = |name: &&str| {
        (
            (*name).to_owned(),
            Policy::builtin(name).expect("a built-in policy"),
        )
    };
    Options::new(names.iter().map(policy).collect())
}

/// The findings of `trace`, and the complaints.
fn backtest(options: Options, trace: &str) -> (Findings, Vec<String>) {
    let mut complaints = Vec::new();
    let mut backtest = Backtest::new(options);
    let read = backtest.read("trace", Cursor::new(trace.to_owned()), |problem| {
        complaints.push(problem.to_owned())
    });
    read.expect("it is not strict");
    (backtest.finish(), complaints)
}

/// 100 requests/s for 40 s. They fail from second 10 to second 15.
fn incident() -> String {
    let mut trace = String::new();
    for number in 0..4000 {
        let status = if (1000..1500).contains(&number) {
            503
        } else {
            200
        };
        let t = 1_700_000_000.0 + f64::from(number) / 100.0;
        writeln!(
            trace,
            r#"{{"t":{t:.6},"route":"pay","latency":0.01,"status":{status}}}"#
        )
        .unwrap();
    }
    trace
}

#[test]
fn policies_are_told_side_by_side() {
    let (findings, complaints) = backtest(options(&["sensitive", "conservative"]), &incident());
    assert_eq!(complaints, [""; 0]);
    let [sensitive, conservative] = &findings.policies[..] else {
        panic!("there are two");
    };
    for policy in [sensitive, conservative] {
        let report = policy.report;
        assert_eq!(
            (report.requests, report.trips),
            (4000, 1),
            "{}",
            policy.label
        );
        assert_eq!(report.admitted + report.rejected, 4000);
        assert!(report.rejected_good > 0, "it stays open after the incident");
        let first = report.first_trip.expect("it has tripped").as_secs_f64();
        assert!(
            (1_700_000_010.0..1_700_000_011.5).contains(&first),
            "{first}"
        );
    }
    assert_ne!(sensitive.report.rejected, conservative.report.rejected);
    let text = findings.text();
    assert!(
        text.starts_with("policy        requests  rejected"),
        "{text}"
    );
    assert!(text.contains("closed → open       error rate 8"), "{text}");
    let trace = "\n4000 requests of 1 route from 2023-11-14T22:13:20.000Z to 2023-11-14T22:13:59.990Z, \
                 read as native\n";
    assert!(text.contains(trace), "{text}");
}

#[test]
fn json_has_a_line_for_each_transition_and_the_summary_last() {
    let (findings, _) = backtest(options(&["sensitive"]), &incident());
    let text = findings.json();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with(r#"{"t":1700000010."#), "{text}");
    assert!(
        lines[0].contains(r#","route":"pay","from":"closed","to":"open","reason":"error rate 8"#),
        "{text}"
    );
    assert!(lines[0].ends_with(r#""source":"proxy"}"#), "{text}");
    assert!(
        lines[1].contains(r#""to":"half_open","reason":"open for "#),
        "{text}"
    );
    let last = lines.last().unwrap();
    assert!(
        last.starts_with(r#"{"summary":{"requests":4000,"admitted":"#),
        "{text}"
    );
    assert!(
        last.contains(r#""trips":1,"first_trip":1700000010."#),
        "{text}"
    );
    let trace = r#""trace":{"formats":["native"],"routes":1,"first":1700000000.0,"first_time":"2023-11-14T22:13:20.000Z","#;
    assert!(last.contains(trace), "{text}");

    let (findings, _) = backtest(options(&["sensitive", "combined"]), &incident());
    let text = findings.json();
    assert!(
        text.lines().all(|line| line.starts_with(r#"{"policy":""#)),
        "{text}"
    );
}

#[test]
fn an_empty_trace_is_fine() {
    for trace in ["", "\n\n"] {
        let (findings, complaints) = backtest(options(&["sensitive"]), trace);
        assert_eq!(complaints, [""; 0]);
        assert_eq!(findings.policies[0].report.requests, 0);
        let empty = r#"{"summary":{"requests":0,"admitted":0,"rejected":0,"rejected_good":0,"admitted_bad":0,"trips":0,"first_trip":null,"first_trip_time":null,"alerts":0,"shed":0},"lost":{"lines":0,"late":0,"why":{}},"trace":{"formats":[],"routes":0,"first":null,"first_time":null,"last":null,"last_time":null},"kind":"summary"}"#;
        assert_eq!(findings.json(), format!("{empty}\n"));
        assert!(findings.html().contains("<html"));
    }
}

#[test]
fn bad_lines_are_told_with_their_place_ten_of_them_and_all_are_counted() {
    let trace = "{\"t\":1,\"route\":\"a\",\"latency\":1,\"status\":200}\n".to_owned()
        + &"{\"t\":-1}\n".repeat(50);
    let (findings, complaints) = backtest(options(&["sensitive"]), &trace);
    assert_eq!(
        (findings.lost.lines, findings.policies[0].report.requests),
        (50, 1)
    );
    assert_eq!(complaints.len(), 11, "ten, and that there are more");
    assert!(
        complaints[0].starts_with("trace:2: missing field `route`"),
        "{complaints:?}"
    );
    let text = findings.text();
    assert!(
        text.contains("50 bad lines were left out: 50 bad field"),
        "{text}"
    );
    let json = findings.json();
    assert!(
        json.contains(r#""lost":{"lines":50,"late":0,"why":{"bad_field":50}}"#),
        "{json}"
    );
}

#[test]
fn strict_stops_at_the_first_bad_line() {
    let strict = Options {
        strict: true,
        ..options(&["sensitive"])
    };
    let trace = "{\"t\":1,\"route\":\"a\",\"latency\":1,\"status\":200}\nnot json\n";
    let read = Backtest::new(strict).read("trace", trace.as_bytes(), |_| {
        panic!("it is told by the error")
    });
    assert!(
        read.unwrap_err()
            .to_string()
            .starts_with("trace:2: expected ident")
    );
}

#[test]
fn what_comes_too_late_is_counted_and_left_out() {
    let mut trace = String::new();
    for t in [0, 100, 161, 39, 161, 101] {
        writeln!(
            trace,
            r#"{{"t":{t},"route":"a","latency":0.1,"status":200}}"#
        )
        .unwrap();
    }
    let (findings, complaints) = backtest(options(&["sensitive"]), &trace);
    assert_eq!(
        (findings.lost.late, findings.policies[0].report.requests),
        (1, 5)
    );
    assert_eq!(
        complaints,
        [
            "trace:4: it ended more than 60s before an earlier line, or more than 2097152 requests are between"
        ]
    );
}

#[test]
fn only_wanted_routes_are_tested() {
    let trace = incident() + &incident().replace("pay", "list");
    let wanted = |routes: &[&str]| Options {
        routes: routes.iter().map(|route| (*route).to_owned()).collect(),
        tolerance: Duration::from_secs(600),
        ..options(&["sensitive"])
    };
    let requests = |routes: &[&str]| {
        backtest(wanted(routes), &trace).0.policies[0]
            .report
            .requests
    };
    assert_eq!(requests(&[]), 8000);
    assert_eq!(requests(&["pay"]), 4000);
    assert_eq!(requests(&["unknown"]), 0);
}

#[test]
fn a_million_routes_are_bounded() {
    let mut trace = String::new();
    for number in 0..1_000_000 {
        writeln!(
            trace,
            r#"{{"t":{},"route":"r{number}","latency":0.1,"status":200}}"#,
            number / 1000
        )
        .unwrap();
    }
    let options = Options {
        timelines: true,
        ..options(&["sensitive"])
    };
    let (findings, _) = backtest(options, &trace);
    assert_eq!(findings.routes, MOST_ROUTES + 1);
    assert_eq!(findings.policies[0].report.requests, 1_000_000);
    assert_eq!(findings.timelines.len(), MOST_TIMELINES);
}

#[test]
fn server_spans_of_a_collector_trip_a_breaker() {
    let mut trace = String::new();
    for number in 0_u64..100 {
        let (start, end) = (
            1_700_000_000_000_000_000 + number * 10_000_000,
            1_700_000_000_005_000_000 + number * 10_000_000,
        );
        writeln!(trace, r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"{:016x}","name":"GET /pay","kind":2,"startTimeUnixNano":"{start}","endTimeUnixNano":"{end}","status":{{"code":2}}}}]}}]}}]}}"#, number + 1).unwrap();
    }
    let (findings, complaints) = backtest(options(&["sensitive"]), &trace);
    assert_eq!(complaints, [""; 0]);
    let report = findings.policies[0].report;
    assert_eq!(
        (report.requests, report.trips, report.admitted_bad),
        (100, 1, 20)
    );
    assert_eq!(
        &**findings.policies[0].transitions().next().unwrap().0,
        "GET /pay"
    );
}

#[test]
fn the_page_keeps_a_hostile_name_inside_its_data() {
    let trace = r#"{"t":1,"route":"</script><script>alert(1)</script>","latency":1,"status":200}"#;
    let options = Options {
        timelines: true,
        ..options(&["sensitive"])
    };
    let (findings, _) = backtest(options, trace);
    assert!(!findings.html().contains("<script>alert"));
}

#[test]
fn a_file_that_is_cut_off_counts_up_to_there() {
    let whole = zstd::encode_all(incident().as_bytes(), 1).unwrap();
    let cut = source::decompressed(Cursor::new(whole[..whole.len() / 2].to_vec())).unwrap();
    let mut complaints = Vec::new();
    let mut backtest = Backtest::new(options(&["sensitive"]));
    backtest
        .read("trace", cut, |problem| complaints.push(problem.to_owned()))
        .unwrap();
    assert!(
        complaints.last().unwrap().contains("can't be read further"),
        "{complaints:?}"
    );
    assert_eq!(backtest.finish().lost.lines, complaints.len() as u64);
}

/// 200 requests/s for 10 min. In the last 5 min, nine of ten take 1.2 s, as in a queue.
fn slow() -> String {
    let mut trace = String::new();
    for number in 0..120_000_u32 {
        let latency = if number >= 60_000 && !number.is_multiple_of(10) {
            1.2
        } else {
            0.02
        };
        let t = 1_700_000_000.0 + f64::from(number) / 200.0;
        writeln!(
            trace,
            r#"{{"t":{t:.6},"route":"pay","latency":{latency},"status":200}}"#
        )
        .unwrap();
    }
    trace
}

#[test]
fn shedding_and_alerts_are_told_in_all_three_forms() {
    let options = Options {
        timelines: true,
        ..options(&["adaptive", "sensitive"])
    };
    let (findings, _) = backtest(options, &slow());
    let [adaptive, sensitive] = &findings.policies[..] else {
        panic!("there are two");
    };
    assert!(adaptive.report.shed > 0, "{:?}", adaptive.report);
    assert!(
        sensitive.report.alerts + sensitive.report.trips > 0,
        "{:?}",
        sensitive.report
    );
    let text = findings.text();
    assert!(
        text.contains("2023-11-14T22:18:") && text.contains("pay  shedding started       "),
        "{text}"
    );
    let lines: Vec<serde_json::Value> = findings
        .json()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let begin = lines
        .iter()
        .find(|line| line["kind"] == "shedding_started")
        .unwrap();
    assert_eq!(
        (&begin["policy"], &begin["route"]),
        (&"adaptive".into(), &"pay".into())
    );
    assert!(
        begin["time"]
            .as_str()
            .unwrap()
            .starts_with("2023-11-14T22:18:"),
        "{begin}"
    );
    assert!(
        begin["limit"].is_u64() && begin["source"] == "proxy",
        "{begin}"
    );
    assert!(lines.iter().all(|line| line["kind"].is_string()));
    assert!(lines.iter().all(|line| line["kind"] != "other"), "{text}");
    let summary = &lines[lines.len() - 2]["summary"];
    assert_eq!(summary["shed"], adaptive.report.shed);
    let page = findings.html();
    assert!(page.contains(r#""kind":"shedding_started""#));
}

#[test]
fn a_wanted_route_that_is_not_there_is_named_with_the_nearest() {
    let options = Options {
        routes: vec!["pya".to_owned(), "pay".to_owned(), "checkout".to_owned()],
        ..options(&["sensitive"])
    };
    let (findings, _) = backtest(options, &incident());
    let words: Vec<_> = findings.unmatched.iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        [
            "the trace has no request of pya; did you mean pay?",
            "the trace has no request of checkout; it has pay"
        ]
    );
}

#[test]
fn a_trace_is_the_same_in_whatever_form_its_json_is() {
    let lines = incident();
    let list = format!("[{}]", lines.trim().replace('\n', ","));
    let values: Vec<serde_json::Value> = serde_json::from_str(&list).unwrap();
    let pretty = serde_json::to_string_pretty(&values).unwrap();
    let many: Vec<_> = values
        .iter()
        .map(|value| serde_json::to_string_pretty(value).unwrap())
        .collect();
    let (expected, _) = backtest(options(&["sensitive"]), &lines);
    let byte_order_mark = format!("\u{feff}{lines}");
    let windows = lines.replace('\n', "\r\n");
    for form in [list, pretty, many.join("\n"), byte_order_mark, windows] {
        let (findings, complaints) = backtest(options(&["sensitive"]), &form);
        assert_eq!(complaints, [""; 0], "{}", &form[..80]);
        assert_eq!(findings.policies[0].report, expected.policies[0].report);
    }
}

#[test]
fn a_bad_object_of_many_lines_is_told_with_the_line_in_which_it_begins() {
    let trace = "[\n  {\n    \"t\": 1, \"route\": \"a\", \"latency\": 1, \"status\": 200\n  },\n  {\n    \"t\": -1\n  }\n]\n";
    let (findings, complaints) = backtest(options(&["sensitive"]), trace);
    assert_eq!(findings.requests(), 1);
    assert_eq!(complaints.len(), 1);
    assert!(
        complaints[0].starts_with("trace:5: missing field"),
        "{complaints:?}"
    );
}

#[test]
fn a_file_of_no_format_is_an_error_that_names_them() {
    for (trace, expected) in [
        (
            "what\n",
            "trace:1: the file is of no format that is known (otlp, jaeger, ",
        ),
        (
            "\n\u{1}\n",
            "trace:2: the file is of no format that is known",
        ),
        (
            r#"{"a":1}"#,
            "trace:1: the file is of no format that is known",
        ),
    ] {
        let read = Backtest::new(options(&["sensitive"])).read("trace", trace.as_bytes(), |_| {});
        let error = read.unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn what_comes_before_the_first_line_of_a_known_format_is_only_a_bad_line() {
    let trace = "{\"comment\":1,\"by\":2}\n".to_owned() + &incident();
    let (findings, complaints) = backtest(options(&["sensitive"]), &trace);
    assert_eq!((findings.requests(), findings.lost.lines), (4000, 1));
    assert_eq!(
        complaints,
        ["trace:1: the fields by, comment are of no known format"]
    );
}

#[test]
fn files_of_other_kinds_are_named_by_their_first_bytes() {
    for (bytes, expected) in [
        (&b"\xff\xfe{\0"[..], "UTF-16"),
        (b"PK\x03\x04....", "a zip archive"),
        (b"PAR1....", "Parquet"),
        (
            b"\x7f\xff\x81\x03\x01\x01\x06Result\x01\xff\x82\x00",
            "vegeta encode",
        ),
    ] {
        let error = source::decompressed(Cursor::new(bytes.to_vec()))
            .err()
            .expect(expected);
        assert!(error.to_string().contains(expected), "{error}");
    }
    let mut text = String::new();
    let mut plain = source::decompressed(Cursor::new("short")).unwrap();
    plain.read_to_string(&mut text).unwrap();
    assert_eq!(text, "short");
}
