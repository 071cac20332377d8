//! A request through the layer allocates nothing, once others were in flight before it.

use std::alloc::System;
use std::convert::Infallible;

use breaker_tower::{BreakerHandle, BreakerLayer, Policy};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tower::{Layer, Service, ServiceExt, service_fn};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[tokio::test(start_paused = true)]
async fn a_request_allocates_nothing_while_closed() {
    let breaker = BreakerHandle::new("pay", Policy::sensitive());
    let mut service =
        BreakerLayer::new(breaker.clone()).layer(service_fn(async |_: Request<Empty<Bytes>>| {
            let body = Full::new(Bytes::from_static(b"paid"));
            Ok::<_, Infallible>(Response::new(body))
        }));
    for _ in 0..100 {
        call(&mut service).await;
    }
    // The least of ten rounds: the test runner has threads, which allocate too.
    let mut least = usize::MAX;
    for _ in 0..10 {
        let region = Region::new(ALLOCATOR);
        for _ in 0..100 {
            call(&mut service).await;
        }
        let change = region.change();
        least = least.min(change.allocations + change.reallocations);
    }
    assert_eq!(least, 0);
    assert_eq!(breaker.snapshot().totals.success, 1100);
}

/// One request, and its answer to the end of the body.
async fn call<S, B>(service: &mut S)
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>>,
    B: http_body::Body + Unpin,
{
    let Ok(service) = service.ready().await else {
        panic!("the service is ready");
    };
    let Ok(answer) = service.call(Request::new(Empty::new())).await else {
        panic!("the breaker is closed");
    };
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        assert!(frame.is_ok());
    }
}
