//! Envoy's access log in the default text format, and Istio's log, which has more fields between
//! the flags and the bytes.

use std::time::Duration;

use super::text::{Token, route_of_request, tokens};
use crate::backtest::line::{Ending, Line};
use crate::backtest::loss::Bad;
use crate::backtest::when;

pub(super) fn is(line: &str) -> bool {
    let tokens = tokens(line);
    matches!(&tokens[..], [date, request, code, _, ..]
        if date.bracketed().and_then(when::rfc3339).is_some()
            && request.quoted().is_some()
            && code.bare().and_then(|code| code.parse::<u16>().ok()).is_some())
}

pub(super) fn parse(line: &str) -> Result<Option<Line<'_>>, Bad> {
    let tokens = tokens(line);
    let [date, request, code, flags, rest @ ..] = &tokens[..] else {
        return Err(Bad::syntax("it is no line of Envoy's log"));
    };
    let start = date.bracketed().and_then(when::rfc3339);
    let start = start.ok_or_else(|| Bad::field("there must be a date in brackets"))?;
    let request = request
        .quoted()
        .ok_or_else(|| Bad::syntax("there must be a quoted request"))?;
    let (lasted, served) =
        durations(rest).ok_or_else(|| Bad::field("there must be bytes and a duration"))?;
    let ending = ending(code.text, flags.text)
        .ok_or_else(|| Bad::field(format!("{:?} is no response code", code.text)))?;
    let latency = served.unwrap_or(lasted);
    Ok(Some(Line::began(
        start,
        latency,
        route_of_request(request),
        ending,
    )))
}

/// How a request ended, by code and flags. Code 0 means no answer, because the caller left or for
/// another reason. `UT` is the timeout of the route or of the caller's
/// `x-envoy-upstream-rq-timeout-ms`.
pub(super) fn ending(code: &str, flags: &str) -> Option<Ending<'static>> {
    let has = |wanted| flags.split(',').any(|flag| flag == wanted);
    match code.parse().ok()? {
        _ if has("UT") => Some(Ending::TimedOut),
        0 if has("DC") => Some(Ending::CallerLeft),
        0 => Some(Ending::FAILURE),
        status => Ending::logged(status),
    }
}

/// The first three consecutive whole numbers are bytes received, bytes sent and the duration. The
/// upstream's time follows them.
fn durations(tokens: &[Token<'_>]) -> Option<(Duration, Option<Duration>)> {
    let number = |token: &Token<'_>| token.bare().and_then(|text| text.parse::<u64>().ok());
    let numbers: Vec<_> = tokens.iter().map(number).collect();
    let first = numbers
        .windows(3)
        .position(|three| three.iter().all(Option::is_some))?;
    let served = numbers.get(first + 3).copied().flatten();
    let lasted = Duration::from_millis(numbers[first + 2]?);
    Some((lasted, served.map(Duration::from_millis)))
}
