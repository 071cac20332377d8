//! What a breaker did in a backtest, for people and programs.

use std::sync::Arc;

use breaker_tower::core::{Event, Reason, Timestamp};
use serde::Serialize;

use super::when;

/// Something that one route's breaker did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Happening {
    /// When.
    pub at: Timestamp,
    /// The route.
    pub route: Arc<str>,
    /// What.
    pub event: Event,
}

/// An event in a form of its own, as a line of `--json` and an entry of the page.
#[derive(Serialize)]
pub(super) struct EventLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) policy: Option<&'a str>,
    pub(super) t: f64,
    /// The date, where the trace has dates.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    kind: &'static str,
    route: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'static str>,
    reason: String,
    source: Option<&'a str>,
    /// What alerts watch.
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<&'static str>,
    /// Requests in flight that shedding admits at first.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    /// Seconds that what ended had lasted.
    #[serde(skip_serializing_if = "Option::is_none")]
    lasted: Option<f64>,
    /// Requests that were admitted while it lasted.
    #[serde(skip_serializing_if = "Option::is_none")]
    admitted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<u64>,
}

impl Happening {
    /// None of an event that a backtest can't have, as one of an operator's.
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

    /// A few words: the transition, or the kind.
    pub(super) fn title(&self) -> String {
        match &self.event {
            Event::Transition(moved) => format!("{:>9} → {:<9}", moved.from, moved.to),
            _ => format!("{:<21}", self.kind().replace('_', " ")),
        }
    }

    /// Why, with the numbers.
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

    /// With the name of its policy, where there are several.
    pub(super) fn told<'a>(&'a self, policy: Option<&'a str>) -> EventLine<'a> {
        let mut told = EventLine {
            policy,
            t: self.at.as_secs_f64(),
            time: when::date(self.at),
            kind: self.kind(),
            route: &self.route,
            from: None,
            to: None,
            reason: self.reason(),
            source: None,
            signal: None,
            limit: None,
            lasted: None,
            admitted: None,
            rejected: None,
        };
        match &self.event {
            Event::Transition(moved) => {
                (told.from, told.to) = (Some(moved.from.name()), Some(moved.to.name()));
                told.source = source(&moved.reason);
            }
            Event::Alert(alert) => {
                (told.source, told.signal) = (Some(&*alert.source), Some(alert.signal()));
            }
            Event::AlertEnded {
                source,
                signal,
                lasted,
                ..
            } => {
                (told.source, told.signal) = (Some(&**source), Some(*signal));
                told.lasted = Some(lasted.as_secs_f64());
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
                told.lasted = Some(lasted.as_secs_f64());
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

/// Where that was observed on which a transition rests, if it rests on observations of a source.
fn source(reason: &Reason) -> Option<&str> {
    match reason {
        Reason::Tripped { source, .. } | Reason::FeedUnhealthy { source, .. } => Some(source),
        _ => None,
    }
}
