//! What the fleet has to do with a breaker: when it opened it and by whose evidence, what it
//! believes now, and whether that is followed.

use std::fmt::Write;
use std::time::Duration;

use super::words::{count, percent, span};
use crate::report::{
    FleetEvidence, FleetRoute, FleetStage, FleetStatus, Ignored, OwnEvidence, Signal,
};

/// Explains what `fleet` has to do with the breaker of `route`, if its evidence is pooled.
pub(super) fn explain(text: &mut String, fleet: &FleetStatus, route: &str) {
    let Some(route) = fleet.route(route) else {
        return;
    };
    let name = &fleet.name;
    let _ = write!(text, "\nFleet {name}: ");
    if !fleet.fresh {
        let why = match fleet.connected {
            true => "no aggregator has been heard for 3s",
            false => "its engine can't be reached",
        };
        let _ = writeln!(text, "{why}, so this breaker is alone.");
    } else {
        let _ = writeln!(text, "{}{}", now(route), aggregated(fleet));
        if let Some(ignored) = route.ignored {
            let _ = writeln!(text, "That is not followed here: {}.", because(ignored));
        }
    }
    if let Some(opened) = &route.opened {
        let _ = writeln!(
            text,
            "It last opened this breaker {} ago, by the evidence of {}: {}. This sidecar's own \
             part of that: {}.",
            time(opened.ago),
            sidecars(&opened.evidence),
            numbers(&opened.evidence),
            own(&opened.own)
        );
    }
}

fn now(route: &FleetRoute) -> String {
    let Some(evidence) = &route.evidence else {
        let of = route.own(Signal::Errors).map(own);
        let of = of.map_or(String::new(), |own| format!(" Here, {own}."));
        return format!("it has nothing against this route.{of}");
    };
    let leads = match (route.led, route.prober) {
        (true, true) => ", and leads the recovery of this breaker, which sends probes",
        (true, false) => ", and leads the recovery of this breaker",
        (false, _) => "",
    };
    match route.stage {
        FleetStage::Open => {
            let left = route.open_remaining.map(time).unwrap_or_default();
            format!("the route is open there for another {left}{leads}.")
        }
        FleetStage::Probing => {
            format!("it tests the route by the probes of a few sidecars{leads}.")
        }
        FleetStage::Ramp => {
            let share = percent(route.share.unwrap_or_default());
            format!("it lets {share} of the requests through{leads}.")
        }
        _ => {
            let by = format!("{}: {}", sidecars(evidence), numbers(evidence));
            format!("it has an alarm, which does not open, by {by}.")
        }
    }
}

fn aggregated(fleet: &FleetStatus) -> String {
    let members = fleet.members.map(|members| count(members, "sidecar"));
    let members = members.map_or(String::new(), |members| format!("{members}; "));
    match &fleet.aggregator {
        Some(aggregator) if aggregator.here => format!(" ({members}this one aggregates.)"),
        Some(aggregator) if aggregator.host.is_empty() => {
            format!(" ({members}{} aggregates.)", aggregator.instance)
        }
        Some(aggregator) => {
            let (host, instance) = (&aggregator.host, &aggregator.instance);
            format!(" ({members}{instance} on {host} aggregates.)")
        }
        None => String::new(),
    }
}

fn sidecars(evidence: &FleetEvidence) -> String {
    let FleetEvidence {
        reporting, heard, ..
    } = evidence;
    match reporting == heard {
        true => count(*heard, "sidecar"),
        false => format!("{reporting} of {heard} sidecars"),
    }
}

fn numbers(evidence: &FleetEvidence) -> String {
    if evidence.requests == 0 {
        return "the aggregator before opened it".to_owned();
    }
    let all = observed(evidence);
    format!("{all} (without the sidecars that add most)")
}

/// What was observed, in numbers.
pub(super) fn observed(evidence: &FleetEvidence) -> String {
    let FleetEvidence {
        requests,
        hits,
        lasted,
        low,
        normal,
        ..
    } = evidence;
    let verb = verb(evidence.signal);
    let (lasted, low) = (time(*lasted), percent(*low));
    let normal = match *normal > 0.0 {
        true => format!(", where {} is normal", share(*normal)),
        false => String::new(),
    };
    format!("{hits} of {requests} requests {verb} within {lasted}, surely {low} or more{normal}")
}

pub(super) fn own(own: &OwnEvidence) -> String {
    let OwnEvidence { requests, hits, .. } = own;
    match requests {
        0 => "no request ended in 30s".to_owned(),
        _ => format!(
            "{hits} of {} {} in 30s",
            count(*requests, "request"),
            verb(own.signal)
        ),
    }
}

const fn verb(signal: Signal) -> &'static str {
    match signal {
        Signal::Latency => "were slow",
        Signal::Deadline => "were late",
        _ => "failed",
    }
}

/// Why a verdict is not followed.
pub(super) const fn because(ignored: Ignored) -> &'static str {
    match ignored {
        Ignored::OldTerm => "a newer aggregator has spoken",
        Ignored::Replayed => "it was received before",
        Ignored::Stale => "it was received too long ago",
        Ignored::Quorum => "too few sidecars report",
        Ignored::Weak => {
            "the share is not surely as large as the policy asks for, or is one of too few requests"
        }
        Ignored::OwnEvidence => "its own requests go well",
        Ignored::Forced => "an operator decides",
        Ignored::Left => "this breaker has tripped again by itself, and is on its own",
        Ignored::Unknown => "of a reason that this version does not know",
    }
}

pub(super) fn time(seconds: f64) -> String {
    span(Duration::from_secs_f64(seconds.clamp(0.0, 1e9)))
}

/// A share to a tenth of a per cent.
fn share(share: f64) -> String {
    format!("{}%", (share * 1000.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What is told of a fleet with these changes.
    fn told(fleet: &Value, route: &Value) -> String {
        let mut whole = json!({
            "name": "shop", "engine": "redis://127.0.0.1:6379", "connected": true,
            "instance": "0000000000000001", "term": 7, "members": 8, "verdict_age": 0.4,
            "fresh": true, "aggregator": { "instance": "0000000000000001", "host": "", "here": true },
            "reports": 90, "dropped": [], "ignored": [],
        });
        let mut one = json!({
            "name": "pay", "stage": "quiet", "open_remaining": null, "share": null,
            "prober": false, "led": false, "ignored": null, "evidence": null, "opened": null,
            "own": [{ "signal": "errors", "requests": 6, "hits": 0 }],
        });
        merge(&mut one, route);
        merge(&mut whole, fleet);
        whole["routes"] = json!([one]);
        let mut text = String::new();
        explain(&mut text, &serde_json::from_value(whole).unwrap(), "pay");
        text
    }

    fn merge(whole: &mut Value, changes: &Value) {
        for (name, value) in changes.as_object().unwrap() {
            whole[name] = value.clone();
        }
    }

    fn evidence(signal: &str, requests: u64) -> Value {
        json!({
            "signal": signal, "lasted": 2.5, "requests": requests, "hits": requests / 2,
            "low": 0.33, "high": 0.67, "normal": 0.015, "evidence": 24.0, "line": 21.5,
            "reporting": 6, "heard": 8,
        })
    }

    #[test]
    fn a_quiet_fleet_says_what_is_seen_here() {
        assert_eq!(
            told(&json!({}), &json!({})),
            "\nFleet shop: it has nothing against this route. Here, 0 of 6 requests failed in 30s. \
             (8 sidecars; this one aggregates.)\n"
        );
    }

    #[test]
    fn an_alarm_that_is_not_followed_says_why() {
        let route = json!({
            "stage": "alarm", "ignored": "own_evidence", "evidence": evidence("latency", 20),
        });
        assert_eq!(
            told(&json!({}), &route),
            "\nFleet shop: it has an alarm, which does not open, by 6 of 8 sidecars: 10 of 20 \
             requests were slow within 2.5s, surely 33% or more, where 1.5% is normal (without the \
             sidecars that add most). (8 sidecars; this one aggregates.)\nThat is not followed \
             here: its own requests go well.\n"
        );
    }

    #[test]
    fn who_probes_and_what_is_admitted_is_said() {
        let evidence = evidence("errors", 20);
        let probing = json!({
            "stage": "probing", "led": true, "prober": true, "evidence": evidence,
        });
        let text = told(&json!({}), &probing);
        assert!(
            text.contains(
                "of a few sidecars, and leads the recovery of this breaker, which sends probes."
            ),
            "{text}"
        );
        let ramp = json!({ "stage": "ramp", "share": 0.25, "led": true, "evidence": evidence });
        let text = told(&json!({}), &ramp);
        assert!(
            text.contains("it lets 25% of the requests through, and leads"),
            "{text}"
        );
    }

    #[test]
    fn without_a_fresh_verdict_the_breaker_is_alone() {
        let gone = json!({ "connected": false, "fresh": false });
        assert_eq!(
            told(&gone, &json!({ "stage": "unknown" })),
            "\nFleet shop: its engine can't be reached, so this breaker is alone.\n"
        );
        let silent = told(&json!({ "fresh": false }), &json!({ "stage": "unknown" }));
        assert!(
            silent.contains("no aggregator has been heard for 3s"),
            "{silent}"
        );
    }

    #[test]
    fn an_opening_that_the_last_aggregator_left_has_no_numbers() {
        let own = json!({ "signal": "errors", "requests": 0, "hits": 0 });
        let opened = json!({ "ago": 30.0, "evidence": evidence("errors", 0), "own": own });
        let text = told(&json!({}), &json!({ "opened": opened }));
        let expected = "by the evidence of 6 of 8 sidecars: the aggregator before opened it. This \
                        sidecar's own part of that: no request ended in 30s.\n";
        assert!(text.ends_with(expected), "{text}");
    }
}
