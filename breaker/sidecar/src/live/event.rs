//! What happened, for watchers and histories.

use std::collections::VecDeque;
use std::sync::Arc;

use breaker_tower::breaker_core;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::unix_now;
use crate::report::{Mode, Reason, State};
use crate::upstream::{Happened, Occurrence};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// When, in seconds since 1970.
    pub t: f64,
    /// To which breaker; a reload happens to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<String>,
    /// To the endpoints of which upstream: it concerns each breaker whose requests go there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// To which of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// What.
    pub kind: Kind,
    /// The state before a transition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<State>,
    /// The state after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<State>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Where it was observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The mode that was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Traces of requests that failed or were slow, in hexadecimal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traces: Vec<String>,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// The state changed.
    Transition,
    /// The probes succeeded and the ramp began; the state stays half-open.
    Ramp,
    /// A condition holds that rejects nothing, or no longer does.
    Alert,
    /// A limit of requests in flight is in force, or no longer; the state stays.
    Shedding,
    /// An operator set the mode, or its time was over.
    Mode,
    /// The policy changed.
    Policy,
    /// The configuration was loaded anew, or another one was refused.
    Configuration,
    /// An operator made the breaker forget.
    Reset,
    /// An operator forced all routes closed, or that has ended.
    Panic,
    /// An endpoint gets no requests any more.
    Ejected,
    /// An endpoint gets requests again.
    Readmitted,
    /// So many endpoints are bad that all are used, or that has ended.
    UpstreamPanic,
    /// The name of an upstream has other endpoints.
    Discovered,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Transition,
        Self::Ramp,
        Self::Alert,
        Self::Shedding,
        Self::Mode,
        Self::Policy,
        Self::Configuration,
        Self::Reset,
        Self::Panic,
        Self::Ejected,
        Self::Readmitted,
        Self::UpstreamPanic,
        Self::Discovered,
    ];

    /// One word, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transition => "transition",
            Self::Ramp => "ramp",
            Self::Alert => "alert",
            Self::Shedding => "shedding",
            Self::Mode => "mode",
            Self::Policy => "policy",
            Self::Configuration => "configuration",
            Self::Reset => "reset",
            Self::Panic => "panic",
            Self::Ejected => "ejected",
            Self::Readmitted => "readmitted",
            Self::UpstreamPanic => "upstream_panic",
            Self::Discovered => "discovered",
        }
    }
}

impl Event {
    /// An event of a breaker, now, that says only what it is about.
    pub fn now(kind: Kind, breaker: impl Into<Option<String>>) -> Self {
        Self {
            t: unix_now(),
            breaker: breaker.into(),
            upstream: None,
            endpoint: None,
            kind,
            from: None,
            to: None,
            reason: None,
            source: None,
            mode: None,
            traces: Vec::new(),
        }
    }

    /// An event, now, that concerns all breakers: what became of another configuration.
    pub fn configuration(label: &str, detail: &impl ToString) -> Self {
        Self {
            reason: Some(Reason::new(label, detail)),
            ..Self::now(Kind::Configuration, None)
        }
    }

    /// What happened just now to the endpoints of an upstream.
    pub fn happened(happened: &Happened) -> Self {
        let kind = match &happened.what {
            Occurrence::Endpoints(breaker_core::EndpointEvent::Ejected { .. }) => Kind::Ejected,
            Occurrence::Endpoints(breaker_core::EndpointEvent::Readmitted { .. }) => {
                Kind::Readmitted
            }
            Occurrence::Endpoints(_) => Kind::UpstreamPanic,
            Occurrence::Discovered(_) => Kind::Discovered,
        };
        Self {
            upstream: Some(happened.upstream.to_string()),
            endpoint: happened.endpoint.as_ref().map(ToString::to_string),
            reason: Some(Reason::new(happened.label(), happened)),
            ..Self::now(kind, None)
        }
    }

    /// Whether it concerns the breaker of this name, whose requests go to `upstream`.
    pub fn concerns(&self, breaker: &str, upstream: Option<&str>) -> bool {
        match (&self.breaker, &self.upstream) {
            (Some(only), _) => only == breaker,
            (None, Some(only)) => Some(&**only) == upstream,
            (None, None) => true,
        }
    }

    /// What the breaker told just now, unless it is of no interest here.
    pub fn told(breaker: &str, told: &breaker_core::Event) -> Option<Self> {
        let event = |kind| Self::now(kind, breaker.to_owned());
        Some(match told {
            breaker_core::Event::Transition(change) => Self {
                from: Some(change.from.into()),
                to: Some(change.to.into()),
                source: source(&change.reason).map(|source| source.to_string()),
                reason: Some(Reason::new(change.reason.label(), &change.reason)),
                traces: change.traces.iter().map(ToString::to_string).collect(),
                ..event(Kind::Transition)
            },
            breaker_core::Event::RampStarted { succeeded, .. } => Self {
                reason: Some(Reason {
                    label: "ramp_started".into(),
                    detail: format!(
                        "{succeeded} probes succeeded: a growing share of the traffic is admitted"
                    ),
                }),
                ..event(Kind::Ramp)
            },
            breaker_core::Event::Alert(alert) => {
                let evidence: Vec<_> = alert.evidence.iter().map(ToString::to_string).collect();
                let first = alert.evidence.first()?;
                Self {
                    reason: Some(Reason::new(first.condition.name(), &evidence.join(" and "))),
                    source: Some(alert.source.to_string()),
                    traces: alert.traces.iter().map(ToString::to_string).collect(),
                    ..event(Kind::Alert)
                }
            }
            breaker_core::Event::AlertEnded {
                source,
                signal,
                lasted,
                ..
            } => Self {
                source: Some(source.to_string()),
                reason: Some(Reason {
                    label: "alert_ended".into(),
                    detail: format!("the alert on {signal} is over after {} s", lasted.as_secs()),
                }),
                ..event(Kind::Alert)
            },
            breaker_core::Event::ClosedWithErrors { share, usual, .. } => Self {
                reason: Some(Reason {
                    label: "closed_with_errors".into(),
                    detail: format!("closed though {share} of the requests fail, {usual} is usual"),
                }),
                ..event(Kind::Alert)
            },
            breaker_core::Event::UsualChanged { source, change, .. } => Self {
                source: Some(source.to_string()),
                reason: Some(Reason {
                    label: "usual_changed".into(),
                    detail: change.to_string(),
                }),
                ..event(Kind::Alert)
            },
            breaker_core::Event::ModeChanged { to, .. } => Self {
                mode: Some((*to).into()),
                ..event(Kind::Mode)
            },
            breaker_core::Event::SheddingStarted { reason, limit, .. } => Self {
                source: source(reason).map(|source| source.to_string()),
                reason: Some(Reason {
                    label: "shedding_started".into(),
                    detail: format!("at most {limit} requests in flight are admitted: {reason}"),
                }),
                ..event(Kind::Shedding)
            },
            breaker_core::Event::SheddingEnded {
                admitted, rejected, ..
            } => Self {
                reason: Some(Reason {
                    label: "shedding_ended".into(),
                    detail: format!(
                        "there is no limit any more: {admitted} were admitted, {rejected} rejected"
                    ),
                }),
                ..event(Kind::Shedding)
            },
            breaker_core::Event::Reset { from, .. } => Self {
                from: Some((*from).into()),
                ..event(Kind::Reset)
            },
            _ => return None,
        })
    }
}

fn source(reason: &breaker_core::Reason) -> Option<&Arc<str>> {
    match reason {
        breaker_core::Reason::Tripped { source, .. }
        | breaker_core::Reason::FeedUnhealthy { source, .. } => Some(source),
        _ => None,
    }
}

/// The last events: so many of each breaker and upstream, so many in all. They are seconds apart,
/// so a walk through them is cheap enough.
#[derive(Debug, Default)]
pub(super) struct Log(VecDeque<Arc<Event>>);

impl Log {
    pub(super) fn push(&mut self, event: Arc<Event>) {
        let same = |kept: &Arc<Event>| {
            (&kept.breaker, &kept.upstream) == (&event.breaker, &event.upstream)
        };
        let excess = if self.0.iter().filter(|kept| same(kept)).count() >= MAX_OF_ONE {
            self.0.iter().position(same)
        } else {
            (self.0.len() >= MAX_IN_ALL).then_some(0)
        };
        if let Some(oldest) = excess {
            self.0.remove(oldest);
        }
        self.0.push_back(event);
    }

    /// The last ones of a breaker, whose requests go to `upstream`, and of all breakers together,
    /// oldest first.
    pub(super) fn of(&self, breaker: &str, upstream: Option<&str>) -> Vec<Event> {
        let concerns = |event: &&Arc<Event>| event.concerns(breaker, upstream);
        let events: Vec<_> = self.0.iter().filter(concerns).collect();
        let last = events.into_iter().rev().take(MAX_OF_ONE).rev();
        last.map(|event| (**event).clone()).collect()
    }
}

const MAX_OF_ONE: usize = 100;
const MAX_IN_ALL: usize = 1_000;
