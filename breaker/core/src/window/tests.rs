use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn window() -> Window {
    Window::new(&Policy::sensitive())
}

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_secs_f64(seconds)
}

fn p99(window: &mut Window, now: Timestamp) -> u64 {
    window
        .latencies(now)
        .map_or(0, |latencies| latencies.value_at_quantile(0.99))
}

#[test]
fn slices_expire_one_by_one() {
    let mut window = window();
    for second in 0..10 {
        let now = at(f64::from(second));
        window.record_classification(Classification::Failure, 1, now, now);
    }
    assert_eq!(window.counts(at(9.9)).failure, 10);
    assert_eq!(window.counts(at(10.0)).failure, 9);
    assert_eq!(window.counts(at(15.5)).failure, 4);
}

#[test]
fn nothing_older_than_the_window_is_read_after_an_idle_gap() {
    let mut window = window();
    for _ in 0..1000 {
        window.record_latency(30 * SECOND, 1, at(1.0), at(1.0));
        window.record_classification(Classification::Failure, 1, at(1.0), at(1.0));
    }
    let hour_later = at(3601.0);
    window.record_latency(SECOND / 1000, 1, hour_later, hour_later);
    assert_eq!(window.counts(hour_later).failure, 0);
    assert_eq!(window.counts(hour_later).timed, 1);
    assert!(p99(&mut window, hour_later) <= 1010);
}

#[test]
fn ways_to_fail_are_counted_apart_and_expire_with_their_slice() {
    let mut window = window();
    window.record_failed(Failed::TimedOut, 2, at(0.5));
    window.record_failed(Failed::TimedOut, 1, at(5.0));
    window.record_failed(Failed::Abandoned, 7, at(5.0));
    let failed =
        |window: &Window| [Failed::TimedOut, Failed::Abandoned].map(|way| window.failed(way));
    assert_eq!(failed(&window), [3, 7]);
    window.expire(at(10.5));
    assert_eq!(failed(&window), [1, 7]);
    window.clear();
    assert_eq!(failed(&window), [0, 0]);
}

#[test]
fn a_quantile_sees_all_slices_and_forgets_the_expired() {
    let mut window = window();
    for _ in 0..100 {
        window.record_latency(2 * SECOND, 1, at(0.5), at(0.5));
    }
    for tenth in 10..100 {
        let now = at(f64::from(tenth) / 10.0);
        window.record_latency(SECOND / 100, 1, now, now);
    }
    assert!(p99(&mut window, at(9.9)) >= 1_990_000);
    assert!(p99(&mut window, at(10.1)) <= 10_100);
}

#[test]
fn slow_requests_are_counted_exactly_at_the_threshold() {
    let mut window = window();
    window.record_latency(SECOND - Duration::from_micros(1), 1, at(1.0), at(1.0));
    window.record_latency(SECOND, 1, at(1.0), at(1.0));
    let counts = window.counts(at(1.0));
    assert_eq!((counts.timed, window.slow(&counts, SECOND)), (2, 1));
}

#[test]
fn a_window_that_expired_holds_no_memory() {
    let mut window = window();
    window.record_latency(SECOND, 1, at(1.0), at(1.0));
    assert!(window.bytes() > 0);
    let expiry = window.expires_at().unwrap();
    window.expire(expiry);
    assert_eq!((window.bytes(), window.expires_at()), (0, None));
}

#[test]
fn an_active_window_costs_at_most_64_kib() {
    // 10,000 requests a second, lognormal latencies around 20 ms with a tail, and a few hundred in
    // flight.
    let mut window = window();
    let mut rng = crate::rng::Rng::new(1);
    for request in 0..200_000_u32 {
        let now = at(f64::from(request) / 10_000.0);
        let normal: f64 = (0..12).map(|_| rng.unit()).sum::<f64>() - 6.0;
        let tail = if rng.unit() < 0.005 { 50.0 } else { 1.0 };
        window.record_latency(
            Duration::from_secs_f64(0.02 * tail * (0.5 * normal).exp()),
            1,
            now,
            now,
        );
        window.record_concurrency((200.0 + 100.0 * normal).max(1.0) as u64, now);
        window.record_classification(Classification::Success, 1, now, now);
    }
    assert!(window.bytes() <= 64 * 1024, "{} bytes", window.bytes());
}

#[test]
fn what_is_told_late_counts_in_the_slice_in_which_it_happened() {
    let mut window = window();
    let now = at(9.5);
    for (happened, latency) in [(3.5, 3), (9.5, 1), (3.9, 3), (7.2, 2)] {
        let happened = at(happened);
        assert!(window.covers(happened, now));
        window.record_classification(Classification::Failure, 1, happened, now);
        window.record_latency(latency * SECOND, 1, happened, now);
    }
    assert!(!window.covers(at(0.0), at(10.0)));
    assert_eq!(window.counts(at(12.9)).failure, 4);
    assert_eq!(window.counts(at(13.0)).failure, 2);
    assert_eq!(window.latencies(at(13.0)).unwrap().len(), 2);
    assert!(p99(&mut window, at(13.0)) < 2_100_000);
    assert_eq!(window.counts(at(17.0)).failure, 1);
    assert!(p99(&mut window, at(17.0)) < 1_100_000);
}

#[test]
fn what_is_told_late_is_in_every_quantile_at_once() {
    let mut window = window();
    let now = at(9.5);
    for slice in 0..10 {
        window.record_latency(SECOND, 10, at(f64::from(slice) + 0.5), now);
    }
    assert_eq!(window.latencies(now).unwrap().len(), 100);
    assert_eq!(window.counts(now).timed, 100);
    assert_eq!(window.latencies(at(10.5)).unwrap().len(), 90);
}

#[test]
fn counts_that_others_claim_do_not_overflow() {
    let mut window = window();
    let now = at(1.0);
    for _ in 0..3 {
        window.record_classification(Classification::Failure, u32::MAX, now, now);
        window.record_latency(2 * SECOND, u32::MAX, now, now);
    }
    assert_eq!(window.counts(now).failure, u32::MAX);
    assert_eq!(window.counts(at(11.0)).failure, 0);
}
