//! Scenarios in which a good system stays silent.

use std::f64::consts::TAU;

use super::{HEALTH, NamedScenario, Scenario};
use crate::luck::RequestRng;
use crate::time::{Span, nanos};

pub(super) const ENTRIES: &[NamedScenario] = &[
    NamedScenario {
        id: "D11",
        title: "the noisy day of S02, with callers that try twice again",
        wanted: "silent",
        make: noisy_day_with_retries,
    },
    NamedScenario {
        id: "D6f",
        title: "4 % errors are usual, twice as many in the bursts of noisy days, 4 d",
        wanted: "≤ 10 alerts a day",
        make: noisy_days_of_errors,
    },
    NamedScenario {
        id: "S01",
        title: "healthy, 50/s, 24 h",
        wanted: "silent",
        make: steady,
    },
    NamedScenario {
        id: "S02",
        title: "a noisy day: diurnal 5–45/s, bursts, heavy tail, blips",
        wanted: "silent",
        make: noisy_day,
    },
    NamedScenario {
        id: "S10",
        title: "a pause of 0.5–1.5 s each minute, 2 h",
        wanted: "silent",
        make: pauses,
    },
    NamedScenario {
        id: "S11",
        title: "60 % 4xx for 10 min",
        wanted: "silent",
        make: client_errors,
    },
    NamedScenario {
        id: "S14",
        title: "a deploy: latency ×1.75, errors 0.3 %, for good",
        wanted: "silent",
        make: deploy,
    },
];

fn steady(_: &mut RequestRng) -> Scenario {
    let mut scenario = Scenario::healthy(DAY);
    scenario.base.rate = 50.0;
    scenario
}

fn noisy_day(luck: &mut RequestRng) -> Scenario {
    let mut scenario = Scenario::healthy(DAY);
    scenario.base.errors = 0.003;
    scenario.base.tail = 0.01;
    scenario.base.tail_index = 1.2;
    scenario.phase(0.0, DAY, |now, progress| {
        now.rate = 20.0f64.mul_add(-(TAU * progress).cos(), 25.0);
    });
    for _ in 0..BURSTS {
        let from = luck.between(0.0, DAY - 300.0);
        scenario.phase(from, from + luck.between(30.0, 180.0), |now, _| {
            now.rate *= 4.0;
            now.errors = 0.006;
            now.latency *= 1.8;
        });
    }
    for _ in 0..BLIPS {
        let from = luck.between(0.0, DAY - 3.0);
        let errors = luck.between(0.1, 0.6);
        scenario.phase(from, from + luck.between(0.2, 3.0), move |now, _| {
            now.errors = errors;
        });
    }
    scenario
}

fn noisy_days_of_errors(luck: &mut RequestRng) -> Scenario {
    const USUAL: f64 = 0.04;
    let days = 4;
    let all = f64::from(days) * DAY;
    let mut scenario = Scenario::healthy(all);
    scenario.base.errors = USUAL;
    scenario.phase(0.0, all, move |now, progress| {
        let day = (TAU * progress * f64::from(days)).cos();
        now.rate = 20.0f64.mul_add(-day, 25.0);
    });
    for _ in 0..days as usize * BURSTS {
        let from = luck.between(0.0, all - 300.0);
        scenario.phase(from, from + luck.between(30.0, 180.0), |now, _| {
            now.rate *= 4.0;
            now.errors = 2.0 * USUAL;
        });
    }
    for _ in 0..days as usize * BLIPS {
        let from = luck.between(0.0, all - 3.0);
        let errors = luck.between(0.1, 0.6);
        scenario.phase(from, from + luck.between(0.2, 3.0), move |now, _| {
            now.errors = errors;
        });
    }
    scenario
}

fn noisy_day_with_retries(luck: &mut RequestRng) -> Scenario {
    let mut scenario = noisy_day(luck);
    scenario.retries = 2;
    scenario
}

fn pauses(luck: &mut RequestRng) -> Scenario {
    let mut scenario = Scenario::healthy(7200.0);
    scenario.pauses = (0..120)
        .map(|minute| {
            let from = 60.0f64.mul_add(f64::from(minute), luck.between(0.0, 58.0));
            Span::of(from, from + luck.between(0.5, 1.5))
        })
        .collect();
    scenario
}

fn client_errors(luck: &mut RequestRng) -> Scenario {
    let mut scenario = Scenario::incident_of(600.0, luck, |now, _| now.client_errors = 0.6);
    // What callers do wrong is no incident of the service.
    scenario.incident = None;
    scenario
}

fn deploy(_: &mut RequestRng) -> Scenario {
    let mut scenario = Scenario::healthy(3.0 * HEALTH);
    let end = scenario.duration + nanos(1.0);
    scenario.phase(HEALTH, crate::time::seconds(end), |now, _| {
        now.latency = 1.75;
        now.errors = 0.003;
    });
    scenario
}

const DAY: f64 = 86_400.0;
/// How often a day traffic is four times as high, for 30 to 180 s.
const BURSTS: usize = 12;
/// How often a day 10 to 60 % of the requests fail, for at most 3 s.
const BLIPS: usize = 48;
