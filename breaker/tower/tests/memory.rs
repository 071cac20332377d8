//! What a breaker of a set costs in memory.

#![expect(
    clippy::unwrap_used,
    reason = "clippy sees test functions only, not their helpers"
)]

use std::alloc::System;

use breaker_tower::breaker_core::Classification;
use breaker_tower::{BreakerSet, OnDrop, Policy};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes for each of a thousand keys that have seen `requests` good ones.
fn bytes_per_key(policy: Policy, requests: u32) -> isize {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let set = BreakerSet::new(policy, 2000);
    let region = Region::new(ALLOCATOR);
    for key in 0..1000 {
        let breaker = set.get(key);
        for _ in 0..requests {
            let request = breaker.try_acquire(OnDrop::Ignored).unwrap();
            request.finish(Classification::Success);
        }
    }
    let change = region.change();
    let kept = change.bytes_allocated as isize - change.bytes_deallocated as isize;
    drop(set);
    kept / 1000
}

#[test]
fn a_key_that_few_requests_have_takes_less_than_two_kib() {
    let bytes = [0, 5].map(|requests| bytes_per_key(Policy::sensitive(), requests));
    assert!(bytes[0] <= 2048 && bytes[1] <= 2048, "{bytes:?}");
}

/// Its detectors are most of it: three signals on three or four time scales each.
#[test]
fn a_key_of_adaptive_that_few_requests_have_takes_less_than_five_and_a_half_kib() {
    let bytes = [0, 5].map(|requests| bytes_per_key(Policy::adaptive(), requests));
    assert!(bytes[0] <= 5632 && bytes[1] <= 5632, "{bytes:?}");
}
