//! Faults of some of the endpoints.

use super::Column;
use super::figure::GOODPUT;

pub(super) const ENDPOINTS: &[Column] = &[
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
