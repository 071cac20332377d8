//! A policy from YAML, replaced while the breaker is in use: its state and its window stay.
//!
//! `cargo run -p breaker-tower --features yaml --example policy`

#![expect(clippy::print_stdout, reason = "an example")]

use breaker_tower::breaker_core::Classification;
use breaker_tower::breaker_core::policy::yaml;
use breaker_tower::{BreakerHandle, OnDrop, State};

const AT_FIRST: &str = "
name: patient
trip:
  - { error_rate: 50% }
min_requests: 1000
";

/// As if an operator had edited the file.
const LATER: &str = "
name: strict
base: sensitive
trip:
  - { error_rate: 10% }
";

/// Misspelled.
const BROKEN: &str = "
name: strict
trip:
  - { error_rat: 10% }
";

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() {
    let policy = yaml::parse(AT_FIRST, Some("pay.yaml")).expect("it is valid");
    let breaker = BreakerHandle::new("pay", policy);
    for request in 0..100 {
        let admitted = breaker.try_acquire(OnDrop::Ignored);
        let classification = match request % 4 {
            0 => Classification::Failure,
            _ => Classification::Success,
        };
        admitted.expect("it is closed").finish(classification);
    }
    assert_eq!(breaker.state(), State::Closed);

    let error = yaml::parse(BROKEN, Some("pay.yaml")).expect_err("a misspelled word");
    println!("not replaced: {error}");

    let policy = yaml::parse(LATER, Some("pay.yaml")).expect("it is valid");
    breaker.set_policy(policy);
    let admitted = breaker.try_acquire(OnDrop::Ignored);
    admitted
        .expect("it is still closed")
        .finish(Classification::Failure);
    println!("{}: {}", breaker.state(), breaker.snapshot().reason);
    assert_eq!(breaker.state(), State::Open);
}
