//! `blip` of an anomaly's condition: what is shorter is told to nobody, and what lasts longer is
//! not told later than the evidence asks.

use super::*;
use crate::policy::{Action, Signal};

/// `adaptive` with this `blip` in each of its entries.
fn adaptive(blip: Duration) -> Bench {
    let policy = policy::Builder::from(Policy::adaptive()).blip(blip);
    Bench::new(policy.build().unwrap())
}

/// One request each `gap` seconds, of which every `nth` fails, until it opens or `seconds` have
/// passed; returns after how long it opened.
fn failing(bench: &mut Bench, seconds: f64, gap: f64, nth: u32) -> Option<f64> {
    let from = bench.now;
    let requests = (seconds / gap).round() as u32;
    (0..requests).find_map(|index| {
        bench.pass(gap);
        let fails = index % nth == 0;
        bench.run(
            1,
            if fails {
                Outcome::failure(ms(5))
            } else {
                Outcome::success(ms(5))
            },
        );
        (bench.state() == State::Open).then_some(bench.now - from)
    })
}

fn good(bench: &mut Bench, seconds: f64, gap: f64) {
    assert_eq!(failing(bench, seconds, gap, u32::MAX), None);
}

fn healthy(blip: Duration, gap: f64) -> Bench {
    let mut bench = adaptive(blip);
    // The first request of a run fails.
    good(&mut bench, 120.0 * (gap * 100.0), gap);
    bench.events();
    bench
}

#[test]
fn what_is_shorter_than_a_blip_opens_nothing() {
    for (blip, length, opens) in [
        (0, 0.2, false),
        (0, 0.5, true),
        (1000, 0.95, false),
        (1000, 1.2, true),
        (3000, 2.9, false),
        (3000, 3.2, true),
        (60_000, 59.0, false),
        (60_000, 61.0, true),
    ] {
        let mut bench = healthy(ms(blip), 0.01);
        let opened = failing(&mut bench, length, 0.01, 1);
        assert_eq!(opened.is_some(), opens, "blip {blip} ms, {length} s");
        if !opens {
            // Nor does it later: what is over gets no longer.
            good(&mut bench, 120.0, 0.01);
            assert_eq!(bench.events(), [], "blip {blip} ms, {length} s");
        }
    }
}

#[test]
fn an_outage_opens_when_the_blip_is_over_or_the_evidence_is_enough() {
    for (blip, gap, earliest, latest) in [
        // At 100 a second the evidence is there long before; at one each 5 s it takes five
        // failures, and the blip nothing more.
        (0, 0.01, 0.0, 0.3),
        (1000, 0.01, 1.0, 1.05),
        (3000, 0.01, 3.0, 3.05),
        (0, 5.0, 20.0, 30.0),
        (3000, 5.0, 20.0, 30.0),
    ] {
        let mut bench = healthy(ms(blip), gap);
        let opened = failing(&mut bench, 100.0, gap, 1).unwrap();
        let range = earliest..=latest;
        assert!(
            range.contains(&opened),
            "blip {blip} ms, gap {gap} s: {opened} s"
        );
    }
}

#[test]
fn an_alert_waits_for_its_own_blip_and_so_does_a_missed_deadline() {
    let told = |blip| {
        let mut bench = healthy(ms(blip), 0.01);
        let before = bench.now;
        assert_eq!(failing(&mut bench, 60.0, 0.01, 5), None);
        let mut events = bench.events().into_iter();
        let told = events.find_map(|event| match event {
            Event::Alert(alert) => Some(alert.at.as_secs_f64() - before),
            _ => None,
        });
        told.unwrap()
    };
    assert!(told(0) < 6.0);
    assert!((30.0..31.0).contains(&told(30_000)));

    let hangs = |blip| {
        let mut bench = healthy(ms(blip), 0.01);
        let before = bench.now;
        let mut hung = Vec::new();
        while bench.state() == State::Closed {
            // Some are shed, in time.
            hung.extend(bench.acquire());
            bench.pass(0.01);
        }
        bench.now - before
    };
    let (at_once, later) = (hangs(0), hangs(10_000));
    assert!(at_once < 6.0, "{at_once}");
    // A request hangs for a second before it misses the deadline.
    assert!((11.0..11.2).contains(&later), "{later}");
}

#[test]
fn entries_of_one_signal_have_blips_of_their_own() {
    let condition = |at_least, blip| Condition::Anomaly {
        signal: Signal::Errors,
        at_least,
        blip,
    };
    let policy = policy::Builder::from(Policy::adaptive()).trip([
        TripEntry::open([condition(Ratio::of(40, 100), ms(5000))]),
        TripEntry {
            conditions: vec![condition(Ratio::ZERO, Duration::ZERO)],
            action: Action::Alert,
        },
    ]);
    let mut bench = Bench::new(policy.build().unwrap());
    good(&mut bench, 120.0, 0.01);
    bench.events();
    let before = bench.now;
    let opened = failing(&mut bench, 10.0, 0.01, 1).unwrap();
    assert!((5.0..5.1).contains(&opened), "{opened}");
    let told = bench.events();
    assert!(
        matches!(&told[0], Event::Alert(alert) if alert.at.as_secs_f64() - before < 0.5),
        "{told:?}"
    );
}
