//! What is usual for a service: whether detectors learn it, and what they make of it.

use super::Column;
use super::cell::{false_events, false_events_and_rejected};
use super::figure::{
    BAD_BEFORE, CLOSED_AFTER, DETECT, FALSE_ALERTS, FALSE_TRIPS, GOODPUT, OPEN, REJECTED_SHARE,
};
use crate::number::{fine_percent, percent, timed};

pub(super) const USUAL: &[Column] = &[
    usual_errors(
        "D1a",
        "5 % usual, outage: closed after s (≤ 60), good rejected % (≤ 1)",
    ),
    usual_errors("D1b", "10 %"),
    usual_errors("D1c", "20 %"),
    usual_errors("D1d", "30 %"),
    hanging("D2a", "10 % hang: open s (–), goodput % (≥ 85)"),
    hanging("D2b", "30 % hang: open s, goodput %"),
    rare("D3a", "a request each 70 s: open s, bad before (≤ 8)"),
    rare("D3b", "each 300 s"),
    silence(
        "D4a",
        "ten failures after no silence: trips, alerts per day (0)",
    ),
    silence("D4b", "6 h"),
    silence("D4c", "24 h"),
    silence("D4d", "72 h"),
    Column {
        scenario: "D5",
        title: "0.01 → 2 % at 200/s: detect s (≤ 120)",
        cell: |of| timed(of.detect, of.detect_range),
        figures: &[DETECT],
    },
    tripled(
        "D6a",
        "3 % usual: trips, alerts per day (≤ 10), ×3: detect s (≤ 60)",
    ),
    tripled("D6b", "4 %"),
    tripled("D6c", "5 %"),
    tripled("D6d", "8 %"),
    Column {
        scenario: "D6e",
        title: "4 % become usual: trips, alerts per day (≤ 10)",
        cell: false_events,
        figures: &[FALSE_TRIPS, FALSE_ALERTS],
    },
    Column {
        scenario: "D6f",
        title: "4 % usual, twice in bursts: trips, alerts per day (≤ 10)",
        cell: false_events,
        figures: &[FALSE_TRIPS, FALSE_ALERTS],
    },
    Column {
        scenario: "D7",
        title: "cache mix: trips, alerts per day, good rejected % (≤ 0.1)",
        cell: false_events_and_rejected,
        figures: &[FALSE_TRIPS, FALSE_ALERTS, REJECTED_SHARE],
    },
    Column {
        scenario: "D7b",
        title: "gone cold",
        cell: false_events_and_rejected,
        figures: &[FALSE_TRIPS, REJECTED_SHARE],
    },
    Column {
        scenario: "D10",
        title: "+1 % latency a minute on the first day: detect s (≤ 9,000)",
        cell: |of| timed(of.detect, of.detect_range),
        figures: &[DETECT],
    },
    Column {
        scenario: "D11",
        title: "noisy day with retries: trips, alerts per day",
        cell: false_events,
        figures: &[FALSE_TRIPS, FALSE_ALERTS],
    },
];

const fn usual_errors(scenario: &'static str, title: &'static str) -> Column {
    Column {
        scenario,
        title,
        cell: |of| {
            let closed = timed(of.closed_after, of.closed_range);
            format!("{closed}, {}", fine_percent(of.good_rejected_share))
        },
        figures: &[OPEN, CLOSED_AFTER, REJECTED_SHARE],
    }
}

const fn hanging(scenario: &'static str, title: &'static str) -> Column {
    Column {
        scenario,
        title,
        cell: |of| format!("{}, {}", timed(of.open, of.open_range), percent(of.goodput)),
        figures: &[GOODPUT],
    }
}

const fn rare(scenario: &'static str, title: &'static str) -> Column {
    Column {
        scenario,
        title,
        cell: |of| {
            format!(
                "{}, {:.0}",
                timed(of.open, of.open_range),
                of.bad_before_open
            )
        },
        figures: &[BAD_BEFORE],
    }
}

const fn silence(scenario: &'static str, title: &'static str) -> Column {
    Column {
        scenario,
        title,
        cell: false_events,
        figures: &[FALSE_TRIPS, FALSE_ALERTS],
    }
}

const fn tripled(scenario: &'static str, title: &'static str) -> Column {
    Column {
        scenario,
        title,
        cell: |of| {
            format!(
                "{}, {}",
                false_events(of),
                timed(of.detect, of.detect_range)
            )
        },
        figures: &[FALSE_TRIPS, FALSE_ALERTS, DETECT],
    }
}
