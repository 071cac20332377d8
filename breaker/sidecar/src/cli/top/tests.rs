//! The model by what it is told and what is pressed, with plain numbers for time; the view by what
//! it draws.

use std::time::Duration;

use breaker_sidecar::live::{History, Reading};
use breaker_sidecar::report::{Breaker, Breakers, Mode, Upstream};
use breaker_tower::Policy as Rules;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::{Value, json};

use super::model::{Change, Effect, Link, Model, Page, Prompt, Update};
use super::order::Sort;
use super::view::View;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn breaker(name: &str, state: &str, error_rate: f64) -> Value {
    json!({
        "name": name, "state": state, "mode": "auto", "mode_remaining": null,
        "policy": {"name": "sensitive", "origin": "configuration"}, "alerting": false,
        "reason": {"label": "error_rate", "detail": "error rate 52% ≥ 8% of 50 requests"},
        "lasted": 4.2, "open_remaining": if state == "open" { json!(6.0) } else { json!(null) },
        "admitted_share": 1.0, "failed_recoveries": 0, "in_flight": 3, "oldest_in_flight": null,
        "totals": {"success": 24, "failure": 26, "ignored": 0, "rejected": 7, "would_reject": 0, "alerts": 0},
        "transitions": [],
        "sources": [{
            "source": "proxy", "requests": 50, "failures": 26, "ignored": 0, "error_rate": error_rate,
            "latency": {"p50": 0.002, "p90": 0.1, "p95": 0.2, "p99": 0.25, "p999": 0.3, "max": 0.3},
            "concurrency": null, "alerting": false,
            "anomalies": [{
                "signal": "errors", "share": error_rate, "interval": [0.0, 1.0], "normal": 0.01,
                "observations": 50, "score": 0.4, "alarming": false,
            }],
        }],
    })
}

fn point(requests: u32, error_rate: f64) -> Value {
    json!({
        "t": 100.0, "requests": requests, "failures": 0, "rejected": 2, "error_rate": error_rate,
        "p50": 0.002, "p99": 0.25, "in_flight": 3, "score": null, "state": "closed", "latency": [],
    })
}

fn reading(t: f64) -> Reading {
    let of = [
        ("catalog", "closed", 0.0, 40),
        ("checkout", "half_open", 0.1, 1),
        ("pay", "open", 0.52, 4),
        ("search", "closed", 0.25, 120),
    ];
    let breakers = of.map(|(name, state, errors, _)| breaker(name, state, errors));
    let points = of.map(|(_, _, errors, requests)| point(requests, errors));
    serde_json::from_value(json!({"t": t, "breakers": breakers, "points": points})).unwrap()
}

fn model() -> Model {
    let mut model = Model::new(Sort::State);
    model.hear(Update::Reading(reading(100.0)), at(1));
    model
}

fn press(model: &mut Model, key: KeyCode) -> Option<Effect> {
    model.press(KeyEvent::new(key, KeyModifiers::NONE))
}

fn names(model: &Model) -> Vec<&str> {
    let rows = model.rows();
    rows.into_iter().map(|route| &*route.breaker.name).collect()
}

fn drawn(model: &mut Model, width: u16, height: u16, now: Duration) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let mut view = View::new("http://127.0.0.1:9900".into(), true);
    terminal.draw(|frame| view.draw(frame, model, now)).unwrap();
    let buffer = terminal.backend().buffer();
    let cells = buffer.content.chunks(width.into());
    let lines = cells.map(|line| {
        let line: String = line.iter().map(|cell| cell.symbol()).collect();
        line.trim_end().to_owned() + "\n"
    });
    lines.collect()
}

#[test]
fn those_in_trouble_stand_first_and_s_cycles_the_order() {
    let mut model = model();
    assert_eq!(names(&model), ["pay", "checkout", "search", "catalog"]);
    press(&mut model, KeyCode::Char('s'));
    assert_eq!(names(&model), ["search", "catalog", "pay", "checkout"]);
    press(&mut model, KeyCode::Char('s'));
    assert_eq!(names(&model), ["pay", "search", "checkout", "catalog"]);
    for _ in 0..4 {
        press(&mut model, KeyCode::Char('s'));
    }
    assert_eq!(model.sort, Sort::State);
}

#[test]
fn a_breaker_that_sheds_stands_after_half_open_ones_and_says_its_limit() {
    let mut told = reading(100.0);
    let limit = json!({
        "limit": 5, "target": 0.1, "admitted_share": 0.44, "lasted": 15.0,
        "reason": {"label": "slow_rate", "detail": "57% ≥ 50% of the requests took 200ms or longer"},
    });
    told.breakers[0].shedding = serde_json::from_value(limit).unwrap();
    told.breakers[0].admitted_share = 0.44;
    told.breakers[3].alerting = true;
    let mut model = Model::new(Sort::State);
    model.hear(Update::Reading(told), at(1));
    assert_eq!(names(&model), ["pay", "checkout", "catalog", "search"]);
    let table = drawn(&mut model, 100, 12, at(1));
    assert!(table.contains("◒ shedding"), "{table}");
    for _ in 0..2 {
        press(&mut model, KeyCode::Down);
    }
    press(&mut model, KeyCode::Enter);
    let page = drawn(&mut model, 100, 30, at(1));
    let line = "catalog  ◒ shedding for 4.0s, at most 5 in flight, 44% admitted";
    assert!(page.contains(line), "{page}");
}

#[test]
fn the_selection_stays_on_its_route_when_the_order_changes() {
    let mut model = model();
    assert_eq!(model.selected.as_deref(), Some("pay"));
    press(&mut model, KeyCode::Down);
    press(&mut model, KeyCode::Char('j'));
    assert_eq!(model.selected.as_deref(), Some("search"));
    press(&mut model, KeyCode::Char('s'));
    assert_eq!(model.selected.as_deref(), Some("search"));
    press(&mut model, KeyCode::PageUp);
    press(&mut model, KeyCode::End);
    assert_eq!(model.selected.as_deref(), Some("checkout"));
    press(&mut model, KeyCode::Down);
    assert_eq!(model.selected.as_deref(), Some("checkout"));
}

#[test]
fn a_filter_leaves_the_names_that_have_it_and_escape_takes_it_away() {
    let mut model = model();
    for key in ['/', 'C', 'a', 'T'] {
        press(&mut model, KeyCode::Char(key));
    }
    press(&mut model, KeyCode::Enter);
    assert_eq!(names(&model), ["catalog"]);
    assert_eq!(model.selected.as_deref(), Some("catalog"));
    assert_eq!(press(&mut model, KeyCode::Esc), None);
    assert_eq!(names(&model).len(), 4);
    assert_eq!(press(&mut model, KeyCode::Esc), Some(Effect::Leave));
}

#[test]
fn a_change_is_made_only_when_it_is_confirmed() {
    for (key, change) in [
        ('o', Change::Mode(Mode::ForcedOpen)),
        ('c', Change::Mode(Mode::ForcedClosed)),
        ('a', Change::Mode(Mode::Auto)),
        ('S', Change::Mode(Mode::Shadow)),
        ('r', Change::Reset),
    ] {
        let mut model = model();
        assert_eq!(press(&mut model, KeyCode::Char(key)), None);
        assert_eq!(model.prompt, Prompt::Confirm(change));
        assert_eq!(press(&mut model, KeyCode::Char('n')), None);
        assert_eq!(
            press(&mut model, KeyCode::Char('y')),
            None,
            "{key}: no more asked"
        );
        press(&mut model, KeyCode::Char(key));
        let effect = press(&mut model, KeyCode::Char('y'));
        assert_eq!(effect, Some(Effect::Change("pay".into(), change)));
    }
}

#[test]
fn what_the_sidecar_refuses_is_shown_until_the_next_key() {
    let mut model = model();
    let text = "the control token is missing: give it by --token-file or BREAKER_CONTROL_TOKEN";
    model.hear(Update::Refused(text.into()), at(2));
    let screen = drawn(&mut model, 100, 10, at(2));
    assert!(screen.ends_with(&format!("{text}\n")), "{screen}");
    press(&mut model, KeyCode::Down);
    assert_eq!(model.message, None);
}

#[test]
fn control_c_leaves_from_everywhere() {
    let mut model = model();
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    for key in [
        KeyCode::Char('/'),
        KeyCode::Enter,
        KeyCode::Enter,
        KeyCode::Char('o'),
    ] {
        press(&mut model, key);
        assert_eq!(model.press(control_c), Some(Effect::Leave));
    }
}

#[test]
fn a_lost_sidecar_keeps_its_table_and_says_how_old_it_is() {
    let mut model = model();
    model.hear(Update::Lost("nothing listens there".into()), at(3));
    assert_eq!(model.link, Link::Lost("nothing listens there".into()));
    let screen = drawn(&mut model, 80, 12, at(13));
    assert!(screen.contains("reconnecting, 12 s old"), "{screen}");
    assert!(screen.contains("nothing listens there"), "{screen}");
    assert!(screen.contains("catalog"), "{screen}");
    model.hear(Update::Reading(reading(113.0)), at(14));
    assert_eq!(model.link, Link::Live);
}

#[test]
fn a_route_that_is_gone_leaves_the_detail() {
    let mut model = model();
    assert_eq!(
        press(&mut model, KeyCode::Enter),
        Some(Effect::Inspect("pay".into()))
    );
    assert_eq!(model.page, Page::Detail);
    let Reading {
        mut breakers,
        mut points,
        ..
    } = reading(101.0);
    breakers.remove(2);
    points.remove(2);
    let without = json!({"t": 101.0, "breakers": breakers, "points": points});
    model.hear(
        Update::Reading(serde_json::from_value(without).unwrap()),
        at(2),
    );
    assert_eq!(model.page, Page::Table);
    assert_eq!(model.selected.as_deref(), Some("checkout"));
}

#[test]
fn the_first_reading_asks_for_what_was_before_it() {
    let mut model = Model::new(Sort::Name);
    let effect = model.hear(Update::Reading(reading(100.0)), at(1));
    let names = ["catalog", "checkout", "pay", "search"].map(String::from);
    assert_eq!(effect, Some(Effect::Remember(names.to_vec())));
    assert_eq!(model.hear(Update::Reading(reading(101.0)), at(2)), None);
}

#[test]
fn where_watching_is_refused_counts_tell_the_rates() {
    let polled = |success: u64| {
        let mut pay = breaker("pay", "closed", 0.0);
        pay["totals"]["success"] = success.into();
        let pay: Breaker = serde_json::from_value(pay).unwrap();
        Update::Polled(Breakers {
            breakers: vec![pay],
        })
    };
    let mut model = Model::new(Sort::State);
    model.hear(polled(100), at(1));
    model.hear(polled(130), at(3));
    assert_eq!(model.link, Link::Polling);
    assert_eq!(model.rows()[0].now().rate, 15.0);
}

#[test]
fn the_table_has_the_columns_that_fit() {
    let mut model = model();
    assert_eq!(
        drawn(&mut model, 80, 9, at(1)),
        "\
breaker  http://127.0.0.1:9900                                             live
4 routes  1 open  1 half-open  0 alerting  165 req/s  8.0 rej/s

STATE       ROUTE          MODE          RATE/S ERRORS     P99 FLIGHT  REJ/S
○ open      pay            auto             4.0    52%   250ms      3    2.0
◐ half-open checkout       auto             1.0    10%   250ms      3    2.0
● closed    search         auto             120    25%   250ms      3    2.0
● closed    catalog        auto              40     0%   250ms      3    2.0
? help  q quit  s sort: state  / filter  Enter detail  o open  c close  a auto
"
    );
    let narrow = drawn(&mut model, 60, 9, at(1));
    let head = narrow.lines().nth(3).unwrap();
    assert_eq!(
        head,
        "STATE       ROUTE          RATE/S ERRORS     P99  REJ/S"
    );
}

#[test]
fn the_detail_counts_down_and_holds_conditions_against_their_bounds() {
    let mut told = reading(100.0);
    told.breakers[2].sources[0].conditions = serde_json::from_value(json!([
        {
            "entry": 0, "action": "open", "signal": "error_rate", "text": "error rate ≥ 8%", "unit": "share",
            "observed": 0.52, "threshold": 0.08, "samples": 50, "min_requests": 20, "reached": 6.5, "holds": true,
        },
        {
            "entry": 1, "action": "alert", "signal": "p99", "text": "P99 ≥ 1s", "unit": "seconds",
            "observed": 0.25, "threshold": 1.0, "samples": 50, "min_requests": 20, "reached": 0.25, "holds": false,
        },
        {
            "entry": 2, "action": "alert", "signal": "of_tomorrow", "text": "5 lost", "unit": "count",
            "observed": 2.0, "threshold": 5.0, "samples": 2, "min_requests": 0, "reached": 0.4, "holds": false,
        },
    ]))
    .unwrap();
    let mut model = Model::new(Sort::State);
    model.hear(Update::Reading(told), at(1));
    press(&mut model, KeyCode::Enter);
    let history: History = serde_json::from_value(json!({
        "points": [point(1, 0.0), point(8, 0.5)],
        "events": [{
            "t": 96.0, "breaker": "pay", "kind": "transition", "from": "closed", "to": "open",
            "reason": {"label": "error_rate", "detail": "error rate 52% ≥ 8%"}, "source": "proxy",
        }],
    }))
    .unwrap();
    model.hear(Update::History("pay".into(), history), at(1));
    assert_eq!(
        drawn(&mut model, 80, 24, at(3)),
        "\
breaker  http://127.0.0.1:9900                                             live
4 routes  1 open  1 half-open  0 alerting  166 req/s  8.0 rej/s

pay  ○ open for 4.0s, 4 s to go
error rate 52% ≥ 8% of 50 requests
mode auto   policy sensitive
rate/s         4.5                                                          ▁█
rejected/s     2.0                                                          ██
errors         50%                                                          ·█
P99          250ms                                                          ██
in flight        3                                                          ██
conditions of sensitive
  open   ██████████     52%  error rate ≥ 8%
  alert  ███░░░░░░░   250ms  P99 ≥ 1s
  alert  ████░░░░░░       2  5 lost
sources
  proxy               50 requests     52% errors  P50 2.0ms  P99 250ms
anomalies, as a share of the alarm line
  proxy          errors   ████░░░░░░      40%  52% now, 1% is normal
last events
    4.0s ago  closed → open        error rate 52% ≥ 8%


q back  ? help  o open  c close  a auto  S shadow  r reset
"
    );
}

#[test]
fn help_goes_back_to_where_it_was_opened() {
    let mut model = model();
    press(&mut model, KeyCode::Enter);
    for key in [KeyCode::Esc, KeyCode::Char('q'), KeyCode::Char('?')] {
        press(&mut model, KeyCode::Char('?'));
        assert_eq!(model.page, Page::Help);
        press(&mut model, key);
        assert_eq!(model.page, Page::Detail, "{key}");
    }
    press(&mut model, KeyCode::Esc);
    press(&mut model, KeyCode::Char('?'));
    press(&mut model, KeyCode::Esc);
    assert_eq!(model.page, Page::Table);
}

#[test]
fn each_anomaly_condition_has_its_gauge_and_evidence_is_never_below_nothing() {
    let mut told = reading(100.0);
    let anomaly = |signal: &str, score: f64| {
        json!({
            "signal": signal, "share": 0.0, "interval": [0.0, 1.0], "normal": 0.01,
            "observations": 50, "score": score, "alarming": false,
        })
    };
    let anomalies = json!([
        anomaly("errors", -1.25),
        anomaly("latency", 0.3),
        anomaly("deadline", 0.7),
    ]);
    told.breakers[2].sources[0].anomalies = serde_json::from_value(anomalies).unwrap();
    let rules = Rules::adaptive();
    let conditions = rules.trip().iter().flat_map(|entry| &entry.conditions);
    let conditions: Vec<_> = conditions
        .map(|one| {
            let score = match one.signal() {
                "errors" => -1.25,
                "latency" => 0.3,
                _ => 0.7,
            };
            json!({
                "entry": 0, "action": "open", "signal": one.signal(), "text": one.to_string(), "unit": "share",
                "observed": 0.1, "threshold": null, "samples": 50, "min_requests": 0, "reached": score, "holds": false,
            })
        })
        .collect();
    told.breakers[2].sources[0].conditions = serde_json::from_value(conditions.into()).unwrap();
    let mut model = Model::new(Sort::State);
    model.hear(Update::Reading(told), at(1));
    press(&mut model, KeyCode::Enter);
    let page = drawn(&mut model, 100, 30, at(1));
    for line in [
        "░░░░░░░░░░      0%  more requests fail than usual",
        "███░░░░░░░     30%  more requests are slow than usual",
        "███████░░░     70%  more requests miss the deadline than usual",
        "errors   ░░░░░░░░░░       0%",
    ] {
        assert!(page.contains(line), "{line} in\n{page}");
    }
}

#[test]
fn a_shadowed_route_is_not_open_and_its_mode_is_seen_on_a_narrow_terminal() {
    let mut told = reading(100.0);
    told.breakers[2].mode = Mode::Shadow;
    told.breakers[1].mode = Mode::Shadow;
    told.breakers[0].mode = Mode::ForcedClosed;
    let mut model = Model::new(Sort::State);
    model.hear(Update::Reading(told), at(1));
    let narrow = drawn(&mut model, 60, 9, at(1));
    assert!(narrow.contains("0 open  0 half-open"), "{narrow}");
    for row in [
        "◌ shadow    pay",
        "◌ shadow    checkout",
        "● forced    catalog",
    ] {
        assert!(narrow.contains(row), "{row} in\n{narrow}");
    }
    let wide = drawn(&mut model, 80, 9, at(1));
    assert!(wide.contains("○ open      pay            shadow"), "{wide}");
}

const IDLE: &str = "nothing that arrived matches: it asks for service.name checkout, which arrives \
                    as check-out (did you mean check-out?)";

/// A reading of one route with a feed that matches nothing and failures of the proxy.
fn with_feed() -> Model {
    let mut pay = breaker("pay", "open", 0.52);
    let feed = json!({
        "source": "spans", "requests": 0, "failures": 0, "ignored": 0, "error_rate": 0.0,
        "latency": null, "concurrency": null, "alerting": false,
        "unmatched": {"detail": IDLE, "misses": []},
    });
    pay["source"] = json!("proxy");
    pay["sources"][0]["failure_kinds"] = json!([
        {"kind": "503", "endpoint": "10.0.0.7:80", "count": 21},
        {"kind": "connection_refused", "count": 5},
    ]);
    pay["sources"].as_array_mut().unwrap().push(feed);
    let reading = json!({"t": 100.0, "breakers": [pay], "points": [point(4, 0.52)]});
    let mut model = Model::new(Sort::State);
    let reading = serde_json::from_value(reading).unwrap();
    model.hear(Update::Reading(reading), at(1));
    model
}

#[test]
fn the_detail_says_how_requests_failed_and_which_feed_is_idle() {
    let mut model = with_feed();
    press(&mut model, KeyCode::Enter);
    let drawn = drawn(&mut model, 90, 40, at(1));
    for line in [
        "failures of the last 5 min",
        "       21  503 from 10.0.0.7:80",
        "        5  connection_refused",
        "feed spans: nothing that arrived matches: it asks for service.name checkout, which arrives",
        "as check-out (did you mean check-out?)",
    ] {
        assert!(
            drawn
                .lines()
                .any(|drawn| drawn.trim_end() == line || drawn.trim_end() == format!("  {line}")),
            "{line}: {drawn}"
        );
    }
}

#[test]
fn tab_shows_the_numbers_of_the_next_source() {
    let mut model = with_feed();
    assert_eq!(press(&mut model, KeyCode::Tab), None, "not in the table");
    press(&mut model, KeyCode::Enter);
    let text = drawn(&mut model, 90, 40, at(1));
    assert!(text.contains("numbers of proxy, which decides"), "{text}");
    let source = |name: &str| Some(Effect::Source("pay".to_owned(), name.to_owned()));
    assert_eq!(press(&mut model, KeyCode::Tab), source("proxy"));
    assert_eq!(press(&mut model, KeyCode::Tab), source("spans"));
    let history: History =
        serde_json::from_value(json!({"points": [point(77, 0.0)], "events": []})).unwrap();
    // An answer that comes late, of another source, is not shown.
    for (name, is_shown) in [("proxy", false), ("spans", true)] {
        let told = Update::OfSource("pay".to_owned(), name.to_owned(), history.clone());
        model.hear(told, at(2));
        let text = drawn(&mut model, 90, 40, at(2));
        assert!(text.contains("numbers of spans\n"), "{text}");
        assert_eq!(text.contains(" 77 "), is_shown, "{name}: {text}");
    }
    assert_eq!(press(&mut model, KeyCode::Tab), None);
    let text = drawn(&mut model, 90, 40, at(2));
    assert!(text.contains("numbers of proxy, which decides"), "{text}");
    // It is forgotten with the page.
    press(&mut model, KeyCode::Tab);
    press(&mut model, KeyCode::Char('q'));
    press(&mut model, KeyCode::Enter);
    let text = drawn(&mut model, 90, 40, at(2));
    assert!(text.contains("which decides"), "{text}");
}

fn ledger(name: &str) -> Upstream {
    let endpoint = |port: u16, state: &str, attempts: u64| {
        let reason = json!({"label": "errors", "detail": "100% of the requests fail"});
        json!({
            "endpoint": format!("10.0.0.7:{port}"), "state": state,
            "reason": if state == "out" { reason } else { json!(null) },
            "out_remaining": if state == "out" { json!(4.2) } else { json!(null) },
            "weight": 1, "grown": 1.0, "in_flight": 2, "latency": 0.012, "load": 0.036,
            "error_rate": 0.0, "attempts": attempts, "successes": 70, "failures": 7,
            "unreachable": 0, "ignored": 0,
        })
    };
    let endpoints = [
        endpoint(1, "in", 60),
        endpoint(2, "in", 20),
        endpoint(3, "out", 0),
    ];
    let upstream = json!({
        "name": name, "panic": false, "found": 3, "most_out": 1, "endpoints": endpoints,
    });
    serde_json::from_value(upstream).unwrap()
}

#[test]
fn the_page_of_a_route_has_the_endpoints_of_its_upstream_and_what_happens_to_them() {
    let mut told = reading(100.0);
    for breaker in &mut told.breakers {
        breaker.upstream = Some("ledger".to_owned());
    }
    let mut model = Model::new(Sort::State);
    model.hear(Update::Reading(told.clone()), at(1));
    assert_eq!(
        model.hear(Update::Reading(told.clone()), at(2)),
        None,
        "a table"
    );
    press(&mut model, KeyCode::Enter);
    let refresh = Effect::Refresh {
        upstream: Some("ledger".to_owned()),
        source: None,
    };
    assert_eq!(model.hear(Update::Reading(told), at(3)), Some(refresh));
    model.hear(Update::Upstream(ledger("other")), at(3));
    let text = drawn(&mut model, 130, 40, at(3));
    assert!(!text.contains("endpoints of"), "{text}");

    model.hear(Update::Upstream(ledger("ledger")), at(3));
    for (upstream, endpoint) in [("ledger", "10.0.0.7:3"), ("other", "10.0.0.9:9")] {
        let event = json!({
            "t": 100.0, "kind": "ejected", "upstream": upstream, "endpoint": endpoint,
            "reason": {"label": "errors", "detail": format!("{endpoint} has gone bad")},
        });
        model.hear(Update::Event(serde_json::from_value(event).unwrap()), at(3));
    }
    let text = drawn(&mut model, 130, 40, at(3));
    for line in [
        "endpoints of ledger",
        "  10.0.0.7:1  in          75% of all      0% errors    12ms  2 in flight",
        "  10.0.0.7:3  out          0% of all       - errors    12ms  2 in flight  4.2s to go: 100%",
        "endpoint out         10.0.0.7:3 has gone bad",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("10.0.0.9:9"), "{text}");
}
