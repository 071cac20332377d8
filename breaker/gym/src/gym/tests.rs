use super::*;
use crate::summary::{Summaries, summarise};

fn plan(scenarios: &[&str], systems: &[&str], threads: usize) -> Plan {
    Plan {
        scenarios: scenarios
            .iter()
            .map(|id| scenario::find(id).unwrap())
            .collect(),
        systems: systems
            .iter()
            .map(|name| system::find(name).unwrap())
            .collect(),
        seeds: vec![1],
        threads,
        timelines: false,
    }
}

fn summaries(scenario: &str, systems: &[&str]) -> Summaries {
    summarise(&run(&plan(&[scenario], systems, 1)))
}

#[test]
fn a_seed_gives_the_same_scores_on_any_number_of_threads_and_in_any_company() {
    let scores = |systems: &[&str], threads| {
        let runs = run(&plan(&["S13", "S18"], systems, threads));
        let of_ours = runs.into_iter().filter(|run| run.system == "sensitive");
        of_ours
            .map(|run| (run.scenario, run.seed, run.score))
            .collect::<Vec<_>>()
    };
    let alone = scores(&["sensitive"], 1);
    assert_eq!(alone.len(), 2);
    assert_eq!(alone, scores(&["none", "sensitive", "envoy-admission"], 3));
}

// What our policies reach, with some room: a change that makes one of them worse must be seen.

#[test]
fn our_policies_open_on_an_outage_within_seconds_and_close_after_it() {
    let summaries = summaries("S04c", &["none", "sensitive", "conservative"]);
    let none = &summaries[&("S04c", "none")];
    assert_eq!((none.detect, none.goodput), (None, 0.0));
    assert!((24_000.0..36_000.0).contains(&none.bad_before_open));

    let sensitive = &summaries[&("S04c", "sensitive")];
    assert!(sensitive.open.unwrap() < 1.2, "{sensitive:?}");
    assert!(sensitive.bad_before_open < 120.0, "{sensitive:?}");
    assert!(sensitive.closed_after.unwrap() < 330.0, "{sensitive:?}");
    assert_eq!(sensitive.false_trips, 0.0);

    let conservative = &summaries[&("S04c", "conservative")];
    assert!(conservative.open.unwrap() < 2.5, "{conservative:?}");
    assert!(conservative.bad_before_open < 250.0, "{conservative:?}");
    assert!(
        conservative.closed_after.unwrap() < 630.0,
        "{conservative:?}"
    );
    assert_eq!(conservative.false_trips, 0.0);
}

#[test]
fn sensitive_opens_on_a_hang_in_six_seconds() {
    // Half of a window of 10 s must hang for longer than 1 s: after 5.5 s.
    let sensitive = &summaries("S08", &["sensitive"])[&("S08", "sensitive")];
    assert!(sensitive.open.unwrap() < 6.0, "{sensitive:?}");
}

#[test]
fn combined_leaves_errors_alone_that_come_at_the_usual_latency() {
    let combined = &summaries("S04b", &["combined"])[&("S04b", "combined")];
    assert_eq!(combined.open, None);
    assert!(combined.goodput > 0.78, "{combined:?}");
}

#[test]
fn adaptive_sheds_in_a_brownout_and_an_overload_and_opens_neither() {
    // Of what arrives the service can do 80 % and 33 %.
    let brownout = &summaries("S06b", &["adaptive"])[&("S06b", "adaptive")];
    assert!(brownout.goodput > 0.72, "{brownout:?}");
    assert_eq!(brownout.false_trips, 0.0);
    let overload = &summaries("S17", &["adaptive"])[&("S17", "adaptive")];
    assert!(overload.goodput > 0.31, "{overload:?}");
    assert!(overload.lost_after < 150.0, "{overload:?}");
}

#[test]
fn adaptive_leaves_a_service_alone_that_is_slow_by_itself() {
    let summaries = summaries("S06", &["none", "adaptive"]);
    let of = |name| &summaries[&("S06", name)];
    let lost = of("none").goodput - of("adaptive").goodput;
    assert!(lost < 0.02, "{lost}");
    assert!(of("adaptive").detect.unwrap() < 4.5);
}

#[test]
fn adaptive_recovers_as_fast_as_the_service_does() {
    // 2,150 are lost at least: the service can't do more.
    let cold_start = &summaries("S13", &["adaptive"])[&("S13", "adaptive")];
    assert!(cold_start.lost_after < 3200.0, "{cold_start:?}");
    let retry_storm = &summaries("S18", &["adaptive"])[&("S18", "adaptive")];
    assert!(retry_storm.lost_after < 150.0, "{retry_storm:?}");
}

#[test]
fn adaptive_opens_on_an_outage_and_on_a_hang() {
    let outage = &summaries("S04c", &["adaptive"])[&("S04c", "adaptive")];
    assert!(outage.open.unwrap() < 0.5, "{outage:?}");
    assert!(outage.bad_before_open < 50.0, "{outage:?}");
    let hang = &summaries("S08", &["adaptive"])[&("S08", "adaptive")];
    assert!(hang.open.unwrap() < 4.5, "{hang:?}");
}

#[test]
fn adaptive_is_silent_with_impatient_callers_and_with_streams() {
    for id in ["S28", "S29a"] {
        let scores = summaries(id, &["adaptive"]);
        let silent = &scores[&(id, "adaptive")];
        assert_eq!(
            (silent.false_trips, silent.false_alerts),
            (0.0, 0.0),
            "{id}"
        );
        assert_eq!(silent.good_rejected_share, 0.0, "{id}");
    }
}

#[test]
fn adaptive_loses_nothing_of_the_burst_after_the_one_that_failed() {
    let bursts = &summaries("S26", &["adaptive"])[&("S26", "adaptive")];
    // Three slices of a tenth of a second, at 100 a second: an hour of silence is no evidence.
    assert!(bursts.bad_before_open < 30.0, "{bursts:?}");
    assert!(bursts.lost_after < 10.0, "{bursts:?}");
}
