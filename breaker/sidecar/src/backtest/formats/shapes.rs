//! The meaning of the columns of logs and results that are rows of JSON or CSV.

use breaker_tower::breaker_core::Classification;
use breaker_tower::breaker_core::policy::GrpcCode;

use super::envoy;
use super::row::Unit::{Millis, Nanos, Seconds};
use super::row::{Anchor, Names, Row, Shape};
use crate::backtest::line::Ending;

/// The usual shape: each row is a request, and the time is its start.
const ROW: Shape = Shape {
    time: &[],
    is_time: Anchor::Start,
    lasted: &[],
    latency: &[],
    is_zero_none: true,
    route: &[],
    else_route: "/",
    is_request: |_| true,
    requests: "",
    ending: |_| None,
};

pub(super) static CADDY: Shape = Shape {
    time: &[("ts", Seconds)],
    is_time: Anchor::End,
    lasted: &[("duration", Seconds)],
    route: &[("request.uri", Names::Path)],
    ending: |row| match row.number("status")? {
        // No handler wrote an answer, for example because the site is not configured. So the row
        // does not concern a service.
        0 => Some(Ending::Outcome(Classification::Ignored)),
        status => Ending::logged(status),
    },
    ..ROW
};

pub(super) static TRAEFIK: Shape = Shape {
    time: &[("StartUTC", Seconds), ("StartLocal", Seconds)],
    lasted: &[("Duration", Nanos)],
    latency: &[("OriginDuration", Nanos)],
    route: &[
        ("RouterName", Names::Route),
        ("ServiceName", Names::Route),
        ("RequestPath", Names::Path),
    ],
    ending: |row| status(row, &["DownstreamStatus", "OriginStatus"]),
    ..ROW
};

pub(super) static ENVOY: Shape = Shape {
    time: &[("start_time", Seconds)],
    lasted: &[("duration", Millis)],
    latency: &[
        ("upstream_service_time", Millis),
        ("x_envoy_upstream_service_time", Millis),
    ],
    is_zero_none: false,
    route: &[
        ("path", Names::Path),
        ("route_name", Names::Route),
        ("upstream_cluster", Names::Route),
    ],
    ending: |row| match row.number("grpc_status_number") {
        Some(code) => Some(Ending::Grpc(GrpcCode::from_number(code))),
        None => envoy::ending(
            &row.get("response_code").unwrap_or("0".into()),
            &row.get("response_flags").unwrap_or_default(),
        ),
    },
    ..ROW
};

pub(super) static NGINX: Shape = Shape {
    time: &[
        ("msec", Seconds),
        ("time_iso8601", Seconds),
        ("time", Seconds),
        ("timestamp", Seconds),
        ("@timestamp", Seconds),
        ("time_local", Seconds),
    ],
    is_time: Anchor::End,
    lasted: &[("request_time", Seconds)],
    latency: &[("upstream_response_time", Seconds)],
    route: &[
        ("request_uri", Names::Path),
        ("uri", Names::Path),
        ("path", Names::Path),
        ("request", Names::Request),
    ],
    ending: |row| status(row, &["status"]),
    ..ROW
};

pub(super) static K6_JSON: Shape = Shape {
    time: &[("data.time", Seconds)],
    is_time: Anchor::End,
    lasted: &[("data.value", Millis)],
    route: &[
        ("data.tags.name", Names::Path),
        ("data.tags.url", Names::Path),
    ],
    else_route: "k6",
    is_request: |row| row.is("metric", "http_req_duration") && row.is("type", "Point"),
    requests: "points of http_req_duration",
    ending: |row| status_or_none(row, "data.tags.status"),
    ..ROW
};

pub(super) static K6_CSV: Shape = Shape {
    time: &[("timestamp", Seconds)],
    is_time: Anchor::End,
    lasted: &[("metric_value", Millis)],
    route: &[("name", Names::Path), ("url", Names::Path)],
    else_route: "k6",
    is_request: |row| row.is("metric_name", "http_req_duration"),
    requests: "rows of http_req_duration",
    ending: |row| status_or_none(row, "status"),
    ..ROW
};

/// The same columns in JSON and in CSV.
pub(super) static VEGETA: Shape = Shape {
    time: &[("timestamp", Nanos)],
    lasted: &[("latency", Nanos)],
    route: &[("url", Names::Path), ("attack", Names::Route)],
    else_route: "vegeta",
    ending: |row| match row.number::<u16>("code")? {
        // If the body of an answer broke off, the row has a good status and an error.
        status if status < 400 && row.get("error").is_some() => Some(Ending::FAILURE),
        status => Ending::logged(status).or(Some(Ending::FAILURE)),
    },
    ..ROW
};

/// Older versions write only the first nine columns, and still older versions the first six.
pub(super) const VEGETA_COLUMNS: &[&str] = &[
    "timestamp",
    "code",
    "latency",
    "bytes_out",
    "bytes_in",
    "error",
    "body",
    "attack",
    "seq",
    "method",
    "url",
    "headers",
];

pub(super) fn is_vegeta_csv(line: &str) -> bool {
    let cells: Vec<_> = line.split(',').collect();
    let are_numbers = cells.iter().take(5).all(|cell| cell.parse::<u64>().is_ok());
    cells.len() >= 6 && are_numbers && cells[0].len() == 19
}

pub(super) static HEY: Shape = Shape {
    time: &[("offset", Seconds)],
    lasted: &[("response-time", Seconds)],
    latency: &[("Response-delay", Seconds)],
    else_route: "hey",
    ending: |row| status_or_none(row, "status-code"),
    ..ROW
};

pub(super) static JMETER: Shape = Shape {
    time: &[("timeStamp", Millis)],
    lasted: &[("elapsed", Millis)],
    latency: &[("Latency", Millis)],
    route: &[("label", Names::Route)],
    else_route: "jmeter",
    is_request: |row| {
        // A transaction is the sum of samples. Each sample has a row of its own.
        let message = row.get("responseMessage").unwrap_or_default();
        !message.starts_with("Number of samples in transaction")
    },
    requests: "rows of samples, and not of transactions",
    ending: |row| {
        // An assertion may fail although the status is 200.
        let failed = row
            .get("success")
            .is_some_and(|text| text.eq_ignore_ascii_case("false"));
        match row.number("responseCode").and_then(Ending::logged) {
            Some(Ending::Status(status)) if failed && status < 400 => Some(Ending::FAILURE),
            Some(ending) => Some(ending),
            None if failed => Some(Ending::FAILURE),
            None => row
                .get("success")
                .map(|_| Ending::Outcome(Classification::Success)),
        }
    },
    ..ROW
};

pub(super) const JMETER_COLUMNS: &[&str] = &[
    "timeStamp",
    "elapsed",
    "label",
    "responseCode",
    "responseMessage",
    "threadName",
    "dataType",
    "success",
    "failureMessage",
    "bytes",
    "sentBytes",
    "grpThreads",
    "allThreads",
    "URL",
    "Latency",
    "IdleTime",
    "Connect",
];

fn status(row: &Row<'_>, names: &[&str]) -> Option<Ending<'static>> {
    names
        .iter()
        .find_map(|name| row.number(name))
        .and_then(Ending::logged)
}

/// Load generators write the status 0, or no status, if there was no answer.
fn status_or_none(row: &Row<'_>, name: &str) -> Option<Ending<'static>> {
    match row.number(name).unwrap_or(0) {
        0 => Some(Ending::FAILURE),
        status => Ending::logged(status),
    }
}
