//! A line of a trace: `{"t": 12.345, "route": "pay", "latency": 0.023, "status": 200}`.
//!
//! Lines in the form that Breaker records are parsed byte by byte. All other lines go to serde. It
//! is slower (see the benchmark), but reads any JSON and has the error messages.

use std::borrow::Cow;
use std::time::Duration;

use breaker_tower::breaker_core::policy::GrpcCode;
use breaker_tower::breaker_core::{Classification, InvalidValue, Timestamp};
use serde::{Deserialize, Deserializer};

use breaker_otlp::StatusCode;
use breaker_otlp::convention::Facts;

/// A recorded request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line<'a> {
    pub(super) at: Timestamp,
    pub(super) route: Cow<'a, str>,
    /// `None` if it was never answered.
    pub(super) latency: Option<Duration>,
    pub(super) ending: Ending<'a>,
}

/// How a request ended, according to the line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ending<'a> {
    /// An HTTP status, for each policy to judge.
    Status(u16),
    Grpc(GrpcCode),
    /// The caller went away before the answer: the status 499, which policies may count.
    CallerLeft,
    /// The sender's timeout ended it: a failure by the rules of every policy.
    TimedOut,
    /// The facts of a span, with its status.
    Span(Facts<'a>, StatusCode),
    Outcome(Classification),
}

impl<'a> Line<'a> {
    /// A request that was answered after `latency`.
    pub(super) fn began(
        at: Timestamp,
        latency: Duration,
        route: Cow<'a, str>,
        ending: Ending<'a>,
    ) -> Self {
        Self {
            at,
            route: clipped(route),
            latency: Some(latency),
            ending,
        }
    }

    /// A request that ended at `end` and began `since` before.
    pub(super) fn ended(
        end: Timestamp,
        since: Duration,
        latency: Duration,
        route: Cow<'a, str>,
        ending: Ending<'a>,
    ) -> Self {
        let since = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let at = Timestamp::from_nanos(end.as_nanos().saturating_sub(since));
        Self::began(at, latency, route, ending)
    }
}

impl Ending<'_> {
    pub(super) const FAILURE: Self = Self::Outcome(Classification::Failure);

    /// [`Self::TimedOut`] if `timed_out`, unless the line says success or ignored. Otherwise this
    /// ending.
    const fn timed_out(self, timed_out: bool) -> Self {
        match self {
            Self::Outcome(Classification::Success | Classification::Ignored) => self,
            _ if timed_out => Self::TimedOut,
            _ => self,
        }
    }

    /// The status in an access log; `None` if it is not a status.
    pub(super) fn logged(status: u16) -> Option<Self> {
        match status {
            499 => Some(Self::CallerLeft),
            status => is_status(status).then_some(Self::Status(status)),
        }
    }
}

/// Other programs may have longer names of routes than Breaker.
fn clipped(mut route: Cow<'_, str>) -> Cow<'_, str> {
    let mut length = route.len().min(MOST_ROUTE);
    while !route.is_char_boundary(length) {
        length -= 1;
    }
    match &mut route {
        Cow::Borrowed(text) => *text = &text[..length],
        Cow::Owned(text) => text.truncate(length),
    }
    route
}

/// The request of a line.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(line: &[u8]) -> Result<Line<'_>, InvalidValue> {
    match Scanner::new(line).line() {
        Some(line) => check(line),
        None => Raw::read(line)?.checked(),
    }
}

// === the form that recordings have ===

struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// The line, if it has the form that Breaker records.
    fn line(mut self) -> Option<Line<'a>> {
        let (mut at, mut route, mut latency, mut ending) = (None, None, None, None);
        let mut timed_out = None;
        self.eat(b'{')?;
        loop {
            let key = self.text()?;
            self.eat(b':')?;
            // serde decides what a duplicate name means.
            let first = match key {
                "t" => at.replace(self.nanos()?).is_none(),
                "route" => route.replace(self.text()?).is_none(),
                "latency" => latency.replace(self.latency()?).is_none(),
                "status" => ending.replace(self.status()?).is_none(),
                "outcome" => ending.replace(outcome(self.text()?)?).is_none(),
                "timed_out" => timed_out.replace(self.boolean()?).is_none(),
                _ => false,
            };
            if !first {
                return None;
            }
            self.skip();
            match self.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        self.skip();
        let latency = latency?;
        self.rest.is_empty().then_some(Line {
            at: Timestamp::from_nanos(at?),
            route: Cow::Borrowed(route?),
            latency: latency.map(Duration::from_nanos),
            ending: match (latency, ending) {
                (None, None) => Ending::FAILURE,
                (_, ending) => ending?,
            }
            .timed_out(timed_out.unwrap_or_default()),
        })
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn skip(&mut self) {
        while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn eat(&mut self, wanted: u8) -> Option<()> {
        self.skip();
        (self.next()? == wanted).then_some(())
    }

    /// A text without escapes.
    fn text(&mut self) -> Option<&'a str> {
        self.eat(b'"')?;
        let end = self
            .rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..=31))?;
        let (text, rest) = self.rest.split_at(end);
        let [b'"', rest @ ..] = rest else {
            return None;
        };
        self.rest = rest;
        str::from_utf8(text).ok()
    }

    /// Seconds without sign and exponent, as exact nanoseconds. A float can't hold the nanoseconds
    /// of a time of today exactly.
    fn nanos(&mut self) -> Option<u64> {
        self.skip();
        let seconds = self.digits(10)?;
        let [b'.', rest @ ..] = self.rest else {
            return seconds.checked_mul(NANOS);
        };
        self.rest = rest;
        let before = self.rest.len();
        let fraction = self.digits(9)?;
        let scale = 9 - (before - self.rest.len());
        // Digits below a nanosecond are cut off.
        while let [b'0'..=b'9', rest @ ..] = self.rest {
            self.rest = rest;
        }
        let fraction = fraction * 10_u64.pow(u32::try_from(scale).ok()?);
        seconds.checked_mul(NANOS)?.checked_add(fraction)
    }

    /// One to `most` digits. The first digit is zero only in a fraction or if it is the only digit.
    fn digits(&mut self, most: usize) -> Option<u64> {
        let start = self.rest;
        let mut value = 0;
        while let [digit @ b'0'..=b'9', rest @ ..] = self.rest {
            if start.len() - self.rest.len() == most {
                // A fraction may have more digits, seconds may not.
                return (most < 10).then_some(value);
            }
            value = value * 10 + u64::from(digit - b'0');
            self.rest = rest;
        }
        let leads = most == 10 && start.first() == Some(&b'0') && start.len() - self.rest.len() > 1;
        (start.len() > self.rest.len() && !leads).then_some(value)
    }

    fn latency(&mut self) -> Option<Option<u64>> {
        self.skip();
        if let Some(rest) = self.rest.strip_prefix(b"null") {
            self.rest = rest;
            return Some(None);
        }
        self.nanos().map(Some)
    }

    fn boolean(&mut self) -> Option<bool> {
        self.skip();
        for (text, value) in [("true", true), ("false", false)] {
            if let Some(rest) = self.rest.strip_prefix(text.as_bytes()) {
                self.rest = rest;
                return Some(value);
            }
        }
        None
    }

    fn status(&mut self) -> Option<Ending<'static>> {
        self.skip();
        let status = u16::try_from(self.digits(10)?).ok()?;
        is_status(status).then_some(Ending::Status(status))
    }
}

// === all other forms ===

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with t, route, latency and status")]
struct Raw<'a> {
    t: f64,
    #[serde(borrow)]
    route: Cow<'a, str>,
    /// The outer option says whether the field is present.
    #[serde(default, deserialize_with = "present")]
    latency: Option<Option<f64>>,
    status: Option<i64>,
    #[serde(borrow)]
    outcome: Option<Cow<'a, str>>,
    #[serde(default)]
    timed_out: bool,
}

fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<f64>>, D::Error> {
    Option::deserialize(value).map(Some)
}

impl<'a> Raw<'a> {
    fn read(line: &'a [u8]) -> Result<Self, InvalidValue> {
        serde_json::from_slice(line).map_err(|error| {
            // The message must not have a line number: files have line numbers of their own.
            let text = error.to_string();
            match text.rsplit_once(" at line 1 column ") {
                Some((rule, column)) => format!("{rule} at column {column}").into(),
                None => text.into(),
            }
        })
    }

    fn checked(self) -> Result<Line<'a>, InvalidValue> {
        let nanos = |seconds: f64, field| match (0.0..MOST_SECONDS).contains(&seconds) {
            true => Ok((seconds * 1e9).round() as u64),
            false => Err(InvalidValue::from(format!(
                "{field} must be seconds from 0 to {MOST_SECONDS:e}, not {seconds}"
            ))),
        };
        let at = Timestamp::from_nanos(nanos(self.t, "t")?);
        let latency = match self.latency.ok_or("there must be a latency, or null")? {
            Some(seconds) => Some(Duration::from_nanos(nanos(seconds, "latency")?)),
            None => None,
        };
        let by_status = |status| match u16::try_from(status) {
            Ok(status) if is_status(status) => Ok(Ending::Status(status)),
            _ => Err(InvalidValue::from(format!(
                "status must be 100 to 999, not {status}"
            ))),
        };
        let ending = match (self.outcome.as_deref(), self.status) {
            (Some(word), _) => outcome(word).ok_or_else(|| {
                format!("outcome must be success, failure or ignored, not {word:?}")
            })?,
            (None, Some(status)) => by_status(status)?,
            (None, None) if latency.is_none() => Ending::Outcome(Classification::Failure),
            (None, None) => return Err("there must be a status or an outcome".into()),
        };
        check(Line {
            at,
            route: self.route,
            latency,
            ending: ending.timed_out(self.timed_out),
        })
    }
}

fn check(line: Line<'_>) -> Result<Line<'_>, InvalidValue> {
    match line.route.len() {
        1..=MOST_ROUTE => Ok(line),
        length => Err(format!("route must have 1 to {MOST_ROUTE} bytes, not {length}").into()),
    }
}

fn outcome(word: &str) -> Option<Ending<'static>> {
    let classification = match word {
        "success" => Classification::Success,
        "failure" => Classification::Failure,
        "ignored" => Classification::Ignored,
        _ => return None,
    };
    Some(Ending::Outcome(classification))
}

const fn is_status(status: u16) -> bool {
    matches!(status, 100..=999)
}

const NANOS: u64 = 1_000_000_000;
/// The year 2286. Nanoseconds since 1970 fit into 64 bits until 2554.
const MOST_SECONDS: f64 = 1e10;
/// The maximum length of a route's name, in bytes.
pub(super) const MOST_ROUTE: usize = 256;

#[cfg(test)]
mod tests;
