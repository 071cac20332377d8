//! `breaker backtest`.

use std::fs;

use serde_json::Value;

use super::{Folder, STRICT, stderr, stdout};

fn trace() -> String {
    let line = |number: u32| {
        let status = if (500..1000).contains(&number) {
            500
        } else {
            200
        };
        format!(
            "{{\"t\":{}.{:02},\"route\":\"pay\",\"latency\":0.01,\"status\":{status}}}\n",
            number / 100,
            number % 100
        )
    };
    (0..4000).map(line).collect()
}

#[test]
fn a_backtest_shows_policies_side_by_side_and_writes_a_page() {
    let folder = Folder::new("backtest")
        .with("policies/strict.yaml", STRICT)
        .with("trace.jsonl", &trace());
    let policies = ["--policy", "sensitive", "--policy", "policies/strict.yaml"];
    let arguments = [
        &["backtest"],
        &policies[..],
        &["--html", "report.html", "trace.jsonl"],
    ]
    .concat();
    let output = folder.breaker(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let words = stdout(&output);
    assert!(
        words.contains("\nsensitive ") && words.contains("\nstrict "),
        "{words}"
    );
    assert!(!words.contains('\u{1b}'), "no colours in a pipe");
    let page = fs::read_to_string(folder.0.join("report.html")).expect("a page");
    assert!(page.contains(r#""name":"strict""#));
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "it needs nothing else"
    );

    let output = folder.breaker(&["backtest", "--policy", "sensitive", "--json", "trace.jsonl"]);
    let last: Value =
        serde_json::from_str(stdout(&output).lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["summary"]["requests"], 4000);
    assert_eq!(last["summary"]["trips"], 1);
}

#[test]
fn a_backtest_in_parts_is_merged_to_what_the_whole_prints() {
    let other = trace().replace("\"pay\"", "\"search\"");
    let folder = Folder::new("backtest_parts")
        .with("pay.jsonl", &trace())
        .with("search.jsonl", &other);
    let traces = ["--policy", "sensitive", "pay.jsonl", "search.jsonl"];
    for part in ["1/3", "2/3", "3/3"] {
        let output = folder.breaker(&[&["backtest", "--shard", part], &traces[..]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let file = folder.0.join(format!("{}.json", &part[..1]));
        fs::write(file, stdout(&output)).unwrap();
    }
    let merge = ["backtest", "--merge", "2.json", "1.json", "3.json"];
    for more in [&[][..], &["--json"], &["--html", "page.html"]] {
        let whole = folder.breaker(&[&["backtest"], &traces[..], more].concat());
        let page = fs::read_to_string(folder.0.join("page.html")).ok();
        let merged = folder.breaker(&[&merge[..], more].concat());
        assert_eq!(merged.status.code(), Some(0), "{}", stderr(&merged));
        assert_eq!(stdout(&merged), stdout(&whole), "{more:?}");
        assert_eq!(fs::read_to_string(folder.0.join("page.html")).ok(), page);
    }

    let missing = folder.breaker(&["backtest", "--merge", "1.json", "3.json"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(
        stderr(&missing).contains("part 2/3 is missing"),
        "{}",
        stderr(&missing)
    );
    let none = folder.breaker(&["backtest", "--merge", "none.json"]);
    assert!(
        stderr(&none).contains("none.json can't be read"),
        "{}",
        stderr(&none)
    );
    let bad = folder.breaker(&[&["backtest", "--shard", "4/3"], &traces[..]].concat());
    assert_eq!(bad.status.code(), Some(2));
    assert!(
        stderr(&bad).contains("must be a part such as 3/8"),
        "{}",
        stderr(&bad)
    );
    let both = folder.breaker(&[&["backtest", "--shard", "1/3", "--json"], &traces[..]].concat());
    assert!(
        stderr(&both).contains("cannot be used with"),
        "{}",
        stderr(&both)
    );
}

#[test]
fn a_backtest_tells_bad_lines_and_strictly_stops_at_the_first() {
    let bad = trace() + "what\n";
    let folder = Folder::new("backtest_bad")
        .with("trace.jsonl", &bad)
        .with("empty.jsonl", "");
    let output = folder.breaker(&["backtest", "--policy", "sensitive", "trace.jsonl"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stderr(&output).starts_with("trace.jsonl:4001: expected value"),
        "{}",
        stderr(&output)
    );
    let output = folder.breaker(&[
        "backtest",
        "--strict",
        "--policy",
        "sensitive",
        "trace.jsonl",
    ]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(1), ""));

    let output = folder.breaker(&["backtest", "--policy", "sensitive", "empty.jsonl"]);
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(1), "there is no request in the trace\n")
    );
    let output = folder.breaker(&[
        "backtest",
        "--policy",
        "sensitive",
        "--route",
        "pya",
        "trace.jsonl",
    ]);
    assert!(
        stderr(&output).ends_with("the trace has no request of pya; did you mean pay?\n"),
        "{}",
        stderr(&output)
    );
    assert_eq!((output.status.code(), stdout(&output)), (Some(1), ""));
}

#[test]
fn a_backtest_without_any_request_fails_and_says_why() {
    let spans = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"SELECT","kind":3,"startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]}"#;
    let folder = Folder::new("backtest_nothing")
        .with(
            "bad.jsonl",
            "{\"t\":1,\"route\":\"a\",\"latency\":1}\n[1]\n",
        )
        .with("words.txt", "what\n")
        .with("clients.json", spans)
        .with("metrics.json", "{\"resourceMetrics\":[]}\n")
        .with(
            "stats.csv",
            "Type,Name,Request Count,Failure Count\nGET,/,1,0\n",
        );
    for (file, expected) in [
        (
            "bad.jsonl",
            "bad.jsonl:1: there must be a status or an outcome\n",
        ),
        (
            "words.txt",
            "words.txt:1: expected a line of a known format",
        ),
        (
            "clients.json",
            "clients.json has no requests: it has 1 spans, but none of a server",
        ),
        (
            "metrics.json",
            "metrics.json has no requests: it has metrics or logs",
        ),
        ("stats.csv", "stats.csv is locust's statistics: "),
    ] {
        let output = folder.breaker(&["backtest", "--policy", "sensitive", "--json", file]);
        let told = stderr(&output);
        assert!(told.starts_with(expected), "{told}");
        assert_eq!(output.status.code(), Some(1), "{file}");
        assert!(!told.contains("struct"), "{told}");
    }
    let output = folder.breaker(&["backtest", "--policy", "sensitive", "--json", "bad.jsonl"]);
    let summary: Value = serde_json::from_str(stdout(&output)).expect("a line of JSON");
    assert_eq!(summary["lost"]["why"]["bad_field"], 2, "{summary}");
}

#[test]
fn a_backtest_without_its_trace_or_policy_says_so() {
    let folder = Folder::new("backtest_missing").with("trace.jsonl", "");
    let output = folder.breaker(&["backtest", "--policy", "sensitive", "none.jsonl"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).starts_with("none.jsonl can't be read: "),
        "{}",
        stderr(&output)
    );
    for policies in [
        &["--policy", "none"][..],
        &["--policy", "sensitive", "--policy", "sensitive"],
        &[],
    ] {
        let output = folder.breaker(&[&["backtest"], policies, &["trace.jsonl"]].concat());
        assert_eq!(output.status.code(), Some(2), "{policies:?}");
    }
}
