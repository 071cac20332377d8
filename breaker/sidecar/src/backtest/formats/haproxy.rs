//! HAProxy's HTTP log, with or without a prefix of syslog.
//!
//! `127.0.0.1:44420 [28/Nov/2026:09:15:04.606] web shop/s1 0/0/0/1/1 200 117 - - ---- 1/1/0/0/0 0/0
//! "GET / HTTP/1.1"`. The date has no time zone and is read as UTC. A timer that never ran is -1.

use std::time::Duration;

use crate::backtest::line::{Ending, Line};
use crate::backtest::loss::Bad;
use crate::backtest::when;

pub(super) fn is(line: &str) -> bool {
    matches!(parse(line), Ok(Some(_)))
}

/// Lines without a date in brackets are not requests. They report, for example, that a server is
/// down.
pub(super) fn parse(line: &str) -> Result<Option<Line<'_>>, Bad> {
    let rest = line.split_once(" [").map(|(_, rest)| rest);
    let Some((date, rest)) = rest.and_then(|rest| rest.split_once("] ")) else {
        return Ok(None);
    };
    let at = when::common_log(date).ok_or_else(|| Bad::field(format!("{date:?} is no date")))?;
    let words: Vec<_> = rest
        .split(' ')
        .filter(|word| !word.is_empty())
        .take(8)
        .collect();
    let [_, server, timers, status, _, _, _, state] = words[..] else {
        return Err(Bad::syntax("it is no line of HAProxy's HTTP log"));
    };
    let (backend, _) = server
        .split_once('/')
        .ok_or_else(|| Bad::syntax("there must be a backend and a server"))?;
    let timers: Vec<Option<u64>> = timers
        .split('/')
        .map(timer)
        .collect::<Option<_>>()
        .unwrap_or_default();
    let [received, queued, connected, answered, active] = timers[..] else {
        return Err(Bad::field(
            "there must be five timers, TR/Tw/Tc/Tr/Ta: option httplog",
        ));
    };
    let received = received.unwrap_or_default();
    let latency = match answered {
        Some(answered) => queued.unwrap_or_default() + connected.unwrap_or_default() + answered,
        None => active.unwrap_or_default().saturating_sub(received),
    };
    let ending = match (state.as_bytes().first(), status.parse::<u16>()) {
        // The caller left, or was too slow.
        (Some(b'C' | b'c'), _) => Ending::CallerLeft,
        // The head of the answer did not arrive within `timeout server`.
        _ if state.starts_with("sH") => Ending::TimedOut,
        (_, Ok(status)) => Ending::logged(status)
            .ok_or_else(|| Bad::field(format!("status must be 100 to 999, not {status}")))?,
        (_, Err(_)) if status == "-1" => Ending::FAILURE,
        _ => return Err(Bad::field(format!("{status:?} is no status"))),
    };
    let start = at + Duration::from_millis(received);
    let latency = Duration::from_millis(latency);
    Ok(Some(Line::began(start, latency, backend.into(), ending)))
}

/// Milliseconds; the inner `None` stands for -1. `+` marks a time that was logged before its end.
fn timer(text: &str) -> Option<Option<u64>> {
    match text.trim_start_matches('+') {
        "-1" => Some(None),
        text => text.parse().ok().map(Some),
    }
}
