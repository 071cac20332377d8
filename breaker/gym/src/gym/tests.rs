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
