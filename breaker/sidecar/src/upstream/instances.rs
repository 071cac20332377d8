//! The endpoints of an upstream as they are now: one set for all workers.
//!
//! Workers read which endpoints there are only when the version of the set changes. What each
//! endpoint does is kept by the core, behind one lock that is held for less than a microsecond; an
//! upstream with one endpoint never takes it.

mod identity;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use breaker_tower::breaker_core::{
    EjectReason, EndpointEvent, EndpointId, Endpoints, EndpointsSnapshot, MAX_ENDPOINTS, Timestamp,
};
use tokio::sync::watch;
use tokio::time::Instant;

use self::identity::{id_of, own_share};
use super::happened::Discovered;
use super::resolve::Target;
use super::{Endpoint, Subset, Upstream};
use crate::message::error::{ErrorKind, ProxyError};

/// The set of an upstream, made when it is first asked for. Clones and comparisons of an upstream
/// are of what was configured, so a clone has none and all are equal.
#[derive(Default)]
pub struct Instances(OnceLock<Arc<InstanceSet>>);

/// The endpoints of an upstream.
pub(crate) struct InstanceSet {
    /// The name of the upstream.
    name: Arc<str>,
    started: Instant,
    current: Mutex<Arc<Current>>,
    version: AtomicU64,
    state: Mutex<Endpoints>,
    /// When a request last came, in milliseconds since `started`.
    used: AtomicU64,
    /// Whether there are endpoints, or never will be.
    known: watch::Sender<bool>,
    /// Ejections so far, by the word of their reason.
    ejections: Mutex<BTreeMap<&'static str, u64>>,
}

/// Which endpoints there are.
#[derive(Debug)]
pub(crate) struct Current {
    /// In the order of their ids.
    pub(crate) instances: Vec<Instance>,
    /// How many there are in all, where only some are used.
    pub(crate) found: usize,
    /// Why there are none.
    unknown: Option<(ErrorKind, Arc<str>)>,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) id: EndpointId,
    pub(crate) endpoint: Endpoint,
    pub(crate) weight: u32,
    /// The position in the configuration of what it comes from.
    pub(crate) position: usize,
}

// === impl Instances ===

impl Instances {
    /// The set of `upstream`, whose field this is.
    pub(super) fn of(&self, upstream: &Upstream) -> &Arc<InstanceSet> {
        self.0.get_or_init(|| Arc::new(InstanceSet::new(upstream)))
    }

    /// Goes on with the set that the upstream of this name had before a reload.
    pub(super) fn inherit(&self, upstream: &Upstream, before: &Arc<InstanceSet>) {
        if self.0.set(before.clone()).is_ok() {
            before.configure(upstream);
        }
    }
}

impl Clone for Instances {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Instances {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for Instances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instances").finish_non_exhaustive()
    }
}

// === impl InstanceSet ===

impl InstanceSet {
    fn new(upstream: &Upstream) -> Self {
        let settings = upstream.balancing.clone();
        let seed = id_of(&upstream.name, 0).0;
        let endpoints = Endpoints::new(settings, seed, Timestamp::ZERO);
        let set = Self {
            name: upstream.name.as_str().into(),
            started: Instant::now(),
            current: Mutex::new(Arc::new(Current {
                instances: Vec::new(),
                found: 0,
                unknown: None,
            })),
            version: AtomicU64::new(0),
            state: Mutex::new(endpoints.expect("settings are checked where they are read")),
            used: AtomicU64::new(0),
            known: watch::Sender::new(false),
            ejections: Mutex::new(EjectReason::LABELS.map(|label| (label, 0)).into()),
        };
        if !upstream.discovered {
            set.replace(fixed(upstream), upstream.subset);
        }
        set
    }

    /// Takes other settings, and other endpoints if they are configured one by one.
    fn configure(&self, upstream: &Upstream) {
        let settings = upstream.balancing.clone();
        let now = self.now();
        // Checked where they were read.
        let _ = self.state().set_settings(settings, now);
        if upstream.health.is_none() {
            self.state().forget_checks(now);
        }
        if !upstream.discovered {
            self.replace(fixed(upstream), upstream.subset);
        }
    }

    /// The name of the upstream.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The time since the set was made.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.started.elapsed()
    }

    /// What the core keeps of each endpoint.
    pub(crate) fn state(&self) -> MutexGuard<'_, Endpoints> {
        // The core is whole after each call, and a panic elsewhere must not end all requests.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rises with each change of the endpoints.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Which endpoints there are, and the version of that.
    pub(crate) fn current(&self) -> (Arc<Current>, u64) {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        (current.clone(), self.version())
    }

    /// Waits until it is known which endpoints there are.
    pub(crate) async fn known(&self) {
        // The sender lives as long as this.
        let _ = self.known.subscribe().wait_for(|known| *known).await;
    }

    /// A request has come.
    pub(crate) fn is_used(&self) {
        let now = self.started.elapsed().as_millis() as u64;
        self.used.store(now, Ordering::Relaxed);
    }

    /// How long no request has come.
    pub(crate) fn unused_for(&self) -> Duration {
        let used = Duration::from_millis(self.used.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(used)
    }

    /// Uses what a name server has found, or what the subset leaves of that. Says so if that is
    /// other than before.
    pub(crate) fn found(&self, upstream: &Upstream, targets: &[Target]) -> Option<Discovered> {
        let port = match upstream.endpoints.first() {
            Some(Endpoint::Name(_, port)) => *port,
            _ => 0,
        };
        let instances = targets.iter().map(|target| {
            let address = SocketAddr::new(target.address, target.port.unwrap_or(port));
            instance(Endpoint::Address(address), u32::from(target.weight), 0)
        });
        self.replace(instances.collect(), upstream.subset)
    }

    /// Nothing is found, and was not for so long that it counts. Says so if that is new.
    pub(crate) fn lost(&self, kind: ErrorKind, why: Arc<str>) -> Option<Discovered> {
        self.put(Vec::new(), 0, Some((kind, why)))
    }

    /// The events that have come, each with the endpoint that it is about.
    pub(crate) fn events(&self) -> Vec<(EndpointEvent, Option<Endpoint>)> {
        let mut events = Vec::new();
        {
            let now = self.now();
            let mut state = self.state();
            state.handle_timeout(now);
            events.extend(std::iter::from_fn(|| state.poll_event()));
        }
        if events.is_empty() {
            return Vec::new();
        }
        for event in &events {
            if let EndpointEvent::Ejected { reason, .. } = event {
                *self.counted().entry(reason.label()).or_default() += 1;
            }
        }
        let (current, _) = self.current();
        let endpoint = |event: &EndpointEvent| match event {
            EndpointEvent::Ejected { id, .. } | EndpointEvent::Readmitted { id, .. } => current
                .instance(*id)
                .map(|instance| instance.endpoint.clone()),
            _ => None,
        };
        let events = events.into_iter();
        events
            .map(|event| {
                let endpoint = endpoint(&event);
                (event, endpoint)
            })
            .collect()
    }

    /// How often an endpoint was ejected so far, by the word of the reason.
    pub(crate) fn ejections(&self) -> BTreeMap<&'static str, u64> {
        self.counted().clone()
    }

    fn counted(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.ejections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything there is to see.
    pub(crate) fn snapshot(&self) -> (Arc<Current>, EndpointsSnapshot) {
        let (current, _) = self.current();
        let now = self.now();
        let snapshot = self.state().snapshot(now);
        (current, snapshot)
    }

    fn replace(&self, mut instances: Vec<Instance>, subset: Subset) -> Option<Discovered> {
        let mut seen = HashSet::new();
        instances.retain(|instance| seen.insert(instance.id));
        let found = instances.len();
        let size = match subset {
            Subset::OfMany if found > MANY => OF_MANY,
            Subset::Of(size) => size,
            Subset::OfMany | Subset::All => usize::MAX,
        };
        // More would be told apart here, but not by the core.
        own_share(&mut instances, size.min(MAX_ENDPOINTS));
        self.put(instances, found, None)
    }

    fn put(
        &self,
        mut instances: Vec<Instance>,
        found: usize,
        unknown: Option<(ErrorKind, Arc<str>)>,
    ) -> Option<Discovered> {
        instances.sort_unstable_by_key(|instance| instance.id);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let mut discovered = None;
        if current.instances != instances || current.unknown != unknown {
            let kept = instances
                .iter()
                .filter(|it| current.instance(it.id).is_some());
            let kept = kept.count();
            let now_there = Discovered {
                found,
                used: instances.len(),
                added: instances.len() - kept,
                removed: current.instances.len() - kept,
                why: unknown.as_ref().map(|(_, why)| why.clone()),
            };
            let is_other = now_there.added + now_there.removed > 0 || found != current.found;
            discovered = (is_other || unknown.is_some()).then_some(now_there);
            let set = instances.iter().map(|it| (it.id, it.weight));
            let now = self.now();
            self.state().replace(set, now);
            *current = Arc::new(Current {
                instances,
                found,
                unknown,
            });
            self.version.fetch_add(1, Ordering::Release);
        }
        drop(current);
        self.known.send_replace(true);
        discovered
    }
}

impl fmt::Debug for InstanceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceSet")
            .field("name", &self.name)
            .field("current", &self.current().0)
            .finish_non_exhaustive()
    }
}

// === impl Current ===

impl Current {
    /// The endpoint with this id.
    pub(crate) fn instance(&self, id: EndpointId) -> Option<&Instance> {
        let place = self.instances.binary_search_by_key(&id, |it| it.id).ok()?;
        self.instances.get(place)
    }

    /// Why there are none.
    pub(crate) fn error(&self) -> ProxyError {
        match &self.unknown {
            Some((kind, why)) => ProxyError::caused_by(*kind, why.to_string()),
            None => ErrorKind::ResolveTimeout.into(),
        }
    }
}

fn fixed(upstream: &Upstream) -> Vec<Instance> {
    let endpoints = upstream.endpoints.iter().enumerate();
    endpoints
        .map(|(position, endpoint)| instance(endpoint.clone(), 1, position))
        .collect()
}

fn instance(endpoint: Endpoint, weight: u32, position: usize) -> Instance {
    let endpoint = match endpoint {
        // ::ffff:192.0.2.1 is 192.0.2.1, not an endpoint beside it.
        Endpoint::Address(address) => {
            Endpoint::Address(SocketAddr::new(address.ip().to_canonical(), address.port()))
        }
        other => other,
    };
    Instance {
        id: id_of(&endpoint.to_string(), 0),
        endpoint,
        weight,
        position,
    }
}

/// With more endpoints than this not all are used, unless that is asked for.
const MANY: usize = 32;
/// How many are used then.
const OF_MANY: usize = 16;

#[cfg(test)]
mod tests;
