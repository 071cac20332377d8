//! Requests that are sent again, as the route's rules say.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use breaker_sidecar::proxy::{Limits, Retries, RetryRules, Route};
use breaker_sidecar::upstream::Endpoint;
use breaker_tests::calmly;
use breaker_tower::breaker_core::policy::{Condition, Open, TripEntry};
use breaker_tower::breaker_core::{Balance, Ratio};
use breaker_tower::{BreakerHandle, Policy, State};
use http::Method;
use tokio::io::AsyncWriteExt;

use crate::harness::{GET, OK, Origin, Sidecar, eventually, header, patient, read_head, status};

/// A sidecar before these endpoints, whose route retries by these rules.
fn sidecar(origins: &[&Origin], rules: RetryRules, timeout: Duration) -> Sidecar {
    let endpoints = origins
        .iter()
        .map(|origin| Endpoint::Address(origin.address));
    let mut upstream = patient(endpoints.collect());
    upstream.balancing.balance = Balance::RoundRobin;
    let breaker = BreakerHandle::new("all", Policy::builtin("sensitive").unwrap());
    let mut route = Route::new(breaker.clone(), Arc::new(upstream));
    route.retries = Some(Arc::new(Retries::new(rules)));
    route.timeout = Some(timeout);
    Sidecar::with_routes(vec![route], breaker, Limits::default(), Duration::ZERO)
}

/// Rules whose budget is no matter.
fn rules() -> RetryRules {
    RetryRules {
        budget: Ratio::ONE,
        ..RetryRules::default()
    }
}

/// An origin that answers this, and counts.
async fn answering(answer: &'static str) -> (Origin, Arc<AtomicUsize>) {
    let count = Arc::<AtomicUsize>::default();
    let counted = count.clone();
    let origin = Origin::answering(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        answer.to_owned()
    });
    (origin.await, count)
}

const UNAVAILABLE: &str = "HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno";
const LATER: &str = "HTTP/1.1 503 No\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n";
const INNER: &str = "HTTP/1.1 503 No\r\nProxy-Status: b; error=destination_unavailable\r\n\
                     Content-Length: 0\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
const SECOND: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_bad_answer_is_asked_of_another_endpoint_and_the_route_sees_a_success() {
    let (bad, tries) = answering(UNAVAILABLE).await;
    let good = Origin::ok().await;
    let sidecar = sidecar(&[&bad, &good], rules(), SECOND);
    for _ in 0..6 {
        assert_eq!(status(&sidecar.ask(GET).await), "200");
    }
    assert_eq!(sidecar.totals(), (6, 0, 0));
    assert!(tries.load(Ordering::SeqCst) >= 2);
}

#[tokio::test]
async fn a_request_is_sent_as_often_as_the_rules_say_and_the_last_answer_is_passed_on() {
    let (one, first) = answering(UNAVAILABLE).await;
    let (two, second) = answering(UNAVAILABLE).await;
    let (three, third) = answering(UNAVAILABLE).await;
    let sidecar = sidecar(&[&one, &two, &three], rules(), SECOND);
    let answer = sidecar.ask(GET).await;
    assert!(answer.ends_with("no"), "{answer}");
    let tries = [first, second, third].map(|count| count.load(Ordering::SeqCst));
    assert_eq!(tries.iter().sum::<usize>(), 2, "{tries:?}");
    assert_eq!(tries.iter().max(), Some(&1), "each endpoint once");
    assert_eq!(sidecar.totals(), (0, 1, 0));
}

#[tokio::test]
async fn what_may_not_be_sent_twice_is_sent_once_unless_it_is_named() {
    let (bad, tries) = answering(UNAVAILABLE).await;
    let once = sidecar(&[&bad], rules(), SECOND);
    assert_eq!(status(&once.ask(POST).await), "503");
    assert_eq!(tries.load(Ordering::SeqCst), 1);
    let named = RetryRules {
        methods: vec![Method::POST],
        ..rules()
    };
    let heads = Arc::<AtomicUsize>::default();
    let counted = heads.clone();
    let flaky = Origin::answering(move |_, body| {
        assert_eq!(body, "body");
        match counted.fetch_add(1, Ordering::SeqCst) {
            0 => UNAVAILABLE.to_owned(),
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        }
    });
    let flaky = flaky.await;
    let twice = sidecar(&[&flaky], named, SECOND);
    assert_eq!(status(&twice.ask(POST).await), "200");
    assert_eq!(heads.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_larger_body_is_sent_once() {
    let (bad, tries) = answering(UNAVAILABLE).await;
    let small = RetryRules {
        methods: vec![Method::POST],
        body: 3,
        ..rules()
    };
    let sidecar = sidecar(&[&bad], small, SECOND);
    assert_eq!(status(&sidecar.ask(POST).await), "503");
    assert_eq!(tries.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn who_asks_to_wait_longer_than_there_is_time_or_not_to_come_again_is_not_asked_again() {
    for answer in [LATER, INNER] {
        let (bad, tries) = answering(answer).await;
        let sidecar = sidecar(&[&bad], rules(), SECOND);
        let answer = sidecar.ask(GET).await;
        assert_eq!(status(&answer), "503");
        assert_eq!(tries.load(Ordering::SeqCst), 1, "{answer}");
    }
}

/// A time in any of the forms of RFC 9110, 10.2.3, or one too large to be counted, is a time.
#[tokio::test]
async fn a_wait_is_read_in_each_of_its_forms() {
    for wait in [
        "Retry-After: Thu, 31 Dec 2099 23:59:59 GMT",
        "Retry-After: Thu Dec 31 23:59:59 2099",
        "Retry-After: 99999999999999999999",
        "Retry-After: 0\r\nRetry-After: 9999",
    ] {
        let answer = format!("HTTP/1.1 503 No\r\n{wait}\r\nContent-Length: 0\r\n\r\n");
        let (bad, tries) = answering(answer.leak()).await;
        let sidecar = sidecar(&[&bad], rules(), SECOND);
        assert_eq!(status(&sidecar.ask(GET).await), "503");
        assert_eq!(tries.load(Ordering::SeqCst), 1, "{wait}");
    }
    for wait in ["Thu, 01 Jan 2015 00:00:00 GMT", "soon"] {
        let answer = format!("HTTP/1.1 503 No\r\nRetry-After: {wait}\r\nContent-Length: 0\r\n\r\n");
        let (bad, tries) = answering(answer.leak()).await;
        let sidecar = sidecar(&[&bad], rules(), SECOND);
        sidecar.ask(GET).await;
        assert_eq!(tries.load(Ordering::SeqCst), 2, "{wait}");
    }
}

/// What a reused connection may have delivered is sent again once, not once an attempt.
#[tokio::test]
async fn lost_connections_add_one_to_what_the_rules_allow() {
    let count = Arc::<AtomicUsize>::default();
    let counted = count.clone();
    let origin = Origin::raw(move |mut stream| {
        let counted = counted.clone();
        async move {
            while let Some(head) = read_head(&mut stream).await {
                if head.starts_with("GET /lost") {
                    counted.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let attempts = 5;
    let rules = RetryRules {
        attempts,
        ..rules()
    };
    let sidecar = sidecar(&[&origin], rules, SECOND);
    // As many idle connections as a request could lose.
    let warm = (0..12).map(|_| sidecar.ask(GET));
    futures_util::future::join_all(warm).await;
    let lost = GET.replacen("GET / ", "GET /lost ", 1);
    assert_eq!(status(&sidecar.ask(&lost).await), "502");
    assert_eq!(count.load(Ordering::SeqCst), attempts as usize + 1);
}

#[tokio::test]
async fn the_budget_bounds_retries_to_a_share_of_the_requests() {
    let (bad, tries) = answering(UNAVAILABLE).await;
    let fifth = RetryRules {
        budget: Ratio::of(20, 100),
        ..RetryRules::default()
    };
    // So few that the breaker stays closed.
    let sidecar = sidecar(&[&bad], fifth, SECOND);
    for _ in 0..15 {
        sidecar.ask(GET).await;
    }
    assert_eq!(tries.load(Ordering::SeqCst), 15 + 3);
}

#[tokio::test]
async fn an_endpoint_that_hangs_has_the_time_of_one_attempt() {
    calmly(async || {
        let hung = Origin::raw(|stream| async move {
            std::future::pending::<()>().await;
            drop(stream);
        });
        let hung = hung.await;
        let good = Origin::ok().await;
        let quick = RetryRules {
            per_try: Some(Duration::from_millis(100)),
            ..rules()
        };
        let sidecar = sidecar(&[&hung, &good], quick, Duration::from_secs(10));
        for _ in 0..3 {
            assert_eq!(status(&sidecar.ask(GET).await), "200");
        }
        assert_eq!(sidecar.totals(), (3, 0, 0));
    })
    .await;
}

#[tokio::test]
async fn all_attempts_share_the_time_of_the_route() {
    let hung = || {
        Origin::raw(|stream| async move {
            std::future::pending::<()>().await;
            drop(stream);
        })
    };
    let (one, two) = (hung().await, hung().await);
    let slow = RetryRules {
        attempts: 5,
        per_try: Some(Duration::from_millis(200)),
        ..rules()
    };
    let sidecar = sidecar(&[&one, &two], slow, Duration::from_millis(250));
    let answer = sidecar.ask(GET).await;
    assert_eq!(status(&answer), "504");
    let why = header(&answer, "proxy-status").unwrap();
    assert!(why.contains("http_response_timeout"), "{why}");
    assert_eq!(sidecar.totals(), (0, 1, 0));
}

#[tokio::test]
async fn a_probe_is_sent_once() {
    let (bad, tries) = answering(UNAVAILABLE).await;
    let all_fail = TripEntry::open([Condition::ErrorRate(Ratio::of(50, 100))]);
    let open = Open {
        period: Duration::from_millis(50),
        ..Open::default()
    };
    let policy = Policy::builder("probing")
        .min_requests(2)
        .trip([all_fail])
        .open(open);
    let breaker = BreakerHandle::new("all", policy.build().unwrap());
    let upstream = patient(vec![Endpoint::Address(bad.address)]);
    let mut route = Route::new(breaker.clone(), Arc::new(upstream));
    route.retries = Some(Arc::new(Retries::new(rules())));
    let limits = Limits::default();
    let sidecar = Sidecar::with_routes(vec![route], breaker.clone(), limits, Duration::ZERO);
    while breaker.state() == State::Closed {
        assert_eq!(status(&sidecar.ask(GET).await), "503");
    }
    let before = tries.load(Ordering::SeqCst);
    assert_eq!(before, 2 * 2, "each of two requests twice");
    eventually("it is probed", || breaker.state() == State::HalfOpen).await;
    sidecar.ask(GET).await;
    assert_eq!(tries.load(Ordering::SeqCst), before + 1);
}

/// How often an endpoint is asked that answers each call so.
async fn calls(answer: &'static str) -> usize {
    let (origin, tries) = answering(answer).await;
    let named = RetryRules {
        methods: vec![Method::POST],
        ..rules()
    };
    let sidecar = sidecar(&[&origin], named, SECOND);
    let call = "POST /a.B/C HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\n\
                Content-Length: 0\r\n\r\n";
    sidecar.ask(call).await;
    tries.load(Ordering::SeqCst)
}

macro_rules! head {
    ($fields:literal) => {
        concat!(
            "HTTP/1.1 200 OK\r\n",
            $fields,
            "\r\nContent-Length: 0\r\n\r\n"
        )
    };
}

#[tokio::test]
async fn the_status_of_a_call_and_the_pushback_are_read_as_the_breaker_reads_them() {
    for (answer, expected) in [
        (
            head!("Content-Type: application/grpc\r\ngrpc-status: 14"),
            2,
        ),
        (head!("Content-Type: application/grpc\r\ngrpc-status: 0"), 1),
        (
            head!("Content-Type: application/grpc\r\ngrpc-status: 13"),
            1,
        ),
        // UNKNOWN.
        (head!("Content-Type: application/grpc\r\ngrpc-status: ?"), 1),
        // No call's answer: it is a 200.
        (head!("grpc-status: 14"), 1),
        (head!("Content-Type: text/html\r\ngrpc-status: 14"), 1),
        (
            head!("Content-Type: application/grpc\r\ngrpc-status: 14\r\ngrpc-retry-pushback-ms: 1"),
            2,
        ),
        (
            head!(
                "Content-Type: application/grpc\r\ngrpc-status: 14\r\ngrpc-retry-pushback-ms: -1"
            ),
            1,
        ),
        (
            head!("Content-Type: application/grpc\r\ngrpc-status: 14\r\ngrpc-retry-pushback-ms: ?"),
            1,
        ),
        // Nor a pushback.
        (
            "HTTP/1.1 503 No\r\ngrpc-retry-pushback-ms: -1\r\nContent-Length: 0\r\n\r\n",
            2,
        ),
    ] {
        assert_eq!(calls(answer).await, expected, "{answer}");
    }
}

/// A sidecar whose route reads deadlines in `x-time`, before an endpoint that leaves the first
/// connection without an answer.
async fn hung_at_first() -> (Sidecar, Origin) {
    let origin = Origin::answering({
        let heads = AtomicUsize::new(0);
        move |_, _| match heads.fetch_add(1, Ordering::SeqCst) {
            0 => String::new(),
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        }
    });
    let origin = origin.await;
    let upstream = patient(vec![Endpoint::Address(origin.address)]);
    let breaker = BreakerHandle::new("all", Policy::builtin("sensitive").unwrap());
    let mut route = Route::new(breaker.clone(), Arc::new(upstream));
    route.retries = Some(Arc::new(Retries::new(RetryRules {
        per_try: Some(Duration::from_millis(100)),
        ..rules()
    })));
    route.deadline.header = Some(http::HeaderName::from_static("x-time"));
    let limits = Limits::default();
    let sidecar = Sidecar::with_routes(vec![route], breaker, limits, Duration::ZERO);
    (sidecar, origin)
}

#[tokio::test]
async fn each_attempt_is_told_what_is_left_of_the_callers_time() {
    calmly(async || {
        let (sidecar, origin) = hung_at_first().await;
        let answer = sidecar
            .ask("GET / HTTP/1.1\r\nHost: a\r\nx-time: 5000\r\n\r\n")
            .await;
        assert_eq!(status(&answer), "200");
        let told = origin.heads();
        let told: Vec<u64> = told
            .iter()
            .map(|head| header(head, "x-time").unwrap().parse().unwrap())
            .collect();
        let [first, second] = told[..] else {
            panic!("{told:?}");
        };
        assert!(first <= 5000 && second + 100 <= first, "{told:?}");
    })
    .await;
}

#[tokio::test]
async fn the_callers_time_bounds_retries_too() {
    calmly(async || {
        let (sidecar, origin) = hung_at_first().await;
        let answer = sidecar
            .ask("GET / HTTP/1.1\r\nHost: a\r\nx-time: 140\r\n\r\n")
            .await;
        assert_eq!(status(&answer), "504");
        // Less than half of an attempt's time was left.
        assert_eq!(origin.heads().len(), 1);
    })
    .await;
}
