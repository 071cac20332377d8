//! What keeps the endpoints of upstreams up to date, whether or not requests come: discovery,
//! health checks, and the passing of time.

mod check;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::directory::{Directory, Latest, Question};
use super::happened::{Happened, Occurrence};
use super::instances::InstanceSet;
use super::{Endpoint, Upstream};

/// Keeps the upstreams of a proxy.
#[derive(Debug)]
pub(crate) struct Keeper {
    directory: Directory,
    tell: mpsc::UnboundedSender<Happened>,
    /// What ends the keeping of an upstream, by the address of the upstream.
    kept: Mutex<HashMap<usize, watch::Sender<()>>>,
}

impl Keeper {
    /// Keeps nothing yet. What happens is sent to `tell`.
    pub(crate) fn new(directory: Directory, tell: mpsc::UnboundedSender<Happened>) -> Self {
        Self {
            directory,
            tell,
            kept: Mutex::default(),
        }
    }

    /// Keeps these upstreams from now on, and no others.
    pub(crate) fn keep(&self, upstreams: &[Arc<Upstream>]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *kept);
        for upstream in upstreams {
            let address = Arc::as_ptr(upstream).addr();
            let ends = before.remove(&address);
            let ends = ends.or_else(|| self.begin(upstream));
            kept.extend(ends.map(|ends| (address, ends)));
        }
    }

    /// Begins to keep an upstream, if there is something to do for it.
    fn begin(&self, upstream: &Arc<Upstream>) -> Option<watch::Sender<()>> {
        if upstream.is_single() && upstream.health.is_none() {
            return None;
        }
        let (ends, mut ended) = watch::channel(());
        let (upstream, directory) = (upstream.clone(), self.directory.clone());
        let tell = self.tell.clone();
        self.directory.spawn(async move {
            let set = upstream.instances().clone();
            let discovering = discover(&upstream, &set, &directory, &tell);
            let checking = check::run(&upstream, &set, &directory);
            let telling = watch_over(&set, &tell);
            tokio::select! {
                () = discovering => {}
                () = checking => {}
                () = telling => {}
                // A sender that is gone says it.
                _ = ended.changed() => {}
            }
        });
        Some(ends)
    }
}

/// Follows the name of the upstream's endpoints; for ever.
async fn discover(
    upstream: &Upstream,
    set: &InstanceSet,
    directory: &Directory,
    tell: &mpsc::UnboundedSender<Happened>,
) {
    let question = match upstream.endpoints.first() {
        Some(Endpoint::Name(name, _)) if upstream.discovered => Question::Host(name.clone()),
        Some(Endpoint::Service(name)) => Question::Service(name.clone()),
        _ => return std::future::pending().await,
    };
    let mut followed = directory.follow(&question);
    loop {
        let discovered = match followed.next().await {
            Latest::Found(targets) => set.found(upstream, &targets),
            Latest::Unknown(kind, why) => set.lost(kind, why),
            Latest::Awaited => None,
        };
        if let Some(discovered) = discovered {
            let what = Occurrence::Discovered(discovered);
            happened(set, None, what, tell);
        }
    }
}

/// Lets time pass, and tells what happens; for ever.
async fn watch_over(set: &InstanceSet, tell: &mpsc::UnboundedSender<Happened>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for (event, endpoint) in set.events() {
            happened(set, endpoint, Occurrence::Endpoints(event), tell);
        }
    }
}

/// Logs what happened, and tells it.
fn happened(
    set: &InstanceSet,
    endpoint: Option<Endpoint>,
    what: Occurrence,
    tell: &mpsc::UnboundedSender<Happened>,
) {
    let happened = Happened {
        upstream: set.name().clone(),
        endpoint,
        what,
    };
    let (upstream, reason) = (&*happened.upstream, happened.label());
    let endpoint = happened.endpoint.as_ref().map(tracing::field::display);
    match happened.is_bad() {
        true => tracing::warn!(upstream, endpoint, reason, "{happened}"),
        false => tracing::info!(upstream, endpoint, reason, "{happened}"),
    }
    // Nobody may want to hear it.
    let _ = tell.send(happened);
}

/// How often time passes for the endpoints of an upstream without requests.
const TICK: Duration = Duration::from_millis(200);
