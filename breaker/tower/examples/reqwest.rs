//! A reqwest client behind a breaker, as its users call it.
//!
//! `cargo run -p breaker-tower --features reqwest --example reqwest`

#![expect(clippy::print_stdout, reason = "an example")]

use breaker_tower::{BreakerHandle, CallError, Policy};

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() {
    let client = reqwest::Client::new();
    let breaker = BreakerHandle::new("pay", Policy::sensitive());
    let mut attempts = 0;
    loop {
        // Nobody listens on port 1.
        match breaker.send(client.get("http://127.0.0.1:1/")).await {
            Ok(answer) => println!("{} of {}", answer.status(), answer.url()),
            Err(CallError::Failed(_refused)) => attempts += 1,
            Err(CallError::Rejected(rejected)) => {
                println!("after {attempts} attempts: {rejected}");
                break;
            }
        }
    }
    assert_eq!(attempts, 20);
}
