//! The columns of the comparison: what of a scenario is shown, and who is better in it.

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

/// All columns, in order.
pub(crate) const COLUMNS: &[Column] = &[
    Column {
        scenario: "S03",
        title: "0.2/s: open s / false per day",
        cell: |of| format!("{} / {}", number(of.open), per_day(of.false_trips)),
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
            let (open, closed) = (number(of.open), number(of.closed_after));
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
        cell: |of| number(of.open),
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
    format!("{}, {}", number(of.detect), percent(of.goodput))
}

/// Seconds with as many digits as mean something.
pub(crate) fn number(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value < 0.995 => format!("{value:.2}"),
        Some(value) if value < 9.95 => format!("{value:.1}"),
        Some(value) => format!("{value:.0}"),
    }
}

/// A share in per cent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0}", share * 100.0)
}

/// How often a day.
pub(crate) fn per_day(count: f64) -> String {
    if count == 0.0 {
        "0".to_owned()
    } else {
        number(Some(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(scenario: &str) -> &'static Column {
        let mut columns = COLUMNS.iter();
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
    fn numbers_have_the_digits_that_mean_something() {
        let numbers = [0.074, 1.53, 9.96, 236.4].map(|value| number(Some(value)));
        assert_eq!(numbers, ["0.07", "1.5", "10", "236"]);
        assert_eq!(number(None), "–");
        assert_eq!((per_day(0.0), per_day(0.3)), ("0".into(), "0.30".into()));
    }
}
