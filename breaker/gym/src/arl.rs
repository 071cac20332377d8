//! The average run length: how long healthy traffic goes on until it sets a system off.
//!
//! A thousand days of a service are too many to simulate whole. Here only what a detector sees is made: each request ends at once, as a
//! failure with the given probability, independently. That is the case for which a detector's false-alarm budget is stated.

use std::fmt;
use std::sync::Mutex;

use serde::Serialize;

use crate::gym::in_parallel;
use crate::luck::Luck;
use crate::system::{Arrival, Completion, Decision, Ending, Entry, Setup, State};
use crate::time::{DAY, MILLI, nanos};

/// How often healthy traffic set a system off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    /// The system.
    pub(crate) system: &'static str,
    /// The share of requests that fail.
    pub(crate) error_rate: f64,
    /// Simulated days.
    pub(crate) days: f64,
    /// Trips.
    pub(crate) trips: u64,
    /// Alerts.
    pub(crate) alerts: u64,
}

/// Lets `days` of healthy traffic at `rate` requests a second pass by each of `systems`, at each of several error rates. Tells each row as
/// soon as it is known: a thousand days take a minute or two.
///
/// # Errors
/// The first of `tell`.
pub(crate) fn measure<E>(
    systems: &[Entry],
    rate: f64,
    days: u32,
    threads: usize,
    mut tell: impl FnMut(&Row) -> Result<(), E>,
) -> Result<(), E> {
    // Pieces of days, each with a new system: short enough to keep all threads busy, long against any warm-up.
    let pieces = days.div_ceil(PIECE);
    for system in systems {
        for error_rate in ERROR_RATES {
            let total = Mutex::new((0, 0));
            in_parallel(threads, pieces as usize, |piece| {
                let days = PIECE.min(days - piece as u32 * PIECE);
                let (trips, alerts) = run(*system, rate, error_rate, days, piece as u64);
                let mut total = total
                    .lock()
                    .expect("no thread panics while it holds the lock");
                total.0 += trips;
                total.1 += alerts;
            });
            let (trips, alerts) = total
                .into_inner()
                .expect("no thread panicked while it held the lock");
            tell(&Row {
                system: system.name,
                error_rate,
                days: f64::from(days),
                trips,
                alerts,
            })?;
        }
    }
    Ok(())
}

/// Counts trips and alerts.
fn run(entry: Entry, rate: f64, error_rate: f64, days: u32, seed: u64) -> (u64, u64) {
    let mut system = entry.build(&Setup {
        seed,
        endpoints: 1,
        spans: false,
    });
    let mut luck = Luck::named(seed, error_rate.to_bits());
    let end = f64::from(days) * DAY as f64;
    let (mut now, mut trips, mut state) = (0.0, 0, State::Closed);
    while now < end {
        now += luck.exponential() / rate * 1e9;
        let at = nanos(now / 1e9);
        while system.next_tick() <= at {
            let tick = system.next_tick();
            system.tick(tick);
        }
        let failed = luck.unit() < error_rate;
        let arrival = Arrival {
            now: at,
            pick: 0,
            endpoints: 1,
        };
        if let Decision::Admit { endpoint, tag } = system.arrive(&arrival) {
            system.complete(&Completion {
                now: at,
                sent: at.saturating_sub(LATENCY),
                endpoint,
                tag,
                head: None,
                ending: if failed {
                    Ending::Failure
                } else {
                    Ending::Success
                },
            });
        }
        let before = std::mem::replace(&mut state, system.status().state);
        trips += u64::from(before.is_closed() && state == State::Open);
    }
    (trips, system.status().alerts)
}

/// The titles of a table of rows.
pub(crate) fn header(rate: f64, days: u32) -> String {
    format!(
        "{days} days of healthy traffic at {rate}/s\n\n{:<20} {:>8} {:>12} {:>12} {:>16}",
        "system", "errors", "trips/day", "alerts/day", "days to the next"
    )
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = match self.trips + self.alerts {
            0 => format!("> {:.0}", self.days),
            events => format!("{:.3}", self.days / events as f64),
        };
        write!(
            f,
            "{:<20} {:>7}% {:>12.4} {:>12.4} {length:>16}",
            self.system,
            self.error_rate * 100.0,
            self.trips as f64 / self.days,
            self.alerts as f64 / self.days,
        )
    }
}

const ERROR_RATES: [f64; 5] = [0.001, 0.0025, 0.005, 0.01, 0.02];
const PIECE: u32 = 25;
const LATENCY: u64 = 20 * MILLI;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::find;

    #[test]
    fn a_rule_whose_run_length_is_known_is_measured_at_it() {
        // Five failures in a row of which each has probability p: (1 − p⁵)/((1 − p) p⁵) requests, at p = 0.2 on average 3905. While it is
        // ejected nothing is observed: 30 to 40 s at the first ejection, more at the next.
        let days = 20;
        let (trips, _) = run(find("envoy-outlier").unwrap(), 1.0, 0.2, days, 1);
        let healthy = f64::from(days) * 86_400.0;
        let expected = healthy / (3905.0 + 35.0);
        let trips = trips as f64;
        assert!(
            (trips - expected).abs() < 4.0 * expected.sqrt(),
            "{trips} of {expected}"
        );
    }

    #[test]
    fn none_never_trips() {
        let mut rows = Vec::new();
        let tell = |row: &Row| {
            rows.push(*row);
            Ok::<_, ()>(())
        };
        measure(&[find("none").unwrap()], 0.01, 30, 2, tell).unwrap();
        assert_eq!(rows.len(), ERROR_RATES.len());
        assert!(rows.iter().all(|row| row.trips + row.alerts == 0));
    }
}
