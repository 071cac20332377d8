//! What can be asked and done, whichever way it is asked for.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use breaker_tower::Mode;
use http::StatusCode;
use tokio::time::Instant;

use super::audit;
use super::policy::{Choice, Policy};
use super::problem::Problem;
use super::state::AdminState;
use super::status::{Configuration, ReloadRefused, Reloaded, Status};
use crate::clock::unix_now;
use crate::control::explain::Explanation;
use crate::live::{Event, Kind, TooManyWatchers, Watcher};
use crate::registry::RegisteredBreaker;
use crate::report;
use crate::sockets::Peer;
use crate::telemetry::Change;

/// The operations of the control API. Clones are of the same sidecar.
#[derive(Clone, Debug)]
pub(crate) struct Control(Arc<ControlState>);

#[derive(Debug)]
struct ControlState {
    state: AdminState,
    /// In seconds since 1970.
    started: f64,
    since: Instant,
}

impl Control {
    /// Control of `state`.
    pub(crate) fn new(state: AdminState) -> Self {
        Self(Arc::new(ControlState {
            state,
            started: unix_now(),
            since: Instant::now(),
        }))
    }

    pub(super) fn state(&self) -> &AdminState {
        &self.0.state
    }

    // --- what is

    pub(super) fn status(&self) -> Status {
        let ControlState {
            state,
            started,
            since,
        } = &*self.0;
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: state.telemetry.instance().to_string(),
            host: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            started: *started,
            uptime: since.elapsed().as_secs_f64(),
            readiness: state.readiness.phase(),
            token_required: state.tokens.current().is_some(),
            panic: state.registry.panic(),
            sandbox: state.sandbox.clone(),
            fleet: state.fleet.as_ref().map(|fleet| fleet.fleet()),
            following: state.following.as_ref().map(|brain| brain.following()),
            identities: match &state.reload {
                Some(reload) => reload.identities(),
                None => Vec::new(),
            },
            configuration: self.configuration(),
        }
    }

    fn configuration(&self) -> Configuration {
        match &self.0.state.reload {
            Some(reload) => reload.configuration(),
            None => Configuration {
                loaded: self.0.started,
                ..Configuration::default()
            },
        }
    }

    pub(super) fn breakers(&self) -> report::Breakers {
        report::Breakers::from(&*self.0.state.registry.list())
    }

    pub(super) fn breaker(&self, name: &str) -> Result<report::Breaker, Problem> {
        Ok(report::Breaker::from(&self.find(name)?))
    }

    pub(super) fn policy(&self, name: &str) -> Result<Policy, Problem> {
        Ok(Policy::from(&self.find(name)?))
    }

    pub(super) fn explanation(&self, name: &str) -> Result<Explanation, Problem> {
        let trace_url = self.configuration().trace_url;
        let state = self.state();
        let entry = self.find(name)?;
        // It may have gone with a reload meanwhile.
        let upstream = entry.upstream().and_then(|name| self.upstream(name).ok());
        Ok(Explanation::new(
            &entry,
            upstream.as_ref(),
            trace_url.as_ref(),
            state.fleet.as_ref().map(|fleet| fleet.fleet()).as_ref(),
            state
                .following
                .as_ref()
                .map(|brain| brain.following())
                .as_ref(),
        ))
    }

    pub(super) fn watch(&self) -> Result<Watcher, TooManyWatchers> {
        self.0.state.live.watch()
    }

    // --- what is done

    /// Sets who decides; `period` is in seconds, `reason` for those who read of it.
    pub(super) fn set_mode(
        &self,
        peer: Option<Peer>,
        name: &str,
        mode: Mode,
        period: Option<f64>,
        reason: Option<&str>,
    ) -> Result<report::Breaker, Problem> {
        let entry = self.find(name)?;
        check_reason(reason)?;
        let period = period
            .map(|seconds| match mode {
                Mode::Auto => Err(Problem::of_field(
                    "for",
                    "must be left out: auto has no end",
                )),
                _ => mode_period(seconds),
            })
            .transpose()?;
        self.refuse_in_panic()?;
        let before = entry.breaker().mode();
        let after = match period {
            Some(period) => {
                entry.breaker().force_for(mode, period);
                format!("{mode} for {period:?}")
            }
            None => {
                entry.breaker().force(mode);
                mode.to_string()
            }
        };
        self.tell(
            peer,
            "set_mode",
            Some(&entry),
            before.name(),
            &after,
            reason,
        );
        if let Some(reason) = reason {
            self.show(Kind::Mode, name, "operator", &format!("{after}: {reason}"));
        }
        Ok(report::Breaker::from(&entry))
    }

    /// Begins anew.
    pub(super) fn reset(&self, peer: Option<Peer>, name: &str) -> Result<report::Breaker, Problem> {
        let entry = self.find(name)?;
        let before = entry.breaker().state();
        entry.breaker().reset();
        let after = entry.breaker().state();
        self.tell(
            peer,
            "reset",
            Some(&entry),
            before.name(),
            after.name(),
            None,
        );
        Ok(report::Breaker::from(&entry))
    }

    /// Puts a policy in the place of the configuration's.
    pub(super) fn put_policy(
        &self,
        peer: Option<Peer>,
        name: &str,
        choice: &Choice,
    ) -> Result<Policy, Problem> {
        // A name that is not there says more than what may be wrong with the policy.
        self.find(name)?;
        let policy = choice.resolve(&self.0.state.registry.policies())?;
        self.set_override(peer, name, "put_policy", Some(Arc::new(policy)))
    }

    /// Goes back to the configuration's policy.
    pub(super) fn delete_policy(&self, peer: Option<Peer>, name: &str) -> Result<Policy, Problem> {
        self.set_override(peer, name, "delete_policy", None)
    }

    fn set_override(
        &self,
        peer: Option<Peer>,
        name: &str,
        action: &'static str,
        policy: Option<Arc<breaker_tower::Policy>>,
    ) -> Result<Policy, Problem> {
        let registry = &self.0.state.registry;
        let before = described(&self.find(name)?);
        let entry = registry.set_override(name, policy)?;
        let after = described(&entry);
        self.tell(peer, action, Some(&entry), &before, &after, None);
        let detail = format!("policy {after}, before {before}");
        self.show(Kind::Policy, name, entry.origin().name(), &detail);
        Ok(Policy::from(&entry))
    }

    /// Loads the configuration anew.
    pub(super) async fn reload(&self, peer: Option<Peer>) -> Result<Reloaded, Problem> {
        let Some(reload) = &self.0.state.reload else {
            let detail = "this sidecar can't load its configuration anew";
            return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, detail));
        };
        let before = reload.configuration().hash;
        let reloaded = reload.reload().await;
        let after = match &reloaded {
            Ok(_) => reload.configuration().hash,
            Err(error) => format!("refused: {error}"),
        };
        self.tell(peer, "reload", None, &before, &after, None);
        reloaded.map_err(|ReloadRefused(why)| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why))
    }

    fn find(&self, name: &str) -> Result<RegisteredBreaker, Problem> {
        Ok(self.0.state.registry.find(name)?)
    }

    fn tell(
        &self,
        peer: Option<Peer>,
        action: &'static str,
        entry: Option<&RegisteredBreaker>,
        before: &str,
        after: &str,
        reason: Option<&str>,
    ) {
        let change = Change {
            action,
            breaker: entry.map(|entry| &**entry.name()),
            upstream: None,
            before,
            after,
            reason,
        };
        audit::tell(&self.0.state.telemetry, peer, &change);
    }

    /// Shows those who watch a breaker what an operator did to it.
    fn show(&self, kind: Kind, name: &str, label: &str, detail: &str) {
        self.0.state.live.tell(Event {
            reason: Some(report::Reason::new(label, &detail)),
            ..Event::now(kind, name.to_owned())
        });
    }
}

impl FromRef<Control> for AdminState {
    fn from_ref(control: &Control) -> Self {
        control.0.state.clone()
    }
}

/// A policy for the audit: its name, and where it comes from.
fn described(entry: &RegisteredBreaker) -> String {
    format!("{} ({})", entry.policy().name(), entry.origin().name())
}

/// That a reason, if one is given, can be shown as it is.
pub(super) fn check_reason(reason: Option<&str>) -> Result<(), Problem> {
    let is_good = |text: &str| {
        (1..=MOST_REASON).contains(&text.chars().count()) && !text.chars().any(char::is_control)
    };
    match reason.is_none_or(is_good) {
        true => Ok(()),
        false => Err(Problem::of_field("reason", REASON)),
    }
}

pub(super) fn mode_period(seconds: f64) -> Result<Duration, Problem> {
    if !(LEAST_PERIOD..=MOST_PERIOD).contains(&seconds) {
        let rule = format!("must be {LEAST_PERIOD} to {MOST_PERIOD} seconds");
        return Err(Problem::of_field("for", rule));
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// In characters.
const MOST_REASON: usize = 256;
const REASON: &str = "must be 1 to 256 characters on one line";
/// In seconds.
const LEAST_PERIOD: f64 = 0.1;
/// Seven days: what lasts longer is no exception, but configuration.
const MOST_PERIOD: f64 = 604_800.0;
