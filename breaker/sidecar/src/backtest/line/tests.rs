use super::*;

fn line<'a>(route: &'a str, at: u64, latency: Option<u64>, ending: Ending<'a>) -> Line<'a> {
    Line {
        at: Timestamp::from_nanos(at),
        route: route.into(),
        latency: latency.map(Duration::from_nanos),
        ending,
    }
}

#[test]
fn a_recorded_line_is_scanned_exactly() {
    let text = br#"{"t":1732432123.123456,"route":"pay","latency":0.023,"status":200}"#;
    let expected = line(
        "pay",
        1_732_432_123_123_456_000,
        Some(23_000_000),
        Ending::Status(200),
    );
    assert_eq!(Scanner::new(text).line(), Some(expected.clone()));
    assert_eq!(parse(text), Ok(expected));
}

#[test]
fn spaces_and_any_order_are_scanned_too() {
    let text = br#" { "outcome" : "ignored", "latency": null , "route":"a b", "t": 0 } "#;
    let expected = line("a b", 0, None, Ending::Outcome(Classification::Ignored));
    assert_eq!(Scanner::new(text).line(), Some(expected));
}

#[test]
fn what_the_scanner_leaves_serde_reads_to_the_same_numbers() {
    for text in [
        r#"{"t":1.5e0,"route":"pay","latency":0.25,"status":503}"#,
        r#"{"t":1.5,"route":"p\u0061y","latency":2.5e-1,"status":503}"#,
        r#"{"t":1.5,"route":"pay","latency":0.25,"status":503,"more":[{}]}"#,
    ] {
        assert_eq!(Scanner::new(text.as_bytes()).line(), None, "{text}");
        let expected = line("pay", 1_500_000_000, Some(250_000_000), Ending::Status(503));
        assert_eq!(parse(text.as_bytes()), Ok(expected), "{text}");
    }
}

#[test]
fn what_was_never_answered_needs_no_ending_and_has_failed() {
    let text = br#"{"t":1,"route":"pay","latency":null}"#;
    let expected = line(
        "pay",
        1_000_000_000,
        None,
        Ending::Outcome(Classification::Failure),
    );
    assert_eq!(parse(text), Ok(expected));
}

#[test]
fn a_failure_may_be_a_timeout_and_nothing_else_is_one() {
    for (ending, timed_out, expected) in [
        (r#""outcome":"failure""#, "true", Ending::TimedOut),
        (r#""outcome":"failure""#, "false", Ending::FAILURE),
        (r#""status":504"#, "true", Ending::TimedOut),
        (
            r#""outcome":"ignored""#,
            "true",
            Ending::Outcome(Classification::Ignored),
        ),
        (
            r#""outcome":"success""#,
            "true",
            Ending::Outcome(Classification::Success),
        ),
    ] {
        let text =
            format!(r#"{{"t":1,"route":"pay","latency":0.5,{ending},"timed_out":{timed_out}}}"#);
        let expected = line("pay", 1_000_000_000, Some(500_000_000), expected);
        assert_eq!(
            Scanner::new(text.as_bytes()).line(),
            Some(expected.clone()),
            "{text}"
        );
        // The fast parser does not read exponents.
        let other = text.replace(":0.5,", ":5e-1,");
        assert_eq!(parse(other.as_bytes()), Ok(expected), "{other}");
    }
}

#[test]
fn a_bad_line_says_what_is_wrong() {
    let long = format!(
        r#"{{"t":1,"route":"{}","latency":1,"status":200}}"#,
        "x".repeat(257)
    );
    for (text, expected) in [
        ("", "EOF"),
        ("{", "EOF"),
        (
            "[1]",
            "expected an object with t, route, latency and status",
        ),
        ("1", "expected an object with t, route, latency and status"),
        (
            r#"{"t":NaN,"route":"a","latency":1,"status":200}"#,
            "expected value at column 6",
        ),
        (
            r#"{"t":-1,"route":"a","latency":1,"status":200}"#,
            "t must be seconds from 0",
        ),
        (
            r#"{"t":1e11,"route":"a","latency":1,"status":200}"#,
            "t must be seconds from 0",
        ),
        (
            r#"{"t":99999999999,"route":"a","latency":1,"status":200}"#,
            "t must be seconds from 0",
        ),
        (
            r#"{"t":1e999,"route":"a","latency":1,"status":200}"#,
            "number out of range",
        ),
        (
            r#"{"t":01,"route":"a","latency":1,"status":200}"#,
            "invalid number",
        ),
        (
            r#"{"t":1.,"route":"a","latency":1,"status":200}"#,
            "invalid number",
        ),
        (
            r#"{"t":1,"route":"a","latency":-0.1,"status":200}"#,
            "latency must be seconds from 0",
        ),
        (
            r#"{"t":1,"route":"a","status":200}"#,
            "there must be a latency, or null",
        ),
        (
            r#"{"t":1,"route":"a","latency":1}"#,
            "there must be a status or an outcome",
        ),
        (
            r#"{"t":1,"route":"a","latency":1,"status":20}"#,
            "status must be 100 to 999, not 20",
        ),
        (
            r#"{"t":1,"route":"a","latency":1,"status":99999}"#,
            "status must be 100 to 999",
        ),
        (
            r#"{"t":1,"route":"a","latency":1,"outcome":"good"}"#,
            "outcome must be success, failure or ignored",
        ),
        (
            r#"{"t":1,"route":"a","latency":1,"outcome":"failure","timed_out":1}"#,
            "expected a boolean",
        ),
        (
            r#"{"t":1,"route":"","latency":1,"status":200}"#,
            "route must have 1 to 256 bytes, not 0",
        ),
        (
            r#"{"t":1,"t":2,"route":"a","latency":1,"status":200}"#,
            "duplicate field `t`",
        ),
        (
            r#"{"t":1,"route":"a","latency":1,"status":200} x"#,
            "trailing characters",
        ),
        (long.as_str(), "route must have 1 to 256 bytes, not 257"),
    ] {
        let problem = parse(text.as_bytes()).expect_err(text);
        assert!(problem.0.contains(expected), "{text}: {problem}");
    }
}

proptest::proptest! {
    #[test]
    fn no_line_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn scanner_and_serde_agree(seconds in 0_u64..5_000_000_000, micros in 0_u32..1_000_000, latency in 0_u32..2_000_000_000) {
        let text = format!(r#"{{"t":{seconds}.{micros:06},"route":"a","latency":{:?},"status":200}}"#, f64::from(latency) / 1e6);
        let by_serde = Raw::read(text.as_bytes()).and_then(Raw::checked).expect("it is good");
        if let Some(scanned) = Scanner::new(text.as_bytes()).line() {
            // A float can't hold all digits of the nanoseconds since 1970.
            let apart = scanned.at.as_nanos().abs_diff(by_serde.at.as_nanos());
            proptest::prop_assert!(apart < 1_000, "{} {}", text, apart);
            proptest::prop_assert_eq!(scanned.latency, by_serde.latency);
        } else {
            proptest::prop_assert!(text.contains('e'), "{}", text);
        }
    }
}
