//! Fleets in virtual time: how soon they see, how rarely they are wrong, and what they do then.

mod brain;
mod breakers;
mod detection;
mod false_alarms;
mod membership;
mod overview;
mod properties;
mod sparse;
mod verdicts;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::policy::{Policy, Signal};
use crate::rng::Rng;
use crate::state::State;
use crate::time::Timestamp;

/// Instances that report what luck gives them to one aggregator.
struct Fleet {
    aggregator: Aggregator,
    ids: Vec<InstanceId>,
    seq: u64,
    slices: u64,
    luck: Rng,
    /// Requests a second of an instance.
    rate: f64,
}

fn name(route: &str) -> RouteName {
    RouteName {
        route: route.into(),
        source: "proxy".into(),
    }
}

/// A policy that watches errors alone, as the figures of the tests do.
fn errors_only() -> Policy {
    let adaptive = Policy::adaptive();
    let entries: Vec<_> = adaptive
        .trip()
        .iter()
        .filter(|entry| {
            asked(&adaptive, Signal::Errors, entry.action)
                .any(|asked| entry.conditions.contains(&asked.condition))
        })
        .cloned()
        .collect();
    Policy::builder("errors")
        .trip(entries)
        .recovery(adaptive.recovery())
        .open(adaptive.open())
        .half_open(adaptive.half_open())
        .build()
        .unwrap()
}

fn id(index: usize) -> InstanceId {
    InstanceId((index as u64 + 1).to_be_bytes())
}

fn aggregator(policy: Policy) -> Aggregator {
    let routes = [FleetRoute::new(name("pay"), policy)];
    let settings = AggregatorSettings::default();
    Aggregator::new(1, &settings, routes, 1, Timestamp::ZERO).unwrap()
}

/// A report of one route.
fn report(instance: InstanceId, seq: u64, route: RouteReport) -> Report {
    Report {
        instance,
        boot: 0,
        seq,
        age: Duration::from_secs(3600),
        config: 1,
        names: (seq == 1).then(|| Arc::from([name("pay")])),
        host: (seq == 1).then(|| "web".into()),
        routes: vec![route],
    }
}

fn errors(observations: u32, hits: u32) -> RouteReport {
    let mut route = RouteReport {
        arrivals: observations,
        ..RouteReport::default()
    };
    route.signals[Signal::Errors as usize] = SignalReport {
        observations,
        hits,
        normal: 150,
        ..SignalReport::default()
    };
    route
}

impl Fleet {
    fn new(instances: usize, rate: f64, seed: u64) -> Self {
        Self::with(aggregator(errors_only()), instances, rate, seed)
    }

    fn with(aggregator: Aggregator, instances: usize, rate: f64, seed: u64) -> Self {
        Self {
            aggregator,
            ids: (0..instances).map(id).collect(),
            seq: 0,
            slices: 0,
            luck: Rng::new(seed),
            rate,
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.slices * 500)
    }

    /// How many requests come in a slice.
    fn requests(&mut self) -> u32 {
        // Knuth's multiplication: the rates here are small.
        let limit = (-self.rate / 2.0).exp();
        let (mut count, mut product) = (0, self.luck.unit());
        while product > limit {
            count += 1;
            product *= self.luck.unit();
        }
        count
    }

    /// Lets a slice pass in which each instance fails with its own probability.
    fn pass(&mut self, fails: impl Fn(usize) -> f64) -> Option<Verdict> {
        self.pass_with(|index, requests, luck| {
            let fails = fails(index);
            let hits = (0..requests).filter(|_| luck.unit() < fails).count();
            errors(requests, hits as u32)
        })
    }

    fn pass_with(
        &mut self,
        reports: impl Fn(usize, u32, &mut Rng) -> RouteReport,
    ) -> Option<Verdict> {
        self.seq += 1;
        self.slices += 1;
        let now = self.now();
        for index in 0..self.ids.len() {
            let requests = self.requests();
            let route = reports(index, requests, &mut self.luck);
            let report = report(self.ids[index], self.seq, route);
            self.aggregator.report(now, &report).unwrap();
        }
        self.aggregator.slice(now)
    }

    /// Ten minutes in which all is as usual.
    fn warm_up(&mut self) {
        for _ in 0..240 {
            self.pass(|_| NORMAL);
        }
        assert!(!self.has_alarm());
    }

    fn has_alarm(&self) -> bool {
        self.aggregator.first().has_alarm()
    }

    fn events(&mut self) -> Vec<FleetEvent> {
        std::iter::from_fn(|| self.aggregator.poll_event()).collect()
    }
}

/// The share that is usual, and below the p0 of 1.5 % that they report.
const NORMAL: f64 = 0.01;
