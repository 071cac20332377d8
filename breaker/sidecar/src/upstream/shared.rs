//! The HTTP/2 connections of one worker to one endpoint.
//!
//! Requests share a connection up to the number of streams that its peer takes, and then take
//! another one. The first that has room is used, so that those behind it become idle when there is
//! less to do, and are closed.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::multiplex::{Multiplex, StreamSlot};
use crate::message::error::{ErrorKind, ProxyError};
use crate::message::spawn::{Kind, LocalExecutor};

/// The HTTP/2 connections to one endpoint.
#[derive(Default)]
pub(super) struct SharedConnections {
    connections: RefCell<Vec<Rc<Multiplex>>>,
    /// The connection that is being opened, for all who wait for one.
    opening: RefCell<Option<Opening>>,
    /// Told when a connection takes more requests, or none.
    changed: Rc<Notify>,
}

/// Comes to why it failed, or to nothing if it did not.
type Opening = future::Shared<oneshot::Receiver<Arc<ProxyError>>>;

/// Ends the opening, however that ends.
struct End(Rc<SharedConnections>);

impl SharedConnections {
    pub(super) fn changed(&self) -> Rc<Notify> {
        self.changed.clone()
    }

    /// A place on a connection, which `open` makes if there is none. That there can't be one is an
    /// error at once: nobody waits for another's stream to end.
    pub(super) async fn place<F>(
        self: &Rc<Self>,
        open: impl Fn() -> F,
    ) -> Result<StreamSlot, ProxyError>
    where
        F: Future<Output = Result<Multiplex, ProxyError>> + 'static,
    {
        loop {
            let changed = self.changed.notified();
            if let Some(place) = self.find() {
                return Ok(place);
            }
            let opening = self.opening.borrow().clone();
            let opening = match opening {
                Some(opening) => opening,
                // It has room for one, and soon says for how many more.
                None if self.has_untold() => {
                    changed.await;
                    continue;
                }
                None if self.connections.borrow().len() >= CONNECTIONS_MAX => {
                    return Err(self.full().into());
                }
                None => self.begin(open()),
            };
            if let Ok(failure) = opening.await {
                let kind = failure.kind();
                return Err(ProxyError::caused_by(kind, failure));
            }
        }
    }

    fn find(&self) -> Option<StreamSlot> {
        let mut connections = self.connections.borrow_mut();
        // Those that end finish their streams.
        connections.retain(|connection| !connection.is_over());
        connections.iter().find_map(Multiplex::place)
    }

    /// Adds a connection, unless there are so many that nobody can need it.
    pub(super) fn add(&self, opened: Multiplex) {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| !connection.is_over());
        if connections.len() < CONNECTIONS_MAX {
            connections.push(Rc::new(opened));
        }
        drop(connections);
        self.changed.notify_waiters();
    }

    /// Whether there is a connection that takes requests.
    pub(super) fn has_room(&self) -> bool {
        let connections = self.connections.borrow();
        connections.iter().any(|connection| !connection.is_over())
    }

    /// Lets connections take no further requests that `is_stale` says so of; they finish their
    /// streams.
    pub(super) fn let_go(&self, is_stale: impl Fn(&Multiplex) -> bool) {
        for connection in &*self.connections.borrow() {
            if is_stale(connection) {
                connection.give_up();
            }
        }
    }

    /// Why no connection has room: as many streams as it takes are in use, and more connections are
    /// not opened; or it takes none at all.
    fn full(&self) -> ErrorKind {
        let connections = self.connections.borrow();
        match connections.iter().all(|connection| connection.takes_none()) {
            true => ErrorKind::Refused,
            false => ErrorKind::NoStream,
        }
    }

    fn has_untold(&self) -> bool {
        let connections = self.connections.borrow();
        connections.iter().any(|connection| connection.is_untold())
    }

    /// Opens a connection by itself: it goes on if the request that asked for it is gone. Its end
    /// is that of `open`, which has a deadline.
    fn begin<F>(self: &Rc<Self>, open: F) -> Opening
    where
        F: Future<Output = Result<Multiplex, ProxyError>> + 'static,
    {
        let (fails, failed) = oneshot::channel();
        let opening = failed.shared();
        *self.opening.borrow_mut() = Some(opening.clone());
        let end = End(self.clone());
        LocalExecutor::spawn(Kind::Upstream, async move {
            let opened = open.await;
            let shared = &end.0;
            match opened {
                Ok(opened) => shared.connections.borrow_mut().push(Rc::new(opened)),
                // Whoever has waited for it may be gone.
                Err(error) => drop(fails.send(Arc::new(error))),
            }
        });
        opening
    }

    /// Lets go of all connections; those in use end with their streams.
    pub(super) fn retire(&self) {
        self.connections.take();
    }

    /// Closes what takes no more requests, and of several connections those that have been unused
    /// for `limit`.
    pub(super) fn prune(&self, now: Instant, limit: Duration) {
        let mut is_first = true;
        self.connections.borrow_mut().retain(|connection| {
            let is_old = connection
                .idle_since()
                .is_some_and(|since| now.duration_since(since) >= limit);
            let stays = !connection.is_over() && (is_first || !is_old);
            is_first &= !stays;
            stays
        });
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.opening.take();
    }
}

/// Connections to one endpoint of one worker.
pub(super) const CONNECTIONS_MAX: usize = 8;
