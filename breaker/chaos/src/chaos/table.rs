//! The table at the end: what customers saw, with breakers and without.

use std::fmt;
use std::time::Duration;

use super::tally::{Recovery, Results};

/// A column for each shop.
#[derive(Debug)]
pub(super) struct Table(pub(super) Vec<(&'static str, Results)>);

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        row(f, "", self.0.iter().map(|(title, _)| (*title).to_owned()))?;
        self.row(f, "orders", |results| grouped(results.orders))?;
        self.row(f, "served", |results| share(results.served, results.orders))?;
        self.row(f, "failed", |results| share(results.failed, results.orders))?;
        self.row(f, "rejected at once", |results| {
            share(results.rejected, results.orders)
        })?;
        self.row(f, "P99", |results| seconds(results.p99))?;
        self.row(f, "waiting for failures", |results| seconds(results.waited))?;
        let incidents = self
            .0
            .first()
            .map_or(0, |(_, results)| results.recoveries.len());
        for index in 0..incidents {
            let incident = self.0[0].1.recoveries[index].incident;
            let label = format!("recovered after {incident}");
            self.row(f, &label, |results| recovery(&results.recoveries[index]))?;
        }
        self.row(f, "time to recover, all", |results| {
            let never = results.recoveries.iter().any(|one| one.took.is_none());
            let more = if never { "> " } else { "" };
            format!("{more}{}", seconds(results.recovered()))
        })
    }
}

impl Table {
    fn row(
        &self,
        f: &mut fmt::Formatter<'_>,
        label: &str,
        cell: impl Fn(&Results) -> String,
    ) -> fmt::Result {
        row(f, label, self.0.iter().map(|(_, results)| cell(results)))
    }
}

fn row(
    f: &mut fmt::Formatter<'_>,
    label: &str,
    cells: impl Iterator<Item = String>,
) -> fmt::Result {
    write!(f, "{label:<32}")?;
    for cell in cells {
        write!(f, "{cell:>18}")?;
    }
    writeln!(f)
}

fn recovery(recovery: &Recovery) -> String {
    match recovery.took {
        Some(took) => seconds(took),
        None => format!("> {}", seconds(recovery.watched)),
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn share(part: usize, whole: usize) -> String {
    let per_cent = 100.0 * part as f64 / whole.max(1) as f64;
    format!("{} ({per_cent:.1} %)", grouped(part))
}

/// With a comma before each three digits.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let numbers = [0, 999, 1000, 12_345, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn the_table_tells_who_has_not_recovered() {
        let results = |took| Results {
            orders: 2000,
            served: 1500,
            failed: 400,
            rejected: 100,
            p99: Duration::from_millis(2940),
            waited: Duration::from_secs(1200),
            recoveries: vec![Recovery {
                incident: "hang",
                took,
                watched: Duration::from_secs(16),
            }],
        };
        let quick = results(Some(Duration::from_millis(2500)));
        let table = Table(vec![("with breakers", quick), ("bare", results(None))]).to_string();
        let expected = "
                                     with breakers              bare
orders                                       2,000             2,000
served                              1,500 (75.0 %)    1,500 (75.0 %)
failed                                400 (20.0 %)      400 (20.0 %)
rejected at once                       100 (5.0 %)       100 (5.0 %)
P99                                          2.9 s             2.9 s
waiting for failures                      1200.0 s          1200.0 s
recovered after hang                         2.5 s          > 16.0 s
time to recover, all                         2.5 s          > 16.0 s
";
        assert_eq!(format!("\n{table}"), expected);
    }
}
