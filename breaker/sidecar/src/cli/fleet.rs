//! `breaker status --fleet`: the fleet of a running sidecar, and one page over all its members.

use anstyle::Style;
use breaker_sidecar::report::{
    FleetCount, FleetMember, FleetPage, FleetRoute, FleetStage, FleetStatus, OverviewRoute,
    OwnEvidence,
};

use super::output::{BAD, FAINT, GOOD, STRONG, UNSURE};
use super::status::{percent, span};
use super::table::{Cell, Table, left, right};

/// The page, in words.
pub(super) fn in_words(page: &FleetPage) -> String {
    let mut text = head(&page.fleet);
    text.push('\n');
    text += &routes(page);
    match &page.overview {
        Some(overview) => {
            text.push('\n');
            text += &members(&overview.members, &page.fleet);
            if overview.more_members > 0 {
                text += &format!("and {} more\n", overview.more_members);
            }
        }
        None => {
            let why = "The aggregator can't be heard: what it sees of all sidecars is not known.";
            text += &format!("\n{UNSURE}{why}{UNSURE:#}\n");
        }
    }
    text
}

fn head(fleet: &FleetStatus) -> String {
    let mut text = String::new();
    let mut line = |title: &str, value: &str| {
        text += &format!("{FAINT}{title:<10}{FAINT:#}  {value}\n");
    };
    let FleetStatus { name, engine, .. } = fleet;
    let connected = match fleet.connected {
        true => format!("{GOOD}connected{GOOD:#}"),
        false => format!("{BAD}not connected: each breaker is alone{BAD:#}"),
    };
    line(
        "fleet",
        &format!("{STRONG}{name}{STRONG:#} by {engine}, {connected}"),
    );
    line("here", &fleet.instance);
    let aggregator = fleet.aggregator.as_ref().map(|aggregator| {
        let here = if aggregator.here { " (here)" } else { "" };
        match &*aggregator.host {
            "" => format!("{}{here}", aggregator.instance),
            host => format!("{} on {host}{here}", aggregator.instance),
        }
    });
    let term = fleet
        .term
        .map_or(String::new(), |term| format!(", term {term}"));
    let aggregator = aggregator.unwrap_or_else(|| "not known".to_owned());
    line("aggregator", &format!("{aggregator}{term}"));
    let members = fleet.members.map(|members| members.to_string());
    line("members", members.as_deref().unwrap_or("not known"));
    line(
        "verdict",
        &match (fleet.verdict_age, fleet.fresh) {
            (None, _) => "none was heard".to_owned(),
            (Some(age), true) => format!("{} old", span(age)),
            (Some(age), false) => format!("{BAD}{} old: not in force{BAD:#}", span(age)),
        },
    );
    line("reports", &format!("{} sent", fleet.reports));
    for (title, counts) in [("dropped", &fleet.dropped), ("ignored", &fleet.ignored)] {
        if !counts.is_empty() {
            line(title, &told(counts));
        }
    }
    text
}

fn told(counts: &[FleetCount]) -> String {
    let told = counts
        .iter()
        .map(|FleetCount { reason, count }| format!("{count} {reason}"));
    told.collect::<Vec<_>>().join(", ")
}

/// Each route: what the fleet has against it, beside what was observed here.
fn routes(page: &FleetPage) -> String {
    let mut table = Table::new([
        left("ROUTE"),
        left("FLEET"),
        right("EVIDENCE"),
        right("FLEET, 30 S"),
        right("NORMAL"),
        right("HERE, 30 S"),
        right("REQUESTS/S"),
        right("SIDECARS"),
        right("NOT CLOSED"),
        left("THIS SIDECAR"),
    ]);
    for own in &page.fleet.routes {
        let all = page.overview.as_ref().and_then(|overview| {
            let mut routes = overview.routes.iter();
            routes.find(|route| route.name == own.name)
        });
        let nearest = all.and_then(OverviewRoute::nearest);
        let here = nearest.map_or_else(|| own.own.first(), |of| own.own(of.signal));
        let none = || "-".to_owned();
        table.push([
            Cell::styled(&*own.name, STRONG),
            Cell::styled(own.stage.name(), style(own.stage)),
            all.map_or_else(none, |all| percent(all.reached())).into(),
            nearest
                .map_or_else(none, |of| of_all(of.hits, of.requests))
                .into(),
            nearest.map_or_else(none, |of| percent(of.normal)).into(),
            here.map_or_else(none, |OwnEvidence { requests, hits, .. }| {
                of_all(*hits, *requests)
            })
            .into(),
            all.map_or_else(none, |all| format!("{:.1}", all.rate))
                .into(),
            all.map_or_else(none, |all| of_all(all.reporting, all.heard))
                .into(),
            all.map_or_else(none, |all| all.not_closed.to_string())
                .into(),
            this(own).into(),
        ]);
    }
    table.text()
}

/// What this sidecar makes of the verdict.
fn this(route: &FleetRoute) -> String {
    let mut told = Vec::new();
    if route.led {
        told.push("led by the fleet".to_owned());
    }
    if route.prober {
        told.push("sends probes".to_owned());
    }
    if let Some(share) = route.share {
        told.push(format!("{} admitted", percent(share)));
    }
    if let Some(ignored) = route.ignored {
        told.push(format!("does not follow: {ignored}"));
    }
    if let Some(opened) = &route.opened {
        told.push(format!("opened {} ago", span(opened.ago)));
    }
    told.join(", ")
}

fn members(members: &[FleetMember], fleet: &FleetStatus) -> String {
    let mut table = Table::new([
        left("SIDECAR"),
        left("HOST"),
        right("HEARD"),
        right("NOT CLOSED"),
        left("NOTE"),
    ]);
    let aggregator = fleet.aggregator.as_ref().map(|of| &of.instance);
    for member in members {
        let mut notes = Vec::new();
        if Some(&member.instance) == aggregator {
            notes.push("aggregates".to_owned());
        }
        if member.instance == fleet.instance {
            notes.push("here".to_owned());
        }
        if member.counts_in > 0.0 {
            notes.push(format!("counts in {}", span(member.counts_in)));
        }
        if member.outlier > 0 {
            notes.push("sees what the others don't".to_owned());
        }
        let silent = member.silent > LATELY;
        table.push([
            Cell::styled(&*member.instance, STRONG),
            (&*member.host).into(),
            Cell::styled(
                format!("{} ago", span(member.silent)),
                if silent { BAD } else { Style::new() },
            ),
            Cell::styled(
                member.not_closed.to_string(),
                if member.not_closed > 0 {
                    BAD
                } else {
                    Style::new()
                },
            ),
            Cell::styled(
                notes.join(", "),
                if member.outlier > 0 { UNSURE } else { FAINT },
            ),
        ]);
    }
    table.text()
}

fn of_all(some: u64, all: u64) -> String {
    format!("{some} of {all}")
}

const fn style(stage: FleetStage) -> Style {
    match stage {
        FleetStage::Quiet => GOOD,
        FleetStage::Open => BAD,
        _ => UNSURE,
    }
}

/// A member that was silent for longer does not report.
const LATELY: f64 = 3.0;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn page(connected: bool) -> FleetPage {
        let aggregator = json!({ "instance": "aa", "host": "web-1", "here": false });
        let overview = json!({
            "age": 0.5, "term": 7, "more_members": 3,
            "members": [
                { "instance": "aa", "host": "web-1", "silent": 0.2, "counts_in": 0.0,
                  "not_closed": 1, "outlier": 1 },
                { "instance": "bb", "host": "", "silent": 4.0, "counts_in": 31.0,
                  "not_closed": 0, "outlier": 0 },
            ],
            "routes": [{
                "name": "pay", "stage": "open", "rate": 1.62, "reporting": 7, "heard": 8,
                "not_closed": 6, "led": 6, "evidence": null,
                "signals": [
                    { "signal": "latency", "requests": 40, "hits": 1, "normal": 0.01,
                      "evidence": 0.5, "line": 20.0 },
                    { "signal": "errors", "requests": 48, "hits": 14, "normal": 0.015,
                      "evidence": 10.0, "line": 20.0 },
                ],
            }],
        });
        let page = json!({
            "fleet": {
                "name": "shop", "engine": "redis://127.0.0.1:6379", "connected": connected,
                "instance": "bb", "term": 7, "members": 5, "verdict_age": 0.4, "fresh": connected,
                "aggregator": aggregator, "reports": 90, "dropped": [],
                "ignored": [{ "reason": "quorum", "count": 2 }],
                "routes": [{
                    "name": "pay", "stage": if connected { "open" } else { "unknown" },
                    "open_remaining": 4.2, "share": null, "prober": true, "led": true,
                    "ignored": null, "evidence": null, "opened": null,
                    "own": [
                        { "signal": "errors", "requests": 6, "hits": 2 },
                        { "signal": "latency", "requests": 5, "hits": 0 },
                    ],
                }],
            },
            "overview": if connected { overview } else { json!(null) },
        });
        serde_json::from_value(page).unwrap()
    }

    fn plain(page: &FleetPage) -> String {
        anstream::adapter::strip_str(&in_words(page)).to_string()
    }

    #[test]
    fn routes_are_told_over_all_members_beside_what_is_seen_here() {
        assert_eq!(
            plain(&page(true)),
            "fleet       shop by redis://127.0.0.1:6379, connected
here        bb
aggregator  aa on web-1, term 7
members     5
verdict     400ms old
reports     90 sent
ignored     2 quorum

ROUTE  FLEET  EVIDENCE  FLEET, 30 S  NORMAL  HERE, 30 S  REQUESTS/S  SIDECARS  NOT CLOSED  THIS SIDECAR
pay    open        50%     14 of 48    1.5%      2 of 6         1.6    7 of 8           6  led by the fleet, sends probes

SIDECAR  HOST       HEARD  NOT CLOSED  NOTE
aa       web-1  200ms ago           1  aggregates, sees what the others don't
bb               4.0s ago           0  here, counts in 31s
and 3 more
"
        );
    }

    #[test]
    fn an_engine_that_is_gone_is_said_and_what_is_seen_here_stays() {
        let text = plain(&page(false));
        assert!(
            text.contains("not connected: each breaker is alone"),
            "{text}"
        );
        assert!(text.contains("400ms old: not in force"), "{text}");
        assert!(
            text.contains("pay    unknown         -            -       -      2 of 6"),
            "{text}"
        );
        assert!(text.contains("The aggregator can't be heard"), "{text}");
    }
}
