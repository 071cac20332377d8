//! How soon an endpoint that is worse than the others is out, and that no other is: the rows of the
//! table in docs/endpoints.md, which the gym measures beside the rules of others.

use super::*;

/// Requests a second spread evenly over so many endpoints, of which 0.3 % fail; from 10 min on the
/// share that `errors` gives for an endpoint and the seconds since then. Returns after how many
/// seconds the first endpoint was out, its failures until then, and how often another was.
fn play(
    count: u64,
    rate: f64,
    seconds: f64,
    seed: u64,
    errors: impl Fn(u64, f64) -> f64,
) -> (Option<f64>, u32, u32) {
    let settings = EndpointSettings {
        balance: Balance::RoundRobin,
        ..EndpointSettings::default()
    };
    let mut endpoints = with(settings, count);
    let mut luck = Rng::new(seed);
    let (mut now, mut out, mut failures, mut others) = (0.0, None, 0, 0);
    while now < 600.0 + seconds {
        now -= (1.0 - luck.unit()).ln() / rate;
        let at = Timestamp::from_secs_f64(now);
        let pick = endpoints.pick(at, 0, |_| Candidate::Fresh).unwrap();
        let id = pick.id().0;
        let share = if now < 600.0 {
            0.003
        } else {
            errors(id, now - 600.0)
        };
        let fails = luck.unit() < share;
        failures += u32::from(fails && id == 1 && now >= 600.0 && out.is_none());
        let attempt = endpoints.begin(pick, at);
        finish(
            &mut endpoints,
            attempt,
            if fails { Ends::Badly } else { Ends::Well },
            ms(20),
            at,
        );
        for event in told(&mut endpoints) {
            if let EndpointEvent::Ejected { id, .. } = event {
                if id.0 == 1 && now >= 600.0 {
                    out.get_or_insert(now - 600.0);
                } else {
                    others += 1;
                }
            }
        }
    }
    (out, failures, others)
}

/// The first endpoint alone fails this share.
fn first(share: f64) -> impl Fn(u64, f64) -> f64 {
    move |id, _| if id == 1 { share } else { 0.003 }
}

/// Of three seeds: out within so many seconds after so many failures, and no other.
fn is_out_within(count: u64, rate: f64, share: f64, most: f64, failed: u32) {
    for seed in 1..=3 {
        let seconds = 20.0 * most;
        let (out, failures, others) = play(count, rate, seconds, seed, first(share));
        let what = format!("1 of {count} at {share}, seed {seed}: {out:?}, {failures} failed");
        assert!(
            out.is_some_and(|out| out <= most) && failures <= failed,
            "{what}"
        );
        assert_eq!(others, 0, "{what}");
    }
}

#[test]
fn one_of_two() {
    is_out_within(2, 100.0, 1.0, 0.5, 25);
    is_out_within(2, 100.0, 0.3, 3.0, 50);
}

#[test]
fn one_of_five() {
    is_out_within(5, 100.0, 1.0, 0.5, 15);
    is_out_within(5, 100.0, 0.3, 5.0, 35);
}

#[test]
fn one_of_twenty() {
    is_out_within(20, 100.0, 1.0, 2.0, 10);
    is_out_within(20, 100.0, 0.3, 12.0, 20);
}

#[test]
fn one_of_five_with_few_requests() {
    is_out_within(5, 2.0, 1.0, 30.0, 12);
    is_out_within(5, 0.2, 1.0, 400.0, 15);
}

#[test]
fn none_where_all_fail_alike() {
    let none = |share: fn(u64, f64) -> f64, rate| {
        for seed in 1..=3 {
            assert_eq!(play(5, rate, 600.0, seed, share).2, 0);
            assert_eq!(play(5, rate, 600.0, seed, share).0, None);
        }
    };
    none(|_, _| 0.2, 100.0);
    none(|_, _| 1.0, 100.0);
    none(|_, _| 1.0, 2.0);
    none(|_, _| 0.003, 100.0);
    // Bursts of a fifth for three seconds each five minutes.
    none(
        |_, after| if after % 300.0 < 3.0 { 0.2 } else { 0.003 },
        100.0,
    );
}
