//! Whatever happens to requests: each counts once.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::policy::{Action, LatencyMeasure};

/// Something that happens.
#[derive(Clone, Debug)]
enum Act {
    Pass(u64),
    Acquire,
    /// To one of the requests in flight.
    To(prop::sample::Index, Step),
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Uploading,
    Uploaded,
    Responded,
    Begun,
    Paused,
    Resumed,
    End(Classification),
}

fn act() -> impl Strategy<Value = Act> {
    let step = prop_oneof![
        1 => Just(Step::Uploading),
        1 => Just(Step::Uploaded),
        2 => Just(Step::Responded),
        3 => Just(Step::Begun),
        1 => Just(Step::Paused),
        1 => Just(Step::Resumed),
        1 => Just(Step::End(Classification::Success)),
        2 => Just(Step::End(Classification::Failure)),
        1 => Just(Step::End(Classification::Ignored)),
    ];
    prop_oneof![
        2 => prop_oneof![8 => 0_u64..700, 1 => 700_u64..15_000].prop_map(Act::Pass),
        4 => Just(Act::Acquire),
        8 => (any::<prop::sample::Index>(), step).prop_map(|(which, step)| Act::To(which, step)),
    ]
}

/// A request as it is seen from outside.
#[derive(Debug)]
struct Seen {
    permit: Option<Permit>,
    /// When it was seen to be good, and to have failed.
    good: Option<f64>,
    failed: Option<f64>,
}

/// What happened so far.
struct World {
    bench: Bench,
    seen: Vec<Seen>,
    /// Of those that end in ignorance, who caused it.
    attribution: Attribution,
    counted_again: u64,
}

impl World {
    fn new(policy: Policy, attribution: Attribution) -> Self {
        Self {
            bench: Bench::new(policy),
            seen: Vec::new(),
            attribution,
            counted_again: 0,
        }
    }

    fn play(&mut self, act: &Act) {
        match *act {
            Act::Pass(millis) => self.bench.pass(millis as f64 / 1e3),
            Act::Acquire => {
                if let Ok(permit) = self.bench.acquire() {
                    self.seen.push(Seen {
                        permit: Some(permit),
                        good: None,
                        failed: None,
                    });
                }
            }
            Act::To(which, step) => {
                let open: Vec<_> = (0..self.seen.len())
                    .filter(|index| self.seen[*index].permit.is_some())
                    .collect();
                if !open.is_empty() {
                    self.step(*which.get(&open), step);
                }
            }
        }
    }

    fn step(&mut self, index: usize, step: Step) {
        let now = at(self.bench.now);
        let seen = &mut self.seen[index];
        let breaker = &mut self.bench.breaker;
        let permit = seen.permit.as_mut().unwrap();
        let latency = now.saturating_since(permit.admitted());
        match step {
            Step::Uploading => breaker.uploading(permit),
            Step::Uploaded => breaker.uploaded(permit, now),
            Step::Responded => breaker.responded(permit, latency, now),
            Step::Paused => _ = breaker.paused(permit, now),
            Step::Resumed => breaker.resumed(permit, now),
            Step::Begun => {
                breaker.begun(permit, now);
                seen.good.get_or_insert(self.bench.now);
            }
            Step::End(classification) => {
                let mut outcome = Outcome::new(classification, latency);
                match classification {
                    Classification::Success => _ = seen.good.get_or_insert(self.bench.now),
                    Classification::Failure => {
                        let good = std::mem::take(&mut seen.good);
                        seen.failed = Some(self.bench.now);
                        if good.is_some_and(|good| !self.covers(good)) {
                            // Itself too: as good then, and as a failure now.
                            self.counted_again += 1;
                            self.count_again();
                        }
                    }
                    Classification::Ignored => outcome = outcome.caused_by(self.attribution),
                }
                let permit = self.seen[index].permit.take().unwrap();
                self.bench.breaker.record(permit, outcome, now);
            }
        }
    }

    /// An answer from before the window has broken off: all that flow count now.
    fn count_again(&mut self) {
        for seen in self.seen.iter_mut().filter(|seen| seen.permit.is_some()) {
            if let Some(good) = &mut seen.good {
                self.counted_again += 1;
                *good = self.bench.now;
            }
        }
    }

    fn covers(&self, seconds: f64) -> bool {
        let slice = |seconds: f64| at(seconds).as_nanos() / 1_000_000_000;
        slice(seconds) + 10 > slice(self.bench.now)
    }

    /// Each answered request is in the window once, as what it is. So failures / requests is
    /// failed / answered, whatever is still flowing.
    fn check_counts(&mut self) -> Result<(), TestCaseError> {
        let snapshot = self.bench.snapshot();
        let source = &snapshot.sources[0];
        prop_assert_eq!(source.success, self.in_window(|seen| seen.good));
        prop_assert_eq!(source.failure, self.in_window(|seen| seen.failed));
        let all = self.seen.len() as u64;
        let timed = source.latency.map_or(0, |latency| latency.samples);
        prop_assert!(timed <= all);
        for anomaly in &source.anomalies {
            let most = all + self.counted_again;
            prop_assert!(anomaly.observations <= most, "{anomaly:?}");
            prop_assert!(anomaly.evidence.is_finite());
        }
        let totals = snapshot.totals;
        let ended = self
            .seen
            .iter()
            .filter(|seen| seen.permit.is_none())
            .count() as u64;
        prop_assert_eq!(totals.success + totals.failure + totals.ignored, ended);
        Ok(())
    }

    /// How many of the times are in the window now.
    fn in_window(&self, time: impl Fn(&Seen) -> Option<f64>) -> u64 {
        let times = self.seen.iter().filter_map(time);
        times.filter(|time| self.covers(*time)).count() as u64
    }
}

/// `policy`, in which nothing opens.
fn watching(policy: Policy, measure: LatencyMeasure) -> Policy {
    let entries: Vec<_> = policy.trip().to_vec();
    let alerts = entries.into_iter().map(|entry| TripEntry {
        action: Action::Alert,
        ..entry
    });
    policy::Builder::from(policy)
        .trip(alerts.collect::<Vec<_>>())
        .latency(measure)
        .build()
        .unwrap()
}

fn measure() -> impl Strategy<Value = LatencyMeasure> {
    prop::sample::select(vec![LatencyMeasure::Head, LatencyMeasure::Complete])
}

#[test]
fn an_answer_that_breaks_off_after_the_window_is_observed_once_more() {
    let policy = watching(Policy::adaptive(), LatencyMeasure::Head);
    let mut world = World::new(policy, Attribution::Proxy);
    for (index, step) in [Step::End(Classification::Failure), Step::Begun]
        .into_iter()
        .enumerate()
    {
        world.play(&Act::Acquire);
        world.step(index, step);
    }
    world.play(&Act::Pass(10_000));
    world.step(1, Step::End(Classification::Failure));
    world.check_counts().unwrap();
    let anomalies = &world.bench.snapshot().sources[0].anomalies;
    let errors = anomalies.iter().map(|anomaly| anomaly.observations).max();
    assert_eq!(errors, Some(3), "one failure, one begin, and its end");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_window_has_each_answered_request_once_as_what_it_is(
        measure in measure(),
        adaptive in any::<bool>(),
        acts in vec(act(), 0..200),
    ) {
        let policy = if adaptive { Policy::adaptive() } else { sensitive() };
        let mut world = World::new(watching(policy, measure), Attribution::Proxy);
        for act in acts {
            world.play(&act);
            world.check_counts()?;
        }
    }

    #[test]
    fn a_slow_request_counts_once_in_both_parts_of_a_share(
        measure in measure(),
        acts in vec(act(), 0..80),
    ) {
        let mut world = World::new(watching(sensitive(), measure), Attribution::Caller);
        for act in acts {
            world.play(&act);
            let (breaker, now) = (&world.bench.breaker, at(world.bench.now));
            let counts = breaker.sources[0].window.unexpired();
            let second = Duration::from_secs(1);
            let hanging = breaker.in_flight.older_than(second, now);
            let slow = u64::from(breaker.sources[0].window.slow(counts, second)) + hanging;
            let timed = u64::from(counts.timed) + hanging;
            prop_assert!(slow <= timed && timed <= world.seen.len() as u64);
        }
    }

    /// With trips, trials and ramps: a request is judged once in each, and all comes back.
    #[test]
    fn trials_and_ramps_count_no_request_twice(
        adaptive in any::<bool>(),
        measure in measure(),
        acts in vec(act(), 0..300),
    ) {
        let policy = if adaptive { Policy::adaptive() } else { sensitive() };
        let policy = policy::Builder::from(policy).latency(measure).build().unwrap();
        let mut world = World::new(policy, Attribution::Caller);
        world.bench.run(20, Outcome::failure(ms(1)));
        let mut first = world.seen.len();
        let mut epoch = world.bench.breaker.epoch;
        // A ramp's total begins with the probes before it.
        let mut probes = 0;
        for act in acts {
            let sent_before = world.seen.len();
            world.play(&act);
            if world.bench.breaker.epoch != epoch {
                epoch = world.bench.breaker.epoch;
                first = sent_before;
                probes = match &world.bench.breaker.phase {
                    Phase::AdaptiveRamp(ramp) => ramp.total().samples(),
                    _ => 0,
                };
            }
            let open = world.seen.iter().filter_map(|seen| seen.permit.as_ref());
            let awaiting = open.filter(|permit| permit.awaits_caller()).count() as u64;
            prop_assert_eq!(world.bench.breaker.callers_turn, awaiting);
            let sent = (world.seen.len() - first) as u64;
            match &world.bench.breaker.phase {
                Phase::Probing(probing) => {
                    prop_assert!(u64::from(probing.succeeded()) + u64::from(probing.failed()) <= sent);
                }
                Phase::Ramp(ramp) => prop_assert!(ramp.tally().samples() <= sent),
                Phase::AdaptiveRamp(ramp) => prop_assert!(ramp.total().samples() - probes <= sent),
                Phase::Closed { recovering: Some(tally) } => prop_assert!(tally.samples() <= sent),
                Phase::Closed { .. } | Phase::Open { .. } => {}
            }
        }
        for index in 0..world.seen.len() {
            if world.seen[index].permit.is_some() {
                world.step(index, Step::End(Classification::Success));
            }
        }
        prop_assert_eq!(world.bench.snapshot().in_flight, 0);
        prop_assert_eq!(world.bench.breaker.waiting, 0);
        prop_assert_eq!(world.bench.breaker.callers_turn, 0);
    }

    /// Nobody who goes away proves anything while others are answered.
    #[test]
    fn abandoned_requests_fail_nothing_while_others_are_answered(
        waits in vec((1_u64..5000, 1_usize..30), 0..40),
    ) {
        let mut bench = Bench::new(watching(sensitive(), LatencyMeasure::Head));
        for (millis, requests) in waits {
            let permits: Vec<_> = (0..requests).map(|_| bench.acquire().unwrap()).collect();
            bench.pass(millis as f64 / 2e3);
            bench.run(1, Outcome::success(ms(20)));
            bench.pass(millis as f64 / 2e3);
            for permit in permits {
                bench.record(permit, Outcome::ignored(ms(millis)));
            }
            prop_assert_eq!(bench.snapshot().sources[0].failure, 0);
        }
    }
}
