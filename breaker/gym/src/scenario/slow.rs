//! Scenarios in which requests succeed, late.

use super::{Entry, Scenario, ramp};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "S06",
        title: "latency ×10, no errors",
        wanted: "alert, shed; don't open",
        make: |luck| Scenario::incident(luck, |now, _| now.latency = 10.0),
    },
    Entry {
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
