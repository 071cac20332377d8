//! A policy's recovery, in words.

use std::time::Duration;

use breaker_sidecar::config::in_words;
use breaker_tower::Policy;
use breaker_tower::breaker_core::policy::Recovery;

use super::line;

/// How long a breaker stays open, what it tries then, and what it answers meanwhile.
pub(super) fn recovery(words: &mut String, policy: &Policy) {
    if policy.recovery() == Recovery::Sequential {
        sequential_recovery(words, policy);
        reject(words, policy);
        return;
    }
    let (open, half_open, ramp) = (policy.open(), policy.half_open(), policy.ramp());
    let back_off = match open.factor {
        1.0 => String::new(),
        factor => {
            let max = in_words(open.max);
            format!(", times {factor} after each failed recovery up to {max}")
        }
    };
    let stays = format!("{}{back_off}, ± {}", in_words(open.period), open.jitter);
    line(words, "stays open", &stays);
    let (probes, concurrent) = (half_open.probes, half_open.concurrent);
    let timeout = in_words(half_open.probe_timeout);
    let trial = format!(
        "{probes} requests, {concurrent} at once, {timeout} each; {} must succeed",
        half_open.success
    );
    line(words, "then tries", &trial);
    let grows = if ramp.period.is_zero() {
        "at once".to_owned()
    } else {
        format!(
            "with {} of the requests, growing to all within {}",
            ramp.start,
            in_words(ramp.period)
        )
    };
    line(words, "then closes", &grows);
    reject(words, policy);
}

/// In words, for recovery by a sequential test.
fn sequential_recovery(words: &mut String, policy: &Policy) {
    let (open, half_open) = (policy.open(), policy.half_open());
    let max = in_words(open.max);
    let longest = if open.max > LEAST_BOUND {
        format!("what 40 requests take to arrive (5s to {max})")
    } else {
        max
    };
    let stays = format!(
        "{}, times {} after each failed recovery up to {longest}, ± {}",
        in_words(open.period),
        open.factor,
        open.jitter
    );
    line(words, "stays open", &stays);
    let trial = format!(
        "{} requests at once, {} each, until it is clear: 6 good ones go on, 2 bad ones reopen",
        half_open.concurrent,
        in_words(half_open.probe_timeout)
    );
    line(words, "then tries", &trial);
    let grows = format!(
        "with {} of the requests, more while they go well and less while they don't",
        policy.ramp().start
    );
    line(words, "then closes", &grows);
}

fn reject(words: &mut String, policy: &Policy) {
    let reject = policy.reject();
    let body = reject
        .body
        .as_ref()
        .map_or("a problem document", |_| "the policy's body");
    line(
        words,
        "rejects by",
        &format!("{} with {body}; gRPC UNAVAILABLE", reject.status),
    );
}

/// What follows the traffic is not bounded by less than this.
const LEAST_BOUND: Duration = Duration::from_secs(5);
