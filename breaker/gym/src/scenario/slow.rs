//! Scenarios in which requests succeed, late.

use super::{NamedScenario, Scenario, ramp};

pub(super) const ENTRIES: &[NamedScenario] = &[
    NamedScenario {
        id: "S06",
        title: "latency ×10, no errors",
        wanted: "alert, shed; don't open",
        make: |luck| Scenario::incident(luck, |now, _| now.latency = 10.0),
    },
    NamedScenario {
        id: "D10",
        title: "latency rises by 1 % of what it was a minute for 4 h, on the first day",
        wanted: "alert before ×2.5 (9,000 s)",
        make: |luck| {
            Scenario::incident_of(4.0 * 3600.0, luck, |now, progress| {
                now.latency = ramp(1.0, 3.4, progress);
            })
        },
    },
    NamedScenario {
        id: "S16",
        title: "latency rises from ×1 to ×10 in 30 min",
        wanted: "alert",
        make: |luck| {
            Scenario::incident_of(1800.0, luck, |now, progress| {
                now.latency = ramp(1.0, 10.0, progress);
            })
        },
    },
];
