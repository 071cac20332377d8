//! What this process takes of the machine, by the kernel's word: Linux's `/proc`. Elsewhere there
//! are no such metrics.

use std::fs;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::names::{self, Metric};
use crate::descriptors;

/// Processor time, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Times {
    user: f64,
    system: f64,
}

/// Registers the instruments that observe the process, by the semantic conventions.
pub(super) fn register(meter: &Meter) {
    let metric = names::PROCESS_CPU;
    meter
        .f64_observable_counter(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(|counter| {
            let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
            if let Some(Times { user, system }) = times(&stat) {
                counter.observe(user, &[KeyValue::new(names::CPU_MODE, "user")]);
                counter.observe(system, &[KeyValue::new(names::CPU_MODE, "system")]);
            }
        })
        .build();
    gauge(meter, names::PROCESS_MEMORY, || {
        status("VmRSS").map(|kib| kib << 10)
    });
    gauge(meter, names::PROCESS_THREADS, || status("Threads"));
    gauge(meter, names::PROCESS_DESCRIPTORS, || {
        // One of them is that of the directory itself.
        let open = fs::read_dir("/proc/self/fd").ok()?.count();
        Some(open.saturating_sub(1) as u64)
    });
    gauge(meter, names::DESCRIPTORS_LIMIT, descriptors::limit);
}

fn gauge(meter: &Meter, metric: Metric, read: fn() -> Option<u64>) {
    meter
        .u64_observable_gauge(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |gauge| {
            if let Some(value) = read() {
                gauge.observe(value, &[]);
            }
        })
        .build();
}

/// Reads `/proc/self/stat`. The name of the program, in parentheses, may have spaces and
/// parentheses itself.
fn times(stat: &str) -> Option<Times> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let mut seconds = || Some(fields.next()?.parse::<u64>().ok()? as f64 / TICKS);
    Some(Times {
        user: seconds()?,
        system: seconds()?,
    })
}

fn status(name: &str) -> Option<u64> {
    number(&fs::read_to_string("/proc/self/status").ok()?, name)
}

/// The number of the line `name` of `/proc/self/status`.
fn number(status: &str, name: &str) -> Option<u64> {
    let mut lines = status.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

/// Ticks a second in what Linux tells of processor time, on every machine.
const TICKS: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_whatever_the_program_is_called() {
        let fields = "S 1 2 3 0 -1 4194560 9 0 0 0 250 75 0 0 20 0 9 0 100";
        let read = Some(Times {
            user: 2.5,
            system: 0.75,
        });
        for name in ["breaker", "a b) S (", ""] {
            assert_eq!(times(&format!("7 ({name}) {fields}")), read, "{name}");
        }
        for broken in ["", "7 (breaker) S 1", "7 (breaker) "] {
            assert_eq!(times(broken), None, "{broken}");
        }
    }

    #[test]
    fn numbers_are_read_by_their_name() {
        let text = "Name:\tbreaker\nVmRSS:\t   12345 kB\nThreads:\t9\n";
        assert_eq!(number(text, "VmRSS"), Some(12_345));
        assert_eq!(number(text, "Threads"), Some(9));
        assert_eq!(number(text, "Vm"), None);
        assert_eq!(number(text, "Name"), None);
    }
}
