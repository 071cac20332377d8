//! A database call behind a breaker: after twenty queries that time out, none waits any more.
//!
//! `cargo run -p breaker-tower --example database`

#![expect(clippy::print_stdout, reason = "an example")]

use std::future::pending;
use std::time::Duration;

use breaker_tower::{BreakerHandle, CallError, Policy};
use tokio::time::timeout;

/// What a pool would do whose database is gone.
async fn query() -> u64 {
    pending().await
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() {
    let database = BreakerHandle::new("database", Policy::sensitive());
    let mut attempts = 0;
    loop {
        // The timeout belongs into the call: outside, it would be a caller that went away.
        let rows = timeout(Duration::from_millis(5), query());
        match database.call(rows).await {
            Ok(rows) => unreachable!("{rows} rows of a database that is gone"),
            Err(CallError::Failed(_elapsed)) => attempts += 1,
            Err(CallError::Rejected(rejected)) => {
                println!("after {attempts} queries: {rejected}");
                break;
            }
        }
    }
    assert_eq!(attempts, 20);
}
