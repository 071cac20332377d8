//! Callers that leave, streams, and callers that are silent for long.

use super::Column;
use super::cell::{detect_and_goodput, false_events, false_events_and_rejected, open_and_closed};
use super::figure::{
    BAD_BEFORE, CLOSED_AFTER, DETECT, FALSE_ALERTS, FALSE_TRIPS, GOODPUT, LOST, OPEN,
    REJECTED_AFTER, REJECTED_SHARE,
};

pub(super) const CALLERS: &[Column] = &[
    Column {
        scenario: "S25",
        title: "outage, then 20 %: open s, closed after s, good rejected",
        cell: |of| format!("{}, {:.0}", open_and_closed(of), of.good_rejected_after),
        figures: &[OPEN, CLOSED_AFTER, REJECTED_AFTER],
    },
    Column {
        scenario: "S26",
        title: "hourly burst: bad before, lost after, bursts until served",
        cell: |of| {
            // The first second from which on a burst was served lies in the hour before it.
            let bursts = of.good_after.map(|after| (after / 3600.0).floor());
            let bursts = bursts.map_or_else(|| "–".to_owned(), |bursts| format!("{bursts:.0}"));
            let (before, after) = (of.bad_before_open, of.lost_after);
            format!("{before:.0}, {after:.0}, {bursts}")
        },
        figures: &[BAD_BEFORE, LOST],
    },
    Column {
        scenario: "S27",
        title: "silent night: trips, alerts per day",
        cell: false_events,
        figures: &[FALSE_TRIPS, FALSE_ALERTS],
    },
    Column {
        scenario: "S28",
        title: "30 % impatient: trips, alerts per day, good rejected %",
        cell: false_events_and_rejected,
        figures: &[FALSE_TRIPS, FALSE_ALERTS, REJECTED_SHARE],
    },
    Column {
        scenario: "S29a",
        title: "streams: trips, alerts per day, good rejected %",
        cell: false_events_and_rejected,
        figures: &[FALSE_TRIPS, FALSE_ALERTS, REJECTED_SHARE],
    },
    Column {
        scenario: "S29b",
        title: "streams break: detect s, goodput %",
        cell: detect_and_goodput,
        figures: &[DETECT, GOODPUT],
    },
    Column {
        scenario: "S29c",
        title: "streams, then an outage: open s, closed after s",
        cell: open_and_closed,
        figures: &[OPEN, CLOSED_AFTER],
    },
    Column {
        scenario: "S30a",
        title: "hang, patience 100 ms: open s, closed after s",
        cell: open_and_closed,
        figures: &[OPEN, CLOSED_AFTER],
    },
    Column {
        scenario: "S30b",
        title: "900 ms",
        cell: open_and_closed,
        figures: &[OPEN, CLOSED_AFTER],
    },
    Column {
        scenario: "S30c",
        title: "1.5 s",
        cell: open_and_closed,
        figures: &[OPEN, CLOSED_AFTER],
    },
];
