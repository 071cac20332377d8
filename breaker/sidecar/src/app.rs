//! The composition root: everything that runs is made and connected here, from a valid
//! configuration.

mod composition;
mod confinement;
mod ingest;
mod part;
mod reload;

use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::BreakerHandle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::composition::ActiveConfig;
use self::ingest::Ingest;
use self::part::Part;
use self::reload::{EventSubscription, ReloadTargets};
use crate::access::{Access, OpenError};
use crate::admin;
use crate::baselines::{BaselineStore, Baselines};
use crate::config::Config;
use crate::control::{AdminState, Readiness, Tokens, end_panics};
use crate::descriptors;
#[cfg(feature = "fleet")]
use crate::fleet;
use crate::ingest::Addresses;
use crate::live::{self, Live};
use crate::proxy::{self, Limits, Observers, Proxy, RouteTable};
use crate::recording::{self, Recording, Unwritten};
use crate::registry::Registry;
use crate::sandbox::{Sandbox, Unavailable};
use crate::sockets::{ListenAddress, Listening};
use crate::telemetry::{Catalog, Environment, Settings, Telemetry};
use crate::tls::Server;
use crate::upstream::{Happened, Names};

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
    settings: Settings,
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
}

/// Why a sidecar can't start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An address can't be listened on.
    Bind {
        /// The field of the configuration.
        field: &'static str,
        /// The address.
        address: ListenAddress,
        /// Why.
        source: io::Error,
    },
    /// The configuration, together with the environment, can't be followed.
    Setting(String),
    /// What the breakers learn can't be kept.
    State {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The access log can't be written.
    Access(OpenError),
    /// The sandbox is required, and can't be had.
    Sandbox(Unavailable),
    /// Requests can't be recorded.
    Recording {
        /// Where to.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl App {
    /// Makes the breakers and binds the sockets.
    ///
    /// # Errors
    /// When an address is taken or not ours, or the environment has a setting that can't be
    /// followed.
    pub fn bind(config: &Config, environment: &Environment) -> Result<Self, StartError> {
        let mut settings = Settings::resolve(config.export(), environment)
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
            let proxy = Proxy::bind(proxy::Settings {
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
        let fleet = join_fleet(config, &registry)?;
        let (follow, followed) = mpsc::unbounded_channel();
        let (events, reload_events) = mpsc::unbounded_channel();
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
        })
    }

    /// Records the proxy's requests from now on.
    ///
    /// # Errors
    /// When the file can't be written to.
    pub fn record(&mut self, settings: &recording::Settings) -> Result<(), StartError> {
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
            },
            listener: self.admin,
            tls: self.admin_tls,
            followed: self.followed,
            reload_events: self.reload_events,
            happened: self.happened,
            reloader,
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
            telemetry.show_fleet(fleet.stats());
            Part::start("fleet", move || fleet.run())
        });
        #[cfg(feature = "fleet")]
        let fleet = fleet.transpose()?;
        let (tape, unwritten) = self.recording.unzip();
        let writing = unwritten.map(Unwritten::start).transpose()?;
        let access = self.access.clone();
        let observers =
            move |table: &RouteTable| observers(table, &telemetry, tape.as_ref(), &access);
        let proxy = self.proxy.map(|proxy| proxy.start(&stopped, observers));
        let running = proxy.transpose()?;
        readiness.ready();
        shutdown.await;

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

/// What is for operators: the admin port, and who tells what happens.
struct Operation {
    state: AdminState,
    listener: Listening,
    tls: Option<Server>,
    followed: mpsc::UnboundedReceiver<EventSubscription>,
    reload_events: mpsc::UnboundedReceiver<live::Event>,
    happened: mpsc::UnboundedReceiver<Happened>,
    reloader: Reloader,
    keeper: Option<Arc<BaselineStore>>,
}

impl Operation {
    /// Serves for ever.
    async fn run(self) {
        let (telemetry, live) = (self.state.telemetry.clone(), self.state.live.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(follow_all(self.followed, telemetry.clone(), live.clone()));
        tasks.spawn(follow_upstreams(self.happened, telemetry, live.clone()));
        tasks.spawn(tell_all(self.reload_events, live.clone()));
        tasks.spawn(live.run());
        tasks.spawn(end_panics(self.state.clone()));
        if self.reloader.watches() {
            tasks.spawn(reload::watch(self.reloader));
        }
        if let Some(keeper) = self.keeper {
            tasks.spawn(keeper.keep());
        }
        match self.listener.into_async() {
            Ok(listener) => {
                admin::serve_by(self.state, listener, self.tls, std::future::pending()).await;
            }
            Err(error) => tracing::error!(%error, "the admin port can't be served"),
        }
        while tasks.join_next().await.is_some() {}
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

/// A member of the fleet that the configuration has, if it has one.
#[cfg(feature = "fleet")]
fn join_fleet(config: &Config, registry: &Registry) -> Result<Option<fleet::Session>, StartError> {
    let session = config
        .fleet()
        .map(|fleet| fleet::Session::new(fleet.clone(), registry.clone()));
    let session = session.transpose();
    session.map_err(|error| StartError::Setting(format!("fleet: {error}")))
}

/// What is exported, by the configuration or by the environment, must not come back as an
/// application's telemetry.
fn check_loop(config: &Config, settings: &mut Settings) -> Result<(), StartError> {
    let Some(receive) = config.receive() else {
        return Ok(());
    };
    match settings
        .exports_mut()
        .find(|export| receive.is_own(&export.endpoint))
    {
        Some(export) => Err(StartError::Setting(format!(
            "telemetry must not be exported to {}, where it is received: a loop; \
             set telemetry.export.endpoint or OTEL_EXPORTER_OTLP_ENDPOINT to a collector",
            export.endpoint
        ))),
        None => Ok(()),
    }
}

/// Who can reach the admin port from elsewhere must be known.
fn check_control(config: &Config) -> Result<(), StartError> {
    if !config.lacks_token() {
        return Ok(());
    }
    let rule = "admin: must be a loopback address, or changes must need a token: \
                set control.token_file, --control-token-file or BREAKER_CONTROL_TOKEN";
    Err(StartError::Setting(rule.to_owned()))
}

/// Who is told of a worker's requests by this table.
fn observers(
    table: &RouteTable,
    telemetry: &Telemetry,
    tape: Option<&Recording>,
    access: &Access,
) -> Observers {
    let names = || table.routes().iter().map(proxy::Route::name);
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

/// Tells telemetry and watchers what the breakers do that are `followed`, each until it is gone.
async fn follow_all(
    mut followed: mpsc::UnboundedReceiver<EventSubscription>,
    telemetry: Telemetry,
    live: Live,
) {
    let mut following = JoinSet::new();
    loop {
        tokio::select! {
            next = followed.recv() => match next {
                Some(next) => drop(following.spawn(follow(next, telemetry.clone(), live.clone()))),
                None => break,
            },
            Some(_) = following.join_next() => {}
        }
    }
    while following.join_next().await.is_some() {}
}

async fn follow((name, mut events): EventSubscription, telemetry: Telemetry, live: Live) {
    while let Some(event) = events.recv().await {
        telemetry.event(&name, &event);
        if let Some(event) = live::Event::told(&name, &event) {
            live.tell(event);
        }
    }
}

/// Tells telemetry and watchers what happens to the endpoints of upstreams.
async fn follow_upstreams(
    mut happened: mpsc::UnboundedReceiver<Happened>,
    telemetry: Telemetry,
    live: Live,
) {
    while let Some(happened) = happened.recv().await {
        telemetry.happened(&happened);
        live.tell(live::Event::happened(&happened));
    }
}

/// Tells watchers how reloads end.
async fn tell_all(mut events: mpsc::UnboundedReceiver<live::Event>, live: Live) {
    while let Some(event) = events.recv().await {
        live.tell(event);
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind {
                field,
                address,
                source,
            } => write!(f, "{field}: cannot listen on {address}: {source}"),
            Self::Setting(rule) => f.write_str(rule),
            Self::State { file, source } => write!(
                f,
                "state: {} must be a file that can be read, in a directory that can be written to: {source}",
                file.display()
            ),
            Self::Access(error) => error.fmt(f),
            Self::Sandbox(error) => error.fmt(f),
            Self::Recording { file, source } => {
                write!(f, "cannot record to {}: {source}", file.display())
            }
        }
    }
}

impl std::error::Error for StartError {}

/// How long the last export may take.
const LAST_EXPORT: Duration = Duration::from_secs(2);
/// How long the reader of the access log is waited for.
const LAST_LINES: Duration = Duration::from_millis(500);
/// How long the last write to a disk may take.
const LAST_WRITE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
