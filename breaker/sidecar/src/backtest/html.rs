//! The HTML page: one file with data, style and script.

use breaker_tower::breaker_core::Timestamp;
use serde::Serialize;

use super::document::{BacktestDocument, Summary};
use super::happening::EventLine;
use super::timeline::ToldTimeline;

/// The data for the script of the page.
#[derive(Serialize)]
struct Data<'a> {
    span: Option<[f64; 2]>,
    routes_in_trace: usize,
    bad_lines: u64,
    policies: Vec<Policy<'a>>,
    routes: Vec<Route<'a>>,
}

#[derive(Serialize)]
struct Policy<'a> {
    name: &'a str,
    summary: Summary,
}

#[derive(Serialize)]
struct Route<'a> {
    name: &'a str,
    start: f64,
    width: f64,
    requests: &'a [u64],
    failed: &'a [u64],
    /// In seconds; null for a bin without answers.
    p50: Vec<Option<f64>>,
    p99: Vec<Option<f64>>,
    policies: Vec<Of<'a>>,
}

/// The results of one policy on one route.
#[derive(Serialize)]
struct Of<'a> {
    rejected_good: &'a [u64],
    rejected_bad: &'a [u64],
    events: Vec<Shown<'a>>,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    told: EventLine<'a>,
    trip: bool,
}

pub(super) fn page(outcome: &BacktestDocument) -> String {
    let timelines = outcome.timelines.iter();
    let mut routes: Vec<_> = timelines.map(|timeline| route(outcome, timeline)).collect();
    // Routes with trips first, then by the number of requests.
    routes.sort_by_key(|route| {
        let trips: usize = route
            .policies
            .iter()
            .map(|of| of.events.iter().filter(|event| event.trip).count())
            .sum();
        std::cmp::Reverse((trips, route.requests.iter().sum::<u64>()))
    });
    let data = Data {
        span: outcome.span.map(|(from, to)| [seconds(from), seconds(to)]),
        routes_in_trace: outcome.routes,
        bad_lines: outcome.lost.lines,
        policies: outcome
            .policies
            .iter()
            .map(|policy| Policy {
                name: &policy.label,
                summary: Summary::of(&policy.sums),
            })
            .collect(),
        routes,
    };
    let data = serde_json::to_string(&data).expect("texts and finite numbers are JSON");
    // A route's name must not end the script element that contains it.
    PAGE.replacen(MARK, &data.replace('<', "\\u003c"), 1)
}

fn route<'a>(outcome: &'a BacktestDocument, timeline: &'a ToldTimeline) -> Route<'a> {
    let latencies = |micros: &[Option<u64>]| {
        let micros = micros.iter();
        micros.map(|micros| Some((*micros)? as f64 / 1e6)).collect()
    };
    let policies = outcome.policies.iter().enumerate();
    let policies = policies.map(|(index, policy)| Of {
        rejected_good: &timeline.rejected_good[index],
        rejected_bad: &timeline.rejected_bad[index],
        events: policy
            .events
            .iter()
            .filter(|event| event.route == timeline.name)
            .take(MOST_EVENTS)
            .map(|event| Shown {
                told: EventLine::of(event, None),
                trip: event.is_trip(),
            })
            .collect(),
    });
    Route {
        name: &timeline.name,
        start: seconds(timeline.start),
        width: std::time::Duration::from_nanos(timeline.width).as_secs_f64(),
        requests: &timeline.requests,
        failed: &timeline.failed,
        p50: latencies(&timeline.p50),
        p99: latencies(&timeline.p99),
        policies: policies.collect(),
    }
}

fn seconds(nanos: u64) -> f64 {
    Timestamp::from_nanos(nanos).as_secs_f64()
}

const PAGE: &str = include_str!("page.html");
/// The placeholder for the data.
const MARK: &str = "{\"data\":null}";
/// Events of one route and policy.
const MOST_EVENTS: usize = 2000;
