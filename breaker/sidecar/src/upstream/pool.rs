//! One worker's connections to one upstream.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::breaker_core::{Candidate, EndpointId};
use tokio::time::{Instant, timeout};

use super::attempt::{Attempt, Tracked};
use super::connections::{Connections, Opened};
use super::directory::{Directory, Question};
use super::instances::{Instance, InstanceSet};
use super::{Endpoint, HeadLimits, Upstream};
use crate::message::error::ProxyError;

/// The connections of one worker to one upstream.
pub(crate) struct Pool {
    upstream: Arc<Upstream>,
    set: Arc<InstanceSet>,
    endpoints: RefCell<Endpoints>,
    /// Differs from request to request.
    draw: Cell<u64>,
    head: HeadLimits,
    tcp_keepalive: Option<Duration>,
    directory: Directory,
}

/// The endpoints of an upstream, as a worker has seen them last.
#[derive(Default)]
struct Endpoints {
    version: Option<u64>,
    /// In the order of their ids.
    connections: Vec<Rc<Connections>>,
}

/// Where an attempt goes.
pub(crate) struct Chosen {
    pub(crate) connections: Rc<Connections>,
    /// For who judges the endpoints, if there are several.
    pub(crate) tracked: Option<Tracked>,
}

impl Pool {
    /// Makes a pool without connections.
    pub(crate) fn new(
        upstream: Arc<Upstream>,
        head: HeadLimits,
        tcp_keepalive: Option<Duration>,
        directory: &Directory,
    ) -> Self {
        Self {
            set: upstream.instances().clone(),
            upstream,
            endpoints: RefCell::default(),
            draw: Cell::new(RandomState::new().hash_one(0)),
            head,
            tcp_keepalive,
            directory: directory.clone(),
        }
    }

    /// Takes over a change of the endpoints. Connections to those that are gone end with their
    /// requests.
    fn follow(&self) {
        if self.endpoints.borrow().version == Some(self.set.version()) {
            return;
        }
        let (current, version) = self.set.current();
        let mut endpoints = self.endpoints.borrow_mut();
        let before = std::mem::take(&mut endpoints.connections);
        let mut before = before.into_iter().peekable();
        for instance in &current.instances {
            while let Some(gone) = before.next_if(|known| known.id() < instance.id) {
                gone.retire();
            }
            let kept = before.next_if(|known| known.id() == instance.id);
            let connections = kept.unwrap_or_else(|| self.connections(instance));
            endpoints.connections.push(connections);
        }
        before.for_each(|gone| gone.retire());
        endpoints.version = Some(version);
    }

    fn connections(&self, instance: &Instance) -> Rc<Connections> {
        let name = match &instance.endpoint {
            Endpoint::Name(host, _) => Some(self.directory.follow(&Question::Host(host.clone()))),
            Endpoint::Address(_) | Endpoint::Service(_) | Endpoint::Unix(_) => None,
        };
        let (upstream, limits) = (self.upstream.clone(), (self.head, self.tcp_keepalive));
        Rc::new(Connections::new(instance, upstream, name, limits))
    }

    pub(crate) const fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// The endpoint of the next attempt: none of those that were `tried`. `None` if there is none.
    pub(crate) fn pick(&self, tried: &[EndpointId]) -> Option<Chosen> {
        self.follow();
        let endpoints = self.endpoints.borrow();
        match &*endpoints.connections {
            [] => None,
            [only] => {
                if self.upstream.health.is_some() {
                    self.set.is_used();
                }
                (!tried.contains(&only.id())).then(|| Chosen {
                    connections: only.clone(),
                    tracked: None,
                })
            }
            several => self.choose(several, tried),
        }
    }

    fn choose(&self, several: &[Rc<Connections>], tried: &[EndpointId]) -> Option<Chosen> {
        let draw = self.draw.get().wrapping_add(1);
        self.draw.set(draw);
        let find = |id| {
            let place = several.binary_search_by_key(&id, |known| known.id()).ok()?;
            several.get(place)
        };
        let candidate = |id| match find(id) {
            Some(connections) if !tried.contains(&id) => match connections.has_idle() {
                true => Candidate::Idle,
                false => Candidate::Fresh,
            },
            // It has come or gone just now.
            _ => Candidate::Tried,
        };
        let now = self.set.now();
        self.set.is_used();
        let mut state = self.set.state();
        let pick = state.pick(now, draw, candidate)?;
        let attempt = state.begin(pick, now);
        drop(state);
        let tracked = Tracked::new(self.set.clone(), attempt);
        Some(Chosen {
            connections: find(pick.id())?.clone(),
            tracked: Some(tracked),
        })
    }

    /// Whether there is one endpoint alone.
    pub(crate) fn is_single(&self) -> bool {
        self.endpoints.borrow().connections.len() == 1
    }

    /// Waits for the first endpoint of an upstream whose endpoints are found by name.
    pub(crate) async fn found(&self) -> Result<Chosen, ProxyError> {
        let limit = self.upstream.connect_timeout;
        // What is late is told below.
        let _ = timeout(limit, self.set.known()).await;
        self.pick(&[]).ok_or_else(|| self.set.current().0.error())
    }

    /// A new connection to `first`, or one to another endpoint if that can't be connected to; then
    /// `attempt` becomes an attempt at that one.
    pub(crate) async fn open(
        &self,
        first: Rc<Connections>,
        attempt: &mut Attempt,
        tried: &mut Vec<EndpointId>,
        is_switch: bool,
    ) -> Result<(Opened, Rc<Connections>), ProxyError> {
        let mut connections = first;
        loop {
            let failure = match connections.open(is_switch).await {
                Ok(opened) => return Ok((opened, connections)),
                Err(failure) => failure,
            };
            tried.push(connections.id());
            let Some(next) = self.pick(tried) else {
                return Err(failure);
            };
            connections = next.connections.clone();
            attempt.again(failure.kind(), next);
            if connections.chose_http2() && !is_switch {
                return Ok((Opened::Http2, connections));
            }
            if let Some(exchange) = connections.take_idle() {
                return Ok((Opened::Http1(exchange), connections));
            }
        }
    }

    /// Closes what is unused, and keeps nothing that is given back: no further requests will come.
    /// Those under way go on.
    pub(crate) fn retire(&self) {
        for connections in &self.endpoints.borrow().connections {
            connections.retire();
        }
    }

    /// Closes what has been unused for too long, or was closed by the upstream, or goes where
    /// nothing of this upstream is any more.
    pub(crate) fn prune(&self, now: Instant) {
        if self.endpoints.borrow().version.is_some() {
            self.follow();
        }
        for connections in &self.endpoints.borrow().connections {
            connections.prune(now);
        }
    }
}
