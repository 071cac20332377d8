use proptest::prelude::*;

use super::*;

/// An observation of a detector.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// Nanoseconds after the previous observation. If negative, the clock was set back.
    gap: i64,
    failed: bool,
    latency: u64,
    count: u32,
    learn: bool,
}

fn told() -> impl Strategy<Value = Vec<Told>> {
    let gap = prop_oneof![
        4 => Just(0_i64),
        8 => 0..10_000_000_i64,
        8 => 0..2_000_000_000_i64,
        1 => -5_000_000_000..0_i64,
        1 => 0..i64::MAX / 512,
    ];
    let count = prop_oneof![8 => Just(1_u32), 1 => 0..100_u32, 1 => Just(u32::MAX)];
    let one = (gap, any::<bool>(), 0..10_000_u64, count, any::<bool>());
    let one = one.prop_map(|(gap, failed, latency, count, learn)| Told {
        gap,
        failed,
        latency,
        count,
        learn,
    });
    proptest::collection::vec(one, 0..300)
}

fn detectors() -> Box<Detectors> {
    Detectors::of(&Policy::adaptive(), false).unwrap()
}

/// Makes all observations, from `start` on, and returns the scores after each.
fn play(told: &[Told], start: u64) -> Vec<Vec<(f64, u64, bool)>> {
    let mut detectors = detectors();
    let mut now = start;
    let mut scores = Vec::new();
    for one in told {
        now = now.saturating_add_signed(one.gap);
        tell(&mut detectors, one, Timestamp::from_nanos(now));
        let seen = detectors.scores();
        assert!(seen.iter().all(|score| score.evidence.is_finite()));
        assert!(
            seen.iter()
                .all(|score| score.line.is_finite() && score.line > 0.0)
        );
        let plain = |score: &Anomaly| (score.evidence, score.observations, score.alarming);
        scores.push(seen.iter().map(plain).collect());
    }
    scores
}

fn tell(detectors: &mut Detectors, one: &Told, at: Timestamp) {
    let latency = Duration::from_millis(one.latency);
    detectors.took(latency, Crossed::default(), one.count, at, one.learn);
    detectors.ended(one.failed, one.count, at, one.learn);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_sequence_at_any_times_gives_numbers_and_equal_ones_for_equal_inputs(told in told()) {
        prop_assert_eq!(play(&told, u64::MAX / 4), play(&told, u64::MAX / 4));
    }

    #[test]
    fn where_the_origin_of_time_lies_changes_nothing(told in told(), start in 0..u64::MAX / 4) {
        // So late that a clock that is set back never reaches the origin.
        let early = u64::MAX / 8;
        prop_assert_eq!(play(&told, early), play(&told, early + start));
    }

    #[test]
    fn a_success_never_adds_evidence(told in told(), count in 1..1000_u32) {
        let mut detectors = detectors();
        let mut now = u64::MAX / 4;
        for one in &told {
            now = now.saturating_add_signed(one.gap);
            tell(&mut detectors, one, Timestamp::from_nanos(now));
        }
        // First end the slices that are over by now: time that passes is no success.
        let now = Timestamp::from_nanos(now);
        detectors.ended(false, 0, now, false);
        // The anomaly is that of the scale nearest to its line, which may change.
        let nearness = |detectors: &Detectors| {
            let score = &detectors.scores()[0];
            score.evidence / score.line
        };
        let before = nearness(&detectors);
        detectors.ended(false, count, now, false);
        let after = nearness(&detectors);
        prop_assert!(after <= before, "{before} {after}");
    }

    #[test]
    fn a_baseline_never_moves_while_it_may_not_learn(told in told()) {
        let mut detectors = detectors();
        let mut now = u64::MAX / 4;
        for one in &told {
            now = now.saturating_add_signed(one.gap);
            let one = Told { learn: false, ..*one };
            tell(&mut detectors, &one, Timestamp::from_nanos(now));
        }
        let normal: Vec<_> = detectors.scores().iter().map(|score| score.normal.get()).collect();
        prop_assert_eq!(normal, vec![0.02, 0.05, 0.02]);
        prop_assert_eq!(detectors.threshold(), Some(Duration::from_secs(1)));
    }
}

/// Healthy traffic for half an hour: 100 requests a second, one of 1000 fails.
fn taught() -> (Box<Detectors>, u64) {
    let mut detectors = detectors();
    for index in 0..180_000_u64 {
        let at = Timestamp::from_millis(index * 10);
        detectors.took(Duration::from_millis(20), Crossed::default(), 1, at, true);
        detectors.ended(index % 1000 == 999, 1, at, true);
    }
    (detectors, 1_800_000)
}

/// Lets all requests fail from `from` on, at `rate` requests a second, until there is an alarm.
/// Returns the number of failures.
fn failures_until_alarm(detectors: &mut Detectors, from: u64, gap: u64) -> u64 {
    (1..10_000)
        .find(|index| {
            detectors.ended(true, 1, Timestamp::from_millis(from + index * gap), true);
            detectors
                .alarm(Signal::Errors, Ratio::of(40, 100), Duration::ZERO)
                .is_some()
        })
        .unwrap()
}

#[test]
fn healthy_traffic_is_silent_and_its_usual_is_learned() {
    let (detectors, _) = taught();
    let scores = detectors.scores();
    assert!(scores.iter().all(|score| !score.alarming), "{scores:?}");
    assert_eq!(scores[0].normal, Ratio::of(1, 100));
    let threshold = detectors.threshold().unwrap();
    assert_eq!(
        threshold,
        Duration::from_millis(50),
        "twice 20 ms is less than the least"
    );
}

#[test]
fn a_total_outage_takes_tenths_of_seconds_or_a_few_requests() {
    let (mut detectors, now) = taught();
    let failures = failures_until_alarm(&mut detectors, now, 10);
    assert!((15..40).contains(&failures), "{failures} failures at 100/s");
    let (mut detectors, now) = taught();
    let failures = failures_until_alarm(&mut detectors, now, 5000);
    assert!((3..=8).contains(&failures), "{failures} failures at 0.2/s");
}

#[test]
fn no_alarm_comes_from_fewer_slices_than_the_cap_allows() {
    let (mut detectors, now) = taught();
    // Everything fails, but for less than two slices of the finest scale.
    detectors.ended(true, 100_000, Timestamp::from_millis(now + 10), true);
    detectors.ended(true, 100_000, Timestamp::from_millis(now + 150), true);
    assert_eq!(
        detectors.alarm(Signal::Errors, Ratio::ZERO, Duration::ZERO),
        None
    );
}

#[test]
fn a_lower_bound_tells_partial_from_total_failure() {
    let (mut detectors, now) = taught();
    for index in 0..30_000_u64 {
        let at = Timestamp::from_millis(now + index * 10);
        // A fifth of the requests fails, in an order without a pattern.
        let failed = (index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) % 5 == 0;
        detectors.ended(failed, 1, at, true);
        assert_eq!(
            detectors.alarm(Signal::Errors, Ratio::of(40, 100), Duration::ZERO),
            None
        );
    }
    let anomaly = detectors
        .alarm(Signal::Errors, Ratio::ZERO, Duration::ZERO)
        .unwrap();
    assert!((0.17..0.23).contains(&anomaly.share.get()), "{anomaly:?}");
    assert_eq!(
        anomaly.normal,
        Ratio::of(1, 100),
        "an alarm teaches nothing"
    );
}

#[test]
fn an_alarm_ends_when_health_returns() {
    let (mut detectors, now) = taught();
    for index in 0..6000_u64 {
        detectors.ended(
            index % 3 == 0,
            1,
            Timestamp::from_millis(now + index * 10),
            true,
        );
    }
    assert!(
        detectors
            .alarm(Signal::Errors, Ratio::ZERO, Duration::ZERO)
            .is_some()
    );
    let now = now + 60_000;
    let healthy = (0..6000_u64).find(|index| {
        detectors.ended(false, 1, Timestamp::from_millis(now + index * 10), true);
        detectors
            .alarm(Signal::Errors, Ratio::ZERO, Duration::ZERO)
            .is_none()
    });
    assert!(healthy.is_some_and(|index| index < 1500), "{healthy:?}");
}

#[test]
fn the_detectors_of_a_source_take_at_most_16_kib() {
    let (detectors, _) = taught();
    assert!(
        detectors.bytes() <= 16 * 1024,
        "{} bytes",
        detectors.bytes()
    );
}
