use std::time::Duration;

use breaker_tower::breaker_core::TraceId;
use tokio::time::Instant;

use super::kinds::MAX_KINDS;
use super::{Counted, Failed, Findings, OTHER, plain};

fn failed<'a>(kind: &'a str, endpoint: Option<&'a str>) -> Failed<'a> {
    Failed {
        kind,
        endpoint,
        trace: None,
        count: 1,
    }
}

fn told(list: &[Counted]) -> Vec<(&str, Option<&str>, u64, u64)> {
    let list = list.iter();
    list.map(|one| (&*one.kind, one.endpoint.as_deref(), one.recent, one.total))
        .collect()
}

#[test]
fn kinds_are_counted_apart_by_source_kind_and_endpoint() {
    let (findings, now) = (Findings::default(), Instant::now());
    findings.failed("proxy", failed("503", Some("a:1")), now);
    findings.failed("proxy", failed("503", Some("b:1")), now);
    findings.failed("proxy", failed("503", Some("b:1")), now);
    findings.failed("proxy", failed("connection_refused", Some("a:1")), now);
    findings.failed("spans", failed("UNAVAILABLE", None), now);
    assert_eq!(
        told(&findings.failures("proxy", now)),
        [
            ("503", Some("b:1"), 2, 2),
            ("503", Some("a:1"), 1, 1),
            ("connection_refused", Some("a:1"), 1, 1),
        ]
    );
    let of_feed = findings.failures("spans", now);
    assert_eq!(told(&of_feed), [("UNAVAILABLE", None, 1, 1)]);
    assert_eq!(findings.failures("nobody", now), []);
    findings.retain(|source| source == "proxy");
    assert_eq!(findings.failures("spans", now), []);
}

#[test]
fn only_five_minutes_are_recent_and_the_total_stays() {
    let (findings, start) = (Findings::default(), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    let recent = |seconds| {
        let list = findings.failures("proxy", at(seconds));
        list.first().map(|kind| (kind.recent, kind.total))
    };
    for (seconds, expected) in [(0, 1), (120, 2), (299, 3), (310, 3), (450, 3), (600, 2)] {
        findings.failed("proxy", failed("500", None), at(seconds));
        let counted = recent(seconds);
        assert_eq!(
            counted.map(|(recent, _)| recent),
            Some(expected),
            "{seconds}"
        );
    }
    assert_eq!(recent(1_000), Some((0, 6)));
    // A clock that stands still, or is read late by a thread, loses nothing.
    findings.failed("proxy", failed("500", None), at(5_000));
    findings.failed("proxy", failed("500", None), at(4_990));
    assert_eq!(recent(5_000), Some((2, 8)));
}

#[test]
fn there_are_so_many_kinds_at_most_and_no_failure_is_lost() {
    let (findings, start) = (Findings::default(), Instant::now());
    for number in 0..1_000 {
        findings.failed("spans", failed(&format!("error {number}"), None), start);
    }
    let list = findings.failures("spans", start);
    assert_eq!(list.len(), MAX_KINDS + 1);
    assert_eq!(told(&list).last(), Some(&(OTHER, None, 984, 984)));
    assert_eq!(list.iter().map(|kind| kind.recent).sum::<u64>(), 1_000);
    // Afterwards there is room again for what happens then.
    let later = start + Duration::from_secs(400);
    findings.failed("spans", failed("timeout", None), later);
    let list = findings.failures("spans", later);
    assert_eq!(told(&list)[0], ("timeout", None, 1, 1));
    assert_eq!(list.len(), MAX_KINDS + 1);
}

#[test]
fn the_latest_trace_is_kept() {
    let (findings, now) = (Findings::default(), Instant::now());
    for trace in [TraceId::new(7), TraceId::new(8), None] {
        let failed = failed("500", None);
        findings.failed("proxy", Failed { trace, ..failed }, now);
    }
    let list = findings.failures("proxy", now);
    assert_eq!(list[0].trace, TraceId::new(8));
}

#[test]
fn text_of_others_is_short_and_commands_no_terminal() {
    let (findings, now) = (Findings::default(), Instant::now());
    let long = "x".repeat(100_000);
    for _ in 0..2 {
        findings.failed("spans", failed(&long, Some(&long)), now);
        findings.failed("spans", failed("\u{1b}[31mred\r\n\u{202e}", None), now);
    }
    let list = findings.failures("spans", now);
    assert_eq!(list.len(), 2);
    assert!(list.iter().all(|kind| kind.kind.chars().count() <= 81));
    assert!(list.iter().all(|kind| kind.recent == 2));
    assert!(
        list.iter()
            .any(|kind| kind.kind == "\\u{1b}[31mred\\u{d}\\u{a}\\u{202e}")
    );
    assert_eq!(plain("grün"), "grün");
}
