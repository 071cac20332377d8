//! Panic: an operator forces all routes closed at once, and gives them back.

use std::time::Duration;

use http::StatusCode;
use tokio::time::sleep;

use super::audit;
use super::problem::Problem;
use super::service::{Control, check_reason, mode_period};
use super::state::AdminState;
use super::status::Status;
use crate::clock::unix_now;
use crate::live::{Event, Kind};
use crate::report::Reason;
use crate::sockets::Peer;
use crate::telemetry::Change;

impl Control {
    /// Forces all routes closed at once, those of later reloads too, or gives each the mode that it
    /// would have; `period` is in seconds.
    pub(super) fn set_panic(
        &self,
        peer: Option<Peer>,
        on: bool,
        period: Option<f64>,
        reason: Option<&str>,
    ) -> Result<Status, Problem> {
        check_reason(reason)?;
        let state = self.state();
        let before = state.registry.panic().is_some();
        if on {
            let period = period.map(mode_period).transpose()?;
            let reason = reason.map(str::to_owned);
            state.registry.declare_panic(unix_now(), period, reason);
        } else {
            if period.is_some() {
                return Err(Problem::of_field("for", "must be left out: off has no end"));
            }
            state.registry.end_panic();
        }
        let after = match (on, period) {
            (true, Some(period)) => format!("on for {:?}", Duration::from_secs_f64(period)),
            (true, None) => "on".to_owned(),
            (false, _) => "off".to_owned(),
        };
        tell(state, peer, before, &after, reason);
        Ok(self.status())
    }

    /// Nobody's mode can be set while all routes are forced closed.
    pub(super) fn refuse_in_panic(&self) -> Result<(), Problem> {
        match self.state().registry.panic() {
            Some(_) => Err(Problem::new(StatusCode::CONFLICT, IN_PANIC)),
            None => Ok(()),
        }
    }
}

/// Ends panics whose time is over, for ever.
pub(crate) async fn end_panics(state: AdminState) {
    loop {
        sleep(EVERY).await;
        if state.registry.end_panic_that_is_over() {
            tell(&state, None, true, "off", Some("its time is over"));
        }
    }
}

fn tell(state: &AdminState, peer: Option<Peer>, before: bool, after: &str, reason: Option<&str>) {
    let before = if before { "on" } else { "off" };
    let change = Change {
        action: "set_panic",
        breaker: None,
        upstream: None,
        before,
        after,
        reason,
    };
    audit::tell(&state.telemetry, peer, &change);
    tracing::warn!(reason, "panic is {after}: {}", meaning(after));
    let detail = match reason {
        Some(reason) => format!("{after}: {reason}"),
        None => format!("{after}: {}", meaning(after)),
    };
    state.live.tell(Event {
        reason: Some(Reason {
            label: "operator".to_owned(),
            detail,
        }),
        ..Event::now(Kind::Panic, None)
    });
}

fn meaning(after: &str) -> &'static str {
    match after {
        "off" => "routes have their modes again, and policies decide anew, from closed",
        _ => "all routes are forced closed",
    }
}

const IN_PANIC: &str = "panic is on, and all routes are forced closed: end it first, by \
                        `breaker panic off`";
const EVERY: Duration = Duration::from_millis(250);
