//! What the brain has to do with a breaker that follows it: what it says now, whether that is
//! followed, and when it opened this breaker.

use std::fmt::Write;

use super::fleet::{because, observed, own, time};
use crate::report::{FleetRoute, FleetStage, FollowingStatus, Signal};

/// Explains what the brain has to do with the breaker of `route`, if that follows it.
pub(super) fn explain(text: &mut String, following: &FollowingStatus, route: &str) {
    let Some(of) = following.route(route) else {
        return;
    };
    let _ = write!(text, "\nBrain {}: ", following.brain);
    if !following.fresh {
        let why = match following.connected {
            true => "it has said nothing for 3s",
            false => "it can't be heard",
        };
        let _ = writeln!(text, "{why}, so this breaker is alone.");
    } else if !following.has(route) {
        let _ = writeln!(
            text,
            "it has no route of this name, so this breaker is alone."
        );
    } else {
        let _ = writeln!(text, "{}", now(of));
        if let Some(ignored) = of.ignored {
            let _ = writeln!(text, "That is not followed here: {}.", because(ignored));
        }
    }
    if let Some(opened) = &of.opened {
        let _ = writeln!(
            text,
            "It last opened this breaker {} ago: there, {}. Here, {}.",
            time(opened.ago),
            observed(&opened.evidence),
            own(&opened.own)
        );
    }
}

fn now(route: &FleetRoute) -> String {
    let Some(evidence) = &route.evidence else {
        let here = route.own(Signal::Errors).map(own);
        let here = here.map_or(String::new(), |own| format!(" Here, {own}."));
        return format!("it has nothing against this route.{here}");
    };
    match route.stage {
        FleetStage::Open => {
            let left = route.open_remaining.map(time).unwrap_or_default();
            let holds = match route.led {
                true => ", and holds this breaker open",
                false => "",
            };
            let observed = observed(evidence);
            format!("the route is open there for another {left}{holds}. There, {observed}.")
        }
        FleetStage::Alarm => {
            "the route is open there, for a reason that can't be followed: it is no share of \
             requests, or it follows another Breaker itself."
                .to_owned()
        }
        _ => "it tests the route; meanwhile this breaker decides by itself.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told(following: &Value, route: &Value) -> String {
        let mut whole = json!({
            "brain": "http://127.0.0.1:9900", "connected": true, "age": 0.4, "fresh": true,
            "unknown_routes": 0, "missing_routes": [], "ignored": [],
        });
        let mut one = json!({
            "name": "pay", "stage": "quiet", "open_remaining": null, "share": null,
            "prober": false, "led": false, "ignored": null, "evidence": null, "opened": null,
            "own": [{ "signal": "errors", "requests": 6, "hits": 2 }],
        });
        merge(&mut one, route);
        merge(&mut whole, following);
        whole["routes"] = json!([one]);
        let mut text = String::new();
        explain(&mut text, &serde_json::from_value(whole).unwrap(), "pay");
        let head = "\nBrain http://127.0.0.1:9900: ";
        text.strip_prefix(head).expect("its address").to_owned()
    }

    fn merge(whole: &mut Value, changes: &Value) {
        for (name, value) in changes.as_object().unwrap() {
            whole[name] = value.clone();
        }
    }

    fn evidence(normal: f64) -> Value {
        json!({
            "signal": "errors", "lasted": 2.5, "requests": 50, "hits": 48, "low": 0.86,
            "high": 0.99, "normal": normal, "evidence": 24.0, "line": 21.5, "reporting": 1,
            "heard": 1,
        })
    }

    #[test]
    fn what_it_says_is_told_with_its_numbers_and_whether_that_is_followed() {
        assert_eq!(
            told(&json!({}), &json!({})),
            "it has nothing against this route. Here, 2 of 6 requests failed in 30s.\n"
        );
        let open = json!({
            "stage": "open", "open_remaining": 4.0, "led": true, "evidence": evidence(0.015),
        });
        assert_eq!(
            told(&json!({}), &open),
            "the route is open there for another 4s, and holds this breaker open. There, 48 of 50 \
             requests failed within 2.5s, surely 86% or more, where 1.5% is normal.\n"
        );
        let ignored = json!({
            "stage": "open", "open_remaining": 4.0, "evidence": evidence(0.0),
            "ignored": "own_evidence",
        });
        assert_eq!(
            told(&json!({}), &ignored),
            "the route is open there for another 4s. There, 48 of 50 requests failed within 2.5s, \
             surely 86% or more.\nThat is not followed here: its own requests go well.\n"
        );
        let tests = json!({ "stage": "probing", "evidence": evidence(0.015) });
        assert!(told(&json!({}), &tests).starts_with("it tests the route; meanwhile"));
        let other = json!({ "stage": "alarm", "evidence": evidence(0.0) });
        assert!(told(&json!({}), &other).contains("a reason that can't be followed"));
    }

    #[test]
    fn a_brain_that_is_lost_silent_or_has_no_such_route_leaves_the_breaker_alone() {
        let lost = json!({ "connected": false, "fresh": false });
        let unknown = json!({ "stage": "unknown" });
        let alone = ", so this breaker is alone.\n";
        assert_eq!(told(&lost, &unknown), format!("it can't be heard{alone}"));
        let silent = told(&json!({ "fresh": false }), &unknown);
        assert_eq!(silent, format!("it has said nothing for 3s{alone}"));
        let missing = told(&json!({ "missing_routes": ["pay"] }), &json!({}));
        assert_eq!(missing, format!("it has no route of this name{alone}"));
    }

    #[test]
    fn when_it_opened_the_breaker_stays_known() {
        let own = json!({ "signal": "errors", "requests": 0, "hits": 0 });
        let opened = json!({ "ago": 30.0, "evidence": evidence(0.015), "own": own });
        let text = told(&json!({}), &json!({ "opened": opened }));
        let expected = "It last opened this breaker 30s ago: there, 48 of 50 requests failed \
                        within 2.5s, surely 86% or more, where 1.5% is normal. Here, no request \
                        ended in 30s.\n";
        assert!(text.ends_with(expected), "{text}");
    }
}
