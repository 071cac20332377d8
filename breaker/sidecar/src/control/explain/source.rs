//! What is observed of one source: each condition with its number now, and how far that is from its
//! bound.

use std::fmt::Write;
use std::time::Duration;

use breaker_tower::breaker_core::policy::{Action, Condition, Signal, TripEntry, Unit};
use breaker_tower::breaker_core::{
    Anomaly, ConditionStatus, Ratio, SourceDiagnosis, SourceSnapshot,
};
use breaker_tower::{Policy, State};

use super::words::{count, percent, rate, span};

/// Explains a source of a breaker with `policy`.
pub(super) fn explain(
    text: &mut String,
    policy: &Policy,
    window: &SourceSnapshot,
    diagnosis: &SourceDiagnosis,
    state: State,
) {
    let policy = diagnosis.policy.as_deref().unwrap_or(policy);
    let _ = writeln!(text, "{}: {}", window.name, traffic(window, diagnosis));
    for anomaly in &window.anomalies {
        let words = signal(policy, window, anomaly, state);
        let _ = writeln!(text, "- {}: {words}", anomaly.signal);
    }
    for (index, entry) in policy.trip().iter().enumerate() {
        let of_entry = |standing: &&ConditionStatus| standing.entry == index;
        let standings: Vec<_> = window.conditions.iter().filter(of_entry).collect();
        if standings.iter().all(|standing| standing.anomaly.is_some()) {
            continue;
        }
        let now = standings
            .iter()
            .map(|standing| self::standing(standing, window, standings.len() > 1));
        let now: Vec<_> = now.collect();
        // Of several conditions that hold or not, only all together make the entry hold.
        let all = standings.iter().all(|standing| standing.holds);
        let holds = if all { ", so this holds" } else { "" };
        let now = now.join(", and ");
        let _ = writeln!(text, "- {} when {entry}: {now}{holds}.", verb(entry));
    }
}

fn traffic(window: &SourceSnapshot, diagnosis: &SourceDiagnosis) -> String {
    let requests = window.requests();
    if requests == 0 {
        return "no request ended of late.".to_owned();
    }
    let ended = count(requests, "request");
    let failed = match window.failure {
        0 => "none failed".to_owned(),
        failed => format!("{failed} failed"),
    };
    format!("{ended} in the window, {}; {failed}.", rate(diagnosis.rate))
}

const fn verb(entry: &TripEntry) -> &'static str {
    match entry.action {
        Action::Open => "opens",
        Action::Shed => "sheds",
        _ => "alerts",
    }
}

/// What the detectors of a signal say, and what an alarm leads to.
fn signal(policy: &Policy, window: &SourceSnapshot, anomaly: &Anomaly, state: State) -> String {
    let hits = match anomaly.signal {
        Signal::Latency if anomaly.crept.is_some() => {
            let from = anomaly.crept.map_or(Duration::ZERO, |creep| creep.from);
            format!("take {} or longer", span(2 * from))
        }
        Signal::Errors => "fail".to_owned(),
        Signal::Latency => {
            let bound = window.slow_threshold.unwrap_or_default();
            format!("take {} or longer", span(bound))
        }
        _ => format!("miss the deadline of {}", span(policy.deadline())),
    };
    let usually = format!("usually up to {} of the requests {hits}", anomaly.normal);
    if state == State::Open && anomaly.observations == 0 && !anomaly.alarming {
        // What probes met is no evidence for the detectors: they begin anew with the trial.
        return format!("{usually}. There is no evidence while it is open.");
    }
    let now = match anomaly.observations {
        0 => "and no more do now".to_owned(),
        observations => format!(
            "since that may have changed, {} of {observations} did ({} to {})",
            anomaly.share, anomaly.low, anomaly.high
        ),
    };
    let separator = if anomaly.observations == 0 { "," } else { ";" };
    let evidence = percent(anomaly.score().max(0.0));
    let verdict = if anomaly.alarming {
        format!("That is an alarm, at {evidence} of its line, which")
    } else {
        format!("The evidence is {evidence} of what an alarm takes, which")
    };
    let actions = actions(policy, anomaly.signal);
    format!("{usually}{separator} {now}. {verdict} {actions}.")
}

/// What an alarm of `signal` leads to.
fn actions(policy: &Policy, signal: Signal) -> String {
    let mut words = Vec::new();
    for entry in policy.trip() {
        for condition in &entry.conditions {
            let Condition::Anomaly {
                signal: watched,
                at_least,
                blip,
            } = condition
            else {
                continue;
            };
            if *watched != signal {
                continue;
            }
            let mut action = verb(entry).to_owned();
            if *at_least > Ratio::ZERO {
                // Writing to a string cannot fail.
                let _ = write!(action, " if surely {at_least} or more do");
            }
            if *blip > Duration::ZERO {
                let _ = write!(action, ", when it has lasted for {}", span(*blip));
            }
            if entry.conditions.len() > 1 {
                action.push_str(" if all of its entry holds");
            }
            words.push(action);
        }
    }
    words.join(", or else ")
}

/// A condition as it stands.
fn standing(
    standing: &ConditionStatus,
    window: &SourceSnapshot,
    is_one_of_several: bool,
) -> String {
    let samples = standing.samples;
    let Some(observed) = standing.observed else {
        return "there is nothing to tell yet".to_owned();
    };
    let share = Ratio::new(observed).unwrap_or(Ratio::ONE);
    let now = match (standing.condition, standing.condition.unit()) {
        (Condition::SlowRate { .. }, _) => format!("{share} are, of {}", count(samples, "request")),
        (Condition::Concurrency(_), _) => format!("{observed} are"),
        (Condition::ConsecutiveFailures(_), _) => format!("there are {observed}"),
        (Condition::Anomaly { .. }, _) => format!("{share} are"),
        (_, Unit::Share) => format!("it is {share} of {}", count(samples, "request")),
        (_, Unit::Seconds) => {
            let observed = span(Duration::from_secs_f64(observed.clamp(0.0, 1e9)));
            format!("it is {observed}")
        }
        _ => format!("it is {observed}"),
    };
    if standing.holds {
        let enough = if is_one_of_several {
            ", which is enough"
        } else {
            ""
        };
        return format!("{now}{enough}");
    }
    match missing(standing, window.failure) {
        Some(missing) => format!("{now}; {missing}"),
        None => now,
    }
}

/// What is missing for the condition to hold.
fn missing(standing: &ConditionStatus, failed: u64) -> Option<String> {
    let observed = standing.observed?;
    let short = standing.min_requests.saturating_sub(standing.samples);
    let waits = || {
        let more = count(short, "more request");
        format!("it is judged after {more}")
    };
    if let Condition::ErrorRate(bound) = standing.condition
        && short > 0
    {
        let wanted = whole(bound.get() * standing.min_requests as f64);
        return match wanted.saturating_sub(failed) {
            0 => Some(waits()),
            more => {
                let failures = count(more, "more failure");
                Some(format!("{failures} of the next {short} would do"))
            }
        };
    }
    if short > 0 {
        return Some(waits());
    }
    let threshold = standing.condition.threshold()?;
    // How many failures in a row it takes is said once, where they are played: the window goes
    // on meanwhile.
    Some(match standing.condition.unit() {
        Unit::Count => format!("{} more would do", (threshold - observed) as u64),
        _ => format!("that is {} of the bound", percent(observed / threshold)),
    })
}

/// The least whole number that is enough: 7 % of 100 are 7, whatever binary fractions make of it.
fn whole(number: f64) -> u64 {
    (number - 1e-9).ceil() as u64
}
