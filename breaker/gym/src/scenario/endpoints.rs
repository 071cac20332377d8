//! Scenarios in which a service has five endpoints that differ.

use super::{NamedScenario, Scenario};
use crate::luck::RequestRng;
use crate::time::nanos;

pub(super) const ENTRIES: &[NamedScenario] = &[
    NamedScenario {
        id: "S09",
        title: "1 of 5 endpoints dead",
        wanted: "eject that one",
        make: |luck| of_five(Scenario::incident(luck, |now, _| now.odd.dead = 1)),
    },
    NamedScenario {
        id: "S19",
        title: "1 of 5 endpoints ten times slower",
        wanted: "leave it alone",
        make: |luck| of_five(Scenario::incident(luck, |now, _| now.odd.slow = 1)),
    },
    NamedScenario {
        id: "S20",
        title: "20 % errors, of 5 endpoints alike",
        wanted: "eject none",
        make: |luck| of_five(Scenario::incident(luck, |now, _| now.errors = 0.2)),
    },
    NamedScenario {
        id: "S21",
        title: "5 endpoints restart in turn: each refuses for 5 s, and is cold for 20 s",
        wanted: "lose none",
        make: rolling_restart,
    },
    NamedScenario {
        id: "S22",
        title: "all 5 endpoints are replaced by others that are cold for 20 s",
        wanted: "silent",
        make: replaced,
    },
];

fn of_five(mut scenario: Scenario) -> Scenario {
    scenario.endpoints = 5;
    scenario
}

fn rolling_restart(luck: &mut RequestRng) -> Scenario {
    let mut scenario = of_five(Scenario::incident_of(5.0 * TURN, luck, |_, _| {}));
    let (from, _) = scenario.bounds();
    for endpoint in 0..5 {
        let begins = TURN.mul_add(f64::from(endpoint), from);
        scenario.phase(begins, begins + DOWN, move |now, _| {
            now.odd.dead |= 1 << endpoint;
        });
        scenario.phase(begins + DOWN, begins + DOWN + COLD, move |now, _| {
            now.odd.cold |= 1 << endpoint;
        });
    }
    scenario
}

fn replaced(luck: &mut RequestRng) -> Scenario {
    let mut scenario = of_five(Scenario::incident_of(60.0, luck, |_, _| {}));
    let (from, _) = scenario.bounds();
    scenario.replaced = Some(nanos(from));
    scenario.phase(from, from + COLD, |now, _| now.odd.cold = 0b1_1111);
    scenario
}

/// How long, in seconds, an endpoint refuses, is cold, and until it is the turn of the next.
const DOWN: f64 = 5.0;
const COLD: f64 = 20.0;
const TURN: f64 = 30.0;
