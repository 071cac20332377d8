//! The only way to make a [`Policy`]: every rule on its fields is here.

use std::time::Duration;

use super::{
    Action, Condition, FailureRules, FalseAlarmBudget, HalfOpen, InvalidField, LatencyMeasure,
    Open, Policy, Ramp, Recovery, Reject, TripEntry,
};
use crate::ratio::Ratio;

/// Builds a [`Policy`]. The defaults are a window of 10 s, at least 20 requests, and those of
/// [`Open`], [`HalfOpen`] and [`Ramp`]. At least one trip entry must be added.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder(Policy);

impl Builder {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self(Policy {
            name: name.into(),
            window: Duration::from_secs(10),
            min_requests: 20,
            trip: Vec::new(),
            false_alarm_budget: FalseAlarmBudget::default(),
            usual_errors: Ratio::ZERO,
            deadline: Duration::from_secs(1),
            recovery: Recovery::default(),
            open: Open::default(),
            half_open: HalfOpen::default(),
            ramp: Ramp::default(),
            latency: LatencyMeasure::default(),
            failure: FailureRules::default(),
            reject: Reject::default(),
            honour_retry_after: false,
            observes_readers: false,
        })
    }

    /// Names the policy: 1 to 64 letters, digits, `-`, `_` or `.`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.0.name = name.into();
        self
    }

    /// Sets the time span whose outcomes are evaluated, 100 ms..=1 h.
    pub const fn window(mut self, window: Duration) -> Self {
        self.0.window = window;
        self
    }

    /// Sets how many observations conditions on shares and quantiles need, 1..=1,000,000.
    pub const fn min_requests(mut self, min_requests: u64) -> Self {
        self.0.min_requests = min_requests;
        self
    }

    /// Replaces the trip entries, 1 to 16 of them. Any entry that holds triggers its action.
    pub fn trip(mut self, entries: impl Into<Vec<TripEntry>>) -> Self {
        self.0.trip = entries.into();
        self
    }

    /// Sets `blip` of all anomaly conditions in the current entries, 0 s..=1 min.
    pub fn blip(mut self, length: Duration) -> Self {
        let entries = self.0.trip.iter_mut();
        for condition in entries.flat_map(|entry| &mut entry.conditions) {
            if let Condition::Anomaly { blip, .. } = condition {
                *blip = length;
            }
        }
        self
    }

    /// Sets the false-alarm budget of the anomaly detectors. Default
    /// [`FalseAlarmBudget::ThirtyDays`].
    pub const fn false_alarm_budget(mut self, budget: FalseAlarmBudget) -> Self {
        self.0.false_alarm_budget = budget;
        self
    }

    /// Sets an error rate that is normal for the service, whatever the baseline, at most a half.
    /// Less than one and a half times this share is never an anomaly, and a recovery does not
    /// require fewer errors. Default zero.
    pub const fn usual_errors(mut self, share: Ratio) -> Self {
        self.0.usual_errors = share;
        self
    }

    /// Sets the latency from which a request misses the deadline, 10 ms..=1 h. Default 1 s.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.0.deadline = deadline;
        self
    }

    /// Sets how the half-open state and the ramp are judged. Default [`Recovery::Counted`].
    pub const fn recovery(mut self, recovery: Recovery) -> Self {
        self.0.recovery = recovery;
        self
    }

    /// Sets the open time.
    pub const fn open(mut self, open: Open) -> Self {
        self.0.open = open;
        self
    }

    /// Sets the half-open state.
    pub const fn half_open(mut self, half_open: HalfOpen) -> Self {
        self.0.half_open = half_open;
        self
    }

    /// Sets the ramp.
    pub const fn ramp(mut self, ramp: Ramp) -> Self {
        self.0.ramp = ramp;
        self
    }

    /// Sets where the latency of a request ends.
    pub const fn latency(mut self, latency: LatencyMeasure) -> Self {
        self.0.latency = latency;
        self
    }

    /// Sets what counts as a failure.
    pub fn failure(mut self, failure: FailureRules) -> Self {
        self.0.failure = failure;
        self
    }

    /// Sets the answer to a rejected HTTP request.
    pub fn reject(mut self, reject: Reject) -> Self {
        self.0.reject = reject;
        self
    }

    /// Sets whether the upstream's `Retry-After` opens the breaker. Off by default: an answer to
    /// one caller would reject the requests of all callers.
    pub const fn honour_retry_after(mut self, honour: bool) -> Self {
        self.0.honour_retry_after = honour;
        self
    }

    /// Checks every rule.
    ///
    /// # Errors
    /// The first rule that is broken, with the path of its field.
    pub fn build(mut self) -> Result<Policy, InvalidField> {
        let policy = &mut self.0;
        let name_is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        rule(
            (1..=64).contains(&policy.name.len()) && policy.name.chars().all(name_is_plain),
            "name",
            "must be 1 to 64 letters, digits, '-', '_' or '.'",
        )?;
        within(policy.window, MILLI * 100, HOUR, "window", "100ms to 1h")?;
        rule(
            (1..=1_000_000).contains(&policy.min_requests),
            "min_requests",
            "must be 1 to 1000000",
        )?;
        check_trip(&mut policy.trip)?;
        rule(
            policy.usual_errors <= Ratio::of(50, 100),
            "usual_errors",
            "must be at most 50%",
        )?;
        within(policy.deadline, MILLI * 10, HOUR, "deadline", "10ms to 1h")?;
        check_open(policy.open)?;
        check_half_open(policy.half_open)?;
        check_ramp(policy.ramp)?;
        rule(
            (400..=599).contains(&policy.reject.status),
            "reject.status",
            "must be 400 to 599",
        )?;
        rule(
            policy
                .reject
                .body
                .as_ref()
                .is_none_or(|body| body.len() <= MAX_BODY),
            "reject.body",
            "must be at most 64 KiB",
        )?;
        policy.observes_readers = policy.latency == LatencyMeasure::Complete
            || policy
                .conditions()
                .any(|condition| matches!(condition, Condition::Concurrency(_)));
        Ok(self.0)
    }
}

impl From<Policy> for Builder {
    /// Starts from `policy`, to change single fields of it.
    fn from(policy: Policy) -> Self {
        Self(policy)
    }
}

fn check_trip(entries: &mut [TripEntry]) -> Result<(), InvalidField> {
    rule(
        (1..=16).contains(&entries.len()),
        "trip",
        "must have 1 to 16 entries",
    )?;
    let mut thresholds = Vec::new();
    for (index, entry) in entries.iter_mut().enumerate() {
        let at = |field: &str| {
            format!(
                "trip[{index}]{}{field}",
                if field.is_empty() { "" } else { "." }
            )
        };
        rule(
            !entry.conditions.is_empty(),
            at(""),
            &format!(
                "must have a condition: {}",
                choice(|_| true, |condition| condition.name().to_owned())
            ),
        )?;
        rule(
            entry.action != Action::Shed || entry.is_on_latency(),
            at("action"),
            &format!(
                "must not be shed without a condition on latency: {}",
                choice(Condition::is_on_latency, |condition| match condition {
                    Condition::Anomaly { signal, .. } => format!("anomaly: {signal}"),
                    _ => condition.name().to_owned(),
                })
            ),
        )?;
        // Cheap conditions are tried first, so that a histogram is walked only when the rest holds.
        entry.conditions.sort_by_key(Condition::needs_histogram);
        for (position, condition) in entry.conditions.iter().enumerate() {
            let name = condition.name();
            let mut others = entry.conditions[..position].iter();
            rule(
                others.all(|other| other.name() != name),
                at(name),
                "must be given once; use two entries for two bounds",
            )?;
            condition.check(at)?;
            if let Condition::SlowRate { threshold, .. } = condition {
                thresholds.push(*threshold);
            }
        }
    }
    thresholds.sort_unstable();
    thresholds.dedup();
    rule(
        thresholds.len() <= MAX_SLOW_THRESHOLDS,
        "trip",
        "must not have more than 4 different slow_threshold",
    )
}

/// Those kinds of conditions that are `wanted`, as something to choose from.
fn choice(wanted: impl Fn(&Condition) -> bool, name: impl Fn(&Condition) -> String) -> String {
    let wanted = Condition::EXAMPLES.iter().filter(|kind| wanted(kind));
    let mut names: Vec<_> = wanted.map(name).collect();
    names.dedup();
    any_of(&names)
}

/// The `a, b or c` of a list.
pub(super) fn any_of(words: &[impl AsRef<str>]) -> String {
    let words: Vec<_> = words.iter().map(AsRef::as_ref).collect();
    match &*words {
        [] => "nothing".to_owned(),
        [word] => (*word).to_owned(),
        [words @ .., last] => format!("{} or {last}", words.join(", ")),
    }
}

pub(crate) fn check_open(open: Open) -> Result<(), InvalidField> {
    within(open.period, MILLI * 10, HOUR, "open.for", "10ms to 1h")?;
    rule(
        (1.0..=10.0).contains(&open.factor),
        "open.factor",
        "must be 1 to 10",
    )?;
    rule(
        open.max >= open.period,
        "open.max",
        "must not be less than open.for",
    )?;
    rule(open.max <= HOUR * 24, "open.max", "must be at most 24h")
}

pub(crate) fn check_ramp(ramp: Ramp) -> Result<(), InvalidField> {
    rule(ramp.start.get() >= 0.01, "ramp.start", "must be 1% to 100%")?;
    within(ramp.period, Duration::ZERO, HOUR, "ramp.for", "0s to 1h")
}

fn check_half_open(half_open: HalfOpen) -> Result<(), InvalidField> {
    rule(
        (1..=1000).contains(&half_open.probes),
        "half_open.probes",
        "must be 1 to 1000",
    )?;
    rule(
        (1..=half_open.probes).contains(&half_open.concurrent),
        "half_open.concurrent",
        "must be 1 to half_open.probes",
    )?;
    rule(
        half_open.success > Ratio::ZERO,
        "half_open.success",
        "must be more than 0% and at most 100%",
    )?;
    within(
        half_open.probe_timeout,
        MILLI * 10,
        HOUR,
        "half_open.probe_timeout",
        "10ms to 1h",
    )
}

pub(super) fn within(
    value: Duration,
    least: Duration,
    most: Duration,
    field: impl Into<String>,
    range: &str,
) -> Result<(), InvalidField> {
    rule(
        (least..=most).contains(&value),
        field,
        &format!("must be {range}"),
    )
}

pub(super) fn rule(holds: bool, field: impl Into<String>, rule: &str) -> Result<(), InvalidField> {
    if holds {
        Ok(())
    } else {
        Err(InvalidField::new(field, rule))
    }
}

pub(super) const MILLI: Duration = Duration::from_millis(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
const MAX_BODY: usize = 64 * 1024;
/// A window counts slow requests for each of its thresholds.
pub(crate) const MAX_SLOW_THRESHOLDS: usize = 4;
