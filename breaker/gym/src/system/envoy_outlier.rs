//! Envoy outlier detection (`source/common/upstream/outlier_detection_impl.cc`): 5 consecutive 5xx
//! eject a host, for 30 s times the number of its ejections, at most 300 s. A sweep every 10 s
//! brings hosts back, and takes one from the number of a host that stayed.
//!
//! With `max_ejection_percent: 100` and no panic threshold, or with the default of 10 %, by which
//! it ejects no host of fewer than ten. By default it also sends to ejected hosts when too many
//! are.
//!
//! A response counts at its head (`Filter::onUpstreamHeaders` of the router), a stream that is
//! reset later counts once more, as a failure; a request whose caller leaves is not reported.

use super::{Arrival, Completion, Decision, Setup, Status, System, hosts};
use crate::time::{Nanos, SECOND};

/// The hosts of one cluster.
#[derive(Debug)]
pub(super) struct EnvoyOutlier {
    hosts: Vec<Host>,
    /// `max_ejection_percent`.
    most_percent: usize,
    next_sweep: Nanos,
    alerts: u64,
}

#[derive(Clone, Debug, Default)]
struct Host {
    ejected: Option<Nanos>,
    /// By how many times the base time its next ejection is longer.
    backoff: u64,
    returned: Nanos,
    consecutive: u32,
}

impl EnvoyOutlier {
    /// A cluster in health.
    pub(super) fn new(setup: &Setup, most_percent: usize) -> Self {
        Self {
            most_percent,
            hosts: vec![Host::default(); setup.endpoints.into()],
            next_sweep: SWEEP,
            alerts: 0,
        }
    }
}

impl System for EnvoyOutlier {
    fn arrive(&mut self, arrival: &Arrival) -> Decision {
        let available = |endpoint: u8| self.hosts[usize::from(endpoint)].ejected.is_none();
        match hosts::choose(arrival, available) {
            Some(endpoint) => Decision::Admit { endpoint, tag: 0 },
            None => Decision::Reject,
        }
    }

    fn complete(&mut self, completion: &Completion) {
        if completion.is_stream() && !completion.failed() {
            return;
        }
        let several = self.hosts.len() > 1;
        let ejected = self
            .hosts
            .iter()
            .filter(|host| host.ejected.is_some())
            .count();
        let may_eject = (ejected + 1) * 100 <= self.most_percent * self.hosts.len();
        let host = &mut self.hosts[usize::from(completion.endpoint)];
        if !completion.failed() {
            host.consecutive = 0;
            return;
        }
        host.consecutive += 1;
        if host.consecutive == CONSECUTIVE {
            host.consecutive = 0;
            if host.ejected.is_none() && may_eject {
                host.ejected = Some(completion.now);
                host.backoff += 1;
                self.alerts += u64::from(several);
            }
        }
    }

    fn replaced(&mut self, _: Nanos) {
        self.hosts.fill(Host::default());
    }

    fn head(&mut self, head: &Completion) {
        self.hosts[usize::from(head.endpoint)].consecutive = 0;
    }

    fn tick(&mut self, now: Nanos) {
        self.next_sweep += SWEEP;
        for host in &mut self.hosts {
            match host.ejected {
                Some(since) if now - since >= (BASE * host.backoff).min(MAX) => {
                    *host = Host {
                        returned: now,
                        backoff: host.backoff,
                        ..Host::default()
                    };
                }
                Some(_) => {}
                None if now - host.returned >= SWEEP => {
                    host.backoff = host.backoff.saturating_sub(1);
                }
                None => {}
            }
        }
    }

    fn next_tick(&self) -> Nanos {
        self.next_sweep
    }

    fn status(&self) -> Status {
        let ejected = self
            .hosts
            .iter()
            .filter(|host| host.ejected.is_some())
            .count();
        Status {
            state: hosts::state(ejected, self.hosts.len()),
            alerts: self.alerts,
        }
    }
}

const CONSECUTIVE: u32 = 5;
const BASE: Nanos = 30 * SECOND;
const MAX: Nanos = 300 * SECOND;
const SWEEP: Nanos = 10 * SECOND;

#[cfg(test)]
mod tests {
    use super::super::testing::{SETUP, admits, advance, request};
    use super::super::{Ending, State};
    use super::*;

    #[test]
    fn five_failures_in_a_row_eject_for_thirty_seconds_and_then_for_sixty() {
        let mut outlier = EnvoyOutlier::new(&SETUP, 100);
        for _ in 0..4 {
            request(&mut outlier, SECOND, 1, Ending::Failure);
        }
        request(&mut outlier, SECOND, 1, Ending::Success);
        for _ in 0..5 {
            assert!(request(&mut outlier, SECOND, 1, Ending::Failure));
        }
        assert!(!admits(&mut outlier, 2 * SECOND));
        // The sweep at 30 s is a second too early.
        advance(&mut outlier, 39 * SECOND);
        assert_eq!(outlier.status().state, State::Open);
        advance(&mut outlier, 40 * SECOND);
        assert_eq!(outlier.status().state, State::Closed);
        for _ in 0..5 {
            request(&mut outlier, 41 * SECOND, 1, Ending::Failure);
        }
        advance(&mut outlier, 100 * SECOND);
        assert_eq!(outlier.status().state, State::Open);
        advance(&mut outlier, 110 * SECOND);
        assert_eq!(outlier.status().state, State::Closed);
    }

    #[test]
    fn one_of_several_hosts_is_left_out_and_that_is_an_alert() {
        let setup = Setup {
            endpoints: 5,
            ..SETUP
        };
        let mut outlier = EnvoyOutlier::new(&setup, 100);
        for _ in 0..5 {
            outlier.complete(&Completion {
                now: SECOND,
                sent: 0,
                endpoint: 3,
                tag: 0,
                head: None,
                ending: Ending::Timeout,
            });
        }
        assert_eq!(
            outlier.status(),
            Status {
                state: State::Shedding,
                alerts: 1
            }
        );
    }
}
