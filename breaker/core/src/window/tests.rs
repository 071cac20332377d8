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
        window.record_verdict(Verdict::Failure, at(f64::from(second)));
    }
    assert_eq!(window.counts(at(9.9)).failure, 10);
    assert_eq!(window.counts(at(10.0)).failure, 9);
    assert_eq!(window.counts(at(15.5)).failure, 4);
}

#[test]
fn nothing_older_than_the_window_is_read_after_an_idle_gap() {
    let mut window = window();
    for _ in 0..1000 {
        window.record_latency(30 * SECOND, at(1.0));
        window.record_verdict(Verdict::Failure, at(1.0));
    }
    let hour_later = at(3601.0);
    window.record_latency(SECOND / 1000, hour_later);
    assert_eq!(window.counts(hour_later).failure, 0);
    assert_eq!(window.counts(hour_later).timed, 1);
    assert!(p99(&mut window, hour_later) <= 1010);
}

#[test]
fn a_quantile_sees_all_slices_and_forgets_the_expired() {
    let mut window = window();
    for _ in 0..100 {
        window.record_latency(2 * SECOND, at(0.5));
    }
    for tenth in 10..100 {
        window.record_latency(SECOND / 100, at(f64::from(tenth) / 10.0));
    }
    assert!(p99(&mut window, at(9.9)) >= 1_990_000);
    assert!(p99(&mut window, at(10.1)) <= 10_100);
}

#[test]
fn slow_requests_are_counted_exactly_at_the_threshold() {
    let mut window = window();
    window.record_latency(SECOND - Duration::from_micros(1), at(1.0));
    window.record_latency(SECOND, at(1.0));
    let counts = window.counts(at(1.0));
    assert_eq!((counts.timed, window.slow(&counts, SECOND)), (2, 1));
}

#[test]
fn a_window_that_expired_holds_no_memory() {
    let mut window = window();
    window.record_latency(SECOND, at(1.0));
    assert!(window.bytes() > 0);
    let expiry = window.expires_at().unwrap();
    window.expire(expiry);
    assert_eq!((window.bytes(), window.expires_at()), (0, None));
}

#[test]
fn an_active_window_costs_at_most_64_kib() {
    // 10,000 requests a second, lognormal latencies around 20 ms with a tail, and a few hundred in flight.
    let mut window = window();
    let mut rng = crate::rng::Rng::new(1);
    for request in 0..200_000_u32 {
        let now = at(f64::from(request) / 10_000.0);
        let normal: f64 = (0..12).map(|_| rng.unit()).sum::<f64>() - 6.0;
        let tail = if rng.unit() < 0.005 { 50.0 } else { 1.0 };
        window.record_latency(
            Duration::from_secs_f64(0.02 * tail * (0.5 * normal).exp()),
            now,
        );
        window.record_concurrency((200.0 + 100.0 * normal).max(1.0) as u64, now);
        window.record_verdict(Verdict::Success, now);
    }
    assert!(window.bytes() <= 64 * 1024, "{} bytes", window.bytes());
}
