//! `BreakerHandle::call`, and the guard of `try_acquire`: no end of a call is lost.

use std::error::Error;
use std::future::{pending, ready};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use breaker_tower::breaker_core::{Attribution, Classification};
use breaker_tower::{BoxError, BreakerHandle, CallError, Ending, OnDrop, State, rejection};
use tokio::time::{error::Elapsed, timeout};

use crate::harness::*;

fn refused() -> Result<(), io::Error> {
    Err(io::Error::other("refused"))
}

#[tokio::test(start_paused = true)]
async fn an_error_is_a_failure_and_a_value_a_success() {
    let breaker = BreakerHandle::new("test", sensitive());
    breaker.call(ready(Ok::<_, io::Error>(()))).await.unwrap();
    let failed = breaker.call(async { refused() }).await.unwrap_err();
    assert!(matches!(failed, CallError::Failed(_)));
    assert_eq!(failed.to_string(), "refused");
    assert_eq!(counted(&breaker), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_makes_no_call() {
    let breaker = BreakerHandle::new("test", touchy());
    let _ = breaker.call(async { refused() }).await;
    assert_eq!(breaker.state(), State::Open);
    let mut called = false;
    let rejected = breaker.call(async {
        called = true;
        Ok::<_, io::Error>(())
    });
    let rejected = rejected.await.unwrap_err();
    assert!(rejected.rejected().is_some());
    assert!(rejection(&rejected).is_some());
    let source = rejected.source().unwrap().to_string();
    assert!(source.starts_with("rejected by the circuit breaker, which is open: "));
    assert!(!called);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_within_the_call_is_a_failure() {
    let breaker = BreakerHandle::new("test", sensitive());
    let call = timeout(Duration::from_secs(1), pending::<()>());
    let failed = breaker.call(call).await.unwrap_err();
    assert!(matches!(failed, CallError::<Elapsed>::Failed(_)));
    assert_eq!(counted(&breaker), (0, 1, 0));
    let latency = breaker.snapshot().sources[0].latency.unwrap();
    assert!(latency.max >= Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_is_a_caller_that_went_away() {
    let breaker = BreakerHandle::new("test", sensitive());
    let call = breaker.call(pending::<Result<(), io::Error>>());
    assert_eq!(breaker.snapshot().in_flight, 0);
    timeout(Duration::from_millis(1), call).await.unwrap_err();
    assert_eq!(counted(&breaker), (0, 0, 1));
    assert_eq!(breaker.snapshot().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure() {
    let breaker = BreakerHandle::new("test", sensitive());
    let call = breaker.call(async { panic!("as intended") });
    let task = tokio::spawn(async { drop::<Result<(), CallError<io::Error>>>(call.await) });
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(counted(&breaker), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_rejection_of_an_inner_breaker_is_ignored() {
    let (outer, inner) = (
        BreakerHandle::new("outer", touchy()),
        BreakerHandle::new("inner", touchy()),
    );
    let call = || {
        let inner = inner.call(async { refused() });
        outer.call(async { inner.await.map_err(BoxError::from) })
    };
    let _ = call().await;
    assert_eq!((outer.state(), inner.state()), (State::Open, State::Open));
    outer.reset();
    let error = call().await.unwrap_err();
    assert!(matches!(error, CallError::Failed(error) if rejection(&*error).is_some()));
    assert_eq!(counted(&outer), (0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_judge_says_how_a_call_ended() {
    let breaker = BreakerHandle::new("test", sensitive());
    for (number, classification) in [(1, Classification::Success), (2, Classification::Failure)] {
        let call = breaker.call_with(ready(number), |_| classification);
        assert_eq!(call.await.unwrap(), number);
    }
    let call = breaker.call_with(ready(3), |_| Ending::caused_by(Attribution::Proxy));
    assert_eq!(call.await.unwrap(), 3);
    assert_eq!(counted(&breaker), (1, 1, 1));
}

/// The trap: the outcome is forgotten by an early return.
fn queried(breaker: &BreakerHandle, on_drop: OnDrop) -> Result<(), BoxError> {
    let request = breaker.try_acquire(on_drop)?;
    refused()?;
    request.finish(Classification::Success);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_early_return_counts_as_the_guard_was_told() {
    let breaker = BreakerHandle::new("test", sensitive());
    for _ in 0..1000 {
        queried(&breaker, OnDrop::Ignored).unwrap_err();
    }
    assert_eq!(
        (breaker.state(), counted(&breaker)),
        (State::Closed, (0, 0, 1000))
    );
    breaker.reset();
    for _ in 0..20 {
        assert_eq!(breaker.state(), State::Closed);
        queried(&breaker, OnDrop::Failure).unwrap_err();
    }
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_panic_counts_as_the_guard_was_told() {
    for (on_drop, expected) in [(OnDrop::Ignored, (0, 0, 1)), (OnDrop::Failure, (0, 1, 0))] {
        let breaker = BreakerHandle::new("test", sensitive());
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _request = breaker.try_acquire(on_drop).unwrap();
            panic!("as intended");
        }));
        assert!(panicked.is_err());
        assert_eq!(counted(&breaker), expected);
    }
}
