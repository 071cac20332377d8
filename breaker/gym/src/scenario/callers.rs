//! Scenarios about callers: those that leave before they are answered, and those that are answered
//! for minutes.

use super::{NamedScenario, Scenario};
use crate::luck::RequestRng;
use crate::time::nanos;

pub(super) const ENTRIES: &[NamedScenario] = &[
    NamedScenario {
        id: "S28",
        title: "30 % of the callers leave after 5–100 ms, healthy, 1 h",
        wanted: "silent",
        make: |_| {
            let mut scenario = Scenario::healthy(3600.0);
            scenario.base.impatient = 0.3;
            scenario.base.patience = (0.005, 0.1);
            scenario
        },
    },
    NamedScenario {
        id: "S29a",
        title: "half of the answers are streams of minutes, 20/s, 1 % errors, 2 h",
        wanted: "silent",
        make: |_| streams(Scenario::healthy(7200.0)),
    },
    NamedScenario {
        id: "S29b",
        title: "the same, then each new stream breaks off within 10 s",
        wanted: "alert",
        make: |luck| streams(Scenario::incident(luck, |now, _| now.breaks = 1.0)),
    },
    NamedScenario {
        id: "S29c",
        title: "the same, then 100 % errors",
        wanted: "open",
        make: |luck| streams(Scenario::incident(luck, |now, _| now.errors = 1.0)),
    },
    NamedScenario {
        id: "S30a",
        title: "every request hangs, callers leave after 100 ms",
        wanted: "open",
        make: |luck| abandoned_hang(luck, 0.1),
    },
    NamedScenario {
        id: "S30b",
        title: "every request hangs, callers leave after 900 ms",
        wanted: "open",
        make: |luck| abandoned_hang(luck, 0.9),
    },
    NamedScenario {
        id: "S30c",
        title: "every request hangs, callers leave after 1.5 s",
        wanted: "open",
        make: |luck| abandoned_hang(luck, 1.5),
    },
];

fn streams(mut scenario: Scenario) -> Scenario {
    scenario.base.rate = 20.0;
    scenario.base.errors = 0.01;
    scenario.base.streams = 0.5;
    // Streams that began before the run's begin are missing: so are their ends at first.
    scenario.aftermath = nanos(600.0);
    scenario
}

fn abandoned_hang(luck: &mut RequestRng, patience: f64) -> Scenario {
    let mut scenario = Scenario::incident(luck, |now, _| now.hangs = 1.0);
    scenario.base.impatient = 1.0;
    scenario.base.patience = (patience, patience);
    scenario
}
