//! One thread's share of the proxy: its listener, its connections, its pools. Nothing in it is
//! shared.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, interval, timeout};

use super::Observers;
use super::generation::RouteSnapshot;
use super::limits::Limits;
use super::listener::accept;
use super::route::RouteTable;
use super::stream::Streams;
use crate::message::body::buffer;
use crate::message::limited::Limit;
use crate::message::spawn::{Kind, LocalExecutor};
use crate::message::timers::Timers;
use crate::sockets::Listener;
use crate::tls::{Server, UnderWay};
use crate::upstream::directory::Directory;

/// What the connections of one thread share.
pub(crate) struct Worker {
    pub(crate) limits: Limits,
    pub(crate) timers: Rc<Timers>,
    pub(crate) http1: http1::Builder,
    pub(crate) http2: http2::Builder<Streams>,
    /// What clients must speak, if they are to speak TLS.
    pub(crate) tls: Option<Server>,
    pub(crate) handshakes: UnderWay,
    /// What parked connections are read into.
    pub(crate) scratch: RefCell<Box<[u8]>>,
    directory: Directory,
    observe: Box<dyn Fn(&RouteTable) -> Observers>,
    /// Where a reload puts the table.
    tables: RefCell<watch::Receiver<Arc<RouteTable>>>,
    current: RefCell<Rc<RouteSnapshot>>,
    is_draining: Cell<bool>,
    drain: Notify,
    open: Cell<usize>,
    closed: Notify,
    unparked: Cell<usize>,
}

/// Counts a connection for as long as it lives.
pub(crate) struct Open(Rc<Worker>);

/// Counts a connection that has buffers, for as long as it lives.
pub(crate) struct Unparked<'a>(&'a Cell<usize>);

impl Worker {
    pub(crate) fn new(
        limits: Limits,
        tls: Option<Server>,
        mut tables: watch::Receiver<Arc<RouteTable>>,
        directory: Directory,
        observe: Box<dyn Fn(&RouteTable) -> Observers>,
    ) -> Self {
        let timers = Rc::new(Timers::default());
        let table = tables.borrow_and_update().clone();
        let observers = observe(&table);
        let first = RouteSnapshot::new(table, observers, &directory, &timers, &limits, None);
        let mut http1 = http1::Builder::new();
        http1
            .max_header_size(limits.header_bytes)
            .max_buf_size(buffer(limits.header_bytes))
            .header_read_timeout(None)
            // Hang-ups are looked for by the driver.
            .half_close(true);
        let mut http2 = http2::Builder::new(Streams::new(limits.write, &timers));
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(Some(PING_INTERVAL))
            .keep_alive_timeout(PING_TIMEOUT)
            .max_concurrent_streams(limits.streams)
            // What is over the limit is answered by us, and counted; far above it by the protocol.
            .max_header_list_size(u32::try_from(2 * limits.header_bytes).unwrap_or(u32::MAX))
            .max_send_buf_size(SEND_BUFFER);
        Self {
            limits,
            timers,
            http1,
            http2,
            tls,
            handshakes: UnderWay::default(),
            scratch: RefCell::new(vec![0; SCRATCH].into_boxed_slice()),
            directory,
            observe,
            tables: RefCell::new(tables),
            current: RefCell::new(Rc::new(first)),
            is_draining: Cell::new(false),
            drain: Notify::new(),
            open: Cell::new(0),
            closed: Notify::new(),
            unparked: Cell::new(0),
        }
    }

    /// Serves the listener until `shutdown` turns true, then lets its connections end within
    /// `grace`.
    pub(crate) async fn run(
        self: Rc<Self>,
        listener: Listener,
        mut shutdown: watch::Receiver<bool>,
        grace: Duration,
    ) {
        let worker = self.clone();
        LocalExecutor::spawn(Kind::Worker, async move { worker.prune().await });
        let worker = self.clone();
        LocalExecutor::spawn(Kind::Worker, async move { worker.follow().await });
        tokio::select! {
            () = accept(&self, &listener) => {}
            // A sender that is gone has nothing more to say, and that is a shutdown too.
            _ = shutdown.wait_for(|&shutdown| shutdown) => {}
        }
        drop(listener);
        self.is_draining.set(true);
        self.drain.notify_waiters();
        let emptied = async {
            while self.open.get() > 0 {
                self.closed.notified().await;
            }
        };
        if timeout(grace, emptied).await.is_err() {
            tracing::warn!(
                connections = self.open.get(),
                "the grace period is over, connections are cut"
            );
        }
    }

    /// Closes what has been idle in the pools for too long.
    async fn prune(&self) {
        let mut interval = interval(PRUNE);
        loop {
            interval.tick().await;
            self.generation().prune(Instant::now());
        }
    }

    /// Lets go of what a reload has replaced, while no request comes that would see to it.
    async fn follow(&self) {
        let mut tables = self.tables.borrow().clone();
        while tables.changed().await.is_ok() {
            self.generation();
        }
    }

    /// What the next request is served by. It costs an atomic load to see that there was no reload.
    pub(crate) fn generation(&self) -> Rc<RouteSnapshot> {
        // The sender may be gone: then there are no more reloads.
        if self.tables.borrow().has_changed().unwrap_or(false) {
            self.take_over();
        }
        self.current.borrow().clone()
    }

    fn take_over(&self) {
        let table = self.tables.borrow_mut().borrow_and_update().clone();
        let observers = (self.observe)(&table);
        let before = self.current.borrow().clone();
        let (directory, timers) = (&self.directory, &self.timers);
        let limits = &self.limits;
        let next = RouteSnapshot::new(table, observers, directory, timers, limits, Some(&before));
        before.retire(&next);
        self.current.replace(Rc::new(next));
    }

    /// Counts a connection.
    pub(crate) fn opened(self: &Rc<Self>) -> Open {
        self.open.set(self.open.get() + 1);
        Open(self.clone())
    }

    /// Counts a connection that has buffers.
    pub(crate) fn unparked(&self) -> Unparked<'_> {
        self.unparked.set(self.unparked.get() + 1);
        Unparked(&self.unparked)
    }

    /// Whether so many connections have buffers that idle ones must give theirs back at once.
    pub(crate) fn is_crowded(&self) -> bool {
        self.unparked.get() > self.limits.unparked
    }

    /// Waits until there is room for another connection.
    pub(crate) async fn has_room(&self) {
        if self.open.get() < self.limits.connections {
            return;
        }
        Limit::MaxConnections.acts();
        tracing::warn!(
            limit = self.limits.connections,
            "connection limit reached, new connections wait"
        );
        while self.open.get() >= self.limits.connections {
            self.closed.notified().await;
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.get()
    }

    /// Waits until the worker drains.
    pub(crate) async fn drained(&self) {
        let drained = self.drain.notified();
        if !self.is_draining.get() {
            drained.await;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.closed.notify_waiters();
    }
}

impl Drop for Unparked<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// How often idle upstream connections are looked at.
const PRUNE: Duration = Duration::from_secs(1);
/// How often a silent HTTP/2 client is asked whether it is alive.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long it may take to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of an HTTP/2 response that wait for the client, per stream.
const SEND_BUFFER: usize = 64 * 1024;
/// Bytes first read from a connection that was silent.
const SCRATCH: usize = 8 * 1024;
