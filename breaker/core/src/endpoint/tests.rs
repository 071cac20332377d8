use std::time::Duration;

use super::*;
use crate::outcome::Outcome;

mod blame;
mod histories;
mod judging;
mod picking;
mod rows;
mod sets;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// So many endpoints with the ids 1, 2, …
fn endpoints(count: u64) -> Endpoints {
    with(EndpointSettings::default(), count)
}

fn with(settings: EndpointSettings, count: u64) -> Endpoints {
    let mut endpoints = Endpoints::new(settings, 7, at(0)).unwrap();
    endpoints.replace((1..=count).map(|id| (EndpointId(id), 1)), at(0));
    endpoints
}

/// What becomes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    Well,
    Badly,
    Unreachable,
}

/// A request at each multiple of `gap` ms in the range of ms, with what `ends` says of the endpoint
/// and the time, each within 2 ms. Returns what was told.
fn run(
    endpoints: &mut Endpoints,
    millis: std::ops::Range<u64>,
    gap: u64,
    mut ends: impl FnMut(u64, u64) -> Ends,
) -> Vec<EndpointEvent> {
    for now in millis.step_by(gap as usize) {
        let pick = endpoints.pick(at(now), now, |_| Candidate::Fresh);
        let pick = pick.expect("there are endpoints");
        let ending = ends(pick.id().0, now);
        let attempt = endpoints.begin(pick, at(now));
        finish(endpoints, attempt, ending, ms(2), at(now) + ms(2));
    }
    told(endpoints)
}

fn finish(
    endpoints: &mut Endpoints,
    attempt: Attempt,
    ends: Ends,
    latency: Duration,
    now: Timestamp,
) {
    match ends {
        Ends::Well => endpoints.end(attempt, Outcome::success(latency), now),
        Ends::Badly => endpoints.end(attempt, Outcome::failure(latency), now),
        Ends::Unreachable => endpoints.unreachable(attempt, latency, now),
    }
}

fn told(endpoints: &mut Endpoints) -> Vec<EndpointEvent> {
    std::iter::from_fn(|| endpoints.poll_event()).collect()
}

/// The events in words, and when.
fn words(events: &[EndpointEvent]) -> Vec<String> {
    let word = |event: &EndpointEvent| match event {
        EndpointEvent::Ejected { id, reason, .. } => format!("{id} out: {}", reason.label()),
        EndpointEvent::Readmitted { id, by, .. } => format!("{id} in: {by:?}"),
        EndpointEvent::Panic { by_checks, .. } => format!("panic by checks: {by_checks}"),
        EndpointEvent::PanicEnded { .. } => "panic ended".to_owned(),
    };
    events.iter().map(word).collect()
}

fn dead(which: &'static [u64]) -> impl FnMut(u64, u64) -> Ends {
    move |id, _| {
        if which.contains(&id) {
            Ends::Badly
        } else {
            Ends::Well
        }
    }
}

fn well(_: u64, _: u64) -> Ends {
    Ends::Well
}
