//! A policy as a file would have it: every field, so that nothing is left to defaults.

use std::fmt::{self, Display, Write};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::policy::condition::Value;
use crate::policy::{Action, Condition, LatencyMeasure, Policy, Recovery, TripEntry};
use crate::ratio::Ratio;

/// The policy as YAML. [`parse`](super::parse) reads it back as the same policy, if it came from
/// YAML or is built in. What only a builder can make (times finer than a millisecond, entries with
/// one condition twice) is lost.
pub fn write(policy: &Policy) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_to(&mut text, policy);
    text
}

fn write_to(f: &mut String, policy: &Policy) -> fmt::Result {
    writeln!(f, "name: {}", Text(policy.name()))?;
    writeln!(f, "window: {}", Time(policy.window()))?;
    writeln!(f, "min_requests: {}", policy.min_requests())?;
    writeln!(f, "trip:")?;
    for entry in policy.trip() {
        writeln!(f, "  - {{ {} }}", Entry(entry))?;
    }
    writeln!(f, "false_alarm_budget: {}", policy.false_alarm_budget())?;
    writeln!(f, "usual_errors: {}", Share(policy.usual_errors()))?;
    writeln!(f, "deadline: {}", Time(policy.deadline()))?;
    let recovery = match policy.recovery() {
        Recovery::Counted => "counted",
        Recovery::Sequential => "sequential",
    };
    writeln!(f, "recovery: {recovery}")?;
    let (open, half_open, ramp) = (policy.open(), policy.half_open(), policy.ramp());
    writeln!(
        f,
        "open: {{ for: {}, factor: {}, max: {}, jitter: {} }}",
        Time(open.period),
        open.factor,
        Time(open.max),
        Share(open.jitter)
    )?;
    writeln!(
        f,
        "half_open: {{ probes: {}, concurrent: {}, success: {}, probe_timeout: {} }}",
        half_open.probes,
        half_open.concurrent,
        Share(half_open.success),
        Time(half_open.probe_timeout)
    )?;
    let (start, period) = (Share(ramp.start), Time(ramp.period));
    writeln!(f, "ramp: {{ start: {start}, for: {period} }}")?;
    let latency = match policy.latency() {
        LatencyMeasure::Head => "head",
        LatencyMeasure::Complete => "complete",
    };
    writeln!(f, "latency: {latency}")?;
    let failure = policy.failure();
    let ignored = statuses(failure.ignored_http());
    let ignored = ignored.chain(failure.ignored_grpc().map(|code| code.to_string()));
    writeln!(
        f,
        "failure: {{ http: [{}], grpc: [{}], codes_as_ignored: [{}] }}",
        list(statuses(failure.failed_http())),
        list(failure.failed_grpc()),
        list(ignored)
    )?;
    let reject = policy.reject();
    write!(f, "reject: {{ status: {}", reject.status)?;
    if let Some(body) = &reject.body {
        write!(f, ", body: {}", Quoted(body))?;
    }
    writeln!(f, " }}")?;
    writeln!(f, "honour_retry_after: {}", policy.honours_retry_after())
}

fn statuses(ranges: &[RangeInclusive<u16>]) -> impl Iterator<Item = String> {
    ranges
        .iter()
        .map(|range| match (range.start(), range.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        })
}

fn list(items: impl Iterator<Item = impl Display>) -> String {
    let items: Vec<_> = items.map(|item| item.to_string()).collect();
    items.join(", ")
}

/// The fields of a trip entry, as in braces.
struct Entry<'a>(&'a TripEntry);

impl Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.0.conditions.iter().flat_map(Condition::fields);
        for (index, (name, value)) in fields.enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{name}: ")?;
            match value {
                Value::Share(share) => write!(f, "{}", Share(share)),
                Value::Time(time) => write!(f, "{}", Time(time)),
                Value::Number(number) => write!(f, "{number}"),
                Value::Word(word) => f.write_str(word),
            }?;
        }
        match self.0.action {
            Action::Open => Ok(()),
            Action::Alert => f.write_str(", action: alert"),
            Action::Shed => f.write_str(", action: shed"),
        }
    }
}

/// In per cent where that is as exact, else as a fraction.
struct Share(Ratio);

impl Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.0.to_string();
        match super::Share::parse(&percent) {
            Ok(super::Share(same)) if same == self.0 => f.write_str(&percent),
            _ => write!(f, "{}", self.0.get()),
        }
    }
}

/// With units: `1m30s`.
struct Time(Duration);

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_millis();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, millis) in [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
            if rest >= millis {
                write!(f, "{}{unit}", rest / millis)?;
                rest %= millis;
            }
        }
        Ok(())
    }
}

/// A name: plain where YAML takes it for nothing else.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = self;
        let begins_plain = text.starts_with(|c: char| c.is_ascii_alphabetic());
        if begins_plain && !NO_WORDS.contains(&text.to_ascii_lowercase().as_str()) {
            f.write_str(text)
        } else {
            write!(f, "{}", Quoted(text))
        }
    }
}

/// A text in double quotes.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                // Control characters, and those that YAML takes for ends of lines or for a mark at
                // its beginning.
                c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                    write!(f, "\\U{:08x}", u32::from(c))?;
                }
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// Words that YAML takes for something else than text.
const NO_WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn comes_back(policy: &Policy) {
        let text = write(policy);
        let read = parse(&text, None).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(read, *policy, "{text}");
    }

    #[test]
    fn the_built_in_policies_come_back_as_they_were() {
        for name in Policy::BUILTIN {
            comes_back(&Policy::builtin(name).unwrap());
        }
    }

    #[test]
    fn every_field_comes_back_as_it_was() {
        let text = r#"
name: "10"
window: 1m30s
min_requests: 7
trip:
  - { error_rate: 0.123456789, p50: 5ms, p90: 1s, p95: 2s, p99: 1h, p999: 1h }
  - { slow_rate: 50%, slow_threshold: 1s250ms, action: alert }
  - { concurrency: 300, consecutive_failures: 5, timeout_rate: 12.5% }
  - { anomaly: deadline, at_least: 33.33%, blip: 1s500ms }
  - { anomaly: errors, blip: 1m, action: alert }
false_alarm_budget: 3d
deadline: 250ms
recovery: sequential
open: { for: 1s, factor: 1.25, max: 24h, jitter: 0% }
half_open: { probes: 10, concurrent: 2, success: 100%, probe_timeout: 2s }
ramp: { start: 1%, for: 0s }
latency: complete
failure: { http: [429, 500-599], grpc: [UNKNOWN], codes_as_ignored: [501, INTERNAL] }
reject: { status: 429, body: "a \"b\"\\\n\tü\u2028 # {}" }
honour_retry_after: true
"#;
        comes_back(&parse(text, None).unwrap());
    }

    #[test]
    fn each_kind_of_condition_comes_back_as_itself() {
        for condition in Condition::EXAMPLES {
            let policy = Policy::builder("x").trip([TripEntry::open([condition])]);
            comes_back(&policy.build().unwrap());
        }
    }

    #[test]
    fn lists_may_be_empty_and_names_may_look_like_other_things() {
        let rules = "failure: { http: [], grpc: [], codes_as_ignored: [] }";
        for name in ["true", "NO", "1e3", "-x", ".5", "sensitive"] {
            comes_back(
                &parse(
                    &format!("name: \"{name}\"\nbase: sensitive\n{rules}\n"),
                    None,
                )
                .unwrap(),
            );
        }
    }
}
