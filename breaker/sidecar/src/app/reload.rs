//! Another configuration, while everything runs: loaded and checked whole, then put in force at
//! once, or refused whole.

mod fixed;
mod rotation;
mod watch;
mod workload;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use breaker_tower::breaker_core::policy::yaml;
use breaker_tower::{BreakerHandle, Events};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::composition::{ActiveConfig, Changes};
use super::confinement::Confinement;
use super::ingest;
use crate::access::{Access, OpenError};
use crate::baselines::Baselines;
use crate::clock::unix_now;
use crate::config::ConfigError;
use crate::control::{Configuration, Identity, Refused, Reload, ReloadRefused, Reloaded, Tokens};
use crate::ingest::FeedSampler;
use crate::live::Event;
use crate::proxy::{RouteError, Routes};
use crate::registry::Registry;
use crate::telemetry::Reloads;
use crate::tls::Workload;

use self::rotation::{Rotating, RotationCounts};
pub(super) use self::watch::watch;
use self::workload::await_identities;
pub(super) use self::workload::follow_workloads;

/// Loads the configuration anew. Clones are of the same sidecar.
#[derive(Clone, Debug)]
pub struct Reloader(Arc<ReloadState>);

/// Why a reload was refused. What ran before goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The configuration can't be used. All its errors are in one line: it is told in logs and
    /// events.
    #[error("{}", in_one_line(.0))]
    Config(#[from] ConfigError),
    /// Its routes can't stand beside each other.
    #[error(transparent)]
    Routes(#[from] RouteError),
    /// The access log that it asks for can't be written.
    #[error(transparent)]
    Access(#[from] OpenError),
    /// It changes what can't be changed while the sidecar runs: what stands there must be said by a
    /// restart.
    #[error("{} cannot change while running: restart", .0.join(", "))]
    Fixed(Vec<&'static str>),
    /// It needs what the process gave up when it started.
    #[error("{} is outside of the sandbox; restart to change it", .0.join(", "))]
    Outside(Vec<String>),
    /// It needs an identity of a SPIFFE Workload API, which gives none.
    #[error("no identity of {0}: {1}")]
    Unidentified(String, String),
    /// The sidecar is ending, or there is a bug.
    #[error("the reload did not end: {0}")]
    Unfinished(String),
}

/// A breaker that is new, and what it does from now on.
pub(super) type EventSubscription = (Arc<str>, Events);

/// What a reload reaches.
#[derive(Debug)]
pub(super) struct ReloadTargets {
    pub(super) registry: Registry,
    pub(super) tokens: Tokens,
    pub(super) access: Access,
    pub(super) baselines: Baselines,
    /// None when the proxy doesn't run.
    pub(super) routes: Option<Routes>,
    /// None when no telemetry is received.
    pub(super) feeds: Option<Arc<FeedSampler>>,
    pub(super) followed: mpsc::UnboundedSender<EventSubscription>,
    /// Who is told how reloads end.
    pub(super) events: mpsc::UnboundedSender<Event>,
    /// Who listens to Workload APIs.
    pub(super) workloads: mpsc::UnboundedSender<Workload>,
}

#[derive(Debug)]
struct ReloadState {
    /// Held for as long as a reload takes: there is one at a time.
    running: Mutex<ActiveConfig>,
    told: Mutex<ReloadStatus>,
    /// The mark of what was tried last, whatever came of it.
    tried: Mutex<String>,
    /// What follows files of certificates, of the configuration that runs. Apart from it: who reads
    /// metrics does not wait for a reload.
    rotating: Mutex<Rotating>,
    /// How these files fared.
    rotated: Mutex<RotationCounts>,
    reached: ReloadTargets,
    /// There if the process is confined.
    confinement: OnceLock<Confinement>,
}

#[derive(Debug)]
struct ReloadStatus {
    configuration: Configuration,
    unchanged: u64,
    refused: u64,
}

// === impl Reloader ===

impl Reloader {
    pub(super) fn new(running: ActiveConfig, reached: ReloadTargets) -> Self {
        let config = &running.config;
        let configuration = Configuration {
            file: config.file().map(|file| file.display().to_string()),
            loaded: unix_now(),
            hash: config.hash().to_owned(),
            reloads: 0,
            error: None,
            trace_url: config.trace_url().cloned(),
        };
        for breaker in running.all_breakers() {
            reached.follow(breaker);
        }
        for workload in config.workloads() {
            // Whoever listens is made with this.
            let _ = reached.workloads.send(workload);
        }
        let tried = running.config.mark();
        let rotating = running.config.certificates().into();
        Self(Arc::new(ReloadState {
            running: Mutex::new(running),
            told: Mutex::new(ReloadStatus {
                configuration,
                unchanged: 0,
                refused: 0,
            }),
            tried: Mutex::new(tried),
            rotating: Mutex::new(rotating),
            rotated: Mutex::default(),
            reached,
            confinement: OnceLock::new(),
        }))
    }

    /// From now on, refuses what is outside of a sandbox.
    pub(super) fn confined(&self, confinement: Confinement) {
        // A process is confined once.
        let _ = self.0.confinement.set(confinement);
    }

    /// Loads the configuration's file again and puts it in force. Requests that begin after this
    /// has returned go by it; it is one reload after the other, and once begun it ends, also if
    /// what is returned is dropped.
    ///
    /// # Errors
    /// [`ReloadError`], when the configuration can't be used or there is no file. What ran before
    /// goes on.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let shared = self.0.clone();
        let reload = spawn_blocking(move || {
            let reloaded = shared.reload();
            // Whoever asks for a reload means what files there are now.
            if shared.rotate() {
                shared.rotate();
            }
            reloaded
        });
        let unfinished = |error| Err(ReloadError::Unfinished(format!("{error}")));
        reload.await.unwrap_or_else(unfinished)
    }

    /// The configuration that runs.
    pub fn configuration(&self) -> Configuration {
        self.0.told().configuration.clone()
    }

    /// How reloads have ended so far.
    pub fn reloads(&self) -> Reloads {
        let told = self.0.told();
        Reloads {
            applied: told.configuration.reloads,
            unchanged: told.unchanged,
            refused: told.refused,
            succeeded: told.configuration.error.is_none(),
            loaded: told.configuration.loaded,
        }
    }

    /// Whether the configuration says to watch its texts.
    pub(super) fn watches(&self) -> bool {
        self.0.running().config.watch()
    }

    /// The breakers, in the order of the routes.
    pub(super) fn breakers(&self) -> Vec<BreakerHandle> {
        self.0.running().breakers.clone()
    }

    /// The names of the routes that go through the proxy, in their order.
    #[cfg(test)]
    pub(super) fn proxied(&self) -> Vec<Arc<str>> {
        let running = self.0.running();
        let routes = running.table.routes().iter();
        routes.map(|route| route.name().clone()).collect()
    }
}

#[async_trait]
impl Reload for Reloader {
    fn configuration(&self) -> Configuration {
        Self::configuration(self)
    }

    fn identities(&self) -> Vec<Identity> {
        Self::identities(self)
    }

    async fn reload(&self) -> Result<Reloaded, ReloadRefused> {
        let reloaded = Self::reload(self).await;
        reloaded.map_err(|error| ReloadRefused(error.to_string()))
    }
}

// === impl Shared ===

impl ReloadState {
    fn reload(&self) -> Result<Reloaded, ReloadError> {
        let mut running = self.running();
        // Before they are read: what changes meanwhile is something new to try.
        self.note_tried(running.config.mark_now());
        let result = self.try_reload(&mut running);
        let mut told = self.told();
        match &result {
            Ok(reloaded) if reloaded.changed => {
                told.configuration.loaded = unix_now();
                told.configuration.hash = running.config.hash().to_owned();
                // Other files may belong to it.
                self.note_tried(running.config.mark());
                told.configuration.trace_url = running.config.trace_url().cloned();
                told.configuration.reloads += 1;
                told.configuration.error = None;
                let Reloaded {
                    added,
                    removed,
                    updated,
                    ..
                } = reloaded;
                tracing::info!(?added, ?removed, ?updated, "configuration reloaded");
                for warning in running.config.warnings() {
                    tracing::warn!("{warning}");
                }
            }
            Ok(_) => {
                told.unchanged += 1;
                told.configuration.error = None;
                tracing::info!("configuration reloaded: nothing is new");
            }
            Err(error) => {
                told.refused += 1;
                let (at, detail) = (unix_now(), error.to_string());
                tracing::error!("configuration not reloaded, the one before stays: {detail}");
                told.configuration.error = Some(Refused { at, detail });
            }
        }
        drop(told);
        self.reached.tell(&result);
        result
    }

    fn try_reload(&self, running: &mut ActiveConfig) -> Result<Reloaded, ReloadError> {
        let config = running.config.load_again()?;
        // A token is no part of the texts.
        if config.hash() == running.config.hash() && config.token() == running.config.token() {
            return Ok(Reloaded::default());
        }
        let fixed = fixed::changed(&running.config, &config);
        if !fixed.is_empty() {
            return Err(ReloadError::Fixed(fixed));
        }
        let confinement = self.confinement.get();
        let outside = confinement
            .map(|it| it.outside(&config))
            .unwrap_or_default();
        if !outside.is_empty() {
            return Err(ReloadError::Outside(outside));
        }
        await_identities(&running.config, &config, &self.reached.workloads)?;
        let next = ActiveConfig::new(config, Some(running))?;
        let access = self.reached.access.open(next.config.access())?;
        if let Some(access) = &access {
            access.begin()?;
        }
        // Nothing below can fail.
        let Changes {
            added,
            removed,
            updated,
        } = next.changes(running);
        for breaker in next.new_breakers(running) {
            self.reached.follow(breaker);
        }
        // Clients that were made before their identity was heard have it before they are called.
        self.rotates(next.config.certificates());
        self.rotate();
        // Before the routes, with which workers ask for it.
        self.reached.access.replace(access);
        self.reached.reach(&next);
        next.set_modes(running);
        *running = next;
        Ok(Reloaded {
            changed: true,
            added,
            removed,
            updated,
        })
    }

    /// Whether the files are others than those that were tried last.
    fn is_stale(&self) -> bool {
        let now = self.running().config.mark_now();
        now != *self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_tried(&self, mark: String) {
        *self.tried.lock().unwrap_or_else(PoisonError::into_inner) = mark;
    }

    fn running(&self) -> MutexGuard<'_, ActiveConfig> {
        // It is replaced as a whole.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self) -> MutexGuard<'_, ReloadStatus> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl ReloadTargets ===

impl ReloadTargets {
    /// Has what the breaker does from now on told.
    fn follow(&self, breaker: &BreakerHandle) {
        // Nobody listens to the events of a sidecar that has ended.
        let _ = self
            .followed
            .send((breaker.name().clone(), breaker.subscribe()));
    }

    /// Tells watchers how a reload ended, unless nothing came of it.
    fn tell(&self, result: &Result<Reloaded, ReloadError>) {
        let event = match result {
            Ok(reloaded) if !reloaded.changed => return,
            Ok(reloaded) => Event::configuration("applied", &reloaded),
            Err(error) => Event::configuration("refused", &error),
        };
        // Nobody watches a sidecar that has ended.
        let _ = self.events.send(event);
    }

    fn reach(&self, next: &ActiveConfig) {
        self.registry
            .replace(next.entries(), next.config.policies().clone());
        self.baselines.replace(next.learners());
        self.tokens.replace(next.config.token().cloned());
        if let Some(feeds) = &self.feeds {
            feeds.replace(ingest::feed(next.routes()));
        }
        if let Some(routes) = &self.routes {
            routes.replace(next.table.clone());
        }
    }
}

// === impl ReloadError ===

impl ReloadError {
    /// The rules that the configuration breaks, if that is why.
    pub fn errors(&self) -> &[yaml::Error] {
        match self {
            Self::Config(error) => error.errors(),
            _ => &[],
        }
    }
}

fn in_one_line(error: &ConfigError) -> String {
    let text = error.to_string();
    text.lines().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
