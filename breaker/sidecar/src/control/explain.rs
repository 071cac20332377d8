//! What a breaker believes, in plain words: its state and why, what it observes against what it
//! takes, and what would change its state.

mod brain;
mod endpoints;
mod failures;
mod fleet;
mod recovery;
mod shedding;
mod source;
mod words;

use std::fmt::Write;
use std::time::Duration;

use breaker_tower::breaker_core::{Attribution, Diagnosis, Reason, Snapshot, SourceDiagnosis};
use breaker_tower::{Mode, Policy, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use self::words::{count, rate, span};
use crate::config::TraceUrl;
use crate::registry::RegisteredBreaker;
use crate::report::{FailureKind, FleetStatus, FollowingStatus, Upstream};

/// What a breaker believes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// It in plain words; lines end with a line feed.
    pub text: String,
}

impl Explanation {
    /// Of the breaker of `entry`, whose requests go to `upstream`, in `fleet`, or
    /// of a sidecar that is `following` a brain. Traces are looked at where `trace_url` says.
    pub fn new(
        entry: &RegisteredBreaker,
        upstream: Option<&Upstream>,
        trace_url: Option<&TraceUrl>,
        fleet: Option<&FleetStatus>,
        following: Option<&FollowingStatus>,
    ) -> Self {
        let (breaker, findings) = (entry.breaker(), entry.findings());
        // Read apart, they would be of different moments, and contradict each other.
        let (policy, snapshot, diagnosis) = breaker.examine();
        let mut text = explain(breaker.name(), &policy, &snapshot, &diagnosis);
        if let Some(fallback) = entry.fallback() {
            let answered = count(findings.fallbacks(), "request");
            let _ = write!(
                text,
                "\nWhat it rejects is answered by the fallback, {fallback}: {answered} since the \
                 start.\n"
            );
        }
        if let Some(fleet) = fleet {
            fleet::explain(&mut text, fleet, breaker.name());
        }
        if let Some(following) = following {
            brain::explain(&mut text, following, breaker.name());
        }
        if let Some(upstream) = upstream {
            endpoints::explain(&mut text, upstream);
        }
        let now = Instant::now();
        for source in &snapshot.sources {
            let kinds = FailureKind::lately(findings, &source.name, now);
            failures::explain(&mut text, &source.name, &kinds, trace_url);
        }
        for source in &snapshot.sources {
            if let Some(unmatched) = findings.unmatched(&source.name) {
                // Writing to a string cannot fail.
                let _ = write!(
                    text,
                    "\nFeed {} is idle: {}.\n",
                    source.name, unmatched.detail
                );
            }
        }
        Self { text }
    }
}

/// The explanation of the breaker `name`, of what is known of it at one time.
pub fn explain(name: &str, policy: &Policy, snapshot: &Snapshot, diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{name} is {}. {}", state(snapshot), why(snapshot));
    let sheds = snapshot.shedding.as_ref();
    let sheds = sheds.filter(|_| snapshot.state == State::Closed);
    if let Some(shedding) = sheds {
        let _ = writeln!(text, "{}", shedding::explain(shedding));
    }
    for source in snapshot.sources.iter().filter(|source| source.alerting) {
        let _ = writeln!(text, "An alert holds, of source {}.", source.name);
    }
    text.push('\n');
    if let Some(mode) = mode(snapshot) {
        let _ = write!(text, "{mode}\n\n");
    }
    let _ = writeln!(text, "What it observes, by policy {}:", policy.name());
    for (window, looked_at) in snapshot.sources.iter().zip(&diagnosis.sources) {
        source::explain(&mut text, policy, window, looked_at, snapshot.state);
    }
    if let Some(ignored) = ignored(snapshot) {
        let _ = writeln!(text, "{ignored}");
    }
    if let Some(ends) = sheds.and_then(shedding::ends) {
        let _ = write!(text, "\nWhat would end the shedding:\n- {ends}\n");
    }
    if let Some(next) = next(policy, snapshot, diagnosis) {
        let _ = write!(text, "\n{next}");
    }
    text
}

/// Which requests say nothing of the upstream, by who caused their ending.
fn ignored(snapshot: &Snapshot) -> Option<String> {
    let totals = snapshot.totals.ignored_by();
    let totals = totals.filter(|(_, requests)| *requests > 0);
    let parts: Vec<_> = totals
        .map(|(by, requests)| {
            let by = match by {
                Attribution::Upstream => "the policy ignores their answer",
                Attribution::Caller => "of the caller",
                Attribution::Proxy => {
                    "of a limit of this proxy, or of one endpoint while others were well"
                }
                Attribution::InnerBreaker => "of a breaker further in",
                _ => "of a name that was not resolved",
            };
            format!("{requests} because {by}")
        })
        .collect();
    let whole = count(snapshot.totals.ignored, "request");
    (!parts.is_empty()).then(|| {
        let parts = parts.join(", ");
        format!("{whole} since the start did not count: {parts}.")
    })
}

fn state(snapshot: &Snapshot) -> String {
    // In shadow mode all requests are sent; the state tells what would become of them.
    let are = match snapshot.mode {
        Mode::Shadow => "would be",
        _ => "are",
    };
    match snapshot.state {
        State::Closed if snapshot.shedding.is_some() => {
            format!("closed, and sheds: its requests {are} sent as far as a limit allows")
        }
        State::Closed => "closed: its requests are sent".to_owned(),
        State::Open => format!("open: its requests {are} rejected"),
        State::HalfOpen if snapshot.admitted_share.get() > 0.0 => {
            let share = snapshot.admitted_share;
            format!("half-open: {share} of its requests {are} sent, the others {are} rejected")
        }
        State::HalfOpen => format!("half-open: single requests {are} sent as a trial"),
    }
}

fn why(snapshot: &Snapshot) -> String {
    let since = span(snapshot.lasted);
    match &*snapshot.reason {
        Reason::Initial => format!("It has been so since the start, {since} ago."),
        reason => format!("It has been so for {since}: {reason}."),
    }
}

/// What an operator said, for how long, and what comes then.
fn mode(snapshot: &Snapshot) -> Option<String> {
    let (is, does) = match snapshot.mode {
        Mode::ForcedOpen => ("An operator has forced it open", "it rejects all"),
        Mode::ForcedClosed => (
            "An operator has forced it closed",
            "whatever is observed, it does not open",
        ),
        Mode::Shadow => (
            "It is in shadow mode",
            "it says what it would do, and rejects nothing",
        ),
        _ => return None,
    };
    let Some(remaining) = snapshot.mode_remaining.map(span) else {
        let until = match snapshot.mode {
            Mode::ForcedOpen => " until the mode is changed",
            _ => "",
        };
        return Some(format!("{is}: {does}{until}."));
    };
    let begins = match snapshot.mode {
        Mode::ForcedOpen => ", beginning with a trial",
        _ => "",
    };
    Some(format!(
        "{is}: {does}. That ends in {remaining}; then the policy decides again{begins}."
    ))
}

/// What would change the state.
fn next(policy: &Policy, snapshot: &Snapshot, diagnosis: &Diagnosis) -> Option<String> {
    match (snapshot.state, snapshot.mode) {
        (_, Mode::ForcedClosed | Mode::ForcedOpen) => None,
        (State::Closed, _) => {
            let mut text = "What would open it:\n".to_owned();
            for source in &diagnosis.sources {
                let _ = writeln!(text, "- {}: {}", source.name, failures(source));
            }
            Some(text)
        }
        _ => Some(recovery::explain(policy, snapshot)),
    }
}

/// How many failures in a row a source's breaker takes.
fn failures(source: &SourceDiagnosis) -> String {
    let known = source.rate > 0.0;
    let at = rate(source.rate);
    match source.failures_to_open {
        Some(1) => "one failure".to_owned(),
        Some(failures) if known => {
            let within = span(Duration::from_secs_f64(failures as f64 / source.rate));
            format!("{failures} failures in a row, which take {within} at {at}")
        }
        Some(failures) => format!("{failures} failures in a row, one a second"),
        None if known => format!("failures alone would not, not even 1000 in a row at {at}"),
        None => "failures alone would not, not even 1000 in a row, one a second".to_owned(),
    }
}

#[cfg(test)]
mod tests;
