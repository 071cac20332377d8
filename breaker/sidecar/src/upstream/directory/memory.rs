//! What is known of a name: the last good answer outlives a name server that fails.

use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::net::NetError;
use tokio::time::Instant;

use super::Question;
use crate::message::error::ErrorKind;
use crate::upstream::resolve::{Answer, Target};

/// The latest that is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Latest {
    /// Nothing yet.
    Awaited,
    /// What it stands for, in a fixed order; at least one.
    Found(Arc<[Target]>),
    /// Nothing, and why.
    Unknown(ErrorKind, Arc<str>),
}

/// What was learned of one name.
#[derive(Debug)]
pub(super) struct Memory {
    latest: Latest,
    /// Answers in a row that say that there is nothing, and when they began.
    negatives: Option<(u32, Instant)>,
    /// Failures in a row.
    failures: u32,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            latest: Latest::Awaited,
            negatives: None,
            failures: 0,
        }
    }
}

impl Memory {
    /// Takes what a lookup came to at `now`, and returns when to ask again.
    pub(super) fn learn(&mut self, asked: Result<Answer, NetError>, now: Instant) -> Duration {
        let error = match asked {
            Ok(answer) => {
                self.negatives = None;
                self.failures = 0;
                let shortest = SHORTEST.max(EACH * u32::try_from(answer.names).unwrap_or(u32::MAX));
                let valid = answer.valid.max(shortest).min(LONGEST);
                self.latest = Latest::Found(in_order(answer.targets).into());
                return valid;
            }
            Err(error) => error,
        };
        self.failures = self.failures.saturating_add(1);
        self.negatives = error.is_no_records_found().then(|| {
            let (count, since) = self.negatives.unwrap_or((0, now));
            (count.saturating_add(1), since)
        });
        let is_gone = self
            .negatives
            .is_some_and(|(count, since)| count >= NEGATIVES && now - since >= DOUBT);
        if is_gone || !matches!(self.latest, Latest::Found(_)) {
            let kind = match error {
                NetError::Timeout => ErrorKind::ResolveTimeout,
                _ => ErrorKind::Resolve,
            };
            self.latest = Latest::Unknown(kind, error.to_string().into());
        }
        RETRIES[(self.failures as usize - 1).min(RETRIES.len() - 1)]
    }

    pub(super) fn latest(&self) -> Latest {
        self.latest.clone()
    }
}

impl Latest {
    pub(super) fn log(&self, question: &Question) {
        match self {
            Self::Awaited => {}
            Self::Found(targets) => {
                tracing::info!(name = %question, addresses = targets.len(), "name resolved");
            }
            Self::Unknown(_, why) => {
                tracing::warn!(name = %question, %why, "name not resolved");
            }
        }
    }
}

/// Each once, in an order that does not depend on the name server's; addresses of IPv4 first.
fn in_order(mut targets: Vec<Target>) -> Vec<Target> {
    targets.sort_unstable();
    targets.dedup_by_key(|target| (target.address, target.port));
    targets
}

/// Bounds of how long an answer is taken as valid.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// And for each name that was looked up for it: a service of a thousand instances is asked for a
/// hundred of them a second at most.
const EACH: Duration = Duration::from_millis(10);
/// When a lookup is repeated that has failed.
const RETRIES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];
/// How many answers in a row must say that a name is gone before it is taken to be.
const NEGATIVES: u32 = 3;
/// And for how long they must have said so.
const DOUBT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use hickory_resolver::net::{DnsError, NoRecords};
    use hickory_resolver::proto::op::{Query, ResponseCode};

    use super::*;

    fn answer(last: &[u8], seconds: u64) -> Result<Answer, NetError> {
        Ok(Answer {
            targets: last.iter().map(|last| target(*last)).collect(),
            valid: Duration::from_secs(seconds),
            names: 1,
        })
    }

    fn target(last: u8) -> Target {
        Target {
            address: [10, 0, 0, last].into(),
            port: None,
            weight: 1,
        }
    }

    fn negative() -> Result<Answer, NetError> {
        let none = NoRecords::new(Query::default(), ResponseCode::NXDomain);
        Err(NetError::Dns(DnsError::NoRecordsFound(none)))
    }

    fn found(memory: &Memory) -> Vec<u8> {
        match memory.latest() {
            Latest::Found(targets) => targets
                .iter()
                .map(|target| match target.address {
                    std::net::IpAddr::V4(address) => address.octets()[3],
                    std::net::IpAddr::V6(_) => 0,
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn an_answer_is_valid_for_a_second_at_least_and_for_five_minutes_at_most() {
        let mut memory = Memory::default();
        let now = Instant::now();
        // A TTL from 2^31 on is long, and not 0 as it once was (RFC 8767, section 4).
        for (says, taken) in [(0, 1), (1, 1), (60, 60), (300, 300), (1 << 31, 300)] {
            let next = memory.learn(answer(&[1], says), now);
            assert_eq!(next, Duration::from_secs(taken), "{says}");
        }
    }

    #[test]
    fn a_service_of_many_instances_is_not_asked_for_each_second() {
        let mut memory = Memory::default();
        let now = Instant::now();
        for (names, taken) in [(2, 1000), (100, 1000), (101, 1010), (1025, 10_250)] {
            let answer = answer(&[1], 1).map(|answer| Answer { names, ..answer });
            let next = memory.learn(answer, now);
            assert_eq!(next, Duration::from_millis(taken), "{names}");
        }
    }

    #[test]
    fn the_order_of_an_answer_and_repetitions_change_nothing() {
        let mut memory = Memory::default();
        memory.learn(answer(&[3, 1, 2], 1), Instant::now());
        let before = memory.latest();
        memory.learn(answer(&[1, 2, 2, 3, 1], 1), Instant::now());
        assert_eq!(memory.latest(), before);
        assert_eq!(found(&memory), [1, 2, 3]);
    }

    #[test]
    fn a_name_server_that_fails_takes_nothing_away() {
        let mut memory = Memory::default();
        let mut now = Instant::now();
        memory.learn(answer(&[1], 1), now);
        let waits = (0..100).map(|_| {
            now += Duration::from_secs(5);
            memory.learn(Err(NetError::Timeout), now).as_secs()
        });
        assert_eq!(waits.take(4).collect::<Vec<_>>(), [1, 2, 5, 5]);
        assert_eq!(found(&memory), [1]);
    }

    #[test]
    fn a_name_is_gone_after_three_answers_in_a_row_and_thirty_seconds_that_say_so() {
        let mut memory = Memory::default();
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        memory.learn(answer(&[1], 1), at(0));
        for second in [1, 2, 3, 30] {
            memory.learn(negative(), at(second));
            assert_eq!(found(&memory), [1], "{second}");
        }
        // Something else in between begins it anew.
        memory.learn(Err(NetError::Busy), at(31));
        for second in [32, 60] {
            memory.learn(negative(), at(second));
        }
        memory.learn(negative(), at(61));
        assert_eq!(found(&memory), [1]);
        memory.learn(negative(), at(62));
        assert!(matches!(
            memory.latest(),
            Latest::Unknown(ErrorKind::Resolve, _)
        ));
        memory.learn(answer(&[2], 1), at(63));
        assert_eq!(found(&memory), [2]);
    }

    #[test]
    fn a_name_that_was_never_known_is_unknown_at_once_and_asked_for_each_five_seconds() {
        let mut memory = Memory::default();
        memory.learn(negative(), Instant::now());
        assert!(matches!(
            memory.latest(),
            Latest::Unknown(ErrorKind::Resolve, _)
        ));
        let waits = (0..10).map(|_| memory.learn(negative(), Instant::now()));
        assert!(waits.max() <= Some(Duration::from_secs(5)));
        memory.learn(Err(NetError::Timeout), Instant::now());
        assert!(matches!(
            memory.latest(),
            Latest::Unknown(ErrorKind::ResolveTimeout, _)
        ));
    }
}
