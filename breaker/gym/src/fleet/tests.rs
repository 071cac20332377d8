use super::scenario::ALL;
use super::table::opened;
use super::*;

fn score(id: &str, seed: u64) -> Score {
    let fleet = ALL.iter().find(|fleet| fleet.id == id).unwrap();
    play(fleet, seed, true).unwrap()
}

#[test]
fn a_total_outage_opens_95_percent_of_200_replicas_within_two_and_a_half_seconds() {
    let score = score("F1", 6);
    assert!(opened(&score, 0.95) <= 2.5, "{score:?}");
}

#[test]
fn one_bad_replica_of_ten_opens_nobody_else() {
    for seed in 6..16 {
        assert_eq!(score("F4", seed).wrong, 0, "{seed}");
    }
}

#[test]
fn one_liar_of_ten_opens_nobody() {
    for seed in 6..8 {
        assert_eq!(score("F5", seed).wrong, 0, "{seed}");
    }
}
