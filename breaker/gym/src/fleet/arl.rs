//! How often healthy traffic opens a fleet, over days.
//!
//! Real breakers, reporters and an aggregator. The transport neither delays nor loses anything:
//! that would only delay alarms. Reports come at the pace of a sidecar, which looks for requests
//! each 0.1 s. So that is a step.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use breaker_core::fleet::{
    Aggregator, AggregatorSettings, FleetEvent, FleetRoute, InstanceId, Replica, Report, Reporter,
    RouteName,
};
use breaker_core::policy::Signal;
use breaker_core::{Breaker, InvalidField, Outcome, Policy, SourceId, State, Timestamp};

use super::LIES;
use crate::gym::in_parallel;
use crate::luck::RequestRng;

/// What is measured.
#[derive(Clone, Debug)]
pub(crate) struct HealthyFleet {
    pub(crate) replicas: usize,
    /// Requests a second at each replica.
    pub(crate) rate: f64,
    /// The shares of requests that fail, each measured by itself.
    pub(crate) errors: Vec<f64>,
    /// For so many days each.
    pub(crate) days: u32,
    /// Whether the first replica reports failures that were none.
    pub(crate) liar: bool,
}

/// How often healthy traffic opened the fleet, and its breakers by themselves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Opens {
    days: f64,
    fleet: u64,
    alarms: u64,
    own: u64,
    /// Of all these, those of the first day of each piece: then nothing was known yet.
    learning: u64,
}

struct Member {
    id: InstanceId,
    breaker: Breaker,
    reporter: Reporter,
    replica: Replica,
    seq: u64,
    /// The tick of the last report of requests.
    told: u64,
    was: State,
}

/// Measures all error rates, and writes a row for each.
pub(crate) fn measure(
    of: &HealthyFleet,
    threads: usize,
    markdown: bool,
    out: &mut impl io::Write,
) -> io::Result<()> {
    let row = |cells: [String; 8]| match markdown {
        true => format!("| {} |", cells.join(" | ")),
        false => cells.map(|cell| format!("{cell:<17}")).concat(),
    };
    writeln!(out, "{}", row(HEAD.map(str::to_owned)))?;
    if markdown {
        writeln!(out, "{}", row(HEAD.map(|_| "---".to_owned())))?;
    }
    for errors in &of.errors {
        let opens = measure_one(of, *errors, threads).map_err(io::Error::other)?;
        let liar = if of.liar { ", one lies" } else { "" };
        let a_month = |events: u64| format!("{:.2}", events as f64 / opens.days * 30.0);
        writeln!(
            out,
            "{}",
            row([
                format!("{}{liar}", of.replicas),
                format!("{}", of.rate),
                format!("{} %", errors * 100.0),
                format!("{:.0}", opens.days),
                format!("{}", opens.fleet),
                a_month(opens.fleet),
                a_month(opens.alarms),
                a_month(opens.own),
            ])
        )?;
        out.flush()?;
    }
    Ok(())
}

/// Measures one error rate. The first day of each piece does not count.
pub(crate) fn measure_one(
    of: &HealthyFleet,
    errors: f64,
    threads: usize,
) -> Result<Opens, InvalidField> {
    let pieces = of.days.div_ceil(PIECE);
    let sum = Mutex::new(Ok(Opens::default()));
    in_parallel(threads, pieces as usize, |piece| {
        let days = PIECE.min(of.days - piece as u32 * PIECE);
        let opens = run(of, errors, days, piece as u64);
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *sum, opens) {
            (Ok(sum), Ok(opens)) => sum.add(opens),
            (sum, Err(error)) => *sum = Err(error),
            (Err(_), Ok(_)) => {}
        }
    });
    sum.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn run(of: &HealthyFleet, errors: f64, days: u32, seed: u64) -> Result<Opens, InvalidField> {
    let name = RouteName {
        route: "pay".into(),
        source: "proxy".into(),
    };
    let routes = [FleetRoute::new(name.clone(), Policy::adaptive())];
    let settings = AggregatorSettings::default();
    let mut aggregator = Aggregator::new(1, &settings, routes, seed, Timestamp::ZERO)?;
    let mut luck = RequestRng::named(seed, errors.to_bits());
    let mut members: Vec<_> = (0..of.replicas)
        .map(|n| Member::new(n, luck.bits()))
        .collect();
    let all_rates = of.rate * of.replicas as f64;
    let mut next = luck.exponential() / all_rates;
    let mut opens = Opens::default();
    for tick in 1..=u64::from(days) * TICKS_A_DAY {
        let end = tick as f64 / 10.0;
        let now = Timestamp::from_millis(tick * 100);
        while next <= end {
            let index = (luck.unit() * of.replicas as f64) as usize;
            let at = Timestamp::from_nanos((next * 1e9) as u64);
            opens.own += u64::from(members[index].request(luck.unit() < errors, at));
            next += luck.exponential() / all_rates;
        }
        for (index, member) in members.iter_mut().enumerate() {
            let lies = of.liar && index == 0;
            if let Some(report) = member.report(tick, index, lies, &name, now) {
                // Nothing is dropped here.
                let _ = aggregator.report(now, &report);
            }
        }
        if let Some(verdict) = aggregator.slice(now) {
            for member in &mut members {
                if let Ok(in_force) = member.replica.verdict(now, now, &verdict) {
                    let instruction = in_force.of(&name, &member.reporter);
                    // What it does is counted by the aggregator's events.
                    let _ = member.breaker.follow_fleet(&instruction, now);
                    member.was = member.breaker.state();
                }
            }
        }
        while let Some(event) = aggregator.poll_event() {
            opens.fleet += u64::from(matches!(event, FleetEvent::Opened { .. }));
            opens.alarms += u64::from(matches!(event, FleetEvent::AlarmBegan { .. }));
        }
        if tick == TICKS_A_DAY && days > 1 {
            opens = Opens {
                learning: opens.fleet + opens.alarms + opens.own,
                ..Opens::default()
            };
        }
    }
    opens.days = f64::from(days - u32::from(days > 1));
    Ok(opens)
}

impl Member {
    fn new(index: usize, seed: u64) -> Self {
        let id = InstanceId((index as u64 + 1).to_be_bytes());
        Self {
            id,
            breaker: Breaker::new(Policy::adaptive(), seed, Timestamp::ZERO),
            reporter: Reporter::default(),
            replica: Replica::new(id),
            seq: 0,
            told: 0,
            was: State::Closed,
        }
    }

    /// A request. Returns whether the breaker opened on it by itself.
    fn request(&mut self, fails: bool, at: Timestamp) -> bool {
        if let Ok(permit) = self.breaker.try_acquire(at) {
            let outcome = match fails {
                true => Outcome::failure(LATENCY),
                false => Outcome::success(LATENCY),
            };
            self.breaker.record(permit, outcome, at);
        }
        let state = self.breaker.state();
        std::mem::replace(&mut self.was, state) == State::Closed && state == State::Open
    }

    /// What there is to report at this tick, as a sidecar does (`Member::is_due` of the scenarios).
    fn report(
        &mut self,
        tick: u64,
        index: usize,
        lies: bool,
        name: &RouteName,
        now: Timestamp,
    ) -> Option<Report> {
        let turn = tick + index as u64;
        let is_regular = turn.is_multiple_of(TICKS_A_SLICE);
        if !is_regular {
            if tick < self.told + TICKS_A_SLICE {
                return None;
            }
            self.reporter.only_requests();
        }
        let (all, lies) = (turn.is_multiple_of(HEARTBEAT), lies && is_regular);
        let counts = self.breaker.fleet_counts(SourceId::PROXY, now);
        let mut route = self.reporter.report(0, &counts, all || lies, now)?;
        if lies {
            let errors = &mut route.signals[Signal::Errors as usize];
            errors.observations += LIES;
            errors.hits = errors.observations;
        }
        if route.has_requests() {
            self.told = tick;
        }
        self.seq += 1;
        Some(Report {
            instance: self.id,
            boot: 0,
            seq: self.seq,
            age: Duration::from_secs(3600),
            config: 1,
            names: (self.seq == 1).then(|| Arc::from([name.clone()])),
            host: None,
            routes: vec![route],
        })
    }
}

impl Opens {
    fn add(&mut self, other: Self) {
        self.days += other.days;
        self.fleet += other.fleet;
        self.alarms += other.alarms;
        self.own += other.own;
        self.learning += other.learning;
    }
}

const HEAD: [&str; 8] = [
    "replicas",
    "requests/s each",
    "errors",
    "days",
    "fleet opens",
    "in 30 days",
    "alarms in 30 days",
    "own in 30 days",
];
const TICKS_A_DAY: u64 = 864_000;
const TICKS_A_SLICE: u64 = 5;
/// Of 30 s: enough not to be forgotten, and few.
const HEARTBEAT: u64 = 300;
const PIECE: u32 = 25;
const LATENCY: Duration = Duration::from_millis(5);
