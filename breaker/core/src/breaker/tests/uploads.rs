//! Callers that send half a request, or a malformed one, do not keep the others out of a trial.

use proptest::prelude::*;

use super::*;

/// What a caller that misbehaves does with the body of its request.
#[derive(Clone, Copy, Debug)]
enum Body {
    /// It sends the head, and never ends.
    Half,
    /// It sends what is no body after so many milliseconds, or goes away in the middle of it.
    Broken(u64),
    /// It takes so many milliseconds for a good one, which is answered.
    Slow(u64),
    /// It is complete with its head, and left after so many milliseconds of the 20 that an answer
    /// takes.
    Left(u64),
}

/// What ends a request in flight.
enum Due {
    Uploaded,
    Ends(Outcome),
}

/// A breaker whose service has recovered, while somebody misbehaves.
struct Siege {
    bench: Bench,
    due: Vec<(f64, Permit, Due)>,
    stuck: Vec<Permit>,
    seed: u64,
}

impl Siege {
    fn of(policy: Policy) -> Self {
        let mut bench = Bench::new(policy);
        while bench.state() == State::Closed {
            bench.run(100, Outcome::failure(ms(3000)));
            bench.pass(0.1);
        }
        while bench.state() == State::Open {
            bench.pass(0.1);
        }
        Self {
            bench,
            due: Vec::new(),
            stuck: Vec::new(),
            seed: 0,
        }
    }

    /// One who behaves: a good answer within 20 ms.
    fn behave(&mut self) {
        if let Ok(permit) = self.bench.acquire() {
            let ends = self.bench.now + 0.02;
            self.due
                .push((ends, permit, Due::Ends(Outcome::success(ms(20)))));
        }
    }

    fn misbehave(&mut self, body: Body) {
        let Ok(mut permit) = self.bench.acquire() else {
            return;
        };
        if !matches!(body, Body::Left(_)) {
            self.bench.breaker.uploading(&mut permit);
        }
        let after = |millis: u64| self.bench.now + millis as f64 / 1e3;
        match body {
            Body::Half => self.stuck.push(permit),
            Body::Broken(millis) | Body::Left(millis) => {
                let ends = Due::Ends(Outcome::ignored(ms(millis)));
                self.due.push((after(millis), permit, ends));
            }
            Body::Slow(millis) => self.due.push((after(millis), permit, Due::Uploaded)),
        }
    }

    /// Lets time pass; what is due meanwhile happens at its time.
    fn pass_to(&mut self, until: f64) {
        self.due.sort_by(|(a, ..), (b, ..)| b.total_cmp(a));
        while self.due.last().is_some_and(|(at, ..)| *at <= until) {
            let (due, mut permit, what) = self.due.pop().unwrap();
            self.bench.pass_to(due.max(self.bench.now));
            match what {
                Due::Ends(outcome) => self.bench.record(permit, outcome),
                Due::Uploaded => {
                    self.bench.breaker.uploaded(&mut permit, at(self.bench.now));
                    self.bench.record(permit, Outcome::success(ms(1)));
                }
            }
        }
        self.bench.pass_to(until);
    }

    /// Seconds until it is closed, with two good requests a second beside `rate` bad ones; `None`
    /// after two minutes.
    fn closes_after(&mut self, rate: f64, body: impl Fn(u64) -> Body) -> Option<f64> {
        let began = self.bench.now;
        // Each at its own moment: in step with each other, one of them would always come first.
        let seed = self.seed;
        let moment = |number: u64, who: u64| {
            number as f64 + abandoned::random(number.wrapping_mul(2 * seed + 1) + who)
        };
        let (mut good, mut bad) = (0_u64, 0_u64);
        while self.bench.state() != State::Closed {
            let (next_good, next_bad) = (moment(good, 0) / 2.0, moment(bad, 1 << 32) / rate);
            self.pass_to(began + next_good.min(next_bad));
            if next_good < next_bad {
                good += 1;
                self.behave();
            } else {
                bad += 1;
                self.misbehave(body(bad));
            }
            if self.bench.now - began > 120.0 {
                return None;
            }
        }
        Some(self.bench.now - began)
    }

    fn leases(&self) -> usize {
        match &self.bench.breaker.phase {
            Phase::Probing(probing) => probing.leases(),
            _ => 0,
        }
    }
}

fn builtin() -> impl Iterator<Item = Policy> {
    Policy::BUILTIN
        .into_iter()
        .map(|name| Policy::builtin(name).unwrap())
}

/// Seconds that a trial takes at the longest with two good requests a second, whoever else asks:
/// half a second for each probe (ten of them at most), as much again for slots that uploads hold at
/// first, and the ramp (a minute at most).
const PATIENCE: f64 = 75.0;

#[test]
fn half_requests_do_not_keep_the_others_out_of_a_trial() {
    for policy in builtin() {
        for rate in [1.0, 5.0, 20.0, 60.0, 500.0] {
            let mut siege = Siege::of(policy.clone());
            let closes = siege.closes_after(rate, |_| Body::Half);
            let what = format!("{}, {rate}/s: {closes:?}", policy.name());
            assert!(closes.is_some_and(|after| after < PATIENCE), "{what}");
        }
    }
}

#[test]
fn broken_requests_do_not_keep_the_others_out_of_a_trial() {
    for policy in builtin() {
        for rate in [1.0, 20.0, 60.0, 500.0] {
            for millis in [0, 2, 40] {
                let mut siege = Siege::of(policy.clone());
                let closes = siege.closes_after(rate, |_| Body::Broken(millis));
                let what = format!("{}, {rate}/s, {millis} ms: {closes:?}", policy.name());
                assert!(closes.is_some_and(|after| after < PATIENCE), "{what}");
            }
        }
    }
}

#[test]
fn who_leaves_at_once_does_not_keep_the_others_out_of_a_trial() {
    for policy in builtin() {
        for millis in [1, 15] {
            let mut closes: Vec<_> = (0..20)
                .map(|seed| {
                    let mut siege = Siege::of(policy.clone());
                    siege.seed = seed;
                    siege.closes_after(20.0, |_| Body::Left(millis))
                })
                .map(|after| after.unwrap_or(f64::INFINITY))
                .collect();
            closes.sort_by(f64::total_cmp);
            let what = format!("{}, {millis} ms: {closes:?}", policy.name());
            // While nobody was answered the upstream may be down, so luck has a part in it.
            assert!(closes[17] < PATIENCE, "{what}");
        }
    }
}

#[test]
fn an_upload_holds_its_slot_for_a_second_and_counts_after_it_all_the_same() {
    let mut bench = Bench::half_open();
    let mut uploads: Vec<_> = (0..3).map(|_| bench.acquire().unwrap()).collect();
    for upload in &mut uploads {
        bench.breaker.uploading(upload);
    }
    bench.pass_to(10.9);
    assert!(bench.acquire().is_err());
    bench.pass_to(11.0);
    let others: Vec<_> = (0..3).map(|_| bench.acquire().unwrap()).collect();
    assert!(bench.acquire().is_err());
    for upload in &mut uploads {
        bench.breaker.uploaded(upload, at(bench.now));
    }
    bench.pass_to(11.1);
    for upload in uploads {
        bench.record(upload, Outcome::success(ms(100)));
    }
    bench.record(
        others.into_iter().next().unwrap(),
        Outcome::success(ms(100)),
    );
    assert!(matches!(bench.breaker.phase, Phase::Ramp(_)));
}

#[test]
fn an_upload_that_breaks_off_frees_its_slot_at_once_and_says_nothing() {
    let mut bench = Bench::half_open();
    for _ in 0..1000 {
        let mut permit = bench.acquire().unwrap();
        bench.breaker.uploading(&mut permit);
        bench.pass(0.001);
        bench.record(permit, Outcome::ignored(ms(1)));
    }
    let Phase::Probing(probing) = &bench.breaker.phase else {
        panic!("{:?}", bench.breaker.phase);
    };
    assert_eq!(
        (probing.succeeded(), probing.failed(), probing.leases()),
        (0, 0, 0)
    );
}

#[test]
fn the_longer_nobody_completes_an_upload_the_sooner_it_gives_its_slot_back() {
    let mut bench = Bench::half_open();
    let mut held = Vec::new();
    for _ in 0..16 {
        while let Ok(mut permit) = bench.acquire() {
            bench.breaker.uploading(&mut permit);
            held.push(permit);
            assert!(held.len() < 1000);
        }
        bench.pass(0.125);
    }
    // 1 s, 500 ms, 250 ms, ... for three each.
    assert!((12..=24).contains(&held.len()), "{}", held.len());
    assert_eq!(bench.run(1, Outcome::success(ms(1))), 1);
}

#[test]
fn the_leases_of_uploads_are_bounded_and_the_oldest_goes_first() {
    let mut siege = Siege::of(sensitive());
    for _ in 0..4000 {
        siege.misbehave(Body::Half);
        let now = siege.bench.now;
        siege.pass_to(now + 0.002);
        assert!(siege.leases() <= 64 + 3, "{}", siege.leases());
    }
    assert!(siege.stuck.len() > 500, "{}", siege.stuck.len());
    let (mut first, mut last) = (siege.stuck.remove(0), siege.stuck.pop().unwrap());
    for (upload, counts) in [(&mut first, 0), (&mut last, 1)] {
        siege.bench.breaker.uploaded(upload, at(siege.bench.now));
        let (latency, now) = (ms(1), at(siege.bench.now));
        siege.bench.breaker.responded_well(upload, latency, now);
        let Phase::Probing(probing) = &siege.bench.breaker.phase else {
            panic!("it is a trial still");
        };
        assert_eq!(probing.succeeded(), counts);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_with_bodies_the_trial_ends(
        policy in prop::sample::select(Policy::BUILTIN.to_vec()),
        rate in 1.0..80.0_f64,
        bodies in prop::collection::vec(
            prop_oneof![
                2 => Just(Body::Half),
                1 => (0_u64..2000).prop_map(Body::Broken),
                1 => (0_u64..5000).prop_map(Body::Slow),
            ],
            1..12,
        ),
    ) {
        let mut siege = Siege::of(Policy::builtin(policy).unwrap());
        let closes = siege.closes_after(rate, |number| bodies[number as usize % bodies.len()]);
        prop_assert!(closes.is_some_and(|after| after < PATIENCE), "{closes:?}");
    }
}
