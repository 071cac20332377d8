//! The composition root: everything that runs is made and connected here, from a valid configuration.

mod ingest;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::BreakerHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::ingest::Ingest;
use crate::admin::{Admin, Readiness};
use crate::config::{self, Config};
use crate::control::{Entry, Registry, Token};
use crate::ingest::Addresses;
use crate::live::{self, Live};
use crate::proxy::{self, Observers, Proxy, RouteTable};
use crate::recording::{self, Recording, Writing};
use crate::telemetry::{Catalog, Environment, Exporting, Settings, Telemetry};
use crate::upstream::Names;

/// A sidecar whose sockets are bound.
#[derive(Debug)]
pub struct App {
    /// None when no route has an upstream.
    proxy: Option<Proxy>,
    ingest: Option<Ingest>,
    admin: std::net::TcpListener,
    admin_address: SocketAddr,
    breakers: Vec<BreakerHandle>,
    registry: Registry,
    token: Option<Token>,
    catalog: Arc<Catalog>,
    settings: Settings,
    drain: Duration,
    recording: Option<(Recording, Writing)>,
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
        let breakers: Vec<_> = config.routes().iter().map(breaker).collect();
        let ingest = Ingest::bind(config, &breakers)?;
        if let Some(ingest) = &ingest {
            ingest.mark(&mut settings);
        }
        let routes = config.routes().iter().zip(&breakers);
        let routes: Vec<_> = routes
            .filter_map(|(route, breaker)| proxied(route, breaker))
            .collect();
        let table =
            RouteTable::new(routes).map_err(|error| StartError::Setting(error.to_string()))?;
        let catalog = Arc::new(Catalog {
            routes: table
                .routes()
                .iter()
                .map(|route| route.name().clone())
                .collect(),
            endpoints: table
                .endpoints()
                .map(|endpoint| (endpoint.host().into(), endpoint.port()))
                .collect(),
        });
        let bound = |field, address| {
            move |source| StartError::Bind {
                field,
                address,
                source,
            }
        };
        let proxy = if table.routes().is_empty() {
            None
        } else {
            let proxy = Proxy::bind(proxy::Settings {
                listen: config.listen(),
                workers: config.workers(),
                limits: config.limits().clone(),
                table: Arc::new(table),
                names: Names::of_system(),
                grace: config.drain(),
            });
            Some(proxy.map_err(bound("listen", config.listen()))?)
        };
        let admin = std::net::TcpListener::bind(config.admin())
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(bound("admin", config.admin()))?;
        let entries = config.routes().iter().zip(&breakers);
        let entries =
            entries.map(|(route, breaker)| Entry::new(breaker.clone(), route.policy().clone()));
        Ok(Self {
            token: config.token().cloned(),
            registry: Registry::new(entries, config.policies().clone()),
            admin_address: admin.local_addr().map_err(bound("admin", config.admin()))?,
            proxy,
            ingest,
            admin,
            breakers,
            catalog,
            settings,
            drain: config.drain(),
            recording: None,
        })
    }

    /// Records the proxy's requests from now on.
    ///
    /// # Errors
    /// When the file can't be written to.
    pub fn record(&mut self, settings: &recording::Settings) -> Result<(), StartError> {
        let started = Recording::start(settings, &self.catalog.routes);
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
    pub fn breakers(&self) -> &[BreakerHandle] {
        &self.breakers
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
        for breaker in self.breakers {
            tasks.spawn(follow(breaker, telemetry.clone(), live.clone()));
        }
        tasks.spawn(live.clone().run());
        let admin = Admin {
            registry: self.registry,
            telemetry: telemetry.clone(),
            live,
            readiness: readiness.clone(),
            token: self.token,
            reload: None,
        };
        tasks.spawn(admin.serve(TcpListener::from_std(self.admin)?, std::future::pending()));

        let receiving = self.ingest.map(|ingest| {
            telemetry.show_received(&ingest.received());
            tokio::spawn(ingest.run(stopped.clone()))
        });
        let catalog = self.catalog;
        let (tape, writing) = self.recording.unzip();
        let observers = move || {
            Observers::new(telemetry.recorder(catalog.clone()))
                .traced(telemetry.tracer(catalog.clone()))
                .taped(tape.clone())
        };
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
        end(exporting, tasks).await;
        Ok(())
    }
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
    if config.admin().ip().is_loopback() || config.token().is_some() {
        return Ok(());
    }
    let rule = "admin: must be a loopback address, or changes must need a token: \
                set control.token_file, --control-token-file or BREAKER_CONTROL_TOKEN";
    Err(StartError::Setting(rule.to_owned()))
}

fn breaker(route: &config::Route) -> BreakerHandle {
    let (name, policy) = (route.name().clone(), route.policy().clone());
    let breaker = match route.upstream() {
        Some(_) => BreakerHandle::new(name, policy),
        None => BreakerHandle::telemetry_only(name, policy),
    };
    breaker.force(route.mode());
    breaker
}

/// A route of the proxy, unless it is one that only others ask for.
fn proxied(route: &config::Route, breaker: &BreakerHandle) -> Option<proxy::Route> {
    Some(proxy::Route {
        breaker: breaker.clone(),
        matches: route.matches().clone(),
        upstream: route.upstream()?.clone(),
        timeout: route.timeout(),
        body: route.body().clone(),
        max_in_flight: route.max_in_flight(),
    })
}

/// Tells telemetry and watchers what a breaker does.
async fn follow(breaker: BreakerHandle, telemetry: Telemetry, live: Live) {
    let mut events = breaker.subscribe();
    while let Some(event) = events.recv().await {
        telemetry.event(breaker.name(), &event);
        if let Some(event) = live::Event::told(breaker.name(), &event) {
            live.tell(event);
        }
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
