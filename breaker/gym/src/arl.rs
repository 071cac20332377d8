//! The average run length: how long healthy traffic goes on until it sets a system off.
//!
//! A thousand days of a service are too many to simulate whole. Here only what a detector sees is
//! made: each request ends at once, as a failure with the given probability, independently. That is
//! the case for which a detector's false-alarm budget is stated. Nights of silence and bursts leave
//! the observations independent; only when they come is another matter.

use std::fmt;
use std::sync::Mutex;

use serde::Serialize;

use crate::gym::in_parallel;
use crate::luck::RequestRng;
use crate::single;
use crate::system::{Events, NamedSystem, Setup, State};
use crate::time::{DAY, MILLI, Nanos, nanos};

/// What traffic is measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic {
    /// Requests a second.
    pub(crate) rate: f64,
    /// The shares of requests that fail, each measured by itself.
    pub(crate) errors: Vec<f64>,
    /// For so many days each.
    pub(crate) days: u32,
    /// The first eight hours of each day are silent.
    pub(crate) nights: bool,
    /// Every two hours the rate is ten times as high, for 30 to 180 s.
    pub(crate) bursts: bool,
    /// Latencies are those of the scenarios in health, and not all the same.
    pub(crate) latencies: bool,
}

/// How often healthy traffic set a system off.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
    /// Trips and alerts of the first day of each piece, which are in no other number: then nothing
    /// was known yet.
    pub(crate) learning: u64,
    /// The same by what they were about, where a system tells.
    pub(crate) signals: Vec<Events>,
}

/// Lets days of healthy traffic pass by each of `systems`, at each of the error rates. Tells each
/// row as soon as it is known: a thousand days take a minute or two at one request a second.
///
/// # Errors
/// The first of `tell`.
pub(crate) fn measure<E>(
    systems: &[NamedSystem],
    traffic: &Traffic,
    threads: usize,
    mut tell: impl FnMut(&Row) -> Result<(), E>,
) -> Result<(), E> {
    // Pieces of days, each with a new system: short enough to keep all threads busy, long against
    // any warm-up.
    let pieces = traffic.days.div_ceil(PIECE);
    for system in systems {
        for &error_rate in &traffic.errors {
            let row = Mutex::new(Row {
                system: system.name,
                error_rate,
                days: f64::from(traffic.days - pieces.min(traffic.days - 1)),
                trips: 0,
                alerts: 0,
                learning: 0,
                signals: Vec::new(),
            });
            in_parallel(threads, pieces as usize, |piece| {
                let days = PIECE.min(traffic.days - piece as u32 * PIECE);
                let (learning, [trips, alerts], events) =
                    run(*system, traffic, error_rate, days, piece as u64);
                let mut row = row
                    .lock()
                    .expect("no thread panics while it holds the lock");
                row.trips += trips;
                row.alerts += alerts;
                row.learning += learning;
                events.into_iter().for_each(|of| of.add(&mut row.signals));
            });
            let mut row = row
                .into_inner()
                .expect("no thread panicked while it held the lock");
            row.signals.sort_by_key(|events| events.signal);
            tell(&row)?;
        }
    }
    Ok(())
}

/// Counts the events of the first day, if there is another; trips and alerts after it, also by
/// signal.
fn run(
    entry: NamedSystem,
    traffic: &Traffic,
    error_rate: f64,
    days: u32,
    seed: u64,
) -> (u64, [u64; 2], Vec<Events>) {
    let mut system = entry.build(&Setup {
        seed,
        endpoints: 1,
        spans: false,
    });
    let mut luck = RequestRng::named(seed, error_rate.to_bits());
    let end = f64::from(days) * DAY as f64;
    let (mut now, mut trips, mut state) = (0.0, 0, State::Closed);
    let mut first_day = None;
    while now < end {
        now = traffic.next(now, seed, &mut luck);
        if days > 1 && now >= DAY as f64 && first_day.is_none() {
            first_day = Some((trips, system.status().alerts, system.signals().to_vec()));
        }
        let failed = luck.unit() < error_rate;
        let latency = traffic.latency(&mut luck);
        single::play(&mut *system, nanos(now / 1e9), latency, failed);
        let before = std::mem::replace(&mut state, system.status().state);
        trips += u64::from(before.is_closed() && state == State::Open);
    }
    let (learning_trips, learning_alerts, known) = first_day.unwrap_or_default();
    let mut signals = system.signals().to_vec();
    for events in &mut signals {
        if let Some(before) = known.iter().find(|before| before.signal == events.signal) {
            events.trips -= before.trips;
            events.alerts -= before.alerts;
        }
    }
    signals.retain(|events| events.trips + events.alerts > 0);
    let after = [
        trips - learning_trips,
        system.status().alerts - learning_alerts,
    ];
    (learning_trips + learning_alerts, after, signals)
}

impl Traffic {
    /// When the next request comes after `now`, in nanoseconds.
    fn next(&self, mut now: f64, seed: u64, luck: &mut RequestRng) -> f64 {
        // Drawn at the highest rate there is, and taken by the share that the rate is of it.
        let most = if self.bursts { BURST } else { 1.0 };
        loop {
            now += luck.exponential() / (self.rate * most) * 1e9;
            if self.nights {
                let midnight = (now / DAY as f64).floor() * DAY as f64;
                now = now.max(midnight + NIGHT);
            }
            if !self.bursts || in_burst(now, seed) || luck.unit() < 1.0 / BURST {
                return now;
            }
        }
    }

    fn latency(&self, luck: &mut RequestRng) -> Nanos {
        if !self.latencies {
            return LATENCY;
        }
        let mut factor = (0.5 * luck.normal()).exp();
        if luck.unit() < 0.005 {
            factor *= 5.0 * luck.pareto(2.0);
        }
        (LATENCY as f64 * factor.min(3000.0)) as Nanos
    }
}

/// Whether the burst of these two hours goes on at `now`.
fn in_burst(now: f64, seed: u64) -> bool {
    let slot = (now / BURST_EACH).floor();
    let mut luck = RequestRng::named(seed ^ 0xb425, slot as u64);
    let length = luck.between(30.0, 180.0) * 1e9;
    let from = slot * BURST_EACH + luck.between(0.0, BURST_EACH - length);
    (from..from + length).contains(&now)
}

/// The titles of a table of rows.
pub(crate) fn header(traffic: &Traffic) -> String {
    let rate = match traffic.rate {
        rate if rate < 0.1 => format!("one request each {:.0} s", 1.0 / rate),
        rate => format!("{rate} requests/s"),
    };
    let mut with = String::new();
    for (has, what) in [
        (traffic.nights, ", 8 h of silence a day"),
        (traffic.bursts, ", bursts"),
        (traffic.latencies, ", latencies"),
    ] {
        with += if has { what } else { "" };
    }
    format!(
        "{} days of healthy traffic: {rate}{with}\n\n{:<20} {:>8} {:>12} {:>12} {:>16} {:>12}",
        traffic.days,
        "system",
        "errors",
        "trips/day",
        "alerts/day",
        "days to the next",
        "first days"
    )
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, name: &str, trips: u64, alerts: u64| {
            let length = match trips + alerts {
                0 => format!("> {:.0}", self.days),
                events => format!("{:.3}", self.days / events as f64),
            };
            write!(
                f,
                "{name:<20} {:>7.4}% {:>12.4} {:>12.4} {length:>16}",
                self.error_rate * 100.0,
                trips as f64 / self.days,
                alerts as f64 / self.days,
            )
        };
        line(f, self.system, self.trips, self.alerts)?;
        write!(f, " {:>12}", self.learning)?;
        for events in &self.signals {
            writeln!(f)?;
            let name = format!("  {}", events.signal);
            line(f, &name, events.trips, events.alerts)?;
        }
        Ok(())
    }
}

/// The shares of failing requests that are measured if none are named.
pub(crate) const ERROR_RATES: [f64; 5] = [0.001, 0.0025, 0.005, 0.01, 0.02];
const PIECE: u32 = 25;
const LATENCY: u64 = 20 * MILLI;
const NIGHT: f64 = DAY as f64 / 3.0;
const BURST: f64 = 10.0;
const BURST_EACH: f64 = DAY as f64 / 12.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::find;

    fn steady(rate: f64) -> Traffic {
        Traffic {
            rate,
            ..Traffic::default()
        }
    }

    /// Requests of ten days, by the hour of the day.
    fn hours(traffic: &Traffic) -> [u32; 24] {
        let mut luck = RequestRng::named(1, 1);
        let (mut hours, mut now) = ([0; 24], 0.0);
        loop {
            now = traffic.next(now, 1, &mut luck);
            if now >= 10.0 * DAY as f64 {
                return hours;
            }
            hours[(now % DAY as f64 / 3.6e12) as usize] += 1;
        }
    }

    #[test]
    fn nights_are_silent_and_days_are_not() {
        let traffic = Traffic {
            nights: true,
            ..steady(0.1)
        };
        let hours = hours(&traffic);
        assert!(hours[..8].iter().all(|count| *count == 0), "{hours:?}");
        // 3,600 each, and one more at most that comes when the night is over.
        assert!(
            hours[8..].iter().all(|count| (3300..3900).contains(count)),
            "{hours:?}"
        );
    }

    #[test]
    fn bursts_are_more_requests_and_between_them_the_rate_is_kept() {
        let requests = |traffic: &Traffic| hours(traffic).iter().sum::<u32>();
        let without = requests(&steady(1.0));
        let with = requests(&Traffic {
            bursts: true,
            ..steady(1.0)
        });
        assert!((850_000..880_000).contains(&without), "{without}");
        // Twelve a day of 105 s on average, at nine requests a second more: 113,400 in ten days.
        let more = with - without;
        assert!((90_000..140_000).contains(&more), "{more}");
    }

    #[test]
    fn events_are_told_by_stream() {
        let traffic = Traffic {
            latencies: true,
            ..steady(1.0)
        };
        let (_, [trips, alerts], events) = run(find("sensitive").unwrap(), &traffic, 0.3, 1, 1);
        let sum = |of: fn(&Events) -> u64| events.iter().map(of).sum::<u64>();
        assert!(trips > 0);
        assert_eq!((sum(|of| of.trips), sum(|of| of.alerts)), (trips, alerts));
        assert!(
            events.iter().any(|of| of.signal == "error_rate"),
            "{events:?}"
        );
    }

    #[test]
    fn a_rule_whose_run_length_is_known_is_measured_at_it() {
        // Five failures in a row of which each has probability p: (1 − p⁵)/((1 − p) p⁵) requests,
        // at p = 0.2 on average 3905. While it is ejected nothing is observed: 30 to 40 s at the
        // first ejection, more at the next.
        let days = 20;
        let (_, [trips, _], _) = run(find("envoy-outlier").unwrap(), &steady(1.0), 0.2, days, 1);
        let healthy = f64::from(days - 1) * 86_400.0;
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
            rows.push(row.clone());
            Ok::<_, ()>(())
        };
        let traffic = Traffic {
            days: 30,
            errors: ERROR_RATES.to_vec(),
            ..steady(0.01)
        };
        measure(&[find("none").unwrap()], &traffic, 2, tell).unwrap();
        assert_eq!(rows.len(), ERROR_RATES.len());
        assert!(rows.iter().all(|row| row.trips + row.alerts == 0));
    }
}
