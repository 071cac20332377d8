//! Open-loop load: a service that turns slow slows none of its callers down.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::client::ClientError;
use crate::message::PROXY_STATUS;

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "who counts them counts all")]
pub enum Answer {
    /// With success.
    Served,
    /// With an error, or not in time.
    Failed,
    /// At once, by a breaker that says when to come back.
    Rejected,
}

impl Answer {
    /// What a client's answer is to its caller.
    pub fn of(answer: &Result<Response<Bytes>, ClientError>) -> Self {
        match answer {
            Ok(answer) if answer.status().is_success() => Self::Served,
            Ok(answer)
                if answer.status() == StatusCode::SERVICE_UNAVAILABLE
                    && answer.headers().contains_key(PROXY_STATUS) =>
            {
                Self::Rejected
            }
            _ => Self::Failed,
        }
    }
}

/// Calls `send` so many times a second from `begins` on until `ends`, with the number of the
/// request and when it is due. A request's time counts from then, so that none is left out of the
/// figures because the one before it was late.
pub async fn run(rate: u32, begins: Instant, ends: Instant, mut send: impl FnMut(u64, Instant)) {
    let mut ticks = interval_at(begins, Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0.. {
        let due = ticks.tick().await;
        if due >= ends {
            return;
        }
        send(number, due);
    }
}

/// The smallest of the times that 99 % of them do not exceed.
pub fn p99(times: impl Iterator<Item = Duration>) -> Option<Duration> {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    let rank = (times.len() * 99).div_ceil(100);
    times.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_sent_in_time_is_sent_late_and_was_due_before() {
        let begins = Instant::now();
        sleep(Duration::from_millis(250)).await;
        let mut sent = Vec::new();
        run(
            10,
            begins,
            begins + Duration::from_secs(1),
            |number, due| {
                sent.push((
                    number,
                    (due - begins).as_millis(),
                    begins.elapsed().as_millis(),
                ));
            },
        )
        .await;
        let numbers: Vec<_> = sent.iter().map(|(number, ..)| *number).collect();
        assert_eq!(numbers, (0..10).collect::<Vec<_>>());
        assert!(
            sent.iter()
                .all(|(number, due, _)| *due == u128::from(*number) * 100)
        );
        let late: Vec<_> = sent.iter().take(4).map(|(.., at)| *at).collect();
        assert_eq!(late, [250, 250, 250, 300]);
    }

    #[test]
    fn p99_is_a_time_that_was_measured() {
        let times = |count: u64| p99((1..=count).map(Duration::from_millis));
        assert_eq!(times(0), None);
        assert_eq!(times(1), Some(Duration::from_millis(1)));
        assert_eq!(times(100), Some(Duration::from_millis(99)));
        assert_eq!(times(101), Some(Duration::from_millis(100)));
    }
}
