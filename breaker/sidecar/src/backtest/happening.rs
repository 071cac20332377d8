//! What a breaker did in a backtest, for people and programs.

use std::sync::Arc;
use std::time::Duration;

use breaker_tower::State;
use breaker_tower::breaker_core::{Event, Reason, Timestamp};
use serde::{Deserialize, Serialize};

use super::when;

/// An event of the breaker of one route.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Happening {
    /// The time.
    pub at: Timestamp,
    /// The route.
    pub route: Arc<str>,
    /// The event.
    pub event: Event,
}

/// An event in a [`BacktestDocument`](super::BacktestDocument), with times in whole nanoseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ToldEvent {
    pub(super) at: u64,
    pub(super) route: String,
    /// A few words, for the table.
    pub(super) title: String,
    pub(super) reason: String,
    kind: String,
    from: Option<String>,
    to: Option<String>,
    source: Option<String>,
    signal: Option<String>,
    limit: Option<u64>,
    lasted: Option<u64>,
    admitted: Option<u64>,
    rejected: Option<u64>,
}

/// The same event as a line of `--json` and as an entry of the HTML page.
#[derive(Serialize)]
pub(super) struct EventLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) policy: Option<&'a str>,
    pub(super) t: f64,
    /// The date, if the trace has dates.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    kind: &'a str,
    route: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    reason: &'a str,
    source: Option<&'a str>,
    /// The signal of an alert.
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<&'a str>,
    /// The first limit of shedding: requests in flight.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    /// For an event that ends something: how long it lasted, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    lasted: Option<f64>,
    /// Requests that were admitted in this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    admitted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<u64>,
}

impl<'a> EventLine<'a> {
    /// The line of `event`, with the name of its policy if there are several.
    pub(super) fn of(event: &'a ToldEvent, policy: Option<&'a str>) -> Self {
        let at = Timestamp::from_nanos(event.at);
        Self {
            policy,
            t: at.as_secs_f64(),
            time: when::date(at),
            kind: &event.kind,
            route: &event.route,
            from: event.from.as_deref(),
            to: event.to.as_deref(),
            reason: &event.reason,
            source: event.source.as_deref(),
            signal: event.signal.as_deref(),
            limit: event.limit,
            lasted: event
                .lasted
                .map(|lasted| Duration::from_nanos(lasted).as_secs_f64()),
            admitted: event.admitted,
            rejected: event.rejected,
        }
    }
}

impl ToldEvent {
    /// Whether a breaker tripped.
    pub(super) fn is_trip(&self) -> bool {
        let between = (self.from.as_deref(), self.to.as_deref());
        between == (Some(State::Closed.name()), Some(State::Open.name()))
    }
}

impl Happening {
    /// `None` for an event that can't happen in a backtest, such as a change by an operator.
    pub(super) fn new(route: &Arc<str>, event: Event) -> Option<Self> {
        Some(Self {
            at: at(&event)?,
            route: route.clone(),
            event,
        })
    }

    /// A word for programs.
    pub const fn kind(&self) -> &'static str {
        match &self.event {
            Event::Transition(_) => "transition",
            Event::RampStarted { .. } => "ramp_started",
            Event::Alert(_) => "alert",
            Event::AlertEnded { .. } => "alert_ended",
            Event::ClosedWithErrors { .. } => "closed_with_errors",
            Event::UsualChanged { .. } => "usual_changed",
            Event::SheddingStarted { .. } => "shedding_started",
            Event::SheddingEnded { .. } => "shedding_ended",
            _ => "other",
        }
    }

    /// A short title: the transition, or the kind of event.
    pub(super) fn title(&self) -> String {
        match &self.event {
            Event::Transition(moved) => format!("{:>9} → {:<9}", moved.from, moved.to),
            _ => format!("{:<21}", self.kind().replace('_', " ")),
        }
    }

    /// The reason, with its numbers.
    pub(super) fn reason(&self) -> String {
        match &self.event {
            Event::Transition(moved) => moved.reason.to_string(),
            Event::RampStarted { succeeded, .. } => {
                format!("{succeeded} probes succeeded: a growing share is admitted")
            }
            Event::Alert(alert) => {
                let evidence: Vec<_> = alert.evidence.iter().map(ToString::to_string).collect();
                format!("{} (source {})", evidence.join(" and "), alert.source)
            }
            Event::AlertEnded {
                source,
                signal,
                lasted,
                alerts,
                ..
            } => {
                let lasted = lasted.as_secs_f64();
                format!("{signal}, after {lasted:.1} s and {alerts} alerts (source {source})")
            }
            Event::ClosedWithErrors {
                share,
                usual,
                samples,
                ..
            } => {
                format!("{share} of {samples} requests of the trial failed, {usual} is usual")
            }
            Event::UsualChanged { source, change, .. } => format!("{change} (source {source})"),
            Event::SheddingStarted { reason, limit, .. } => {
                format!("at most {limit} requests in flight: {reason}")
            }
            Event::SheddingEnded {
                lasted,
                admitted,
                rejected,
                ..
            } => {
                let lasted = lasted.as_secs_f64();
                format!("after {lasted:.1} s: {admitted} were admitted, {rejected} rejected")
            }
            _ => String::new(),
        }
    }
}

impl From<&Happening> for ToldEvent {
    fn from(happening: &Happening) -> Self {
        let mut told = Self {
            at: happening.at.as_nanos(),
            route: happening.route.to_string(),
            title: happening.title(),
            reason: happening.reason(),
            kind: happening.kind().to_owned(),
            from: None,
            to: None,
            source: None,
            signal: None,
            limit: None,
            lasted: None,
            admitted: None,
            rejected: None,
        };
        let nanos = |time: &Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        match &happening.event {
            Event::Transition(moved) => {
                told.from = Some(moved.from.name().to_owned());
                told.to = Some(moved.to.name().to_owned());
                told.source = source(&moved.reason);
            }
            Event::Alert(alert) => {
                told.source = Some(alert.source.to_string());
                told.signal = Some(alert.signal().to_owned());
            }
            Event::AlertEnded {
                source,
                signal,
                lasted,
                ..
            } => {
                told.source = Some(source.to_string());
                told.signal = Some((*signal).to_owned());
                told.lasted = Some(nanos(lasted));
            }
            Event::SheddingStarted { reason, limit, .. } => {
                (told.source, told.limit) = (source(reason), Some(*limit));
            }
            Event::SheddingEnded {
                lasted,
                admitted,
                rejected,
                ..
            } => {
                told.lasted = Some(nanos(lasted));
                (told.admitted, told.rejected) = (Some(*admitted), Some(*rejected));
            }
            _ => {}
        }
        told
    }
}

const fn at(event: &Event) -> Option<Timestamp> {
    match event {
        Event::Transition(moved) => Some(moved.at),
        Event::Alert(alert) => Some(alert.at),
        Event::RampStarted { at, .. }
        | Event::AlertEnded { at, .. }
        | Event::ClosedWithErrors { at, .. }
        | Event::UsualChanged { at, .. }
        | Event::SheddingStarted { at, .. }
        | Event::SheddingEnded { at, .. } => Some(*at),
        _ => None,
    }
}

/// The source whose observations caused a transition, if there is one.
fn source(reason: &Reason) -> Option<String> {
    match reason {
        Reason::Tripped { source, .. } | Reason::FeedUnhealthy { source, .. } => {
            Some(source.to_string())
        }
        _ => None,
    }
}
