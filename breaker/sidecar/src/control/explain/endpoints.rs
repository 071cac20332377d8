//! The endpoints behind a route: which are out, why and for how long.

use std::fmt::Write;
use std::time::Duration;

use breaker_tower::breaker_core::EjectReason;

use super::words::{count, span};
use crate::report::{Endpoint, EndpointState, Upstream};

/// Explains what there is to know of the endpoints, if there are several or one is out.
pub(super) fn explain(text: &mut String, upstream: &Upstream) {
    if !upstream.is_worth_telling() {
        return;
    }
    let name = &upstream.name;
    // Writing to a string cannot fail.
    if upstream.endpoints.is_empty() {
        let _ = write!(
            text,
            "\nUpstream {name}: no endpoint is known, so its requests can't be sent.\n"
        );
        return;
    }
    let used = upstream.endpoints.len() as u64;
    let out = || {
        let endpoints = upstream.endpoints.iter();
        endpoints.filter(|endpoint| endpoint.state != EndpointState::In)
    };
    let many = match upstream.found > used {
        true => format!("{used} of {} endpoints are used", upstream.found),
        false => count(used, "endpoint"),
    };
    let _ = match out().count() {
        0 => writeln!(text, "\nUpstream {name}: {many}, none of them is out."),
        out => writeln!(text, "\nUpstream {name}: {many}, {out} out:"),
    };
    let for_outcomes = |endpoint: &Endpoint| {
        let reason = endpoint.reason.as_ref();
        let others = [EjectReason::Operator, EjectReason::Checks(1)].map(|it| it.label());
        reason.is_some_and(|reason| !others.contains(&&*reason.label))
    };
    // Without ejection for outcomes, the failures of one endpoint are not told apart.
    let alone = match out().any(for_outcomes) {
        true => {
            " What one endpoint fails while the others are well counts against it alone, but \
                 for the first few failures."
        }
        false => "",
    };
    for endpoint in out() {
        let _ = writeln!(text, "- {}", of(endpoint));
    }
    if upstream.panic {
        let _ = writeln!(
            text,
            "More endpoints are bad than may be out ({}), so bad ones get requests too: what they \
             fail counts here.",
            upstream.most_out
        );
    } else if out().next().is_some() {
        let _ = writeln!(
            text,
            "Its requests go to the others, which this breaker judges.{alone}"
        );
    }
}

fn of(endpoint: &Endpoint) -> String {
    let Endpoint {
        endpoint: name,
        state,
        reason,
        ..
    } = endpoint;
    let reason = reason.as_ref();
    let why = reason.map_or(String::new(), |reason| format!(": {}", reason.detail));
    let is_operators = reason.is_some_and(|reason| reason.label == EjectReason::Operator.label());
    let left = endpoint.out_remaining.filter(|left| *left > 0.0);
    let left = left.map(|left| span(Duration::from_secs_f64(left)));
    let how = match (state, left) {
        (EndpointState::Probing, _) => "is probed, one request at a time".to_owned(),
        (_, Some(left)) if is_operators => format!("is out, and in again in {left}"),
        (_, Some(left)) => format!("is out, and probed in {left}"),
        (_, None) => "is out until its health checks are good".to_owned(),
    };
    format!("{name} {how}{why}.")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn endpoint(port: u16, state: &str, why: Option<(&str, &str)>, left: Option<f64>) -> Endpoint {
        let reason = why.map(|(label, detail)| json!({ "label": label, "detail": detail }));
        let endpoint = json!({
            "endpoint": format!("10.0.0.7:{port}"), "state": state, "reason": reason,
            "out_remaining": left, "weight": 1, "grown": 1.0, "in_flight": 0, "latency": 0.01,
            "load": 0.01, "error_rate": 0.0, "attempts": 0, "successes": 0, "failures": 0,
            "unreachable": 0, "ignored": 0,
        });
        serde_json::from_value(endpoint).unwrap()
    }

    fn told(found: u64, panic: bool, endpoints: Vec<Endpoint>) -> String {
        let mut text = String::new();
        let upstream = Upstream {
            name: "ledger".into(),
            panic,
            found,
            most_out: 1,
            endpoints,
        };
        explain(&mut text, &upstream);
        text
    }

    #[test]
    fn each_endpoint_that_is_out_has_its_reason_and_its_time() {
        let endpoints = vec![
            endpoint(1, "in", None, None),
            endpoint(2, "out", Some(("errors", "100% fail")), Some(4.2)),
            endpoint(3, "probing", Some(("deadline", "90% are late")), Some(0.0)),
            endpoint(
                4,
                "out",
                Some(("operator", "an operator ejected it")),
                Some(60.0),
            ),
            endpoint(5, "out", Some(("checks", "3 health checks failed")), None),
        ];
        assert_eq!(
            told(5, false, endpoints),
            "\nUpstream ledger: 5 endpoints, 4 out:
- 10.0.0.7:2 is out, and probed in 4.2s: 100% fail.
- 10.0.0.7:3 is probed, one request at a time: 90% are late.
- 10.0.0.7:4 is out, and in again in 1m: an operator ejected it.
- 10.0.0.7:5 is out until its health checks are good: 3 health checks failed.
Its requests go to the others, which this breaker judges. What one endpoint fails while the others \
are well counts against it alone, but for the first few failures.
"
        );
        let endpoints = vec![
            endpoint(1, "in", None, None),
            endpoint(2, "out", Some(("checks", "a health check failed")), None),
        ];
        let told = told(2, false, endpoints);
        assert!(told.ends_with("which this breaker judges.\n"), "{told}");
    }

    #[test]
    fn a_panic_and_an_upstream_without_endpoints_are_told() {
        let two = || vec![endpoint(1, "in", None, None), endpoint(2, "in", None, None)];
        assert_eq!(
            told(2, true, two()),
            "\nUpstream ledger: 2 endpoints, none of them is out.
More endpoints are bad than may be out (1), so bad ones get requests too: what they fail counts \
here.
"
        );
        assert_eq!(
            told(40, false, two()),
            "\nUpstream ledger: 2 of 40 endpoints are used, none of them is out.\n"
        );
        assert_eq!(
            told(0, false, Vec::new()),
            "\nUpstream ledger: no endpoint is known, so its requests can't be sent.\n"
        );
        assert_eq!(told(1, false, vec![endpoint(1, "in", None, None)]), "");
    }
}
