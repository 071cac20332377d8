//! Fleets of replicas that pool their evidence, in virtual time: real breakers, reporters, replicas
//! and aggregators, and a transport with delay and loss.

mod arl;
mod scenario;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use breaker_core::fleet::{
    Aggregator, AggregatorSettings, FleetRoute, InstanceId, Replica, Report, Reporter, RouteName,
    Verdict,
};
use breaker_core::{Breaker, InvalidField, Outcome, Policy, SourceId, State, Timestamp};

use breaker_core::policy::Signal;

use crate::luck::RequestRng;
pub(crate) use arl::{HealthyFleet, measure as measure_healthy};
pub(crate) use scenario::{Fleet, choose};
pub(crate) use table::measure;

/// What one run shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Score {
    /// Seconds from the fault to the opening, of the replicas that the fault hits; infinite if
    /// they never opened.
    pub(crate) opened: Vec<f64>,
    /// Seconds to the first alarm of the fleet.
    pub(crate) alarm: Option<f64>,
    /// Replicas that opened while their own requests went well.
    pub(crate) wrong: usize,
    /// Their openings.
    pub(crate) false_opens: u32,
    /// Requests admitted by half-open breakers during the fault: probes that could not help.
    pub(crate) probes: u32,
    /// All requests admitted by half-open breakers, those of the ramp too.
    pub(crate) half_open: u32,
    /// Requests sent into the fault.
    pub(crate) failed: u32,
    /// Requests refused while the service was well.
    pub(crate) refused: u32,
}

/// One replica.
struct Member {
    id: InstanceId,
    breaker: Breaker,
    reporter: Reporter,
    replica: Replica,
    rng: RequestRng,
    next: f64,
    seq: u64,
    /// The tick of the last report of requests.
    told: u64,
    was: State,
    opened: Option<f64>,
    false_opens: u32,
}

/// What is on its way, by the tick of its arrival.
#[derive(Default)]
struct Transport {
    reports: BTreeMap<u64, Vec<Report>>,
    verdicts: BTreeMap<u64, Vec<(usize, Arc<Verdict>)>>,
}

/// Plays `fleet`. Without `pooled` nobody reports: each breaker is alone.
pub(crate) fn play(fleet: &Fleet, seed: u64, pooled: bool) -> Result<Score, InvalidField> {
    let name = RouteName {
        route: "pay".into(),
        source: "proxy".into(),
    };
    let aggregator = |term, now| {
        let routes = [FleetRoute::new(name.clone(), Policy::adaptive())];
        Aggregator::new(
            term,
            &AggregatorSettings::default(),
            routes,
            seed + term,
            now,
        )
    };
    let mut leader = Some(aggregator(1, Timestamp::ZERO)?);
    let mut link = RequestRng::named(seed, 1);
    let mut transport = Transport::default();
    let mut members: Vec<_> = (0..fleet.replicas)
        .map(|index| Member::new(fleet, seed, index))
        .collect();
    let mut score = Score::default();
    for tick in 1..=(fleet.until() / TICK) as u64 {
        let (at, now) = (tick as f64 * TICK, Timestamp::from_millis(tick * TICK_MS));
        for (index, member) in members.iter_mut().enumerate() {
            member.requests(fleet, index, at, &mut score);
            if !pooled || !member.is_due(index, tick) {
                continue;
            }
            let Some(report) = member.report(fleet, index, at, tick, &name, now) else {
                continue;
            };
            if fleet.connected(index, at) && link.unit() >= LOSS {
                let arrival = tick + delay(&mut link);
                transport.reports.entry(arrival).or_default().push(report);
            }
        }
        if !pooled {
            continue;
        }
        if fleet.killed(at) {
            leader = None;
        } else if leader.is_none() {
            leader = Some(aggregator(2, now)?);
        }
        let reports = transport.reports.remove(&tick).unwrap_or_default();
        if let Some(leader) = &mut leader {
            for report in &reports {
                // What is dropped was lost; that only delays.
                let _ = leader.report(now, report);
            }
            if let Some(verdict) = leader.slice(now).map(Arc::new) {
                if at >= fleet.from && !verdict.routes.is_empty() {
                    score.alarm.get_or_insert(at - fleet.from);
                }
                for index in 0..fleet.replicas {
                    if fleet.connected(index, at) && link.unit() >= LOSS {
                        let arrival = tick + delay(&mut link);
                        let of = transport.verdicts.entry(arrival).or_default();
                        of.push((index, Arc::clone(&verdict)));
                    }
                }
            }
        }
        for (index, verdict) in transport.verdicts.remove(&tick).unwrap_or_default() {
            let member = &mut members[index];
            if let Ok(in_force) = member.replica.verdict(now, now, &verdict) {
                let instruction = in_force.of(&name, &member.reporter);
                // Why it is not followed does not matter here: what the breaker does is scored.
                let _ = member.breaker.follow_fleet(&instruction, now);
            }
            member.watch(fleet, index, at);
        }
    }
    for (index, member) in members.iter().enumerate() {
        if fleet.hits(index) {
            score.opened.push(member.opened.unwrap_or(f64::INFINITY));
        }
        score.wrong += usize::from(member.false_opens > 0);
        score.false_opens += member.false_opens;
    }
    score.opened.sort_by(f64::total_cmp);
    Ok(score)
}

impl Member {
    fn new(fleet: &Fleet, seed: u64, index: usize) -> Self {
        let id = InstanceId((index as u64 + 1).to_be_bytes());
        let mut rng = RequestRng::named(seed, 1000 + index as u64);
        Self {
            id,
            breaker: Breaker::new(Policy::adaptive(), rng.bits(), Timestamp::ZERO),
            reporter: Reporter::default(),
            replica: Replica::new(id),
            next: rng.exponential() / fleet.rate,
            rng,
            seq: 0,
            told: 0,
            was: State::Closed,
            opened: None,
            false_opens: 0,
        }
    }

    /// The requests that have come by now.
    fn requests(&mut self, fleet: &Fleet, index: usize, at: f64, score: &mut Score) {
        while self.next <= at {
            let now = Timestamp::from_nanos((self.next * 1e9) as u64);
            let errors = fleet.errors(index, self.next);
            let fails = self.rng.unit() < errors;
            let in_fault = fleet.is_faulty(index, self.next);
            match self.breaker.try_acquire(now) {
                Ok(permit) => {
                    let half_open = self.breaker.state() == State::HalfOpen;
                    score.probes += u32::from(half_open && in_fault);
                    score.half_open += u32::from(half_open);
                    score.failed += u32::from(fails && in_fault);
                    let latency = Duration::from_millis(5);
                    let outcome = match fails {
                        true => Outcome::failure(latency),
                        false => Outcome::success(latency),
                    };
                    self.breaker.record(permit, outcome, now);
                }
                Err(_) => score.refused += u32::from(!in_fault),
            }
            let seen = self.next;
            self.watch(fleet, index, seen);
            self.next += self.rng.exponential() / fleet.rate;
        }
    }

    fn watch(&mut self, fleet: &Fleet, index: usize, at: f64) {
        let state = self.breaker.state();
        if state == State::Open && self.was == State::Closed {
            if fleet.is_faulty(index, at) {
                self.opened.get_or_insert(at - fleet.from);
            } else {
                self.false_opens += 1;
            }
        }
        self.was = state;
    }

    /// Whether to report now, as a sidecar does: each half second, and sooner if requests ended and
    /// the last report of requests is half a second old.
    fn is_due(&mut self, index: usize, tick: u64) -> bool {
        let tick = tick + index as u64;
        if tick.is_multiple_of(TICKS_A_SLICE) {
            return true;
        }
        let may_hurry = tick.is_multiple_of(TICKS_A_LOOK) && self.told + TICKS_A_SLICE <= tick;
        if may_hurry {
            self.reporter.only_requests();
        }
        may_hurry
    }

    fn report(
        &mut self,
        fleet: &Fleet,
        index: usize,
        at: f64,
        tick: u64,
        name: &RouteName,
        now: Timestamp,
    ) -> Option<Report> {
        let tick = tick + index as u64;
        let all = tick.is_multiple_of(TICKS_A_SLICE * SLICES_A_HEARTBEAT);
        self.seq += 1;
        let counts = self.breaker.fleet_counts(SourceId::PROXY, now);
        let mut route = self.reporter.report(0, &counts, all, now);
        if let (true, Some(route)) = (fleet.lies(index), &mut route) {
            let errors = &mut route.signals[Signal::Errors as usize];
            errors.observations += LIES;
            errors.hits = errors.observations;
        }
        if route.is_some_and(|route| route.has_requests()) {
            self.told = tick;
        }
        (all || route.is_some()).then(|| Report {
            instance: self.id,
            boot: 0,
            seq: self.seq,
            age: Duration::from_secs_f64(3600.0 + at),
            config: 1,
            names: all.then(|| Arc::from([name.clone()])),
            host: None,
            routes: route.into_iter().collect(),
        })
    }
}

/// 25 to 100 ms.
fn delay(link: &mut RequestRng) -> u64 {
    1 + link.bits() % 4
}

const TICK: f64 = 0.025;
const TICK_MS: u64 = 25;
const TICKS_A_SLICE: u64 = 20;
const TICKS_A_LOOK: u64 = 4;
const SLICES_A_HEARTBEAT: u64 = 4;
/// The share of messages that are lost.
const LOSS: f64 = 0.01;
/// Failures that a liar invents with each report.
const LIES: u32 = 10;

#[cfg(test)]
mod tests;
