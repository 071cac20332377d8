//! What the columns of the logs and results mean that are rows of JSON or CSV.

use breaker_tower::core::Verdict;
use breaker_tower::core::policy::GrpcCode;

use super::envoy;
use super::row::Unit::{Millis, Nanos, Seconds};
use super::row::{Anchor, Names, Row, Shape};
use crate::backtest::line::Ending;

pub(super) static CADDY: Shape = Shape {
    time: &[("ts", Seconds)],
    is_time: Anchor::End,
    lasted: &[("duration", Seconds)],
    latency: &[],
    is_zero_none: true,
    route: &[("request.uri", Names::Path)],
    else_route: "/",
    is_request: |_| true,
    ending: |row| match row.number("status")? {
        // No handler wrote anything, as for a site that is not configured: it says nothing of a service.
        0 => Some(Ending::Outcome(Verdict::Ignored)),
        status => Ending::logged(status),
    },
};

pub(super) static TRAEFIK: Shape = Shape {
    time: &[("StartUTC", Seconds), ("StartLocal", Seconds)],
    is_time: Anchor::Start,
    lasted: &[("Duration", Nanos)],
    latency: &[("OriginDuration", Nanos)],
    is_zero_none: true,
    route: &[
        ("RouterName", Names::Route),
        ("ServiceName", Names::Route),
        ("RequestPath", Names::Path),
    ],
    else_route: "/",
    is_request: |_| true,
    ending: |row| status(row, &["DownstreamStatus", "OriginStatus"]),
};

pub(super) static ENVOY: Shape = Shape {
    time: &[("start_time", Seconds)],
    is_time: Anchor::Start,
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
    else_route: "/",
    is_request: |_| true,
    ending: |row| match row.number("grpc_status_number") {
        Some(code) => Some(Ending::Grpc(GrpcCode::from_number(code))),
        None => envoy::ending(
            &row.get("response_code").unwrap_or("0".into()),
            &row.get("response_flags").unwrap_or_default(),
        ),
    },
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
    is_zero_none: true,
    route: &[
        ("request_uri", Names::Path),
        ("uri", Names::Path),
        ("path", Names::Path),
        ("request", Names::Request),
    ],
    else_route: "/",
    is_request: |_| true,
    ending: |row| status(row, &["status"]),
};

pub(super) static K6_JSON: Shape = Shape {
    time: &[("data.time", Seconds)],
    is_time: Anchor::End,
    lasted: &[("data.value", Millis)],
    latency: &[],
    is_zero_none: true,
    route: &[
        ("data.tags.name", Names::Path),
        ("data.tags.url", Names::Path),
    ],
    else_route: "k6",
    is_request: |row| row.is("metric", "http_req_duration") && row.is("type", "Point"),
    ending: |row| status_or_none(row, "data.tags.status"),
};

pub(super) static K6_CSV: Shape = Shape {
    time: &[("timestamp", Seconds)],
    is_time: Anchor::End,
    lasted: &[("metric_value", Millis)],
    latency: &[],
    is_zero_none: true,
    route: &[("name", Names::Path), ("url", Names::Path)],
    else_route: "k6",
    is_request: |row| row.is("metric_name", "http_req_duration"),
    ending: |row| status_or_none(row, "status"),
};

pub(super) static VEGETA_JSON: Shape = Shape {
    time: &[("timestamp", Nanos)],
    is_time: Anchor::Start,
    lasted: &[("latency", Nanos)],
    latency: &[],
    is_zero_none: true,
    route: &[("url", Names::Path), ("attack", Names::Route)],
    else_route: "vegeta",
    is_request: |_| true,
    ending: vegeta,
};

pub(super) static VEGETA_CSV: Shape = Shape {
    time: &[("timestamp", Nanos)],
    is_time: Anchor::Start,
    lasted: &[("latency", Nanos)],
    latency: &[],
    is_zero_none: true,
    route: &[("url", Names::Path), ("attack", Names::Route)],
    else_route: "vegeta",
    is_request: |_| true,
    ending: vegeta,
};

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
    cells.len() >= VEGETA_COLUMNS.len() && are_numbers && cells[0].len() == 19
}

pub(super) static HEY: Shape = Shape {
    time: &[("offset", Seconds)],
    is_time: Anchor::Start,
    lasted: &[("response-time", Seconds)],
    latency: &[("Response-delay", Seconds)],
    is_zero_none: true,
    route: &[],
    else_route: "hey",
    is_request: |_| true,
    ending: |row| status_or_none(row, "status-code"),
};

pub(super) static JMETER: Shape = Shape {
    time: &[("timeStamp", Millis)],
    is_time: Anchor::Start,
    lasted: &[("elapsed", Millis)],
    latency: &[("Latency", Millis)],
    is_zero_none: true,
    route: &[("label", Names::Route)],
    else_route: "jmeter",
    is_request: |_| true,
    ending: |row| {
        // An assertion may not like what came with a status of 200.
        let failed = row
            .get("success")
            .is_some_and(|text| text.eq_ignore_ascii_case("false"));
        match row.number("responseCode").and_then(Ending::logged) {
            Some(Ending::Status(status)) if failed && status < 400 => Some(Ending::FAILURE),
            Some(ending) => Some(ending),
            None if failed => Some(Ending::FAILURE),
            None => row
                .get("success")
                .map(|_| Ending::Outcome(Verdict::Success)),
        }
    },
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

/// Load generators have a status of 0, or none, where there was no answer.
fn status_or_none(row: &Row<'_>, name: &str) -> Option<Ending<'static>> {
    match row.number(name).unwrap_or(0) {
        0 => Some(Ending::FAILURE),
        status => Ending::logged(status),
    }
}

/// An answer whose body broke off has a good status, and an error.
fn vegeta(row: &Row<'_>) -> Option<Ending<'static>> {
    match row.number::<u16>("code")? {
        status if status < 400 && row.get("error").is_some() => Some(Ending::FAILURE),
        status => Ending::logged(status).or(Some(Ending::FAILURE)),
    }
}
