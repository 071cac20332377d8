//! Which requests are sent a second time, and after what.
//!
//! A request that no endpoint has received is sent again anyway, whatever these rules say. They are
//! about those that may have had an effect.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use breaker_tower::breaker_core::policy::GrpcCode;
use breaker_tower::breaker_core::{Ratio, RetryBudget, Timestamp};
use http::{Method, StatusCode};
use tokio::time::Instant;

use crate::message::error::ErrorKind;

/// When a request of a route is sent again.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryRules {
    /// How often it is sent in all, 1..=5. Default 2.
    pub attempts: u32,
    /// After what.
    pub on: RetryOn,
    /// Time for the head of each attempt's answer, if it has one of its own.
    pub per_try: Option<Duration>,
    /// How many retries there may be for each request, over ten seconds. Default 20 %.
    pub budget: Ratio,
    /// Requests with more bytes are sent once. Default 64 KiB.
    pub body: usize,
    /// Requests with which methods; the idempotent ones if it is empty. gRPC is POST.
    pub methods: Vec<Method>,
}

/// What a request is sent again after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryOn {
    /// No connection could be established.
    pub connect: bool,
    /// The connection ended before an answer.
    pub reset: bool,
    /// An attempt took longer than its own time.
    pub timeout: bool,
    /// Statuses.
    pub http: Vec<RangeInclusive<u16>>,
    /// Codes of gRPC, if they are told in the head of the answer.
    pub grpc: Vec<GrpcCode>,
}

/// The retries of a route: its rules, and how many there were. One for all workers.
#[derive(Debug)]
pub struct Retries {
    pub(crate) rules: RetryRules,
    budget: Mutex<RetryBudget>,
    started: Instant,
    counts: [AtomicU64; Retry::ALL.len()],
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// There is no answer.
    Error(ErrorKind),
    /// It took longer than its own time.
    Late,
    /// The answer is this.
    Http(StatusCode),
    /// The answer is this, in its head.
    Grpc(GrpcCode),
}

/// Why a request is not sent again, or that it is: `outcome` of `breaker.retries`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// It is.
    Sent,
    /// There were too many retries lately.
    Budget,
    /// All endpoints were tried.
    NoEndpoint,
    /// Its method is not one of those, or the upstream has asked not to.
    NotRetryable,
    /// It is larger than what is kept of it.
    TooLarge,
    /// Too little time is left.
    NoTime,
}

impl Default for RetryRules {
    fn default() -> Self {
        Self {
            attempts: 2,
            on: RetryOn {
                connect: true,
                reset: true,
                timeout: true,
                http: vec![502..=504],
                grpc: vec![GrpcCode::UNAVAILABLE],
            },
            per_try: None,
            budget: Ratio::of(20, 100),
            body: 64 * 1024,
            methods: Vec::new(),
        }
    }
}

impl RetryRules {
    /// Whether requests with this method may have an effect twice.
    pub(crate) fn allows(&self, method: &Method) -> bool {
        match &*self.methods {
            [] => method.is_idempotent(),
            methods => methods.contains(method),
        }
    }

    /// Whether there is to be another attempt after `trouble`, as far as that alone tells.
    pub(crate) fn wants(&self, trouble: Trouble) -> bool {
        match trouble {
            Trouble::Error(kind) => match kind {
                ErrorKind::ConnectRefused | ErrorKind::ConnectTimeout | ErrorKind::Unreachable => {
                    self.on.connect
                }
                ErrorKind::Terminated | ErrorKind::Unreceived => self.on.reset,
                _ => false,
            },
            Trouble::Late => self.on.timeout,
            Trouble::Http(status) => self.on.has(status),
            Trouble::Grpc(code) => self.on.grpc.contains(&code),
        }
    }

    /// Whether there is enough time for another attempt: half of what one may take.
    pub(crate) fn has_time(&self, left: Option<Duration>) -> bool {
        match (left, self.per_try) {
            (None, _) => true,
            (Some(left), Some(per_try)) => left > per_try / 2,
            (Some(left), None) => !left.is_zero(),
        }
    }
}

impl Retries {
    /// No retries yet, by these rules.
    pub fn new(rules: RetryRules) -> Self {
        Self {
            budget: Mutex::new(RetryBudget::new(rules.budget, LEAST)),
            rules,
            started: Instant::now(),
            counts: Default::default(),
        }
    }

    /// A request came that may be sent again.
    pub(crate) fn requested(&self) {
        let now = self.now();
        self.budget().request(now);
    }

    /// Whether the budget has room for another retry; then it counts.
    pub(crate) fn withdraw(&self) -> bool {
        let now = self.now();
        self.budget().withdraw(now)
    }

    /// Counts what became of the wish to send a request again.
    pub(crate) fn count(&self, retry: Retry) {
        self.counts[retry as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often each of these was.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let count = |retry: Retry| self.counts[retry as usize].load(Ordering::Relaxed);
        Retry::ALL
            .into_iter()
            .map(move |retry| (retry.name(), count(retry)))
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.started.elapsed()
    }

    fn budget(&self) -> MutexGuard<'_, RetryBudget> {
        // Counts are whole after each of its operations.
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RetryOn {
    fn has(&self, status: StatusCode) -> bool {
        self.http
            .iter()
            .any(|range| range.contains(&status.as_u16()))
    }
}

impl Retry {
    /// All of them.
    pub(crate) const ALL: [Self; 6] = [
        Self::Sent,
        Self::Budget,
        Self::NoEndpoint,
        Self::NotRetryable,
        Self::TooLarge,
        Self::NoTime,
    ];

    /// Its word in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Budget => "budget",
            Self::NoEndpoint => "no_endpoint",
            Self::NotRetryable => "not_retryable",
            Self::TooLarge => "too_large",
            Self::NoTime => "no_time",
        }
    }
}

/// Retries that there may be in ten seconds, however few requests there are.
const LEAST: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_rules_name_is_tried_again() {
        let rules = RetryRules::default();
        let status = |code| Trouble::Http(StatusCode::from_u16(code).unwrap());
        for (trouble, expected) in [
            (Trouble::Error(ErrorKind::ConnectRefused), true),
            (Trouble::Error(ErrorKind::Terminated), true),
            (Trouble::Error(ErrorKind::ResponseTimeout), false),
            (Trouble::Error(ErrorKind::ClientGone), false),
            (Trouble::Error(ErrorKind::Resolve), false),
            (Trouble::Error(ErrorKind::ResponseHeadTooLarge), false),
            (Trouble::Late, true),
            (status(502), true),
            (status(500), false),
            (status(429), false),
            (Trouble::Grpc(GrpcCode::UNAVAILABLE), true),
            (Trouble::Grpc(GrpcCode::INTERNAL), false),
        ] {
            assert_eq!(rules.wants(trouble), expected, "{trouble:?}");
        }
        let none = RetryRules {
            on: RetryOn::default(),
            ..rules
        };
        for kind in ErrorKind::ALL {
            assert!(!none.wants(Trouble::Error(kind)), "{kind}");
        }
    }

    #[test]
    fn methods_that_are_not_idempotent_must_be_named() {
        let rules = RetryRules::default();
        assert!(rules.allows(&Method::GET) && rules.allows(&Method::PUT));
        assert!(!rules.allows(&Method::POST) && !rules.allows(&Method::PATCH));
        let named = RetryRules {
            methods: vec![Method::POST],
            ..rules
        };
        assert!(named.allows(&Method::POST) && !named.allows(&Method::GET));
    }

    #[test]
    fn half_of_an_attempt_must_fit_into_what_is_left() {
        let millis = Duration::from_millis;
        let rules = RetryRules {
            per_try: Some(millis(800)),
            ..RetryRules::default()
        };
        assert!(rules.has_time(None) && rules.has_time(Some(millis(401))));
        assert!(!rules.has_time(Some(millis(400))));
        let unbounded = RetryRules::default();
        assert!(unbounded.has_time(Some(millis(1))) && !unbounded.has_time(Some(millis(0))));
    }
}
