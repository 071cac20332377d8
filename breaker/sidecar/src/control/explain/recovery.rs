//! What would close a breaker that is open or half-open.

use std::fmt::Write;

use breaker_tower::breaker_core::Snapshot;
use breaker_tower::breaker_core::policy::{Action, Recovery, TripEntry};
use breaker_tower::{Policy, State};

use super::words::span;

pub(super) fn explain(policy: &Policy, snapshot: &Snapshot) -> String {
    let mut text = "What would close it:\n".to_owned();
    if let (State::Open, Some(remaining)) = (snapshot.state, snapshot.open_remaining) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "- In {} the trial begins.", span(remaining));
    }
    let ramps = snapshot.admitted_share.get() > 0.0;
    if !ramps {
        let _ = writeln!(text, "- {}", trial(policy));
    }
    let _ = writeln!(text, "- {}", ramp(policy, ramps));
    if let Some(limit) = limit(policy, snapshot) {
        let _ = writeln!(text, "- {limit}");
    }
    if snapshot.failed_recoveries > 0 {
        let failed = match snapshot.failed_recoveries {
            1 => "1 recovery has".to_owned(),
            more => format!("{more} recoveries have"),
        };
        let _ = writeln!(
            text,
            "- {failed} failed since the last that held: each makes the next open time longer."
        );
    }
    text
}

/// The limit of a ramp, of a policy that sheds.
fn limit(policy: &Policy, snapshot: &Snapshot) -> Option<String> {
    let goes_on = "what of it still binds then goes on when the breaker is closed";
    if let Some(shedding) = &snapshot.shedding {
        let (limit, target) = (shedding.limit, span(shedding.target));
        return Some(format!(
            "Meanwhile no more than {limit} may be in flight, so that a request takes {target} on average; {goes_on}."
        ));
    }
    let sheds = |entry: &TripEntry| entry.action == Action::Shed;
    let limits = policy.recovery() == Recovery::Sequential && policy.trip().iter().any(sheds);
    let most = policy.half_open().concurrent;
    limits.then(|| {
        format!("Meanwhile no more may be in flight than are answered in time, at first {most}; {goes_on}.")
    })
}

fn trial(policy: &Policy) -> String {
    let rules = policy.half_open();
    let at_once = rules.concurrent;
    match policy.recovery() {
        Recovery::Sequential => format!(
            "The trial sends up to {at_once} requests at once: six good ones in a row end it well, two bad ones open the breaker again."
        ),
        _ => format!(
            "The trial sends up to {at_once} requests at once: {} of {} must succeed, or the breaker opens again.",
            rules.needed(),
            rules.probes
        ),
    }
}

fn ramp(policy: &Policy, ramps: bool) -> String {
    let rules = policy.ramp();
    let begins = if ramps {
        "The share of requests that are sent"
    } else {
        "Then the share of requests that are sent"
    };
    match policy.recovery() {
        Recovery::Sequential => format!(
            "{begins} grows from {} by half each 0.5s in which 90% go well, and is halved where 30% don't; it closes after two such times at 100%.",
            rules.start
        ),
        _ if rules.period.is_zero() => "Then it closes at once.".to_owned(),
        _ => format!(
            "{begins} grows from {} to all within {}; it closes then, unless a condition holds or fewer than {} succeed.",
            rules.start,
            span(rules.period),
            policy.half_open().success
        ),
    }
}
