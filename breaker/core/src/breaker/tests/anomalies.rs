//! What no caller should do, and some will.

use proptest::prelude::*;

use super::*;

#[test]
fn time_that_goes_backwards_is_the_latest_time_seen() {
    let mut bench = Bench::open();
    bench.pass_to(9.0);
    bench.breaker.handle_timeout(at(1.0));
    assert!(bench.breaker.try_acquire(at(2.0)).is_err());
    assert_eq!(
        bench.breaker.snapshot(at(3.0)).open_remaining,
        Some(Duration::from_secs(1))
    );
    bench.pass_to(10.0);
    assert_eq!(bench.state(), State::HalfOpen);
}

#[test]
fn a_clock_set_back_an_hour_changes_nothing() {
    let life = |set_back: f64| {
        let mut bench = Bench::new(sensitive());
        bench.pass_to(7200.0);
        bench.run(19, Outcome::failure(ms(1)));
        bench.now -= set_back;
        bench.run(1, Outcome::failure(ms(1)));
        assert!(bench.acquire().is_err());
        let open = bench.snapshot().open_remaining;
        bench.pass_to(7210.0);
        bench.now -= set_back;
        bench.run(4, Outcome::success(ms(1)));
        bench.breaker.handle_timeout(at(bench.now));
        bench.pass_to(7220.0);
        (open, bench.events())
    };
    let (open, events) = life(3600.0);
    assert_eq!(
        (open, &events),
        (Some(Duration::from_secs(10)), &life(0.0).1)
    );
    assert_eq!(events.len(), 4, "open, half-open, ramp, closed: {events:?}");
}

/// What may happen to a breaker.
#[derive(Clone, Debug)]
enum Step {
    Acquire,
    Respond(usize, u64),
    Upload(usize),
    Record(usize, u8, u64),
    Pass(u64),
    Force(u8),
    Observe(u8, u64),
    SetPolicy(usize),
    Reset,
    Restore,
    Look,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => Just(Step::Acquire),
        2 => (any::<usize>(), 0_u64..5000).prop_map(|(which, ms)| Step::Respond(which, ms)),
        1 => any::<usize>().prop_map(Step::Upload),
        8 => (any::<usize>(), 0_u8..4, 0_u64..5000).prop_map(|(which, end, ms)| Step::Record(which, end, ms)),
        4 => prop_oneof![0_u64..50, 0_u64..20_000].prop_map(Step::Pass),
        1 => (0_u8..4).prop_map(Step::Force),
        1 => (0_u8..3, 0_u64..5000).prop_map(|(end, ms)| Step::Observe(end, ms)),
        1 => any::<usize>().prop_map(Step::SetPolicy),
        1 => prop_oneof![Just(Step::Reset), Just(Step::Restore), Just(Step::Look)],
    ];
    proptest::collection::vec(step, 0..400)
}

const VERDICTS: [Classification; 3] = [
    Classification::Success,
    Classification::Failure,
    Classification::Ignored,
];

fn builtin(which: usize) -> Policy {
    let name = Policy::BUILTIN[which % Policy::BUILTIN.len()];
    Policy::builtin(name).unwrap()
}

/// Takes the steps, and checks what must hold after each. Returns all that the breaker told.
fn play(steps: &[Step], policy: usize, seed: u64) -> Vec<String> {
    let mut breaker = Breaker::new(builtin(policy), seed, Timestamp::ZERO);
    let feed = breaker.add_feed(Feed::new("feed"));
    let mut now = Timestamp::ZERO;
    let mut permits: Vec<Permit> = Vec::new();
    let mut told = Vec::new();
    for step in steps {
        match step {
            Step::Acquire => match breaker.try_acquire(now) {
                Ok(permit) => permits.push(permit),
                Err(rejected) => told.push(format!("{rejected} {:?}", rejected.retry_after)),
            },
            Step::Respond(which, latency) if !permits.is_empty() => {
                let which = which % permits.len();
                breaker.responded(&mut permits[which], ms(*latency), now);
            }
            Step::Upload(which) if !permits.is_empty() => {
                let which = which % permits.len();
                breaker.uploading(&mut permits[which]);
                breaker.uploaded(&mut permits[which], now);
            }
            Step::Record(which, end, latency) if !permits.is_empty() => {
                let permit = permits.swap_remove(which % permits.len());
                let outcome = Outcome::new(VERDICTS[usize::from(*end) % 3], ms(*latency));
                breaker.record(permit, outcome, now);
            }
            Step::Pass(millis) => {
                now = now + ms(*millis);
                breaker.handle_timeout(now);
            }
            Step::Force(mode) => breaker.force(Mode::ALL[usize::from(*mode)], now),
            Step::Observe(end, latency) => {
                let sample = Sample::new(VERDICTS[usize::from(*end)], Some(ms(*latency)), now);
                breaker.observe(feed, &sample, now);
            }
            Step::SetPolicy(which) => breaker.set_policy(builtin(*which), now),
            Step::Reset => breaker.reset(now),
            Step::Restore => {
                let baseline = breaker.baseline();
                breaker.restore_baseline(&baseline);
            }
            Step::Look => told.push(format!("{:?}", breaker.diagnosis(now))),
            _ => {}
        }
        while let Some(event) = breaker.poll_event() {
            told.push(format!("{event:?}"));
        }
        assert_eq!(breaker.permits_out, permits.len() as u64);
        let snapshot = breaker.snapshot(now);
        assert_eq!(snapshot.state, breaker.state());
        // Requests that were abandoned in a stall are failures of the window, and ignored in the
        // totals.
        let ended = snapshot.totals.success + snapshot.totals.failure + snapshot.totals.ignored;
        assert!(snapshot.sources[0].requests() <= ended);
        // A driver that waits for the timeout gets on: what is due now is done, or it would spin.
        breaker.handle_timeout(now);
        if let Some(due) = breaker.poll_timeout() {
            assert!(due > now, "due at {due:?} after handling {now:?}");
        }
    }
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn equal_inputs_and_seeds_give_equal_outputs(steps in steps(), policy in 0_usize..4, seed: u64) {
        prop_assert_eq!(play(&steps, policy, seed), play(&steps, policy, seed));
    }

    #[test]
    fn an_outcome_of_an_earlier_epoch_never_causes_a_transition(
        stale in 1_usize..100,
        ends in proptest::collection::vec(0_u8..3, 100),
        later in 0_u64..40_000,
    ) {
        let mut bench = Bench::new(sensitive());
        let permits: Vec<_> = (0..stale).map(|_| bench.acquire().unwrap()).collect();
        bench.run(20 + stale as u32, Outcome::failure(ms(1)));
        prop_assert_eq!(bench.state(), State::Open);
        bench.pass_to(later as f64 / 1000.0);
        bench.events();
        let state = bench.state();
        for (permit, end) in permits.into_iter().zip(ends) {
            bench.record(permit, Outcome::new(VERDICTS[usize::from(end)], ms(2)));
            prop_assert_eq!(bench.state(), state);
        }
        prop_assert_eq!(bench.events(), vec![]);
    }
}
