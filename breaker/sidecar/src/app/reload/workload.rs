//! Identities of the SPIFFE Workload API, put in force when an agent says others.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::{ReloadError, Reloader};
use crate::config::Config;
use crate::control::{Identity, Readiness};
use crate::tls::{News, Use, Workload};

/// Listens to those of `heard` and puts in force what they say, for as long as it is polled.
pub(in crate::app) async fn follow_workloads(
    mut heard: mpsc::UnboundedReceiver<Workload>,
    reloader: Reloader,
) {
    let mut following = JoinSet::new();
    loop {
        tokio::select! {
            next = heard.recv() => match next {
                Some(workload) => drop(following.spawn(keep_following(workload, reloader.clone()))),
                None => break,
            },
            Some(_) = following.join_next() => {}
        }
    }
    while following.join_next().await.is_some() {}
}

/// Listens until nobody needs it, also after a panic, if the configuration that runs needs it then.
async fn keep_following(workload: Workload, reloader: Reloader) {
    let agent = workload.to_string();
    let named = |workload: &Workload| workload.to_string() == agent;
    let mut first = Some(workload);
    let begin = || {
        let again = || reloader.workloads().into_iter().find(named);
        let workload = first.take().or_else(again)?;
        Some(follow(workload, reloader.clone()))
    };
    outlast_panics(&agent, begin).await;
}

/// Awaits what begins, and begins again whenever it panics.
pub(super) async fn outlast_panics<F: Future<Output = ()>>(
    agent: &str,
    mut begin: impl FnMut() -> Option<F>,
) {
    while let Some(following) = begin() {
        // What it shares with others is replaced as a whole.
        if AssertUnwindSafe(following).catch_unwind().await.is_ok() {
            return;
        }
        tracing::error!(agent, "listening to the agent panicked and begins again");
        sleep(AFTER_PANIC).await;
    }
}

async fn follow(workload: Workload, reloader: Reloader) {
    let agent: Arc<str> = workload.to_string().into();
    let tell = |news| put_in_force(news, agent.clone(), reloader.clone());
    workload.follow(tell).await;
}

async fn put_in_force(news: News, agent: Arc<str>, reloader: Reloader) {
    let agent = &*agent;
    match news {
        News::Renewed => rotate(&reloader).await,
        News::Withdrawn(why) => {
            tracing::warn!(agent, "identity withdrawn: {why}");
            rotate(&reloader).await;
        }
        News::LeftOut(why) => {
            reloader.0.refused();
            tracing::warn!(agent, "identity renewed, but not all roots: {why}");
        }
        News::Refused(why) => {
            reloader.0.refused();
            tracing::warn!(agent, "identity not renewed, the one before stays: {why}");
        }
        News::Unheard(why) => {
            tracing::warn!(
                agent,
                "identity not heard, the one before stays until it expires: {why}"
            );
        }
    }
}

async fn rotate(reloader: &Reloader) {
    let state = reloader.0.clone();
    // What can't be used was refused before; files beside it are looked at later.
    let _ = spawn_blocking(move || state.rotate()).await;
}

impl Reloader {
    /// The Workload APIs of the configuration that runs. Who asks does not wait for a reload.
    fn workloads(&self) -> Vec<Workload> {
        let mut workloads: Vec<Workload> = Vec::new();
        for workload in self.0.rotating().iter().flat_map(|(_, it)| it.workloads()) {
            if !workloads.contains(&workload) {
                workloads.push(workload);
            }
        }
        workloads
    }

    /// What Workload APIs have said.
    pub(super) fn identities(&self) -> Vec<Identity> {
        let workloads = self.workloads();
        let identities = workloads.iter().map(|workload| {
            let svid = workload.svid();
            let svid = svid.as_deref();
            let domains = svid.into_iter().flat_map(|svid| svid.bundles.keys());
            Identity {
                agent: workload.to_string(),
                id: svid.map(|svid| svid.id.to_string()),
                until: svid.map(|svid| svid.shown.validity.until as f64),
                trust_domains: domains.map(ToString::to_string).collect(),
                error: workload.problem(),
            }
        });
        identities.collect()
    }

    /// Waits until the Workload APIs of the configuration that runs have said who we are.
    pub(super) async fn identified(&self) {
        loop {
            let mut workloads = self.workloads().into_iter();
            let Some(missing) = workloads.find(|it| it.svid().is_none()) else {
                return;
            };
            // Meanwhile another configuration may be in force.
            let _ = timeout(BETWEEN_LOOKS, missing.identified()).await;
        }
    }

    /// Says that the sidecar is ready when it has its identities, and whether it still is, for as
    /// long as it is polled.
    pub(in crate::app) async fn tell(&self, readiness: &Readiness) {
        // Without one it would refuse everybody, or fail requests of some routes.
        self.identified().await;
        loop {
            while self.refuses_clients() {
                sleep(UNTIL_IN_FORCE).await;
            }
            readiness.ready();
            // An identity expires by the clock of the machine, which may jump.
            while !self.refuses_clients() {
                sleep(BETWEEN_LOOKS).await;
            }
            readiness.lacks_identity();
            tracing::warn!("not ready: the identity is over, and clients are refused");
        }
    }

    /// Whether handshakes of the proxy's clients fail for want of an identity. One that only some
    /// upstreams need does not matter: other routes work.
    pub(super) fn refuses_clients(&self) -> bool {
        let rotating = self.0.rotating();
        let mut listeners = rotating.iter().filter(|(of, _)| *of == Use::Listener);
        listeners.any(|(_, it)| it.lacks_identity())
    }
}

/// Waits for what `next` needs of Workload APIs that `running` does not have: an identity that is
/// yet to come would fail requests that are served now.
pub(super) fn await_identities(
    running: &Config,
    next: &Config,
    begin: &mpsc::UnboundedSender<Workload>,
) -> Result<(), ReloadError> {
    let known = running.workloads();
    let new = next.workloads().into_iter();
    for workload in new.filter(|workload| !known.contains(workload)) {
        // Nobody listens for a sidecar that has ended.
        let _ = begin.send(workload.clone());
        let identified = timeout(FIRST_IDENTITY, workload.identified());
        // A reload is a thread of its own, which may wait.
        let identified = tokio::runtime::Handle::current().block_on(identified);
        if identified.is_err() {
            let why = workload.problem();
            return Err(ReloadError::Unidentified(
                workload.to_string(),
                why.unwrap_or_else(|| "the agent says nothing".to_owned()),
            ));
        }
    }
    Ok(())
}

/// How long a reload waits for an identity.
const FIRST_IDENTITY: Duration = Duration::from_secs(5);
const AFTER_PANIC: Duration = Duration::from_secs(1);
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// What was heard is put in force by another task.
const UNTIL_IN_FORCE: Duration = Duration::from_millis(50);
