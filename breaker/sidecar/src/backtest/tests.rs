use std::fmt::Write;
use std::io::Cursor;

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

/// What came of `trace`, and the complaints.
fn backtest(options: Options, trace: &str) -> (Findings, Vec<String>) {
    let mut complaints = Vec::new();
    let mut backtest = Backtest::new(options);
    let read = backtest.read("trace", Cursor::new(trace.to_owned()), |problem| {
        complaints.push(problem.to_owned())
    });
    read.expect("it is not strict");
    (backtest.finish(), complaints)
}

/// 100 requests a second for 40 s, which fail from the tenth second to the fifteenth.
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
        let empty = r#"{"summary":{"requests":0,"admitted":0,"rejected":0,"rejected_good":0,"admitted_bad":0,"trips":0,"first_trip":null}}"#;
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
    assert!(findings.text().contains("50 bad lines were left out"));
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
        ["trace:4: t is more than 60s, or 2097152 requests, before that of an earlier line"]
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
    assert_eq!(&*findings.policies[0].moves[0].route, "GET /pay");
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
