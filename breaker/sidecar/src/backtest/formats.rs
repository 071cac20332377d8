//! The formats that Breaker can read, as one table. It is used to recognise files, and a test
//! compares docs/backtest.md with it.
//!
//! A format has a [`Reader`], which turns records into requests. Records are lines, or the JSON
//! values of a file that is one array or has values of several lines (see `source`). If each row of
//! JSON or CSV is one request, a [`Shape`] is enough.

mod combined;
mod envoy;
mod haproxy;
mod jaeger;
mod native;
mod otlp;
mod row;
mod shapes;
mod span;
mod text;
mod zipkin;

use serde_json::Value;

use self::row::{Rows, Shape};
use super::line::Line;
use super::loss::Bad;

/// Turns the records of one file into requests.
pub(super) trait Reader {
    /// Calls `take` for each request of `record`. Some records have no requests, for example a
    /// heading.
    ///
    /// # Errors
    /// What is wrong with the record, or with some of its requests.
    fn read(&mut self, record: &[u8], take: &mut dyn FnMut(&Line<'_>)) -> Result<(), Bad>;

    /// Why a file had no requests, if the reader knows.
    fn nothing(&self) -> Option<String> {
        None
    }
}

/// A format.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the docs are tested against it")
)]
pub(super) struct Format {
    /// What `--format` calls it.
    pub(super) name: &'static str,
    /// What it is, for the docs.
    pub(super) what: &'static str,
    /// How Breaker recognises it, for the docs.
    pub(super) mark: &'static str,
    /// The fields that are read, for the docs.
    pub(super) fields: &'static str,
    is: fn(&Record<'_>) -> bool,
    read: Read,
}

/// How a format is read.
enum Read {
    /// By a reader of its own.
    By(fn() -> Box<dyn Reader>),
    /// Each line is one request or no request.
    Line(fn(&str) -> Result<Option<Line<'_>>, Bad>),
    /// Each JSON object is a row.
    Json(&'static Shape),
    /// Each line is a row of CSV. The first line names the columns; without it, these are the
    /// columns.
    Csv(&'static Shape, &'static [&'static str]),
    /// It can't be read, for this reason.
    Not(&'static str),
}

/// A record whose format is to be recognised.
struct Record<'a> {
    text: &'a str,
    /// The record as JSON, if it is JSON.
    json: Option<Value>,
}

/// The format called `name`.
pub(super) fn named(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

/// The names of all formats that can be read.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let read = FORMATS
        .iter()
        .filter(|format| !matches!(format.read, Read::Not(_)));
    read.map(|format| format.name)
}

/// The format of a file that contains `record`, if the format is known.
pub(super) fn recognise(record: &[u8]) -> Option<&'static Format> {
    let text = str::from_utf8(record).ok()?.trim();
    let is_json = text.starts_with(['{', '[']);
    let json = is_json.then(|| serde_json::from_str(text).ok()).flatten();
    let record = Record { text, json };
    FORMATS.iter().find(|format| (format.is)(&record))
}

impl Format {
    /// A reader for a file whose first record is `first`.
    ///
    /// # Errors
    /// Why files of this format can't be read.
    pub(super) fn reader(&self, first: &[u8]) -> Result<Box<dyn Reader>, &'static str> {
        Ok(match &self.read {
            Read::By(new) => new(),
            Read::Line(read) => Box::new(ByLine(*read)),
            Read::Json(shape) => Box::new(Rows::json(shape)),
            Read::Csv(shape, columns) => Box::new(Rows::csv(shape, columns, first)),
            Read::Not(why) => return Err(why),
        })
    }
}

struct ByLine(fn(&str) -> Result<Option<Line<'_>>, Bad>);

impl Reader for ByLine {
    fn read(&mut self, record: &[u8], take: &mut dyn FnMut(&Line<'_>)) -> Result<(), Bad> {
        let text = str::from_utf8(record).map_err(|_| Bad::syntax("it is no UTF-8"))?;
        if let Some(line) = (self.0)(text.trim_end())? {
            take(&line);
        }
        Ok(())
    }
}

impl Record<'_> {
    /// Whether it is a JSON object with all of `fields`.
    fn has(&self, fields: &[&str]) -> bool {
        fields.iter().all(|field| self.get(field).is_some())
    }

    /// Whether it is a JSON object with one of `fields`.
    fn has_any(&self, fields: &[&str]) -> bool {
        fields.iter().any(|field| self.get(field).is_some())
    }

    fn get(&self, field: &str) -> Option<&Value> {
        self.json.as_ref()?.get(field)
    }

    /// Whether it is a line of CSV that has all of `columns` in its heading.
    fn heads(&self, columns: &[&str]) -> bool {
        let heading: Vec<_> = self.text.split(',').collect();
        columns.iter().all(|column| heading.contains(column))
    }
}

/// All formats. The first one that recognises a record is used.
pub(super) static FORMATS: &[Format] = &[
    Format {
        name: "otlp",
        what: "OTLP/JSON, as the OpenTelemetry Collector's file exporter writes it",
        mark: "`resourceSpans`, possibly inside a `result`, as in version 3 of Jaeger's API",
        fields: "server spans: `http.route` (or the name), times, status",
        is: |record| {
            let request = otlp::request(record.text.as_bytes()).trim_ascii_start();
            let field = request.strip_prefix(b"{").unwrap_or_default();
            field.trim_ascii_start().starts_with(b"\"resource")
        },
        read: Read::By(otlp::reader),
    },
    Format {
        name: "jaeger",
        what: "Jaeger's JSON, as downloaded from its UI or API",
        mark: "`data` or `spans`; or `traceID` with `operationName`, one span a line, as in Jaeger's databases",
        fields: "spans whose `span.kind` is `server`; `http.route` (or `operationName`)",
        is: |record| {
            record.get("data").is_some_and(Value::is_array)
                || record.has(&["traceID", "spans"])
                || record.has(&["traceID", "operationName"])
        },
        read: Read::By(jaeger::reader),
    },
    Format {
        name: "zipkin",
        what: "Zipkin's JSON (v2): spans, or traces of spans",
        mark: "`traceId` and `id`, with `timestamp` or `name`",
        fields: "spans whose `kind` is `SERVER`; the tag `http.route` (or `name`, or the path of `http.url` if `name` is only a host)",
        is: |record| {
            record.has(&["traceId", "id"]) && record.has_any(&["timestamp", "name", "kind"])
        },
        read: Read::By(zipkin::reader),
    },
    Format {
        name: "caddy",
        what: "Caddy's access log (JSON)",
        mark: "`ts`, `request` and `duration`",
        fields: "`ts` (the end), `duration`, `status`, `request.uri`",
        is: |record| record.has(&["ts", "request", "duration"]),
        read: Read::Json(&shapes::CADDY),
    },
    Format {
        name: "traefik-json",
        what: "Traefik's access log (JSON)",
        mark: "`StartUTC` or `StartLocal`, with `Duration`",
        fields: "`StartUTC`, `Duration`, `DownstreamStatus`, `RouterName` (or `ServiceName`), `RequestPath`",
        is: |record| record.has(&["Duration"]) && record.has_any(&["StartUTC", "StartLocal"]),
        read: Read::Json(&shapes::TRAEFIK),
    },
    Format {
        name: "envoy-json",
        what: "Envoy's and Istio's access log (JSON)",
        mark: "`start_time`, `response_code` and `duration`",
        fields: "`start_time`, `upstream_service_time` (or `duration`), `response_code`, `response_flags`, `grpc_status_number`, `path`",
        is: |record| record.has(&["start_time", "response_code", "duration"]),
        read: Read::Json(&shapes::ENVOY),
    },
    Format {
        name: "nginx-json",
        what: "an access log of nginx in JSON",
        mark: "`request_time` and `status`",
        fields: "`msec`, `time_iso8601`, `time` or `time_local` (the end), `request_time`, `upstream_response_time`, `status`, `uri`, `request_uri` or `request`",
        is: |record| record.has(&["request_time", "status"]),
        read: Read::Json(&shapes::NGINX),
    },
    Format {
        name: "k6-json",
        what: "k6, `--out json`",
        mark: "`type` and `metric`",
        fields: "points of `http_req_duration`: `time` (the end), `value`, the tags `status` and `name`",
        is: |record| record.has(&["type", "metric", "data"]),
        read: Read::Json(&shapes::K6_JSON),
    },
    Format {
        name: "vegeta-json",
        what: "vegeta, `vegeta encode`",
        mark: "`code`, `timestamp` and `latency`",
        fields: "`timestamp`, `latency`, `code`, `error`, `url`",
        is: |record| record.has(&["code", "timestamp", "latency"]),
        read: Read::Json(&shapes::VEGETA),
    },
    Format {
        name: "native",
        what: "`breaker record`, and your own recorders",
        mark: "`t`, `route` or `latency`",
        fields: "`t`, `route`, `latency`, `status` or `outcome`",
        is: |record| record.has_any(&["t", "route", "latency"]),
        read: Read::By(native::reader),
    },
    Format {
        name: "jmeter",
        what: "JMeter's results (JTL) as CSV",
        mark: "the columns `timeStamp` and `elapsed`",
        fields: "`timeStamp`, `Latency` (or `elapsed`), `responseCode`, `success`, `label`",
        is: |record| record.heads(&["timeStamp", "elapsed"]),
        read: Read::Csv(&shapes::JMETER, shapes::JMETER_COLUMNS),
    },
    Format {
        name: "k6-csv",
        what: "k6, `--out csv`",
        mark: "the columns `metric_name` and `metric_value`",
        fields: "rows of `http_req_duration`: `timestamp` (the end), `metric_value`, `status`, `name`",
        is: |record| record.heads(&["metric_name", "timestamp", "metric_value"]),
        read: Read::Csv(&shapes::K6_CSV, &[]),
    },
    Format {
        name: "hey",
        what: "hey, `-o csv`",
        mark: "the columns `response-time` and `offset`",
        fields: "`offset`, `Response-delay`, `status-code`; one route, `hey`",
        is: |record| record.heads(&["response-time", "status-code", "offset"]),
        read: Read::Csv(&shapes::HEY, &[]),
    },
    Format {
        name: "locust",
        what: "locust's statistics",
        mark: "the columns `Type` and `Name` with `Request Count` or `User Count`",
        fields: "none",
        is: |record| {
            record.heads(&["Type", "Name", "Request Count"])
                || record.heads(&["User Count", "Type", "Name"])
        },
        read: Read::Not(
            "locust writes sums of many requests, and a backtest needs each: \
             write a line of JSON for each in a listener of events.request",
        ),
    },
    Format {
        name: "envoy",
        what: "Envoy's default access log, and Istio's",
        mark: "a date in brackets, then a quoted request",
        fields: "the start, the upstream's time (or the duration), status, flags, path",
        is: |record| envoy::is(record.text),
        read: Read::Line(envoy::parse),
    },
    Format {
        name: "haproxy",
        what: "HAProxy's HTTP log (`option httplog`)",
        mark: "a date in brackets with milliseconds, then five timers",
        fields: "the date (taken as UTC), `TR/Tw/Tc/Tr/Ta`, status, termination state; the backend is the route",
        is: |record| haproxy::is(record.text),
        read: Read::Line(haproxy::parse),
    },
    Format {
        name: "traefik",
        what: "Traefik's access log (its common log format)",
        mark: "combined, then a number, two quoted texts and `…ms`",
        fields: "the start, the duration, status; the router is the route",
        is: |record| combined::is_traefik(record.text),
        read: Read::Line(combined::traefik),
    },
    Format {
        name: "nginx",
        what: "nginx, combined with `$request_time`",
        mark: "combined, then seconds with a fraction, `rt=` or `request_time=`",
        fields: "the end, the request's time (or the upstream's, `urt=`), status, path",
        is: |record| combined::is_nginx(record.text),
        read: Read::Line(combined::nginx),
    },
    Format {
        name: "apache",
        what: "Apache, combined with `%D`",
        mark: "combined, then a whole number",
        fields: "the start, microseconds, status, path",
        is: |record| combined::is_apache(record.text),
        read: Read::Line(combined::apache),
    },
    Format {
        name: "combined",
        what: "a combined or common log without durations",
        mark: "a date in brackets, then a quoted request",
        fields: "none",
        is: |record| combined::is(record.text),
        read: Read::Not(
            "the log does not say how long requests took: \
             add $request_time (nginx) or %D (Apache) at the end of its format",
        ),
    },
    Format {
        name: "vegeta-csv",
        what: "vegeta, `vegeta encode --to csv`",
        mark: "six columns or more, of which the first is nanoseconds and four more are numbers",
        fields: "the time, code, latency, error and URL",
        is: |record| shapes::is_vegeta_csv(record.text),
        read: Read::Csv(&shapes::VEGETA, shapes::VEGETA_COLUMNS),
    },
    Format {
        name: "jmeter-xml",
        what: "JMeter's results (JTL) as XML",
        mark: "`<testResults`",
        fields: "none",
        is: |record| record.text.starts_with("<?xml") || record.text.starts_with("<testResults"),
        read: Read::Not(
            "XML is not read: have JMeter write CSV (jmeter.save.saveservice.output_format=csv)",
        ),
    },
];

#[cfg(test)]
mod tests;
