//! Scenarios in which requests fail or hang.

use super::{Conditions, HEALTH, NamedScenario, Scenario, ramp};
use crate::luck::RequestRng;
use crate::time::Span;

pub(super) const ENTRIES: &[NamedScenario] = &[
    NamedScenario {
        id: "S03",
        title: "0.2/s, 0.5 % errors, 20 h, then a total outage of 1 h",
        wanted: "open",
        make: trickle,
    },
    NamedScenario {
        id: "S04a",
        title: "5 % errors",
        wanted: "alert",
        make: |luck| Scenario::incident(luck, |now, _| now.errors = 0.05),
    },
    NamedScenario {
        id: "S04b",
        title: "20 % errors",
        wanted: "alert",
        make: |luck| Scenario::incident(luck, |now, _| now.errors = 0.2),
    },
    NamedScenario {
        id: "S04c",
        title: "100 % errors",
        wanted: "open",
        make: |luck| Scenario::incident(luck, outage),
    },
    NamedScenario {
        id: "S05",
        title: "100 % errors, each after 1 ms",
        wanted: "open",
        make: |luck| {
            Scenario::incident(luck, |now, _| {
                now.errors = 1.0;
                now.fast_failures = true;
            })
        },
    },
    NamedScenario {
        id: "S07",
        title: "errors rise from 0.1 to 30 % in 30 min",
        wanted: "alert",
        make: |luck| {
            Scenario::incident_of(1800.0, luck, |now, progress| {
                now.errors = ramp(0.001, 0.3, progress);
            })
        },
    },
    NamedScenario {
        id: "S08",
        title: "every request hangs",
        wanted: "open before the timeout",
        make: |luck| Scenario::incident(luck, |now, _| now.hangs = 1.0),
    },
    NamedScenario {
        id: "S12",
        title: "20 s bad, 10 s good, ten times",
        wanted: "open, few flaps",
        make: flapping,
    },
    NamedScenario {
        id: "S15",
        title: "a dependency fails half its calls; only spans tell, in 5 s batches",
        wanted: "alert",
        make: |luck| {
            let mut scenario = Scenario::incident(luck, |now, _| now.span_errors = 0.5);
            scenario.spans = true;
            scenario
        },
    },
];

fn outage(now: &mut Conditions, _: f64) {
    now.errors = 1.0;
}

fn trickle(luck: &mut RequestRng) -> Scenario {
    let healthy = luck.between(0.0, 60.0) + 20.0 * 3600.0;
    let mut scenario = Scenario::healthy(healthy + 3600.0 + HEALTH);
    scenario.base.rate = 0.2;
    scenario.base.errors = 0.005;
    scenario.incident = Some(Span::of(healthy, healthy + 3600.0));
    scenario.phase(healthy, healthy + 3600.0, outage);
    scenario
}

fn flapping(luck: &mut RequestRng) -> Scenario {
    // The last good stretch belongs to the recovery.
    let mut scenario = Scenario::incident_of(290.0, luck, |_, _| {});
    let (from, _) = scenario.bounds();
    for bad in 0..10 {
        let begins = 30.0f64.mul_add(f64::from(bad), from);
        scenario.phase(begins, begins + 20.0, outage);
    }
    scenario
}
