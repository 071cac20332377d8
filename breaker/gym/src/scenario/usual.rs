//! Scenarios in which something that looks bad is usual, or becomes usual.

use super::{HEALTH, NamedScenario, Scenario};
use crate::luck::RequestRng;
use crate::time::{Span, nanos, seconds};

pub(super) const ENTRIES: &[NamedScenario] = &[
    NamedScenario {
        id: "D1a",
        title: "5 % errors are usual; a total outage of 5 min",
        wanted: CLOSES_AGAIN,
        make: |luck| outage_at(luck, 0.05),
    },
    NamedScenario {
        id: "D1b",
        title: "10 % errors are usual; a total outage of 5 min",
        wanted: CLOSES_AGAIN,
        make: |luck| outage_at(luck, 0.1),
    },
    NamedScenario {
        id: "D1c",
        title: "20 % errors are usual; a total outage of 5 min",
        wanted: CLOSES_AGAIN,
        make: |luck| outage_at(luck, 0.2),
    },
    NamedScenario {
        id: "D1d",
        title: "30 % errors are usual; a total outage of 5 min",
        wanted: CLOSES_AGAIN,
        make: |luck| outage_at(luck, 0.3),
    },
    NamedScenario {
        id: "D2a",
        title: "10 % of the requests hang",
        wanted: "never open; goodput ≥ 85 %",
        make: |luck| Scenario::incident(luck, |now, _| now.hangs = 0.1),
    },
    NamedScenario {
        id: "D2b",
        title: "30 % of the requests hang",
        wanted: "goodput ≥ 65 %",
        make: |luck| Scenario::incident(luck, |now, _| now.hangs = 0.3),
    },
    NamedScenario {
        id: "D5",
        title: "200/s, errors rise from 0.01 to 2 % for an hour",
        wanted: "alert within 120 s",
        make: |luck| {
            let mut scenario = Scenario::incident_of(3600.0, luck, |now, _| now.errors = 0.02);
            scenario.base.rate = 200.0;
            scenario.base.errors = 0.0001;
            scenario
        },
    },
    NamedScenario {
        id: "D6a",
        title: "3 % errors are usual for 20 h, then 9 % for 10 min",
        wanted: FEW_ALERTS,
        make: |luck| tripled(luck, 0.03),
    },
    NamedScenario {
        id: "D6b",
        title: "4 % errors are usual for 20 h, then 12 % for 10 min",
        wanted: FEW_ALERTS,
        make: |luck| tripled(luck, 0.04),
    },
    NamedScenario {
        id: "D6c",
        title: "5 % errors are usual for 20 h, then 15 % for 10 min",
        wanted: FEW_ALERTS,
        make: |luck| tripled(luck, 0.05),
    },
    NamedScenario {
        id: "D6d",
        title: "8 % errors are usual for 20 h, then 24 % for 10 min",
        wanted: FEW_ALERTS,
        make: |luck| tripled(luck, 0.08),
    },
    NamedScenario {
        id: "D6e",
        title: "0.3 % errors for 4 h, then a deploy: 4 % for good, 20 h",
        wanted: "≤ 10 alerts a day",
        make: new_usual,
    },
    NamedScenario {
        id: "D7",
        title: "a cache misses 10–40 % of the requests, another share each hour, 12 h",
        wanted: "good rejected ≤ 0.1 %",
        make: cache,
    },
    NamedScenario {
        id: "D7b",
        title: "a cache that missed 1 % for 2 h goes cold: 10–40 %, another share each hour, 12 h",
        wanted: "good rejected ≤ 0.1 %",
        make: cold_cache,
    },
    NamedScenario {
        id: "S25",
        title: "100 % errors for 60 s, then 20 % for good",
        wanted: "open; closed ≤ 30 s after the outage, few good rejected",
        make: worse_for_good,
    },
];

fn worse_for_good(luck: &mut RequestRng) -> Scenario {
    let mut scenario = Scenario::incident_of(60.0, luck, |now, _| now.errors = 1.0);
    let (_, until) = scenario.bounds();
    let end = seconds(scenario.duration) + 60.0;
    scenario.phase(until, end, |now, _| now.errors = 0.2);
    scenario.aftermath = nanos(HEALTH);
    scenario
}

fn outage_at(luck: &mut RequestRng, usual: f64) -> Scenario {
    let mut scenario = Scenario::incident_of(300.0, luck, |now, _| now.errors = 1.0);
    scenario.base.errors = usual;
    scenario.aftermath = nanos(HEALTH);
    scenario
}

fn tripled(luck: &mut RequestRng, usual: f64) -> Scenario {
    let from = 20.0f64.mul_add(HOUR, luck.between(0.0, 60.0));
    let mut scenario = Scenario::healthy(from + 600.0 + HEALTH);
    scenario.base.rate = 20.0;
    scenario.base.errors = usual;
    scenario.incident = Some(Span::of(from, from + 600.0));
    scenario.phase(from, from + 600.0, move |now, _| now.errors = 3.0 * usual);
    scenario
}

fn new_usual(_: &mut RequestRng) -> Scenario {
    let mut scenario = Scenario::healthy(24.0 * HOUR);
    scenario.base.rate = 20.0;
    scenario.base.errors = 0.003;
    scenario.phase(4.0 * HOUR, 25.0 * HOUR, |now, _| now.errors = 0.04);
    scenario
}

fn cache(luck: &mut RequestRng) -> Scenario {
    let mut scenario = Scenario::healthy(12.0 * HOUR);
    scenario.base.rate = 50.0;
    for hour in 0..12 {
        let from = f64::from(hour) * HOUR;
        let misses = luck.between(0.1, 0.4);
        scenario.phase(from, from + HOUR, move |now, _| now.misses = misses);
    }
    scenario
}

fn cold_cache(luck: &mut RequestRng) -> Scenario {
    let mut scenario = Scenario::healthy(14.0 * HOUR);
    scenario.base.rate = 50.0;
    scenario.base.misses = 0.01;
    for hour in 2..14 {
        let from = f64::from(hour) * HOUR;
        let misses = luck.between(0.1, 0.4);
        scenario.phase(from, from + HOUR, move |now, _| now.misses = misses);
    }
    scenario
}

const CLOSES_AGAIN: &str = "open; closed within 60 s of its end, good rejected ≤ 1 %";
const FEW_ALERTS: &str = "≤ 10 alerts a day; the tripling detected within 60 s";
const HOUR: f64 = 3600.0;
