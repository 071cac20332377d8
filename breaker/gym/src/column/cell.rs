//! The cells that several columns have.

use crate::number::{fine_percent, per_day, percent, timed};
use crate::summary::Summary;

pub(super) fn detect_and_goodput(of: &Summary) -> String {
    format!(
        "{}, {}",
        timed(of.detect, of.detect_range),
        percent(of.goodput)
    )
}

pub(super) fn open_and_closed(of: &Summary) -> String {
    format!(
        "{}, {}",
        timed(of.open, of.open_range),
        timed(of.closed_after, of.closed_range)
    )
}

pub(super) fn false_events(of: &Summary) -> String {
    format!("{}, {}", per_day(of.false_trips), per_day(of.false_alerts))
}

pub(super) fn false_events_and_rejected(of: &Summary) -> String {
    format!(
        "{}, {}",
        false_events(of),
        fine_percent(of.good_rejected_share)
    )
}
