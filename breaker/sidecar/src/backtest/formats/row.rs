//! Rows of JSON or CSV, each of which is one request. A [`Shape`] defines the meaning of the
//! columns.

use std::borrow::Cow;
use std::time::Duration;

use breaker_tower::breaker_core::Timestamp;
use serde_json::Value;

use super::text::{route_of_path, route_of_request};
use super::{Reader, combined};
use crate::backtest::line::{Ending, Line};
use crate::backtest::loss::Bad;
use crate::backtest::when;

/// The meaning of the columns of a row. If several names are given, the first one that the row has
/// is used.
pub(super) struct Shape {
    /// The time: a number since 1970 in this unit, or a date.
    pub(super) time: &'static [(&'static str, Unit)],
    pub(super) is_time: Anchor,
    /// The time from the start of the request to its end.
    pub(super) lasted: &'static [(&'static str, Unit)],
    /// The time that the upstream took, if another column has it.
    pub(super) latency: &'static [(&'static str, Unit)],
    /// Whether a latency of 0 means no latency, and not a rounded one.
    pub(super) is_zero_none: bool,
    pub(super) route: &'static [(&'static str, Names)],
    /// The route if the row has none of these columns.
    pub(super) else_route: &'static str,
    /// Whether a row is a request at all.
    pub(super) is_request: fn(&Row<'_>) -> bool,
    /// Which rows are requests, in words; empty if all are.
    pub(super) requests: &'static str,
    /// `None` if the row does not say how the request ended.
    pub(super) ending: fn(&Row<'_>) -> Option<Ending<'static>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Unit {
    Seconds,
    Millis,
    Nanos,
}

/// Whether the time is that of the start or of the end of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    End,
}

/// What the column for the route contains.
#[derive(Clone, Copy, Debug)]
pub(super) enum Names {
    Route,
    Path,
    /// `GET /path HTTP/1.1`.
    Request,
}

/// A row with named columns.
pub(super) enum Row<'a> {
    Json(Value),
    Csv {
        columns: &'a [String],
        cells: Vec<Cow<'a, str>>,
    },
}

/// Reads rows.
pub(super) struct Rows {
    shape: &'static Shape,
    /// `None` for JSON.
    columns: Option<Vec<String>>,
    requests: u64,
    /// Rows that are not requests.
    others: u64,
}

impl Rows {
    pub(super) const fn json(shape: &'static Shape) -> Self {
        Self {
            shape,
            columns: None,
            requests: 0,
            others: 0,
        }
    }

    /// `first` is a heading if it names a column of the time. Otherwise the file has no heading,
    /// and `columns` are the default.
    pub(super) fn csv(shape: &'static Shape, columns: &[&str], first: &[u8]) -> Self {
        let first = cells(str::from_utf8(first).unwrap_or_default().trim_end());
        let is_heading = first
            .iter()
            .any(|cell| shape.time.iter().any(|(name, _)| cell == name));
        let columns = match is_heading {
            true => first.iter().map(|cell| cell.trim().to_owned()).collect(),
            false => columns.iter().map(|&column| column.to_owned()).collect(),
        };
        Self {
            shape,
            columns: Some(columns),
            requests: 0,
            others: 0,
        }
    }
}

impl Reader for Rows {
    fn read(&mut self, record: &[u8], take: &mut dyn FnMut(&Line<'_>)) -> Result<(), Bad> {
        let row = match &self.columns {
            None => Row::Json(
                serde_json::from_slice(record)
                    .map_err(|error| Bad::syntax(format!("it is no JSON: {error}")))?,
            ),
            Some(columns) => {
                let text = str::from_utf8(record).map_err(|_| Bad::syntax("it is no UTF-8"))?;
                let cells = cells(text.trim_end());
                // A concatenated file also has headings in the middle.
                if cells.iter().eq(columns.iter()) {
                    return Ok(());
                }
                if cells.len() < columns.len() / 2 {
                    let (has, wants) = (cells.len(), columns.len());
                    return Err(Bad::syntax(format!("it has {has} columns, not {wants}")));
                }
                Row::Csv { columns, cells }
            }
        };
        if !(self.shape.is_request)(&row) {
            self.others += 1;
            return Ok(());
        }
        self.requests += 1;
        take(&self.shape.request(&row)?);
        Ok(())
    }

    fn nothing(&self) -> Option<String> {
        let (others, requests) = (self.others, self.shape.requests);
        (self.requests == 0 && others > 0)
            .then(|| format!("it has {others} rows, but only {requests} are requests"))
    }
}

impl Shape {
    fn request<'a>(&self, row: &'a Row<'_>) -> Result<Line<'a>, Bad> {
        let at = first(row, self.time, time, "a time")?;
        let lasted = first(row, self.lasted, duration, "a duration")?;
        let latency = first(row, self.latency, duration, "a duration").ok();
        let latency = latency.filter(|latency| !self.is_zero_none || !latency.is_zero());
        let latency = latency.unwrap_or(lasted);
        let ending = (self.ending)(row).ok_or_else(|| Bad::field("there must be a status"))?;
        let named = self
            .route
            .iter()
            .find_map(|(name, names)| Some((row.get(name)?, names)));
        let route = named.map_or(
            Cow::Borrowed(self.else_route),
            |(text, names)| match names {
                Names::Route => text,
                Names::Path => Cow::Owned(route_of_path(&text).into_owned()),
                Names::Request => Cow::Owned(route_of_request(&text).into_owned()),
            },
        );
        Ok(match self.is_time {
            Anchor::Start => Line::began(at, latency, route, ending),
            Anchor::End => Line::ended(at, lasted, latency, route, ending),
        })
    }
}

impl Row<'_> {
    /// The value of the column `name`, if it is not empty. `a.b` is the field `b` of the object
    /// `a`.
    pub(super) fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let text = match self {
            Self::Json(value) => {
                let value = name
                    .split('.')
                    .try_fold(value, |value, field| value.get(field))?;
                match value {
                    Value::String(text) => Cow::Borrowed(text.as_str()),
                    Value::Number(number) => Cow::Owned(number.to_string()),
                    Value::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
                    _ => return None,
                }
            }
            Self::Csv { columns, cells } => {
                let index = columns.iter().position(|column| column == name)?;
                Cow::Borrowed(&**cells.get(index)?)
            }
        };
        let is_none = matches!(&*text, "" | "-" | "N/A");
        (!is_none).then_some(text)
    }

    pub(super) fn is(&self, name: &str, wanted: &str) -> bool {
        self.get(name).as_deref() == Some(wanted)
    }

    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }
}

fn first<T>(
    row: &Row<'_>,
    names: &[(&'static str, Unit)],
    read: fn(&str, Unit) -> Option<T>,
    what: &str,
) -> Result<T, Bad> {
    let found = names
        .iter()
        .find_map(|(name, unit)| Some((name, row.get(name)?, *unit)));
    let (name, text, unit) = found.ok_or_else(|| {
        let names: Vec<_> = names.iter().map(|(name, _)| *name).collect();
        Bad::field(format!("there must be {}", names.join(" or ")))
    })?;
    read(&text, unit).ok_or_else(|| Bad::field(format!("{name} must be {what}, not {text:?}")))
}

/// Users can configure another unit than the default. The number of digits shows the unit: a time
/// of today has ten digits in seconds.
fn time(text: &str, unit: Unit) -> Option<Timestamp> {
    if let Ok(whole) = text.parse::<u64>() {
        let nanos = unit.nanos().min(likely_nanos(whole as f64));
        return whole.checked_mul(nanos).map(Timestamp::from_nanos);
    }
    if let Ok(number) = text.parse::<f64>() {
        let nanos = number * unit.nanos().min(likely_nanos(number)) as f64;
        return (0.0..1.8e19)
            .contains(&nanos)
            .then(|| Timestamp::from_nanos(nanos as u64));
    }
    when::rfc3339(text).or_else(|| when::common_log(text))
}

/// The largest unit, in nanoseconds, in which this number is a time before the year 5000.
const fn likely_nanos(number: f64) -> u64 {
    match number {
        ..1e11 => 1_000_000_000,
        ..1e14 => 1_000_000,
        ..1e17 => 1000,
        _ => 1,
    }
}

fn duration(text: &str, unit: Unit) -> Option<Duration> {
    // `1.5ms`, as Go writes it.
    let number = text.trim_end_matches(|c: char| c.is_alphabetic());
    let nanos = match &text[number.len()..] {
        "" => unit.nanos() as f64,
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => return None,
    };
    match number.parse::<f64>() {
        Ok(number) => Duration::try_from_secs_f64(number * nanos / 1e9).ok(),
        Err(_) => combined::sum(text),
    }
}

/// The cells of a line of CSV. A quoted cell may contain commas and doubled quotes.
fn cells(line: &str) -> Vec<Cow<'_, str>> {
    let mut cells = Vec::new();
    let mut rest = Some(line);
    while let Some(text) = rest {
        let Some(quoted) = text.strip_prefix('"') else {
            let (cell, after) = text
                .split_once(',')
                .map_or((text, None), |(cell, after)| (cell, Some(after)));
            cells.push(Cow::Borrowed(cell));
            rest = after;
            continue;
        };
        let mut cell = String::new();
        let mut chars = quoted.char_indices().peekable();
        let mut end = quoted.len();
        while let Some((index, c)) = chars.next() {
            match c {
                '"' if chars.peek().is_some_and(|(_, next)| *next == '"') => {
                    chars.next();
                    cell.push('"');
                }
                '"' => {
                    end = index + 1;
                    break;
                }
                c => cell.push(c),
            }
        }
        cells.push(Cow::Owned(cell));
        rest = quoted[end..].split_once(',').map(|(_, after)| after);
    }
    cells
}

impl Unit {
    const fn nanos(self) -> u64 {
        match self {
            Self::Seconds => 1_000_000_000,
            Self::Millis => 1_000_000,
            Self::Nanos => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_may_have_commas_and_quotes() {
        assert_eq!(
            cells(r#"1,"Pay, ""slow""",,x"#),
            ["1", r#"Pay, "slow""#, "", "x"]
        );
        assert_eq!(cells(""), [""]);
        assert_eq!(cells("\"open"), ["open"]);
    }

    #[test]
    fn times_and_durations_have_their_units() {
        assert_eq!(
            time("1700000000123", Unit::Millis),
            Some(Timestamp::from_millis(1_700_000_000_123))
        );
        assert_eq!(
            time("1.5", Unit::Seconds),
            Some(Timestamp::from_millis(1500))
        );
        assert_eq!(time("-1.5", Unit::Seconds), None);
        let today = Some(Timestamp::from_millis(1_795_857_304_960));
        for other in ["1795857304960", "1795857304960000", "1795857304960000000"] {
            assert_eq!(time(other, Unit::Seconds), today, "{other}");
            assert_eq!(time(other, Unit::Millis), today, "{other}");
        }
        assert_eq!(
            time("1970-01-01T00:00:01Z", Unit::Seconds),
            Some(Timestamp::from_millis(1000))
        );
        assert_eq!(
            duration("1.5", Unit::Millis),
            Some(Duration::from_micros(1500))
        );
        assert_eq!(
            duration("1.5ms", Unit::Seconds),
            Some(Duration::from_micros(1500))
        );
        assert_eq!(
            duration("0.1, 0.2", Unit::Seconds),
            Some(Duration::from_millis(300))
        );
        assert_eq!(duration("-1", Unit::Seconds), None);
        assert_eq!(duration("soon", Unit::Seconds), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            let _ = (cells(&text), time(&text, Unit::Seconds), duration(&text, Unit::Nanos));
        }
    }
}
