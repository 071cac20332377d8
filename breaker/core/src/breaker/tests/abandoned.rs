//! What callers that go away before the answer say: nothing, unless the upstream stalls.

use std::collections::BTreeMap;

use super::*;

/// A breaker, and the requests in flight by the time at which they end.
struct Crowd {
    bench: Bench,
    in_flight: BTreeMap<(Timestamp, u64), (Permit, Outcome)>,
    asked: u64,
    admitted: u64,
}

/// A number from 0 to 1 for each number.
pub(super) fn random(number: u64) -> f64 {
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

/// Seconds that a healthy upstream takes: a median of 20 ms, and one in twenty above 45 ms.
fn healthy(number: u64) -> f64 {
    let share = random(number).clamp(1e-6, 1.0 - 1e-6);
    0.02 * (0.3 * (share / (1.0 - share)).ln()).exp()
}

const PATIENT: f64 = 60.0;
const HANGS: f64 = f64::INFINITY;

impl Crowd {
    fn new(policy: Policy) -> Self {
        Self {
            bench: Bench::new(policy),
            in_flight: BTreeMap::new(),
            asked: 0,
            admitted: 0,
        }
    }

    /// `rate` requests a second for so many seconds, each with the latency and patience that `fate`
    /// gives to its number.
    fn run(&mut self, seconds: f64, rate: f64, fate: impl Fn(u64) -> (f64, f64)) {
        let ends = self.bench.now + seconds;
        let began = self.bench.now;
        let mut arrivals = 0.0;
        while began + arrivals / rate < ends {
            self.settle(began + arrivals / rate);
            arrivals += 1.0;
            self.asked += 1;
            let (latency, patience) = fate(self.asked);
            let Ok(permit) = self.bench.acquire() else {
                continue;
            };
            self.admitted += 1;
            let outcome = if latency <= patience {
                Outcome::success(Duration::from_secs_f64(latency))
            } else {
                Outcome::ignored(Duration::from_secs_f64(patience))
            };
            let over = at(self.bench.now) + outcome.latency;
            self.in_flight.insert((over, self.asked), (permit, outcome));
        }
        self.settle(ends);
    }

    /// Lets all that ends by then end.
    fn settle(&mut self, until: f64) {
        while let Some(first) = self.in_flight.first_entry()
            && first.key().0 <= at(until)
        {
            let ((ends, _), (permit, outcome)) = first.remove_entry();
            self.bench.pass_to(ends.as_secs_f64());
            self.bench.record(permit, outcome);
        }
        self.bench.pass_to(until);
    }

    fn assert_silent(&mut self, what: &str) {
        let events = self.bench.events();
        let name = self.bench.breaker.policy.name().to_owned();
        assert!(events.is_empty(), "{name}, {what}: {events:?}");
        assert_eq!(self.admitted, self.asked);
    }
}

fn builtin() -> impl Iterator<Item = Policy> {
    Policy::BUILTIN
        .into_iter()
        .map(|name| Policy::builtin(name).unwrap())
}

#[test]
fn a_hang_opens_however_short_the_patience_of_its_callers() {
    for policy in [sensitive(), Policy::adaptive(), Policy::conservative()] {
        for patience in [0.1, 0.9, 1.5] {
            let mut crowd = Crowd::new(policy.clone());
            crowd.run(60.0, 50.0, |number| (healthy(number), PATIENT));
            crowd.assert_silent("healthy");
            crowd.run(10.0, 50.0, |_| (HANGS, patience));
            let told = crowd.bench.transitions();
            let name = policy.name();
            assert!(!told.is_empty(), "{name}, patience of {patience} s");
            assert!(told[0].starts_with("closed → open"), "{told:?}");
            if patience < 1.0 {
                assert!(told[0].contains(" abandoned by their callers"), "{told:?}");
            }
            let totals = crowd.bench.snapshot().totals;
            assert_eq!(totals.failure, 0, "they stay ignored in the totals");
        }
    }
}

#[test]
fn a_hang_from_the_start_opens_though_no_answer_was_ever_seen() {
    for policy in [sensitive(), Policy::adaptive()] {
        let patience = policy.slow_from().unwrap_or(Duration::from_secs(1));
        let mut crowd = Crowd::new(policy);
        crowd.run(10.0, 50.0, |_| (HANGS, patience.as_secs_f64()));
        assert_ne!(crowd.bench.state(), State::Closed);
    }
}

#[test]
fn the_only_caller_of_a_route_that_was_never_answered_opens_nothing_by_leaving_soon() {
    for policy in builtin() {
        let bound = policy.slow_from().unwrap_or(Duration::from_secs(1));
        for patience in [0.1, 0.3, bound.as_secs_f64() - 0.01] {
            let mut crowd = Crowd::new(policy.clone());
            crowd.run(60.0, 20.0, |_| (bound.as_secs_f64(), patience));
            crowd.assert_silent(&format!("patience of {patience} s"));
        }
    }
}

#[test]
fn a_few_slow_answers_are_enough_for_one_who_leaves_sooner_to_open_nothing() {
    for policy in builtin() {
        let mut crowd = Crowd::new(policy);
        crowd.run(3.0, 1.0, |_| (0.4, PATIENT));
        crowd.run(60.0, 20.0, |_| (0.4, 0.35));
        crowd.assert_silent("abandoned after 350 of 400 ms");
    }
}

#[test]
fn impatient_callers_of_a_healthy_service_are_silent() {
    for rate in [1.0, 100.0] {
        for patience in [0.005, 0.05, 0.1] {
            for policy in builtin() {
                let mut crowd = Crowd::new(policy);
                crowd.run(1_500.0 / rate, rate, |number| {
                    let impatient = random(number ^ 0xabc) < 0.3;
                    (healthy(number), if impatient { patience } else { PATIENT })
                });
                crowd.assert_silent(&format!("{rate}/s, patience of {patience} s"));
            }
        }
    }
}

#[test]
fn an_only_caller_without_patience_is_silent() {
    for patience in [0.02, 0.04, 0.06, 0.08] {
        for policy in builtin() {
            let mut crowd = Crowd::new(policy);
            crowd.run(1_000.0, 2.0, |number| (healthy(number), patience));
            crowd.assert_silent(&format!("patience of {patience} s"));
        }
    }
}

#[test]
fn one_who_abandons_thousands_while_others_are_served_is_silent() {
    for policy in builtin() {
        let mut crowd = Crowd::new(policy);
        crowd.run(5.0, 1100.0, |number| match number % 11 {
            0 => (healthy(number), PATIENT),
            _ => (0.05, 0.001),
        });
        crowd.assert_silent("abused");
    }
}

#[test]
fn one_who_abandons_thousands_on_an_idle_route_is_silent() {
    for policy in builtin() {
        let mut crowd = Crowd::new(policy.clone());
        crowd.run(60.0, 20.0, |_| (0.05, PATIENT));
        crowd.settle(660.0);
        for patience in [0.001, 0.03, 0.049, 0.0501] {
            crowd.run(5.0, 1000.0, |_| (0.05, patience));
            crowd.assert_silent(&format!("patience of {patience} s"));
            crowd.settle(crowd.bench.now + 60.0);
        }
    }
}

#[test]
fn who_abandons_the_slow_path_of_a_quiet_route_is_silent() {
    for policy in builtin() {
        let mut crowd = Crowd::new(policy);
        crowd.run(120.0, 0.5, |_| (0.01, PATIENT));
        // One in seventeen is a good request: one each two seconds.
        crowd.run(60.0, 8.5, |number| match number % 17 {
            0 => (0.01, PATIENT),
            _ => (0.2, 0.12),
        });
        // An alert on latency may be told: 120 ms are more than usual.
        assert_eq!(crowd.bench.transitions(), [""; 0]);
        assert_eq!(crowd.admitted, crowd.asked);
    }
}

#[test]
fn a_caller_that_dawdles_or_does_not_read_on_is_no_evidence() {
    for measure in [
        policy::LatencyMeasure::Head,
        policy::LatencyMeasure::Complete,
    ] {
        for policy in builtin() {
            let policy = policy::Builder::from(policy)
                .latency(measure)
                .build()
                .unwrap();
            let mut bench = Bench::new(policy);
            for _ in 0..30 {
                let mut permits: Vec<_> = (0..20).map(|_| bench.acquire().unwrap()).collect();
                for (index, permit) in permits.iter_mut().enumerate() {
                    match index % 2 {
                        0 => bench.breaker.uploading(permit),
                        _ => bench.begun(permit),
                    }
                }
                bench.pass(0.9);
                for permit in permits {
                    bench.record(permit, Outcome::ignored(ms(5000)));
                }
            }
            assert_eq!(bench.events(), []);
            assert!(
                bench.snapshot().sources[0]
                    .latency
                    .is_none_or(|seen| seen.max < ms(10))
            );
        }
    }
}

#[test]
fn only_those_that_their_callers_abandoned_are_evidence() {
    for attribution in Attribution::ALL {
        let mut bench = Bench::new(sensitive());
        bench.run(1, Outcome::success(ms(1)));
        for _ in 0..10 {
            let permits: Vec<_> = (0..10).filter_map(|_| bench.acquire().ok()).collect();
            bench.pass(0.5);
            for permit in permits {
                bench.record(permit, Outcome::ignored(ms(500)).caused_by(attribution));
            }
        }
        let opened = bench.state() == State::Open;
        assert_eq!(
            opened,
            attribution == Attribution::Caller,
            "{attribution:?}"
        );
    }
}

#[test]
fn what_is_abandoned_is_held_until_nobody_was_answered_for_a_second() {
    let mut bench = Bench::new(sensitive());
    let abandon = |bench: &mut Bench| {
        let permit = bench.acquire().unwrap();
        bench.pass(0.5);
        bench.record(permit, Outcome::ignored(ms(500)));
        bench.snapshot().sources[0].failure
    };
    bench.run(1, Outcome::success(ms(1)));
    assert_eq!(abandon(&mut bench), 0);
    assert_eq!(abandon(&mut bench), 2);
    assert_eq!(abandon(&mut bench), 3);
    bench.run(1, Outcome::success(ms(1)));
    assert_eq!(abandon(&mut bench), 3, "an answer has come between");
}

#[test]
fn who_abandons_a_slow_path_does_nothing_while_others_are_served() {
    for policy in [sensitive(), Policy::adaptive(), Policy::conservative()] {
        let mut bench = Bench::new(policy);
        for _ in 0..200 {
            bench.run(1, Outcome::success(ms(5)));
            bench.pass(0.05);
        }
        for _ in 0..60 {
            // Sixty at once on a path that takes half a second, and somebody else twice a second.
            let permits: Vec<_> = (0..60).map(|_| bench.acquire().unwrap()).collect();
            bench.pass(0.15);
            for permit in permits {
                bench.record(permit, Outcome::ignored(ms(150)));
            }
            bench.pass(0.35);
            assert_eq!(bench.run(1, Outcome::success(ms(5))), 1);
        }
        assert_eq!(bench.transitions(), [""; 0]);
    }
}

#[test]
fn callers_that_abandon_their_probes_do_not_keep_the_others_out() {
    for policy in [sensitive(), Policy::adaptive()] {
        let mut crowd = Crowd::new(policy);
        crowd.run(20.0, 20.0, |_| (0.05, 10.0));
        while crowd.bench.state() != State::Open {
            crowd.bench.pass(0.05);
            crowd.bench.run(100, Outcome::failure(ms(1)));
        }
        crowd.bench.pass(12.0);
        // Three of four leave after 30 ms of the 50 ms that it takes.
        crowd.run(60.0, 20.0, |number| {
            (0.05, if number % 4 == 0 { 10.0 } else { 0.03 })
        });
        assert_eq!(crowd.bench.state(), State::Closed);
    }
}

#[test]
fn a_dead_upstream_gets_no_more_than_the_probes_half_open() {
    for policy in [sensitive(), Policy::adaptive(), Policy::conservative()] {
        for patience in [0.001, 0.1, 0.9] {
            let mut crowd = Crowd::new(policy.clone());
            crowd.bench.run(150, Outcome::failure(ms(1)));
            while crowd.bench.state() != State::Open {
                crowd.bench.pass(0.1);
                crowd.bench.run(100, Outcome::failure(ms(1)));
            }
            let rules = policy.half_open();
            let mut early = 0;
            for _ in 0..60 {
                (crowd.asked, crowd.admitted) = (0, 0);
                crowd.run(rules.probe_timeout.as_secs_f64(), 20.0, |_| {
                    (HANGS, patience)
                });
                // The leases of two periods may touch.
                let most = 2 * u64::from(rules.concurrent);
                let reached = crowd.admitted;
                // Until it shows that callers leave before an answer is due, they get a slot
                // sooner.
                early += reached.saturating_sub(most);
                assert!(
                    early <= if patience < 0.1 { 20 } else { 0 },
                    "{}: {reached} of {}",
                    policy.name(),
                    crowd.asked
                );
            }
            assert_ne!(crowd.bench.state(), State::Closed);
            let failed = crowd.bench.snapshot().failed_recoveries;
            assert_eq!(failed > 0, patience >= 0.1, "{failed} recoveries failed");
        }
    }
}

#[test]
fn a_trial_whose_probes_were_all_abandoned_has_failed_when_their_leases_end() {
    let mut bench = Bench::half_open();
    let probes: Vec<_> = (0..3).map(|_| bench.acquire().unwrap()).collect();
    bench.pass(0.1);
    for probe in probes {
        bench.record(probe, Outcome::ignored(ms(100)));
    }
    bench.transitions();
    bench.pass_to(14.9);
    assert!(bench.acquire().is_err(), "their slots are taken");
    assert_eq!(bench.state(), State::HalfOpen);
    bench.pass_to(15.0);
    assert_eq!(
        bench.transitions(),
        [
            "half_open → open: 3 probes failed (3 abandoned by their callers), 0 succeeded, 4 were needed"
        ]
    );
    let remaining = bench.snapshot().open_remaining;
    assert_eq!(
        remaining,
        Some(Duration::from_secs(20)),
        "the back-off advances"
    );
}

#[test]
fn an_answered_probe_frees_the_slots_of_those_that_were_abandoned() {
    let mut bench = Bench::half_open();
    let answered = bench.acquire().unwrap();
    for _ in 0..2 {
        let abandoned = bench.acquire().unwrap();
        bench.pass(0.1);
        bench.record(abandoned, Outcome::ignored(ms(100)));
    }
    assert!(bench.acquire().is_err());
    bench.record(answered, Outcome::success(ms(200)));
    assert_eq!(bench.run(3, Outcome::success(ms(1))), 3);
    assert!(matches!(bench.breaker.phase, Phase::Ramp(_)));
}
