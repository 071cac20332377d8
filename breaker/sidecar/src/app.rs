//! The composition root: everything that runs is made and connected here, from a valid configuration.

mod composition;
mod ingest;
mod reload;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::BreakerHandle;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::composition::Composition;
use self::ingest::Ingest;
use self::reload::{Followed, Reached};
use crate::admin::{Admin, Readiness};
use crate::baselines::{Baselines, Keeper};
use crate::config::Config;
use crate::control::{Registry, Token};
use crate::ingest::Addresses;
use crate::live::{self, Live};
use crate::proxy::{self, Observers, Proxy, RouteTable};
use crate::recording::{self, Recording, Writing};
use crate::telemetry::{Catalog, Environment, Exporting, Settings, Telemetry};
use crate::upstream::Names;

pub use self::reload::{ReloadError, Reloader};

/// A sidecar whose sockets are bound.
#[derive(Debug)]
pub struct App {
    /// None when no route has an upstream.
    proxy: Option<Proxy>,
    ingest: Option<Ingest>,
    admin: std::net::TcpListener,
    admin_address: SocketAddr,
    registry: Registry,
    token: Option<Token>,
    reloader: Reloader,
    followed: mpsc::UnboundedReceiver<Followed>,
    reload_events: mpsc::UnboundedReceiver<live::Event>,
    settings: Settings,
    drain: Duration,
    recording: Option<(Recording, Writing)>,
    keeper: Option<Arc<Keeper>>,
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
        address: SocketAddr,
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
    /// When an address is taken or not ours, or the environment has a setting that can't be followed.
    pub fn bind(config: &Config, environment: &Environment) -> Result<Self, StartError> {
        let mut settings = Settings::resolve(config.export(), environment)
            .map_err(|error| StartError::Setting(error.to_string()))?;
        check_loop(config, &mut settings)?;
        check_control(config)?;
        let composition = Composition::new(config.clone(), None)
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
        let bound = |field, address| {
            move |source| StartError::Bind {
                field,
                address,
                source,
            }
        };
        let proxy = if config.proxies() {
            let proxy = Proxy::bind(proxy::Settings {
                listen: config.listen(),
                workers: config.workers(),
                limits: config.limits().clone(),
                table: composition.table.clone(),
                names: Names::of_system(),
                grace: config.drain(),
            });
            Some(proxy.map_err(bound("listen", config.listen()))?)
        } else {
            None
        };
        let admin = std::net::TcpListener::bind(config.admin())
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(bound("admin", config.admin()))?;
        let registry = composition.registry();
        let (follow, followed) = mpsc::unbounded_channel();
        let (events, reload_events) = mpsc::unbounded_channel();
        let reached = Reached {
            registry: registry.clone(),
            baselines,
            routes: proxy.as_ref().map(Proxy::routes),
            feeds: ingest.as_ref().map(|ingest| ingest.sampler().clone()),
            followed: follow,
            events,
        };
        Ok(Self {
            token: config.token().cloned(),
            admin_address: admin.local_addr().map_err(bound("admin", config.admin()))?,
            proxy,
            ingest,
            admin,
            registry,
            reloader: Reloader::new(composition, reached),
            followed,
            reload_events,
            settings,
            drain: config.drain(),
            recording: None,
            keeper,
        })
    }

    /// Records the proxy's requests from now on.
    ///
    /// # Errors
    /// When the file can't be written to.
    pub fn record(&mut self, settings: &recording::Settings) -> Result<(), StartError> {
        let started = Recording::start(settings);
        let started = started.map_err(|source| StartError::Recording {
            file: settings.file.clone(),
            source,
        })?;
        self.recording = Some(started);
        Ok(())
    }

    /// Where the proxy listens; nowhere when no route has an upstream.
    pub fn listen(&self) -> Option<SocketAddr> {
        self.proxy.as_ref().map(Proxy::local_addr)
    }

    /// Where the admin port is.
    pub const fn admin(&self) -> SocketAddr {
        self.admin_address
    }

    /// Where telemetry is received, if it is.
    pub fn receives(&self) -> Option<Addresses> {
        self.ingest.as_ref().map(Ingest::addresses)
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

    /// What loads the configuration anew.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Serves until `shutdown`, then lets requests under way end for the configured time. The proxy's workers are threads of their own; the
    /// rest runs on the caller's runtime.
    ///
    /// # Errors
    /// When a part can't be started.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let (telemetry, exporting) = Telemetry::start(self.settings, self.registry.watched())?;
        let live = Live::new(self.registry.watched());
        let readiness = Readiness::default();
        let (stop, stopped) = watch::channel(false);

        let mut tasks = JoinSet::new();
        tasks.spawn(follow_all(self.followed, telemetry.clone(), live.clone()));
        tasks.spawn(tell_all(self.reload_events, live.clone()));
        let reloader = self.reloader;
        telemetry.show_reloads({
            let reloader = reloader.clone();
            move || reloader.reloads()
        });
        if reloader.watches() {
            tasks.spawn(reload::watch(reloader.clone()));
        }
        tasks.spawn(live.clone().run());
        let admin = Admin {
            registry: self.registry,
            telemetry: telemetry.clone(),
            live,
            readiness: readiness.clone(),
            token: self.token,
            reload: Some(Arc::new(reloader)),
        };
        tasks.spawn(admin.serve(TcpListener::from_std(self.admin)?, std::future::pending()));

        if let Some(keeper) = &self.keeper {
            telemetry.show_saves(&keeper.saves());
            tasks.spawn(keeper.clone().keep());
        }
        let receiving = self.ingest.map(|ingest| {
            telemetry.show_received(&ingest.received());
            tokio::spawn(ingest.run(stopped.clone()))
        });
        let (tape, writing) = self.recording.unzip();
        let observers = move |table: &RouteTable| observers(table, &telemetry, tape.as_ref());
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
            receiving.await??;
        }
        if let Some(writing) = writing {
            // The workers are gone, and their tapes with them.
            tokio::task::spawn_blocking(|| writing.join()).await?;
        }
        if let Some(keeper) = self.keeper {
            keeper.save().await;
        }
        end(exporting, tasks).await;
        Ok(())
    }
}

/// Restores what the breakers have learned from `file`, and keeps it there.
fn keep(file: &Path, baselines: Baselines) -> Result<Arc<Keeper>, StartError> {
    let opened = Keeper::open(file, baselines);
    let opened = opened.map_err(|source| StartError::State {
        file: file.to_owned(),
        source,
    });
    opened.map(Arc::new)
}

/// The numbers of the drain are exported before the process ends.
async fn end(exporting: Exporting, tasks: JoinSet<()>) {
    exporting.shutdown(LAST_EXPORT).await;
    drop(tasks);
}

/// What is exported, by the configuration or by the environment, must not come back as an application's telemetry.
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
fn observers(table: &RouteTable, telemetry: &Telemetry, tape: Option<&Recording>) -> Observers {
    let names = || table.routes().iter().map(proxy::Route::name);
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
}

/// Tells telemetry and watchers what the breakers do that are `followed`, each until it is gone.
async fn follow_all(
    mut followed: mpsc::UnboundedReceiver<Followed>,
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

async fn follow((name, mut events): Followed, telemetry: Telemetry, live: Live) {
    while let Some(event) = events.recv().await {
        telemetry.event(&name, &event);
        if let Some(event) = live::Event::told(&name, &event) {
            live.tell(event);
        }
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
            Self::Recording { file, source } => {
                write!(f, "cannot record to {}: {source}", file.display())
            }
        }
    }
}

impl std::error::Error for StartError {}

/// How long the last export may take.
const LAST_EXPORT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
