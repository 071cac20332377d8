//! Scenarios in which the service has a capacity: latency comes from queueing, and a request that
//! nobody waits for any more is still worked on.

use super::{NamedScenario, Scenario, ramp};
use crate::luck::RequestRng;

pub(super) const ENTRIES: &[NamedScenario] = &[
    NamedScenario {
        id: "S06b",
        title: "capacity falls from 120/s to 80/s, at 100/s",
        wanted: "shed",
        make: brownout,
    },
    NamedScenario {
        id: "S13",
        title: "nothing served for 60 s, then capacity 10 → 100 % of 120/s in 60 s",
        wanted: "no metastability",
        make: cold_start,
    },
    NamedScenario {
        id: "S17",
        title: "arrivals at 3 times the capacity for 5 min",
        wanted: "shed",
        make: overload,
    },
    NamedScenario {
        id: "S18",
        title: "callers retry twice; capacity at a fifth for 30 s",
        wanted: "no metastability",
        make: retry_storm,
    },
];

fn brownout(luck: &mut RequestRng) -> Scenario {
    with_capacity(Scenario::incident(luck, |now, _| now.capacity = Some(80.0)))
}

fn cold_start(luck: &mut RequestRng) -> Scenario {
    let mut scenario = Scenario::incident_of(60.0, luck, |now, _| now.capacity = Some(0.0));
    let (_, until) = scenario.bounds();
    scenario.phase(until, until + 60.0, |now, progress| {
        now.capacity = Some(CAPACITY * ramp(0.1, 1.0, progress));
    });
    with_capacity(scenario)
}

fn overload(luck: &mut RequestRng) -> Scenario {
    with_capacity(Scenario::incident_of(300.0, luck, |now, _| {
        now.rate = 3.0 * CAPACITY;
    }))
}

fn retry_storm(luck: &mut RequestRng) -> Scenario {
    let mut scenario = with_capacity(Scenario::incident_of(30.0, luck, |now, _| {
        now.capacity = Some(CAPACITY / 5.0);
    }));
    scenario.retries = 2;
    scenario
}

fn with_capacity(mut scenario: Scenario) -> Scenario {
    scenario.base.capacity = Some(CAPACITY);
    scenario
}

/// Requests a second that the service gets done in health; 100 arrive.
const CAPACITY: f64 = 120.0;
