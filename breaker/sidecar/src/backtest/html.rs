//! The page: one file with its data, style and script in it.

use breaker_tower::State;
use breaker_tower::core::Event;
use serde::Serialize;

use super::findings::{Findings, Summary};
use super::happening::{EventLine, Happening};
use super::timeline::Timeline;

/// What the page's script reads.
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
    requests: Vec<u64>,
    failed: Vec<u64>,
    /// Seconds; null where nothing was answered.
    p50: Vec<Option<f64>>,
    p99: Vec<Option<f64>>,
    policies: Vec<Of<'a>>,
}

/// What a policy did on a route.
#[derive(Serialize)]
struct Of<'a> {
    rejected_good: Vec<u64>,
    rejected_bad: Vec<u64>,
    events: Vec<Shown<'a>>,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    told: EventLine<'a>,
    trip: bool,
}

pub(super) fn page(findings: &Findings) -> String {
    let mut routes: Vec<_> = findings
        .timelines
        .iter()
        .map(|(name, timeline)| route(findings, name, timeline))
        .collect();
    // Those in trouble first, then the busy ones.
    routes.sort_by_key(|route| {
        let trips: usize = route
            .policies
            .iter()
            .map(|of| of.events.iter().filter(|event| event.trip).count())
            .sum();
        std::cmp::Reverse((trips, route.requests.iter().sum::<u64>()))
    });
    let data = Data {
        span: findings
            .span
            .map(|(from, to)| [from.as_secs_f64(), to.as_secs_f64()]),
        routes_in_trace: findings.routes,
        bad_lines: findings.lost.lines,
        policies: findings
            .policies
            .iter()
            .map(|policy| Policy {
                name: &policy.label,
                summary: Summary::of(&policy.report),
            })
            .collect(),
        routes,
    };
    let data = serde_json::to_string(&data).expect("texts and finite numbers are JSON");
    // A route's name must not end the script that it stands in.
    PAGE.replacen(MARK, &data.replace('<', "\\u003c"), 1)
}

fn route<'a>(findings: &'a Findings, name: &'a str, timeline: &Timeline) -> Route<'a> {
    let bins = timeline.bins();
    let seconds = |quantile| {
        bins.iter()
            .map(move |bin| Some(bin.quantile(quantile)? as f64 / 1e6))
            .collect()
    };
    let policies = findings
        .policies
        .iter()
        .enumerate()
        .map(|(index, policy)| Of {
            rejected_good: bins.iter().map(|bin| bin.rejected[index].good).collect(),
            rejected_bad: bins.iter().map(|bin| bin.rejected[index].bad).collect(),
            events: policy
                .events
                .iter()
                .filter(|event| &*event.route == name)
                .take(MOST_EVENTS)
                .map(|event| Shown {
                    told: event.told(None),
                    trip: is_trip(event),
                })
                .collect(),
        });
    Route {
        name,
        start: timeline.start().as_secs_f64(),
        width: timeline.width().as_secs_f64(),
        requests: bins.iter().map(|bin| bin.requests).collect(),
        failed: bins.iter().map(|bin| bin.failed).collect(),
        p50: seconds(0.5),
        p99: seconds(0.99),
        policies: policies.collect(),
    }
}

fn is_trip(happening: &Happening) -> bool {
    matches!(&happening.event, Event::Transition(moved) if (moved.from, moved.to) == (State::Closed, State::Open))
}

const PAGE: &str = include_str!("page.html");
/// Where the data goes.
const MARK: &str = "{\"data\":null}";
/// Of one route and policy.
const MOST_EVENTS: usize = 2000;
