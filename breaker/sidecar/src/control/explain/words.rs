//! Numbers as people say them.

use std::time::Duration;

use crate::config::in_words;

/// A time, to two digits or to the second.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds >= 9.95 {
        return in_words(Duration::from_secs_f64(seconds.round()));
    }
    if seconds >= 0.995 {
        return format!("{}s", tenths(seconds));
    }
    format!("{}ms", time.as_millis())
}

/// Requests a second.
pub(super) fn rate(a_second: f64) -> String {
    match tenths(a_second) {
        1.0 => "1 request a second".to_owned(),
        small if small < 10.0 => format!("{small} requests a second"),
        _ => format!("{a_second:.0} requests a second"),
    }
}

/// To the first decimal, which is not shown if it is zero.
fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// A number of things.
pub(super) fn count(number: u64, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        number => format!("{number} {thing}s"),
    }
}

/// A share in whole per cent, of which little is not nothing, and less than all not all.
pub(super) fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.01 {
        return "less than 1%".to_owned();
    }
    format!("{:.0}%", (share * 100.0).floor())
}
