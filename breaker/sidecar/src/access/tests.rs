use breaker_tower::TraceContext;
use http::{Method, StatusCode, Version};

use super::*;
use crate::message::ErrorKind;

const TRACE: u128 = 0x1234_5678_9012_3456_7890_1234_5678_9012;

fn finished(status: u16, error: Option<ErrorKind>) -> Finished<'static> {
    Finished {
        route: Some(0),
        method: &Method::GET,
        version: Version::HTTP_11,
        is_secure: false,
        status: (status > 0).then(|| StatusCode::from_u16(status).unwrap()),
        duration: Duration::from_millis(250),
        error,
        is_fallback: false,
        trace: None,
    }
}

fn context(trace_id: u128) -> TraceContext {
    TraceContext {
        trace_id,
        span_id: 1,
        flags: 0,
    }
}

fn journal(which: Which, sample: f64, file: &std::path::Path) -> (Access, Journal) {
    let access = Access::default();
    let settings = AccessLogSettings {
        which,
        format: Format::Text,
        file: Some(file.to_owned()),
        sample,
    };
    access.replace(access.open(Some(&settings)).unwrap());
    access.begin().unwrap();
    let journal = access.journal(
        ["pay".into()].into_iter(),
        ["10.0.0.1:80".into()].into_iter(),
    );
    (access, journal.unwrap())
}

/// The lines without their times.
fn lines(access: &Access, file: &std::path::Path) -> Vec<String> {
    access.flush(Duration::from_secs(10));
    let text = std::fs::read_to_string(file).unwrap();
    let without_time = |line: &str| line.split_once(' ').unwrap().1.to_owned();
    text.lines().map(without_time).collect()
}

fn entry<'a>(finished: &'a Finished<'a>, decision: Option<Decision>) -> LogEntry<'a> {
    LogEntry {
        finished,
        path: "/a",
        decision,
        endpoint: Some(0),
    }
}

#[test]
fn errors_are_what_failed_and_not_what_callers_spoilt() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let (access, journal) = journal(Which::Errors, 1.0, &file);
    for (status, error, has_line) in [
        (200, None, false),
        (404, None, false),
        (500, None, true),
        (0, Some(ErrorKind::ClientGone), false),
        (408, Some(ErrorKind::RequestBodyTimeout), false),
        (502, Some(ErrorKind::ConnectRefused), true),
        (502, Some(ErrorKind::Resolve), true),
        (200, Some(ErrorKind::ResponseIncomplete), true),
    ] {
        let before = lines(&access, &file).len();
        journal.tell(&entry(&finished(status, error), None));
        let added = lines(&access, &file).len() - before;
        assert_eq!(added, usize::from(has_line), "{status} {error:?}");
    }
}

#[test]
fn a_line_says_whose_fault_it_was_and_forges_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let (access, journal) = journal(Which::All, 1.0, &file);
    let refused = Finished {
        trace: Some(context(TRACE)),
        ..finished(502, Some(ErrorKind::ConnectRefused))
    };
    journal.tell(&LogEntry {
        path: "/a\u{9b}2J\u{85}route=x\u{202e}\u{e0001}",
        ..entry(&refused, None)
    });
    assert_eq!(
        lines(&access, &file),
        [
            "GET /a\\u009b2J\\u0085route=x\\u202e\\udb40\\udc01 502 protocol=HTTP/1.1 route=pay \
          failure=connection_refused attribution=upstream endpoint=10.0.0.1:80 duration=0.25 \
          trace=12345678901234567890123456789012"
        ]
    );
}

#[test]
fn a_share_of_the_traces_has_lines_and_the_same_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let ok = finished(200, None);
    let mut taken = Vec::new();
    for name in ["one", "other"] {
        let file = folder.path().join(name);
        let (access, journal) = journal(Which::All, 0.1, &file);
        for id in 1..=2000_u128 {
            // Ids are random; these are spread.
            let trace = context(id.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835));
            let traced = Finished {
                trace: Some(trace),
                ..finished(200, None)
            };
            journal.tell(&entry(&traced, None));
        }
        let traced = lines(&access, &file);
        assert!((150..250).contains(&traced.len()), "{}", traced.len());
        for _ in 0..2000 {
            journal.tell(&entry(&ok, None));
        }
        let others = lines(&access, &file).len() - traced.len();
        assert!((150..250).contains(&others), "{others}");
        taken.push(traced);
    }
    assert_eq!(taken[0], taken[1]);
}

#[test]
fn a_log_that_is_wanted_as_it_is_stays_open() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let (access, journal) = journal(Which::All, 1.0, &file);
    let settings = journal.log.settings.clone();
    let again = access.open(Some(&settings)).unwrap().unwrap();
    assert!(Arc::ptr_eq(&again, &journal.log));
    let nowhere = AccessLogSettings {
        file: Some(folder.path().join("none/access.log")),
        ..settings
    };
    let error = access.open(Some(&nowhere)).unwrap_err().to_string();
    assert!(error.starts_with("log.file: cannot write to "), "{error}");
    assert!(access.open(None).unwrap().is_none());
}

#[test]
fn failures_have_the_words_of_telemetry() {
    let none: Option<&Decision> = None;
    let kind = |status, error| Failure::of(&finished(status, error), none);
    let word = |status, error| kind(status, error).unwrap().to_string();
    assert_eq!(word(503, None), "503");
    assert_eq!(
        word(502, Some(ErrorKind::ConnectRefused)),
        "connection_refused"
    );
    assert_eq!(kind(200, None), None);
}
