//! Faults of the service, noise and overload.

use super::Column;
use super::cell::detect_and_goodput;
use super::figure::{BAD_BEFORE, CLOSED_AFTER, DETECT, FALSE_TRIPS, GOODPUT, LOST, OPEN};
use crate::number::{per_day, percent, timed};

pub(super) const COLUMNS: &[Column] = &[
    Column {
        scenario: "S03",
        title: "0.2/s: open s / false per day",
        cell: |of| {
            format!(
                "{} / {}",
                timed(of.open, of.open_range),
                per_day(of.false_trips)
            )
        },
        figures: &[OPEN, FALSE_TRIPS],
    },
    Column {
        scenario: "S04a",
        title: "5 %: detect s, goodput %",
        cell: detect_and_goodput,
        figures: &[DETECT, GOODPUT],
    },
    Column {
        scenario: "S04b",
        title: "20 %: detect s, goodput %",
        cell: detect_and_goodput,
        figures: &[DETECT, GOODPUT],
    },
    Column {
        scenario: "S04c",
        title: "100 %: open s, bad before, closed after s",
        cell: |of| {
            let (open, closed) = (
                timed(of.open, of.open_range),
                timed(of.closed_after, of.closed_range),
            );
            format!("{open}, {:.0}, {closed}", of.bad_before_open)
        },
        figures: &[OPEN, BAD_BEFORE, CLOSED_AFTER],
    },
    Column {
        scenario: "S06",
        title: "latency ×10: detect s, goodput %",
        cell: detect_and_goodput,
        figures: &[DETECT, GOODPUT],
    },
    Column {
        scenario: "S08",
        title: "hang: open s",
        cell: |of| timed(of.open, of.open_range),
        figures: &[OPEN],
    },
    Column {
        scenario: "S09",
        title: "1 of 5: goodput %",
        cell: |of| percent(of.goodput),
        figures: &[GOODPUT],
    },
    Column {
        scenario: "S02",
        title: "noisy day: false per day",
        cell: |of| per_day(of.false_trips),
        figures: &[FALSE_TRIPS],
    },
    Column {
        scenario: "S10",
        title: "pauses: false per day",
        cell: |of| per_day(of.false_trips),
        figures: &[FALSE_TRIPS],
    },
    Column {
        scenario: "S13",
        title: "cold start: lost",
        cell: |of| format!("{:.0}", of.lost_after),
        figures: &[LOST],
    },
    Column {
        scenario: "S06b",
        title: "brownout: goodput %",
        cell: |of| percent(of.goodput),
        figures: &[GOODPUT],
    },
    Column {
        scenario: "S17",
        title: "overload: goodput %",
        cell: |of| percent(of.goodput),
        figures: &[GOODPUT],
    },
    Column {
        scenario: "S18",
        title: "retry storm: lost",
        cell: |of| format!("{:.0}", of.lost_after),
        figures: &[LOST],
    },
];
