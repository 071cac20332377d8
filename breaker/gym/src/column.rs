//! The columns of the comparison: what of a scenario is shown, and who is better in it.

mod callers;
mod cell;
mod endpoints;
mod faults;
mod figure;
mod usual;

use self::callers::CALLERS;
use self::endpoints::ENDPOINTS;
use self::faults::COLUMNS;
use self::figure::Figure;
use self::usual::USUAL;
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

impl Column {
    /// Whether `one` is better than `other`: in one of the numbers at least, and worse in none.
    pub(crate) fn is_better(&self, one: &Summary, other: &Summary) -> bool {
        let better = |one, other| self.figures.iter().any(|figure| figure.is_less(one, other));
        better(one, other) && !better(other, one)
    }
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
