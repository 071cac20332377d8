//! The composition root: everything that runs is made and connected here, from a valid
//! configuration.

mod checks;
mod composition;
mod confinement;
mod error;
mod ingest;
mod operation;
mod part;
#[cfg(feature = "fleet")]
mod pooling;
mod reload;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::BreakerHandle;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use self::checks::{check_control, check_loop};
use self::composition::ActiveConfig;
use self::ingest::Ingest;
use self::operation::Operation;
use self::part::Part;
use self::reload::{EventSubscription, ReloadTargets};
use crate::access::Access;
use crate::baselines::{BaselineStore, Baselines};
use crate::config::Config;
use crate::control::{AdminState, Readiness, Tokens};
use crate::descriptors;
#[cfg(feature = "fleet")]
use crate::fleet;
use crate::ingest::Addresses;
use crate::live::{self, Live};
use crate::proxy::{Limits, Observers, Proxy, ProxySettings, Route, RouteTable};
use crate::recording::{Recording, RecordingSettings, Unwritten};
use crate::registry::Registry;
use crate::sandbox::Sandbox;
use crate::sockets::{ListenAddress, Listening};
use crate::telemetry::{Catalog, Environment, ExportSettings, Telemetry};
use crate::tls::{Server, Workload};
use crate::upstream::{Happened, Names};

pub use self::error::StartError;
pub use self::reload::{ReloadError, Reloader};

/// A sidecar whose sockets are bound.
#[derive(Debug)]
pub struct App {
    /// None when no route has an upstream.
    proxy: Option<Proxy>,
    ingest: Option<Ingest>,
    admin: Listening,
    admin_tls: Option<Server>,
    admin_address: ListenAddress,
    registry: Registry,
    tokens: Tokens,
    reloader: Reloader,
    followed: mpsc::UnboundedReceiver<EventSubscription>,
    reload_events: mpsc::UnboundedReceiver<live::Event>,
    happened: mpsc::UnboundedReceiver<Happened>,
    workloads: mpsc::UnboundedReceiver<Workload>,
    settings: ExportSettings,
    readiness: Readiness,
    drain: Duration,
    recording: Option<(Recording, Unwritten)>,
    /// The file of the recording.
    recorded: Option<PathBuf>,
    /// None where the process is not confined: it does more than this.
    sandbox: Option<Sandbox>,
    keeper: Option<Arc<BaselineStore>>,
    access: Access,
    #[cfg(feature = "fleet")]
    fleet: Option<fleet::Session>,
    #[cfg(feature = "fleet")]
    follower: Option<fleet::Follower>,
}

impl App {
    /// Makes the breakers and binds the sockets.
    ///
    /// # Errors
    /// When an address is taken or not ours, or the environment has a setting that can't be
    /// followed.
    pub fn bind(config: &Config, environment: &Environment) -> Result<Self, StartError> {
        let mut settings = ExportSettings::resolve(config.export(), environment)
            .map_err(|error| StartError::Setting(error.to_string()))?;
        check_loop(config, &mut settings)?;
        check_control(config)?;
        if let Some((route, endpoint)) = config.loops() {
            return Err(StartError::Setting(format!(
                "route {route}: {endpoint} must not be the address of listen: a loop"
            )));
        }
        let composition = ActiveConfig::new(config.clone(), None)
            .map_err(|error| StartError::Setting(error.to_string()))?;
        let ingest = Ingest::bind(config, ingest::feed(composition.routes()))?;
        if let Some(ingest) = &ingest {
            ingest.mark(&mut settings);
        }
        let baselines = Baselines::new(composition.learners());
        let keeper = config
            .state()
            .map(|file| keep(file, baselines.clone()))
            .transpose()?;
        let bound = |field, address: &ListenAddress| {
            let address = address.clone();
            move |source| StartError::Bind {
                field,
                address,
                source,
            }
        };
        let open_files = descriptors::limit();
        if let Some(warning) = descriptors::warning(config, open_files) {
            tracing::warn!("{warning}");
        }
        let limits = Limits {
            connections: descriptors::clients(config, open_files),
            trusted_proxies: config.trusted_proxies().clone(),
            ..config.limits().clone()
        };
        let (tell, happened) = mpsc::unbounded_channel();
        let proxy = if config.proxies() {
            let proxy = Proxy::bind(ProxySettings {
                listen: config.listen().clone(),
                workers: config.workers(),
                limits,
                table: composition.table.clone(),
                names: Names::of_system(),
                grace: config.drain(),
            });
            let proxy = proxy.map_err(bound("listen", config.listen()))?;
            Some(proxy.telling(tell).secured(config.tls().cloned()))
        } else {
            None
        };
        let admin = config.admin().listen();
        let admin = admin.map_err(bound("admin", config.admin()))?;
        let registry = composition.registry();
        #[cfg(feature = "fleet")]
        let fleet = pooling::join(config, &registry)?;
        #[cfg(feature = "fleet")]
        let follower = pooling::follow(config, &registry);
        let (follow, followed) = mpsc::unbounded_channel();
        let (events, reload_events) = mpsc::unbounded_channel();
        let (hear, workloads) = mpsc::unbounded_channel();
        let tokens = Tokens::new(config.token().cloned());
        let access = Access::default();
        access.replace(access.open(config.access()).map_err(StartError::Access)?);
        let reached = ReloadTargets {
            access: access.clone(),
            registry: registry.clone(),
            tokens: tokens.clone(),
            baselines,
            routes: proxy.as_ref().map(Proxy::routes),
            feeds: ingest.as_ref().map(|ingest| ingest.sampler().clone()),
            followed: follow,
            events,
            workloads: hear,
        };
        Ok(Self {
            tokens,
            admin_address: admin.address().map_err(bound("admin", config.admin()))?,
            proxy,
            ingest,
            admin,
            admin_tls: config.admin_tls().cloned(),
            registry,
            reloader: Reloader::new(composition, reached),
            followed,
            reload_events,
            happened,
            workloads,
            settings,
            readiness: Readiness::default(),
            drain: config.drain(),
            recording: None,
            recorded: None,
            sandbox: None,
            keeper,
            access,
            #[cfg(feature = "fleet")]
            fleet,
            #[cfg(feature = "fleet")]
            follower,
        })
    }

    /// Records the proxy's requests from now on.
    ///
    /// # Errors
    /// When the file can't be written to.
    pub fn record(&mut self, settings: &RecordingSettings) -> Result<(), StartError> {
        let opened = Recording::open(settings);
        let opened = opened.map_err(|source| StartError::Recording {
            file: settings.file.clone(),
            source,
        })?;
        self.recording = Some(opened);
        self.recorded = Some(settings.file.clone());
        Ok(())
    }

    /// Where the proxy listens; nowhere when no route has an upstream.
    pub fn listen(&self) -> Option<ListenAddress> {
        self.proxy.as_ref().map(Proxy::local_addr)
    }

    /// Where the admin port is.
    pub const fn admin(&self) -> &ListenAddress {
        &self.admin_address
    }

    /// Where telemetry is received, if it is.
    pub fn receives(&self) -> Option<Addresses> {
        self.ingest.as_ref().map(Ingest::addresses)
    }

    /// Whether it takes traffic. Who has it [drain](Readiness::drain) before the end of
    /// [`Self::run`] makes callers go elsewhere while they are still served.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// The breakers, in the order of the routes.
    pub fn breakers(&self) -> Vec<BreakerHandle> {
        self.reloader.breakers()
    }

    /// The breakers with their policies, for operators.
    #[cfg(test)]
    pub(crate) fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// The token in force.
    #[cfg(test)]
    pub(crate) fn tokens(&self) -> Tokens {
        self.tokens.clone()
    }

    /// What loads the configuration anew.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Serves until `shutdown`, then lets requests under way end for the configured time. The
    /// proxy's workers, what is for operators, and what takes telemetry in are threads of their
    /// own: the caller's runtime does nothing but wait for the end.
    ///
    /// # Errors
    /// When a part can't be started.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        self.access.begin()?;
        let (telemetry, exporting) = Telemetry::start(self.settings, self.registry.watched())?;
        let live = Live::new(self.registry.watched());
        let readiness = self.readiness;
        let (stop, stopped) = watch::channel(false);

        let reloader = self.reloader;
        if let Some(proxy) = &self.proxy {
            telemetry.show_upstreams(proxy.routes());
        }
        telemetry.show_reloads({
            let reloader = reloader.clone();
            move || reloader.reloads()
        });
        telemetry.show_certificates({
            let reloader = reloader.clone();
            move || reloader.certificates()
        });
        if let Some(keeper) = &self.keeper {
            telemetry.show_saves(&keeper.saves());
        }
        if let Some(sandbox) = &self.sandbox {
            telemetry.show_sandbox(sandbox);
        }
        let operation = Operation {
            state: AdminState {
                registry: self.registry,
                telemetry: telemetry.clone(),
                live,
                readiness: readiness.clone(),
                tokens: self.tokens,
                routes: self.proxy.as_ref().map(Proxy::routes),
                reload: Some(Arc::new(reloader.clone())),
                sandbox: self.sandbox,
                #[cfg(feature = "fleet")]
                fleet: self.fleet.as_ref().map(pooling::shown),
                #[cfg(not(feature = "fleet"))]
                fleet: None,
                #[cfg(feature = "fleet")]
                following: self.follower.as_ref().map(pooling::followed),
                #[cfg(not(feature = "fleet"))]
                following: None,
            },
            listener: self.admin,
            tls: self.admin_tls,
            followed: self.followed,
            reload_events: self.reload_events,
            happened: self.happened,
            workloads: self.workloads,
            reloader: reloader.clone(),
            keeper: self.keeper.clone(),
        };
        let operation = Part::start("admin", move || operation.run())?;
        let receiving = self.ingest.map(|ingest| {
            telemetry.show_received(&ingest.received());
            let stopped = stopped.clone();
            Part::start("ingest", move || ingest.run(stopped))
        });
        let receiving = receiving.transpose()?;
        #[cfg(feature = "fleet")]
        let fleet = self.fleet.map(|fleet| {
            telemetry.show_fleet(&fleet.shown().stats);
            Part::start("fleet", move || fleet.run())
        });
        #[cfg(feature = "fleet")]
        let fleet = fleet.transpose()?;
        #[cfg(feature = "fleet")]
        let follower = self.follower.map(|follower| {
            telemetry.show_followed(&follower.shown().stats);
            Part::start("follow", move || follower.run())
        });
        #[cfg(feature = "fleet")]
        let follower = follower.transpose()?;
        let (tape, unwritten) = self.recording.unzip();
        let writing = unwritten.map(Unwritten::start).transpose()?;
        let access = self.access.clone();
        let observers =
            move |table: &RouteTable| observers(table, &telemetry, tape.as_ref(), &access);
        let proxy = self.proxy.map(|proxy| proxy.start(&stopped, observers));
        let running = proxy.transpose()?;
        {
            let mut shutdown = pin!(shutdown);
            tokio::select! {
                () = &mut shutdown => {}
                () = reloader.tell(&readiness) => {}
            }
        }

        readiness.drain();
        tracing::info!(grace = ?self.drain, "draining");
        // Nobody listens when every worker has ended already.
        let _ = stop.send(true);
        if let Some(running) = running {
            tokio::task::spawn_blocking(|| running.join()).await??;
        }
        if let Some(receiving) = receiving {
            receiving.ended().await??;
        }
        #[cfg(feature = "fleet")]
        if let Some(fleet) = fleet {
            fleet.stop().await;
        }
        #[cfg(feature = "fleet")]
        if let Some(follower) = follower {
            follower.stop().await;
        }
        if let Some(writing) = writing {
            // The workers are gone, and their tapes with them. A disk that hangs is not waited for.
            let written = tokio::task::spawn_blocking(|| writing.join());
            timeout(LAST_WRITE, written).await.unwrap_or(Ok(()))?;
        }
        if let Some(keeper) = self.keeper {
            timeout(LAST_WRITE, keeper.save()).await.ok();
        }
        operation.stop().await;
        let access = self.access;
        let flushed = tokio::task::spawn_blocking(move || access.flush(LAST_LINES));
        timeout(LAST_WRITE, flushed).await.ok();
        // The numbers of the drain, and what happened in it, are exported before the process ends.
        exporting.shutdown(LAST_EXPORT).await;
        Ok(())
    }
}

/// Restores what the breakers have learned from `file`, and keeps it there.
fn keep(file: &Path, baselines: Baselines) -> Result<Arc<BaselineStore>, StartError> {
    let opened = BaselineStore::open(file, baselines);
    let opened = opened.map_err(|source| StartError::State {
        file: file.to_owned(),
        source,
    });
    opened.map(Arc::new)
}

/// Who is told of a worker's requests by this table.
fn observers(
    table: &RouteTable,
    telemetry: &Telemetry,
    tape: Option<&Recording>,
    access: &Access,
) -> Observers {
    let names = || table.routes().iter().map(Route::name);
    let journal = access.journal(names().cloned(), table.endpoints().map(ToString::to_string));
    let endpoints = table.endpoints();
    let catalog = Arc::new(Catalog {
        routes: names().cloned().collect(),
        endpoints: endpoints
            .map(|endpoint| (endpoint.host().into(), endpoint.port()))
            .collect(),
    });
    Observers::new(telemetry.recorder(catalog.clone()))
        .traced(telemetry.tracer(catalog))
        .taped(tape.map(|tape| tape.clone().of_routes(names())))
        .logged(journal)
}

/// How long the last export may take.
const LAST_EXPORT: Duration = Duration::from_secs(2);
/// How long the reader of the access log is waited for.
const LAST_LINES: Duration = Duration::from_millis(500);
/// How long the last write to a disk may take.
const LAST_WRITE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
