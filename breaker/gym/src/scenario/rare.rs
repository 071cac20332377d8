//! Scenarios in which requests come rarely, or in bursts, or not at all for a time.

use super::{NamedScenario, Scenario};
use crate::luck::RequestRng;
use crate::time::Span;

pub(super) const ENTRIES: &[NamedScenario] = &[
    NamedScenario {
        id: "D3a",
        title: "a request each 70 s, 0.5 % errors, 20 h, then a total outage of 1 h",
        wanted: "open within 8 requests",
        make: |luck| rare_outage(luck, 70.0, 20.0, 1.0),
    },
    NamedScenario {
        id: "D3b",
        title: "a request each 300 s, 0.5 % errors, 48 h, then a total outage of 4 h",
        wanted: "open within 8 requests",
        make: |luck| rare_outage(luck, 300.0, 48.0, 4.0),
    },
    NamedScenario {
        id: "D4a",
        title: "an hour at 10/s, ten failures in 80 ms, an hour at 10/s",
        wanted: "silent",
        make: |_| failures_after_silence(0.0),
    },
    NamedScenario {
        id: "D4b",
        title: "the same, 6 h of silence before the failures",
        wanted: "silent",
        make: |_| failures_after_silence(6.0),
    },
    NamedScenario {
        id: "D4c",
        title: "the same, 24 h",
        wanted: "silent",
        make: |_| failures_after_silence(24.0),
    },
    NamedScenario {
        id: "D4d",
        title: "the same, 72 h",
        wanted: "silent",
        make: |_| failures_after_silence(72.0),
    },
    NamedScenario {
        id: "S26",
        title: "a burst of 100–200 requests an hour, silence between; one burst of 16 fails whole",
        wanted: "open, and lose nothing of the next burst",
        make: hourly_bursts,
    },
    NamedScenario {
        id: "S27",
        title: "two days of 8 h at 10/s, a night of 10 h without a request, blips on both sides",
        wanted: "silent",
        make: night,
    },
];

fn hourly_bursts(luck: &mut RequestRng) -> Scenario {
    let mut scenario = Scenario::healthy(16.0 * HOUR);
    scenario.base.rate = 0.0;
    let hit = 8 + (luck.unit() * 4.0) as u32;
    for hour in 0..16 {
        let from = HOUR.mul_add(f64::from(hour), luck.between(60.0, 120.0));
        let length = luck.between(2.0, 6.0);
        let rate = luck.between(100.0, 200.0) / length;
        let errors = if hour == hit { 1.0 } else { 0.001 };
        scenario.phase(from, from + length, move |now, _| {
            now.rate = rate;
            now.errors = errors;
        });
        if hour == hit {
            // It is over long before the next burst.
            scenario.incident = Some(Span::of(from, from + 60.0));
        }
    }
    scenario.aftermath = scenario.duration;
    scenario
}

fn night(luck: &mut RequestRng) -> Scenario {
    const DUSK: f64 = 8.0 * HOUR;
    const DAWN: f64 = 18.0 * HOUR;
    let mut scenario = Scenario::healthy(DAWN + 8.0 * HOUR);
    scenario.base.rate = 10.0;
    scenario.phase(DUSK, DAWN, |now, _| now.rate = 0.0);
    let mut blip = |from: f64, length: f64, errors: f64| {
        scenario.phase(from, from + length, move |now, _| now.errors = errors);
    };
    // The last of the evening and the first of the morning, so that only the night lies between
    // them.
    blip(DUSK - 1.0, 1.0, 0.6);
    blip(DAWN, 1.0, 0.6);
    for _ in 0..3 {
        let before = luck.between(DUSK - HOUR, DUSK - 60.0);
        let after = luck.between(DAWN + 60.0, DAWN + HOUR);
        for from in [before, after] {
            blip(from, luck.between(0.2, 2.0), luck.between(0.1, 0.6));
        }
    }
    scenario
}

fn rare_outage(luck: &mut RequestRng, gap: f64, healthy_hours: f64, outage_hours: f64) -> Scenario {
    let from = HOUR.mul_add(healthy_hours, luck.between(0.0, gap));
    let until = HOUR.mul_add(outage_hours, from);
    let mut scenario = Scenario::healthy(until + HOUR);
    scenario.base.rate = 1.0 / gap;
    scenario.base.errors = 0.005;
    scenario.incident = Some(Span::of(from, until));
    scenario.phase(from, until, |now, _| now.errors = 1.0);
    scenario
}

fn failures_after_silence(hours: f64) -> Scenario {
    let silent_until = HOUR.mul_add(hours, HOUR);
    let mut scenario = Scenario::healthy(silent_until + HOUR);
    scenario.base.rate = 10.0;
    // Ten, one each 8 ms, after a second of silence at least: no gap reaches into them.
    scenario.phase(HOUR - 1.0, silent_until, |now, _| now.rate = 0.0);
    scenario.phase(silent_until, silent_until + 0.0809, |now, _| {
        now.rate = 125.0;
        now.regular = true;
        now.errors = 1.0;
    });
    scenario
}

const HOUR: f64 = 3600.0;
