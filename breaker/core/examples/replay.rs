//! A recorded morning, replayed: when would each policy have opened, and what would it have
//! rejected?
//!
//! `cargo run -p breaker-core --example replay`

#![expect(clippy::print_stdout, reason = "an example")]

use std::time::Duration;

use breaker_core::{Breaker, Outcome, Policy, Timestamp};

/// What one policy made of the recording.
struct Classification {
    opened: Option<Timestamp>,
    rejected: u32,
}

pub(crate) fn main() {
    for policy in [
        Policy::conservative(),
        Policy::sensitive(),
        Policy::adaptive(),
    ] {
        let name = policy.name().to_owned();
        let Classification { opened, rejected } = replay(policy);
        let opened =
            opened.map_or_else(|| "never".to_owned(), |at| format!("{:.1} s", seconds(at)));
        println!("{name:>12}: opened at {opened}, rejected {rejected} of {REQUESTS}");
        assert!(rejected > 0, "two minutes of an outage open every policy");
    }
}

/// 20 requests a second for five minutes. From the second minute on until the fourth all fail.
fn replay(policy: Policy) -> Classification {
    let mut breaker = Breaker::new(policy, 42, Timestamp::ZERO);
    let mut classification = Classification {
        opened: None,
        rejected: 0,
    };
    for request in 0..REQUESTS {
        let now = Timestamp::from_millis(u64::from(request) * 50);
        let failing = (120.0..240.0).contains(&seconds(now));
        let latency = Duration::from_millis(if failing { 3 } else { 20 });
        match breaker.try_acquire(now) {
            Ok(permit) if failing => breaker.record(permit, Outcome::failure(latency), now),
            Ok(permit) => breaker.record(permit, Outcome::success(latency), now),
            Err(_) => {
                classification.opened.get_or_insert(now);
                classification.rejected += 1;
            }
        }
    }
    classification
}

fn seconds(at: Timestamp) -> f64 {
    Duration::from_nanos(at.as_nanos()).as_secs_f64()
}

const REQUESTS: u32 = 6000;
