//! The rules that are compared.
//!
//! Those of the others are without their guards: by its defaults Envoy ejects no host of fewer than
//! ten, and would have a column of "never".

use breaker_core::{
    Balance, Candidate, EndpointEvent, EndpointId, EndpointSettings, Endpoints, Outcome, Timestamp,
};
use std::time::Duration;

use crate::time::{Nanos, SECOND};

/// Judges endpoints by their outcomes.
pub(super) trait Rule {
    /// The endpoint of the next request: any of those that are in, by a random number.
    fn choose(&mut self, random: u64, now: Nanos) -> usize;

    /// A request at an endpoint has ended. Returns which endpoints are ejected now.
    fn observe(&mut self, endpoint: usize, failed: bool, now: Nanos) -> Vec<usize>;

    /// A second has passed.
    fn tick(&mut self, _now: Nanos) {}
}

/// A rule's name, and how to make it for so many endpoints.
pub(super) struct NamedRule {
    pub(super) name: &'static str,
    pub(super) make: fn(usize, u64) -> Box<dyn Rule>,
}

/// All of them.
pub(super) const RULES: &[NamedRule] = &[
    NamedRule {
        name: "consecutive 5",
        make: |endpoints, _| Box::new(Others::new(endpoints, Judge::Consecutive(5))),
    },
    NamedRule {
        name: "consecutive 7",
        make: |endpoints, _| Box::new(Others::new(endpoints, Judge::Consecutive(7))),
    },
    NamedRule {
        name: "Envoy success rate",
        make: |endpoints, _| Box::new(Others::new(endpoints, Judge::Deviation)),
    },
    NamedRule {
        name: "median + 5 MAD",
        make: |endpoints, _| Box::new(Others::new(endpoints, Judge::Median)),
    },
    NamedRule {
        name: "breaker",
        make: |endpoints, seed| Box::new(Ours::new(endpoints, seed)),
    },
];

struct Ours {
    endpoints: Endpoints,
    attempt: Option<breaker_core::Attempt>,
}

impl Ours {
    fn new(endpoints: usize, seed: u64) -> Self {
        let mut settings = EndpointSettings::default();
        settings.balance = Balance::RoundRobin;
        let made = Endpoints::new(settings, seed, Timestamp::ZERO);
        let mut ours = made.expect("the defaults keep the rules");
        let ids = 0..endpoints as u64;
        ours.replace(ids.map(|id| (EndpointId(id), 1)), Timestamp::ZERO);
        Self {
            endpoints: ours,
            attempt: None,
        }
    }
}

impl Rule for Ours {
    fn choose(&mut self, random: u64, now: Nanos) -> usize {
        let now = Timestamp::from_nanos(now);
        let pick = self.endpoints.pick(now, random, |_| Candidate::Fresh);
        let pick = pick.expect("there are endpoints");
        self.attempt = Some(self.endpoints.begin(pick, now));
        pick.id().0 as usize
    }

    fn observe(&mut self, _: usize, failed: bool, now: Nanos) -> Vec<usize> {
        let outcome = match failed {
            true => Outcome::failure(LATENCY),
            false => Outcome::success(LATENCY),
        };
        if let Some(attempt) = self.attempt.take() {
            let now = Timestamp::from_nanos(now);
            self.endpoints.end(attempt, outcome, now);
        }
        let events = std::iter::from_fn(|| self.endpoints.poll_event());
        let ejected = |event| match event {
            EndpointEvent::Ejected { id, .. } => Some(id.0 as usize),
            _ => None,
        };
        events.filter_map(ejected).collect()
    }
}

/// The rules of others, which eject for 30 s times the number of ejections, at most 300 s.
struct Others {
    judge: Judge,
    hosts: Vec<Host>,
    next_sweep: Nanos,
    swept: Vec<usize>,
}

#[derive(Clone, Copy)]
enum Judge {
    /// So many failures in a row: Envoy's 5, linkerd's 7.
    Consecutive(u32),
    /// Every 10 s, of at least five hosts with at least 100 requests each, a success rate below the
    /// mean by 1.9 standard deviations: Envoy's `success_rate_*` defaults.
    Deviation,
    /// Every 10 s, of at least three hosts with at least 10 requests each, a failure rate above the
    /// median by five times the median absolute deviation.
    Median,
}

#[derive(Clone, Default)]
struct Host {
    ejected_until: Option<Nanos>,
    ejections: u64,
    consecutive: u32,
    failures: u64,
    requests: u64,
}

impl Others {
    fn new(endpoints: usize, judge: Judge) -> Self {
        Self {
            judge,
            hosts: vec![Host::default(); endpoints],
            next_sweep: SWEEP,
            swept: Vec::new(),
        }
    }

    fn sweep(&mut self, now: Nanos) {
        let least = match self.judge {
            Judge::Consecutive(_) => return,
            Judge::Deviation => 100,
            Judge::Median => 10,
        };
        let eligible = |host: &Host| host.ejected_until.is_none() && host.requests >= least;
        let rate = |host: &Host| host.failures as f64 / host.requests as f64;
        let rates: Vec<_> = self
            .hosts
            .iter()
            .filter(|host| eligible(host))
            .map(rate)
            .collect();
        let most = match self.judge {
            Judge::Deviation => deviation(&rates),
            _ => median_deviation(&rates),
        };
        for (index, host) in self.hosts.iter_mut().enumerate() {
            if most.is_some_and(|most| eligible(host) && rate(host) > most) {
                host.eject(now);
                self.swept.push(index);
            }
            (host.failures, host.requests) = (0, 0);
        }
    }
}

/// The failure rate from which on a host is an outlier by Envoy's rule.
fn deviation(rates: &[f64]) -> Option<f64> {
    if rates.len() < 5 {
        return None;
    }
    let count = rates.len() as f64;
    let mean = rates.iter().sum::<f64>() / count;
    let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / count;
    Some(1.9f64.mul_add(variance.sqrt(), mean))
}

fn median_deviation(rates: &[f64]) -> Option<f64> {
    if rates.len() < 3 {
        return None;
    }
    let middle = median(rates.to_vec());
    let deviations = rates.iter().map(|rate| (rate - middle).abs());
    let deviation = median(deviations.collect());
    Some(5.0f64.mul_add(deviation.max(0.002), middle))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

impl Host {
    fn eject(&mut self, now: Nanos) {
        self.ejections += 1;
        self.consecutive = 0;
        self.ejected_until = Some(now + (BASE * self.ejections).min(MAX));
    }
}

impl Rule for Others {
    fn choose(&mut self, random: u64, _: Nanos) -> usize {
        let is_in = |index: &usize| self.hosts[*index].ejected_until.is_none();
        let available: Vec<_> = (0..self.hosts.len()).filter(is_in).collect();
        match available.len() {
            0 => (random % self.hosts.len() as u64) as usize,
            count => available[(random % count as u64) as usize],
        }
    }

    fn observe(&mut self, endpoint: usize, failed: bool, now: Nanos) -> Vec<usize> {
        let host = &mut self.hosts[endpoint];
        host.requests += 1;
        host.failures += u64::from(failed);
        host.consecutive = if failed { host.consecutive + 1 } else { 0 };
        let mut ejected = std::mem::take(&mut self.swept);
        if let Judge::Consecutive(most) = self.judge
            && host.consecutive >= most
            && host.ejected_until.is_none()
        {
            host.eject(now);
            ejected.push(endpoint);
        }
        ejected
    }

    fn tick(&mut self, now: Nanos) {
        for host in &mut self.hosts {
            host.ejected_until.take_if(|until| *until <= now);
        }
        if now >= self.next_sweep {
            self.next_sweep += SWEEP;
            self.sweep(now);
        }
    }
}

const SWEEP: Nanos = 10 * SECOND;
const BASE: Nanos = 30 * SECOND;
const MAX: Nanos = 300 * SECOND;
const LATENCY: Duration = Duration::from_millis(20);
