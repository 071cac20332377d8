//! The data path: from a client's socket to an upstream's and back.
//!
//! # Life of a request
//!
//! Each worker is a thread with a runtime, a listening socket and connection pools of its own. A
//! connection is first `park`ed: a socket, a deadline and no buffers. Its first bytes tell HTTP/1
//! from HTTP/2; hyper then parses requests and calls `front`, which checks each one (`check`),
//! brings its path into the one form that counts (`path`), finds its route (`route`) and hands it
//! to the route's `stack`: the breaker, and below it `forward`, which takes a connection from the
//! pool, adds and strips header fields (`headers`) and waits for the response's head. Bodies
//! (`body`) are streamed both ways by the same task. Whatever the proxy answers itself is made in
//! `respond`.

use std::io;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};

use crate::access::Journal;
use crate::message::Recorder;
use crate::sockets::{ListenAddress, Listening};
use crate::tls::Server;
use crate::upstream::directory::Directory;
use crate::upstream::keeper::Keeper;
use crate::upstream::{Happened, Names, Upstream};

mod connection;
mod deadline;
mod fallback;
mod forward;
mod frames;
mod front;
mod generation;
mod handshake;
mod http1;
mod http2;
mod interim;
mod judge;
mod listener;
mod park;
mod socket;
mod stack;
mod stream;
mod tape;
mod trace;
mod worker;

pub(crate) mod age;
mod body;
pub(crate) mod check;
pub(crate) mod limits;
pub(crate) mod path;
pub(crate) mod reserved;
pub(crate) mod respond;
pub(crate) mod retry;
pub(crate) mod route;
pub(crate) mod via;

pub use body::ResponseBody;
pub use deadline::DeadlineRules;
pub use fallback::{Fallback, FixedAnswer};
pub use forward::Forward;
pub use limits::Limits;
pub use path::PathRules;
pub use retry::{Retries, RetryOn, RetryRules};
pub use route::{Match, Route, RouteError, RouteTable};
pub use tape::{Exchange, RequestRecorder};
pub use trace::{Span, Tracer};

/// What a proxy is made of.
#[derive(Debug, Clone)]
pub struct ProxySettings {
    /// Where it listens.
    pub listen: ListenAddress,
    /// Threads; at least one.
    pub workers: usize,
    /// Bounds on clients.
    pub limits: Limits,
    /// Where requests go, at first.
    pub table: Arc<RouteTable>,
    /// Where names of endpoints are looked up.
    pub names: Names,
    /// Time that connections have to end when the proxy shuts down.
    pub grace: Duration,
}

/// Who is told of one worker's requests; made on its thread, anew for each table.
#[expect(
    missing_debug_implementations,
    reason = "observers are whatever telemetry makes of them"
)]
pub struct Observers {
    recorder: Box<dyn Recorder>,
    tracer: Option<Box<dyn Tracer>>,
    tape: Option<Box<dyn RequestRecorder>>,
    access: Option<Journal>,
}

/// A proxy whose sockets are bound.
#[derive(Debug)]
pub struct Proxy {
    settings: WorkerSettings,
    names: Names,
    routes: Routes,
    happened: mpsc::UnboundedSender<Happened>,
    listeners: Vec<Listening>,
    address: ListenAddress,
}

/// What stays as it is for as long as a worker runs.
#[derive(Debug, Clone)]
struct WorkerSettings {
    limits: Limits,
    grace: Duration,
    tls: Option<Server>,
}

/// Where the requests of a proxy go; clones are those of the same proxy.
#[derive(Debug, Clone)]
pub struct Routes {
    tables: watch::Sender<Arc<RouteTable>>,
    /// There from the start of the workers on.
    keeper: Arc<OnceLock<Keeper>>,
}

/// A proxy that runs.
#[derive(Debug)]
pub struct Running {
    workers: Vec<JoinHandle<io::Result<()>>>,
}

impl Proxy {
    /// Binds the listening sockets.
    ///
    /// # Errors
    ///
    /// Fails if the address is not ours or taken.
    pub fn bind(settings: ProxySettings) -> io::Result<Self> {
        let listeners = listener::bind(
            &settings.listen,
            settings.workers,
            settings.limits.tcp_keepalive,
        )?;
        let address = listeners[0].address()?;
        Ok(Self {
            settings: WorkerSettings {
                limits: settings.limits,
                grace: settings.grace,
                tls: None,
            },
            names: settings.names,
            routes: Routes {
                tables: watch::Sender::new(settings.table),
                keeper: Arc::default(),
            },
            happened: mpsc::unbounded_channel().0,
            listeners,
            address,
        })
    }

    /// Returns the address that it listens on.
    pub fn local_addr(&self) -> ListenAddress {
        self.address.clone()
    }

    /// Returns what replaces its routes while it runs.
    pub fn routes(&self) -> Routes {
        self.routes.clone()
    }

    /// Tells what happens to the endpoints of upstreams to who holds the other end of `tell`.
    #[must_use]
    pub fn telling(mut self, tell: mpsc::UnboundedSender<Happened>) -> Self {
        self.happened = tell;
        self
    }

    /// Has clients speak TLS.
    #[must_use]
    pub fn secured(mut self, tls: Option<Server>) -> Self {
        self.settings.tls = tls;
        self
    }

    /// Starts the workers; they end when `shutdown` turns true, or its sender is gone, and their
    /// connections have ended or the grace period has. `observers` makes each worker's observers,
    /// on its thread, for a table.
    ///
    /// # Errors
    ///
    /// Fails if a thread cannot be started.
    pub fn start<F>(self, shutdown: &watch::Receiver<bool>, observers: F) -> io::Result<Running>
    where
        F: Fn(&RouteTable) -> Observers + Send + Clone + 'static,
    {
        let Self {
            settings,
            names,
            routes,
            happened,
            listeners,
            ..
        } = self;
        let directory = Directory::start(names)?;
        let keeper = Keeper::new(directory.clone(), happened);
        keeper.keep(routes.tables.borrow().upstreams());
        // It is started once: `self` is used up.
        let _ = routes.keeper.set(keeper);
        let tables = routes.tables;
        let start = |(index, listener)| {
            let (settings, shutdown) = (settings.clone(), shutdown.clone());
            let (tables, observers) = (tables.subscribe(), observers.clone());
            let directory = directory.clone();
            let work =
                move || run_worker(listener, settings, directory, tables, shutdown, observers);
            std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(work)
        };
        let workers = listeners
            .into_iter()
            .enumerate()
            .map(start)
            .collect::<io::Result<_>>()?;
        Ok(Running { workers })
    }
}

impl Routes {
    /// Where requests go by `table`, of a proxy that does not run.
    #[cfg(test)]
    pub(crate) fn of(table: Arc<RouteTable>) -> Self {
        Self {
            tables: watch::Sender::new(table),
            keeper: Arc::default(),
        }
    }

    /// Sends requests that begin from now on by `table`. Those under way end as they began, and
    /// connections of clients go on. Routes of the same name go on counting their requests in
    /// flight; connections to an upstream stay where it is the same [`Arc`].
    pub fn replace(&self, table: Arc<RouteTable>) {
        table.inherit(&self.tables.borrow());
        if let Some(keeper) = self.keeper.get() {
            keeper.keep(table.upstreams());
        }
        self.tables.send_replace(table);
    }

    /// The retries of the routes that have some, each with its name.
    pub(crate) fn retries(&self) -> Vec<(Arc<str>, Arc<Retries>)> {
        let table = self.tables.borrow().clone();
        let routes = table.routes().iter();
        routes
            .filter_map(|route| Some((route.name().clone(), route.retries.clone()?)))
            .collect()
    }

    /// The upstreams that requests go to, in the order of their routes.
    pub(crate) fn upstreams(&self) -> Vec<Arc<Upstream>> {
        self.tables.borrow().upstreams().to_vec()
    }
}

impl Observers {
    /// Tells `recorder` of each finished request.
    pub fn new(recorder: impl Recorder + 'static) -> Self {
        Self {
            recorder: Box::new(recorder),
            tracer: None,
            tape: None,
            access: None,
        }
    }

    /// Lets `tracer` make a span of each request, if there is one.
    #[must_use]
    pub fn traced(self, tracer: Option<impl Tracer + 'static>) -> Self {
        Self {
            tracer: tracer.map(|tracer| Box::new(tracer) as Box<dyn Tracer>),
            ..self
        }
    }

    /// Records each request that was not rejected, if there is a `tape`.
    #[must_use]
    pub fn taped(self, tape: Option<impl RequestRecorder + 'static>) -> Self {
        Self {
            tape: tape.map(|tape| Box::new(tape) as Box<dyn RequestRecorder>),
            ..self
        }
    }

    /// Writes lines of the access log, if there is one.
    #[must_use]
    pub fn logged(self, access: Option<Journal>) -> Self {
        Self { access, ..self }
    }
}

impl Running {
    /// Waits until all workers have ended.
    ///
    /// # Errors
    ///
    /// Fails if a worker could not run.
    pub fn join(self) -> io::Result<()> {
        for worker in self.workers {
            worker
                .join()
                .map_err(|_panic| io::Error::other("a worker panicked"))??;
        }
        Ok(())
    }
}

fn run_worker(
    listener: Listening,
    settings: WorkerSettings,
    directory: Directory,
    tables: watch::Receiver<Arc<RouteTable>>,
    shutdown: watch::Receiver<bool>,
    observers: impl Fn(&RouteTable) -> Observers + 'static,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let listener = listener.into_async()?;
        let worker = Rc::new(worker::Worker::new(
            settings.limits,
            settings.tls,
            tables,
            directory,
            Box::new(observers),
        ));
        worker.run(listener, shutdown, settings.grace).await;
        Ok(())
    })
}
