//! The columns of the comparison: what of a scenario is shown, and who is better in it.

use crate::number::{fine_percent, per_day, percent, timed};
use crate::summary::Summary;

/// The system that the others are compared to.
pub(crate) const MEASURE: &str = "adaptive";

/// One column.
pub(crate) struct Column {
    /// The scenario.
    pub(crate) scenario: &'static str,
    /// What is shown of it.
    pub(crate) title: &'static str,
    /// How a cell is made.
    pub(crate) cell: fn(&Summary) -> String,
    /// The numbers in it by which a system is better than another.
    figures: &'static [Figure],
}

/// A number of which less is better.
struct Figure {
    of: fn(&Summary) -> f64,
    /// A difference that is not more than this, or than a twentieth, is none.
    noise: f64,
}

/// Columns that stand in one table.
pub(crate) struct Group {
    /// What they are about; empty for the first.
    pub(crate) title: &'static str,
    /// In order.
    pub(crate) columns: &'static [Column],
}

/// All columns, a table each group.
pub(crate) const GROUPS: &[Group] = &[
    Group {
        title: "",
        columns: COLUMNS,
    },
    Group {
        title: "Impatient callers, streams, silence",
        columns: CALLERS,
    },
    Group {
        title: "What is usual",
        columns: USUAL,
    },
    Group {
        title: "Endpoints",
        columns: ENDPOINTS,
    },
];

const COLUMNS: &[Column] = &[
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

const CALLERS: &[Column] = &[
    Column {
        scenario: "S25",
        title: "outage, then 20 %: open s, closed after s, good rejected",
        cell: |of| {
            let (open, closed) = (
                timed(of.open, of.open_range),
                timed(of.closed_after, of.closed_range),
            );
            format!("{open}, {closed}, {:.0}", of.good_rejected_after)
        },
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
        cell: |of| {
            format!(
                "{}, {}",
                timed(of.open, of.open_range),
                timed(of.closed_after, of.closed_range)
            )
        },
        figures: &[OPEN, CLOSED_AFTER],
    },
    Column {
        scenario: "S30a",
        title: "hang, patience 100 ms: open s, closed after s",
        cell: |of| {
            format!(
                "{}, {}",
                timed(of.open, of.open_range),
                timed(of.closed_after, of.closed_range)
            )
        },
        figures: &[OPEN, CLOSED_AFTER],
    },
    Column {
        scenario: "S30b",
        title: "900 ms",
        cell: |of| {
            format!(
                "{}, {}",
                timed(of.open, of.open_range),
                timed(of.closed_after, of.closed_range)
            )
        },
        figures: &[OPEN, CLOSED_AFTER],
    },
    Column {
        scenario: "S30c",
        title: "1.5 s",
        cell: |of| {
            format!(
                "{}, {}",
                timed(of.open, of.open_range),
                timed(of.closed_after, of.closed_range)
            )
        },
        figures: &[OPEN, CLOSED_AFTER],
    },
];

const ENDPOINTS: &[Column] = &[
    endpoints("S19", "1 of 5 ten times slower: goodput %"),
    endpoints("S20", "all at 20 %"),
    endpoints("S21", "rolling restart"),
    endpoints("S22", "all replaced"),
];

const fn endpoints(scenario: &'static str, title: &'static str) -> Column {
    Column {
        scenario,
        title,
        cell: |of| format!("{:.1}", 100.0 * of.goodput),
        figures: &[GOODPUT],
    }
}

const USUAL: &[Column] = &[
    usual_errors(
        "D1a",
        "5 % usual, outage: closed after s (≤ 60), good rejected % (≤ 1)",
    ),
    usual_errors("D1b", "10 %"),
    usual_errors("D1c", "20 %"),
    usual_errors("D1d", "30 %"),
    Column {
        scenario: "D2a",
        title: "10 % hang: open s (–), goodput % (≥ 85)",
        cell: |of| format!("{}, {}", timed(of.open, of.open_range), percent(of.goodput)),
        figures: &[GOODPUT],
    },
    Column {
        scenario: "D2b",
        title: "30 % hang: open s, goodput %",
        cell: |of| format!("{}, {}", timed(of.open, of.open_range), percent(of.goodput)),
        figures: &[GOODPUT],
    },
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

const OPEN: Figure = Figure {
    of: |of| or_never(of.open),
    noise: 0.05,
};
const DETECT: Figure = Figure {
    of: |of| or_never(of.detect),
    noise: 0.05,
};
const CLOSED_AFTER: Figure = Figure {
    of: |of| or_never(of.closed_after),
    noise: 0.05,
};
const BAD_BEFORE: Figure = Figure {
    of: |of| of.bad_before_open,
    noise: 1.0,
};
const LOST: Figure = Figure {
    of: |of| of.lost_after,
    noise: 1.0,
};
const GOODPUT: Figure = Figure {
    of: |of| -of.goodput,
    noise: 0.01,
};
const FALSE_TRIPS: Figure = Figure {
    of: |of| of.false_trips,
    noise: 0.05,
};

const FALSE_ALERTS: Figure = Figure {
    of: |of| of.false_alerts,
    noise: 0.05,
};
const REJECTED_AFTER: Figure = Figure {
    of: |of| of.good_rejected_after,
    noise: 1.0,
};
const REJECTED_SHARE: Figure = Figure {
    of: |of| of.good_rejected_share,
    noise: 0.001,
};

impl Column {
    /// Whether `one` is better than `other`: in one of the numbers at least, and worse in none.
    pub(crate) fn is_better(&self, one: &Summary, other: &Summary) -> bool {
        let better = |one, other| self.figures.iter().any(|figure| figure.is_less(one, other));
        better(one, other) && !better(other, one)
    }
}

impl Figure {
    fn is_less(&self, one: &Summary, other: &Summary) -> bool {
        let (one, other) = ((self.of)(one), (self.of)(other));
        let smaller = one.abs().min(other.abs());
        one + self.noise.max(smaller / 20.0) < other
    }
}

/// What never happens takes for ever.
fn or_never(time: Option<f64>) -> f64 {
    time.unwrap_or(f64::INFINITY)
}

fn detect_and_goodput(of: &Summary) -> String {
    format!(
        "{}, {}",
        timed(of.detect, of.detect_range),
        percent(of.goodput)
    )
}

fn false_events(of: &Summary) -> String {
    format!("{}, {}", per_day(of.false_trips), per_day(of.false_alerts))
}

fn false_events_and_rejected(of: &Summary) -> String {
    format!(
        "{}, {}",
        false_events(of),
        fine_percent(of.good_rejected_share)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(scenario: &str) -> &'static Column {
        let mut columns = GROUPS.iter().flat_map(|group| group.columns);
        columns.find(|column| column.scenario == scenario).unwrap()
    }

    #[test]
    fn better_is_better_in_one_number_and_worse_in_none() {
        let of = |detect, goodput| Summary {
            detect,
            goodput,
            ..Summary::default()
        };
        let is_better = |one: (Option<f64>, f64), other: (Option<f64>, f64)| {
            column("S06").is_better(&of(one.0, one.1), &of(other.0, other.1))
        };
        let ours = (Some(3.0), 0.66);
        assert!(is_better((Some(2.0), 0.66), ours));
        assert!(!is_better((Some(2.0), 0.62), ours));
        assert!(!is_better(ours, (Some(2.0), 0.62)));
        assert!(!is_better((None, 0.66), ours));
        assert!(is_better(ours, (None, 0.66)));
        assert!(!is_better(ours, ours));
    }

    #[test]
    fn a_difference_of_a_twentieth_is_none() {
        let of = |lost_after| Summary {
            lost_after,
            ..Summary::default()
        };
        let is_better = |one, other| column("S13").is_better(&of(one), &of(other));
        assert!(!is_better(1000.0, 1050.0));
        assert!(is_better(1000.0, 1051.0));
        assert!(!is_better(0.0, 1.0));
    }

    #[test]
    fn columns_are_of_scenarios_that_exist_and_no_scenario_has_two() {
        let columns = GROUPS.iter().flat_map(|group| group.columns);
        let mut seen = std::collections::BTreeSet::new();
        for column in columns {
            let id = column.scenario;
            assert!(crate::scenario::find(id).is_some_and(|entry| entry.id == id));
            assert!(seen.insert(id), "{id}");
        }
    }
}
