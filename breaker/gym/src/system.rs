//! What is compared: something that admits or rejects requests and learns how they end.
//!
//! Ours run on the real `breaker-core`. The others' rules are written down here, one file each,
//! whose head names where they were read.

mod balanced;
mod envoy_admission;
mod envoy_concurrency;
mod envoy_outlier;
mod failsafe_limiter;
mod hosts;
mod hystrix;
mod linkerd;
mod none;
mod ours;
mod resilience4j;
mod rolling;
mod sentinel;
mod sentinel_bbr;
mod shedding;
mod traefik;

use std::fmt;

use breaker_core::Policy;
use serde::Serialize;

use crate::time::{NEVER, Nanos, SECOND};

/// A system under test.
pub(crate) trait System: Send {
    /// Whether a request is sent, and where.
    fn arrive(&mut self, arrival: &Arrival) -> Decision;

    /// A request that was sent has ended.
    fn complete(&mut self, completion: &Completion);

    /// The head of a streamed answer has come, a success so far. [`Self::complete`] follows when
    /// the stream ends. For those who count a request at its head.
    fn head(&mut self, _head: &Completion) {}

    /// The caller of a request that was sent has left before the answer's head. Nothing follows.
    /// Whoever records completed calls only, and keeps no count of those in flight, does nothing.
    fn abandon(&mut self, _left: &Completion) {}

    /// A batch of a dependency's spans was exported.
    fn observe(&mut self, _spans: &[DependencySpan], _now: Nanos) {}

    /// In the last second the service's machine was busy for this share of the time. Told only
    /// where the service has a capacity.
    fn load(&mut self, _utilisation: f64, _now: Nanos) {}

    /// An attempt has failed before any of its answer came: whether it is made again, where, and
    /// with which tag. Then [`Self::complete`] is not called for it. Who sends nothing twice says
    /// `None`.
    fn again(&mut self, _failed: &Completion, _pick: u32) -> Option<Decision> {
        None
    }

    /// Whether a caller may try again after a failure. Callers try as often as they like where
    /// nobody counts.
    fn may_retry(&mut self, _now: Nanos) -> bool {
        true
    }

    /// Other endpoints have taken the places of all.
    fn replaced(&mut self, _now: Nanos) {}

    /// The time that [`Self::next_tick`] named has come.
    fn tick(&mut self, _now: Nanos) {}

    /// When something happens to it by the passing of time alone.
    fn next_tick(&self) -> Nanos {
        NEVER
    }

    /// When it gives a request up.
    fn timeout(&self) -> Nanos {
        TIMEOUT
    }

    /// What it shows of itself.
    fn status(&self) -> Status;

    /// Its trips and alerts so far by what they were about, where it tells.
    fn signals(&self) -> &[Events] {
        &[]
    }
}

/// Trips and alerts about one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Events {
    /// What is watched: errors, latency or deadline, or a condition's name.
    pub(crate) signal: &'static str,
    /// Trips.
    pub(crate) trips: u64,
    /// Alerts.
    pub(crate) alerts: u64,
}

impl Events {
    /// Adds `more` to those of its signal among `all`.
    pub(crate) fn add(self, all: &mut Vec<Self>) {
        match all.iter_mut().find(|known| known.signal == self.signal) {
            Some(known) => {
                known.trips += self.trips;
                known.alerts += self.alerts;
            }
            None => all.push(self),
        }
    }
}

/// A request that asks to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// Now.
    pub(crate) now: Nanos,
    /// A random number, by which a load balancer picks one of the endpoints.
    pub(crate) pick: u32,
    /// How many endpoints there are.
    pub(crate) endpoints: u8,
    /// Whether it is a caller's retry.
    pub(crate) retry: bool,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is sent.
    Admit {
        /// To which endpoint.
        endpoint: u8,
        /// Comes back with the completion.
        tag: u32,
    },
    /// It is not.
    Reject,
}

/// The end of a request that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Completion {
    /// Now.
    pub(crate) now: Nanos,
    /// When it was sent.
    pub(crate) sent: Nanos,
    /// To where.
    pub(crate) endpoint: u8,
    /// Of its admission.
    pub(crate) tag: u32,
    /// When the head of a streamed answer came; `None` of any other answer.
    pub(crate) head: Option<Nanos>,
    /// How it ended.
    pub(crate) ending: Ending,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By a 2xx.
    Success,
    /// By a 4xx.
    ClientError,
    /// By a 5xx.
    Failure,
    /// By a refused connection: nothing was sent.
    Refused,
    /// By the system's timeout.
    Timeout,
    /// A streamed answer broke off after its head.
    Broken,
    /// The caller left before the head.
    Abandoned,
}

/// A call of the service to its dependency, as its telemetry tells of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DependencySpan {
    /// When it ended.
    pub(crate) at: Nanos,
    /// How long it took.
    pub(crate) latency: Nanos,
    /// Whether it failed.
    pub(crate) failed: bool,
}

/// What a system shows of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// Its state.
    pub(crate) state: State,
    /// Alerts that it has given so far: detections that reject nothing, or eject one endpoint of
    /// several.
    pub(crate) alerts: u64,
}

/// A state, in words that fit all systems.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// All is admitted.
    #[default]
    Closed,
    /// A part is rejected, or a part of the endpoints ejected.
    Shedding,
    /// A trial.
    HalfOpen,
    /// All is rejected; of systems that shed by shares, at least half.
    Open,
}

/// What a system may know when it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// For its own random numbers.
    pub(crate) seed: u64,
    /// Over how many endpoints requests are spread.
    pub(crate) endpoints: u8,
    /// Whether a dependency's spans will come.
    pub(crate) spans: bool,
}

/// A system's name, and how to make it.
#[derive(Clone, Copy)]
pub(crate) struct NamedSystem {
    /// By which it is called.
    pub(crate) name: &'static str,
    make: fn(&Setup) -> Box<dyn System>,
}

/// All systems. A policy of ours is one line: its name and how it is made.
pub(crate) const ALL: &[NamedSystem] = &[
    entry("none", |_| Box::new(none::None)),
    entry("resilience4j", |_| {
        Box::<resilience4j::Resilience4j>::default()
    }),
    entry("traefik", |_| Box::<traefik::Traefik>::default()),
    entry("envoy-outlier", |setup| {
        Box::new(envoy_outlier::EnvoyOutlier::new(setup, 100))
    }),
    entry("envoy-outlier-10%", |setup| {
        Box::new(envoy_outlier::EnvoyOutlier::new(setup, 10))
    }),
    entry("envoy-admission", |setup| {
        Box::new(envoy_admission::EnvoyAdmission::new(setup))
    }),
    entry("sentinel", |_| Box::<sentinel::Sentinel>::default()),
    entry("linkerd-consecutive", |setup| {
        Box::new(linkerd::Linkerd::consecutive(setup))
    }),
    entry("linkerd-unified", |setup| {
        Box::new(linkerd::Linkerd::unified(setup))
    }),
    entry("hystrix", |_| Box::<hystrix::Hystrix>::default()),
    entry("envoy-concurrency", |setup| {
        Box::new(envoy_concurrency::EnvoyConcurrency::new(setup))
    }),
    entry("failsafe-limiter", |_| {
        Box::<failsafe_limiter::FailsafeLimiter>::default()
    }),
    entry("sentinel-bbr", |_| {
        Box::<sentinel_bbr::SentinelBbr>::default()
    }),
    entry("conservative", |setup| {
        Box::new(ours::Ours::new(Policy::conservative(), setup))
    }),
    entry("sensitive", |setup| {
        Box::new(ours::Ours::new(Policy::sensitive(), setup))
    }),
    entry("combined", |setup| {
        Box::new(ours::Ours::new(Policy::combined(), setup))
    }),
    entry("adaptive", |setup| {
        Box::new(ours::Ours::new(Policy::adaptive(), setup))
    }),
    entry("endpoints", |setup| {
        Box::new(balanced::Balanced::new(setup, false))
    }),
    entry("endpoints+retries", |setup| {
        Box::new(balanced::Balanced::new(setup, true))
    }),
];

/// The system called `name`.
pub(crate) fn find(name: &str) -> Option<NamedSystem> {
    ALL.iter()
        .find(|entry| entry.name.eq_ignore_ascii_case(name))
        .copied()
}

const fn entry(name: &'static str, make: fn(&Setup) -> Box<dyn System>) -> NamedSystem {
    NamedSystem { name, make }
}

/// A policy of ours that is none of those.
pub(crate) fn ours(policy: Policy, setup: &Setup) -> Box<dyn System> {
    Box::new(ours::Ours::new(policy, setup))
}

/// When a proxy gives a request up.
pub(crate) const TIMEOUT: Nanos = 5 * SECOND;

// === impl NamedSystem ===

impl NamedSystem {
    /// A new system.
    pub(crate) fn build(&self, setup: &Setup) -> Box<dyn System> {
        (self.make)(setup)
    }
}

impl fmt::Debug for NamedSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NamedSystem").field(&self.name).finish()
    }
}

// === impl Arrival ===

impl Arrival {
    /// The endpoint to which a balancer sends the request that knows nothing of their health.
    pub(crate) const fn endpoint(&self) -> u8 {
        (self.pick % self.endpoints as u32) as u8
    }

    /// Sends it there.
    pub(crate) const fn admit(&self) -> Decision {
        Decision::Admit {
            endpoint: self.endpoint(),
            tag: 0,
        }
    }
}

// === impl Completion ===

impl Completion {
    /// Whether the service failed.
    pub(crate) const fn failed(&self) -> bool {
        matches!(
            self.ending,
            Ending::Failure | Ending::Refused | Ending::Timeout | Ending::Broken
        )
    }

    /// From being sent to its end.
    pub(crate) const fn latency(&self) -> Nanos {
        self.now - self.sent
    }

    /// From being sent to the head of a streamed answer; of any other answer, to its end.
    pub(crate) const fn latency_to_head(&self) -> Nanos {
        match self.head {
            Some(head) => head - self.sent,
            None => self.now - self.sent,
        }
    }

    /// Whether it is the end of a stream whose head was told before.
    pub(crate) const fn is_stream(&self) -> bool {
        self.head.is_some()
    }
}

// === impl State ===

impl State {
    /// Whether requests are admitted as in health, or by a share of more than half.
    pub(crate) const fn is_closed(self) -> bool {
        matches!(self, Self::Closed | Self::Shedding)
    }
}

// === impl Status ===

impl Status {
    /// A status without alerts.
    pub(crate) const fn of(state: State) -> Self {
        Self { state, alerts: 0 }
    }
}

/// Drives a system by hand, in the tests of rules.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    pub(crate) const SETUP: Setup = Setup {
        seed: 1,
        endpoints: 1,
        spans: false,
    };

    /// Asks at `now`.
    pub(crate) fn admits(system: &mut dyn System, now: Nanos) -> bool {
        system.arrive(&arrival(now)) != Decision::Reject
    }

    /// Sends a request to one endpoint at `now`, if the system admits it, which ends after
    /// `latency`.
    pub(crate) fn request(
        system: &mut dyn System,
        now: Nanos,
        latency: Nanos,
        ending: Ending,
    ) -> bool {
        let Decision::Admit { endpoint, tag } = system.arrive(&arrival(now)) else {
            return false;
        };
        system.complete(&Completion {
            now: now + latency,
            sent: now,
            endpoint,
            tag,
            head: None,
            ending,
        });
        true
    }

    /// Sends a request to one endpoint at `now`, whose caller leaves after `patience`.
    pub(crate) fn leave(system: &mut dyn System, now: Nanos, patience: Nanos) -> bool {
        let Decision::Admit { endpoint, tag } = system.arrive(&arrival(now)) else {
            return false;
        };
        system.abandon(&Completion {
            now: now + patience,
            sent: now,
            endpoint,
            tag,
            head: None,
            ending: Ending::Abandoned,
        });
        true
    }

    /// Sends a request to one endpoint at `now`, whose answer has its head after a millisecond,
    /// and ends as `ending` after `body` more.
    pub(crate) fn stream(system: &mut dyn System, now: Nanos, body: Nanos, ending: Ending) -> bool {
        let Decision::Admit { endpoint, tag } = system.arrive(&arrival(now)) else {
            return false;
        };
        let head = now + crate::time::MILLI;
        let completion = |now, ending| Completion {
            now,
            sent: head - crate::time::MILLI,
            endpoint,
            tag,
            head: Some(head),
            ending,
        };
        system.head(&completion(head, Ending::Success));
        system.complete(&completion(head + body, ending));
        true
    }

    /// Lets all ticks until `now` happen.
    pub(crate) fn advance(system: &mut dyn System, now: Nanos) {
        while system.next_tick() <= now {
            let at = system.next_tick();
            system.tick(at);
        }
    }

    fn arrival(now: Nanos) -> Arrival {
        Arrival {
            now,
            pick: 0,
            endpoints: 1,
            retry: false,
        }
    }
}
