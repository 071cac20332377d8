//! What a breaker does, in the log.

use breaker_core::{Event, State};
use tracing::{info, warn};

/// Logs an event of the breaker called `name`, without its lock.
pub(super) fn event(name: &str, id: u64, event: &Event) {
    match event {
        Event::Transition(change) if change.to == State::Open => warn!(
            target: TARGET,
            {
                event.name = "breaker.transition",
                breaker.name = name,
                breaker.id = id,
                breaker.transition.from = change.from.name(),
                breaker.transition.to = change.to.name(),
                breaker.transition.reason = change.reason.label(),
                breaker.open_for = change.open_for.map(|period| period.as_secs_f64())
            },
            "open: {}",
            change.reason
        ),
        Event::Transition(change) => info!(
            target: TARGET,
            {
                event.name = "breaker.transition",
                breaker.name = name,
                breaker.id = id,
                breaker.transition.from = change.from.name(),
                breaker.transition.to = change.to.name(),
                breaker.transition.reason = change.reason.label()
            },
            "{}: {}",
            change.to,
            change.reason
        ),
        Event::Alert(alert) => warn!(
            target: TARGET,
            {
                event.name = "breaker.alert",
                breaker.name = name,
                breaker.id = id,
                breaker.source = &*alert.source,
                breaker.signal = alert.signal()
            },
            "alert on {}",
            alert.signal()
        ),
        Event::ModeChanged { from, to, .. } => info!(
            target: TARGET,
            {
                event.name = "breaker.mode_changed",
                breaker.name = name,
                breaker.id = id,
                breaker.mode.from = from.name(),
                breaker.mode.to = to.name()
            },
            "mode {to}"
        ),
        Event::SheddingStarted { reason, limit, .. } => warn!(
            target: TARGET,
            {
                event.name = "breaker.shedding_started",
                breaker.name = name,
                breaker.id = id,
                breaker.limit = limit
            },
            "sheds: {reason}"
        ),
        other => info!(target: TARGET, { breaker.name = name, breaker.id = id }, "{other:?}"),
    }
}

const TARGET: &str = "breaker";
