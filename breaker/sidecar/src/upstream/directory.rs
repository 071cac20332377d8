//! The addresses behind names, looked up by one thread and told to all workers.
//!
//! A name is looked up when its last answer is no longer valid, not when somebody needs it. So a
//! slow name server delays no request but the first, and a change reaches all workers at once.

mod memory;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep};

pub(crate) use self::memory::Latest;
use self::memory::Memory;
use super::resolve::{Names, Resolver, Target};
use crate::message::error::{ErrorKind, ProxyError};
use crate::message::spawn::Kind;

/// What is asked of the name servers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Question {
    /// The addresses of a host.
    Host(String),
    /// The instances of a service, by its SRV records.
    Service(String),
}

/// Follows names. Clones are the same directory; with the last one its thread ends.
#[derive(Clone)]
pub(crate) struct Directory(Arc<KnownNames>);

/// What is known of one name, for who needs its addresses.
#[derive(Clone, Debug)]
pub(crate) struct NameSubscription {
    told: watch::Receiver<Latest>,
    /// Whether [`Self::next`] has told what there is.
    is_told: bool,
}

struct KnownNames {
    followed: Mutex<HashMap<Question, watch::Sender<Latest>>>,
    resolver: watch::Receiver<Resolver>,
    runtime: Handle,
    /// Ends the thread when it is dropped.
    _end: oneshot::Sender<()>,
}

impl Directory {
    /// Starts the thread that looks names up.
    ///
    /// # Errors
    /// When it can't be started.
    pub(crate) fn start(names: Names) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let resolver = Resolver::new(&names).map_err(io::Error::other)?;
        let (resolvers, resolver) = watch::channel(resolver);
        let (end, ended) = oneshot::channel::<()>();
        let handle = runtime.handle().clone();
        let run = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = follow_system(names.is_system(), resolvers) => {}
                    // A sender that is gone says it.
                    _ = ended => {}
                }
            });
            // No name server is waited for.
            runtime.shutdown_background();
        };
        std::thread::Builder::new()
            .name("names".to_owned())
            .spawn(run)?;
        Ok(Self(Arc::new(KnownNames {
            followed: Mutex::default(),
            resolver,
            runtime: handle,
            _end: end,
        })))
    }

    /// Follows the answers to `question`, as long as somebody keeps what is returned.
    pub(crate) fn follow(&self, question: &Question) -> NameSubscription {
        let mut followed = self.0.followed();
        if let Some(tell) = followed.get(question) {
            return NameSubscription::of(tell.subscribe());
        }
        let (tell, told) = watch::channel(Latest::Awaited);
        followed.insert(question.clone(), tell.clone());
        self.spawn(keep(
            Arc::downgrade(&self.0),
            question.clone(),
            tell,
            self.0.resolver.clone(),
        ));
        NameSubscription::of(told)
    }

    /// Runs `work` on the thread of the directory.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let counted = Kind::Name.counted();
        self.0.runtime.spawn(async move {
            let _counted = counted;
            work.await;
        });
    }
}

impl NameSubscription {
    fn of(told: watch::Receiver<Latest>) -> Self {
        Self {
            told,
            is_told: false,
        }
    }

    /// What the name stands for; waits for the first answer.
    pub(crate) async fn targets(&self) -> Result<Arc<[Target]>, ProxyError> {
        let mut told = self.told.clone();
        let latest = told.wait_for(|latest| *latest != Latest::Awaited).await;
        match latest.as_deref() {
            Ok(Latest::Found(targets)) => Ok(targets.clone()),
            Ok(Latest::Unknown(kind, why)) => Err(ProxyError::caused_by(*kind, why.to_string())),
            // The directory has ended, and the proxy with it.
            Ok(Latest::Awaited) | Err(_) => Err(ErrorKind::Internal.into()),
        }
    }

    /// What is known of the name: at first as it is, then whenever it changes.
    pub(super) async fn next(&mut self) -> Latest {
        if self.is_told {
            // The sender lives as long as the directory, and its tasks end with that.
            let _ = self.told.changed().await;
        }
        self.is_told = true;
        self.told.borrow_and_update().clone()
    }

    /// Whether the name still stands for `address`, as far as is known.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        match &*self.told.borrow() {
            Latest::Found(targets) => targets.iter().any(|target| target.address == address),
            Latest::Awaited | Latest::Unknown(..) => true,
        }
    }
}

impl KnownNames {
    fn followed(&self) -> std::sync::MutexGuard<'_, HashMap<Question, watch::Sender<Latest>>> {
        // A map is whole after each of its operations.
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets `question` if nobody follows it any more.
    fn forget(&self, question: &Question, tell: &watch::Sender<Latest>) -> bool {
        let mut followed = self.followed();
        // A new follower takes the lock too, so this can't change now.
        let is_over = tell.is_closed();
        if is_over {
            followed.remove(question);
        }
        is_over
    }
}

/// Keeps the answer to `question` up to date until nobody wants it.
async fn keep(
    directory: Weak<KnownNames>,
    question: Question,
    tell: watch::Sender<Latest>,
    mut resolvers: watch::Receiver<Resolver>,
) {
    let mut memory = Memory::default();
    loop {
        let resolver = resolvers.borrow_and_update().clone();
        let asking = async {
            match &question {
                Question::Host(host) => resolver.addresses(host).await,
                Question::Service(name) => resolver.instances(name).await,
            }
        };
        let asked = tokio::select! {
            asked = asking => asked,
            changed = resolvers.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        let next = memory.learn(asked, Instant::now());
        let latest = memory.latest();
        tell.send_if_modified(|told| {
            let is_new = *told != latest;
            if is_new {
                latest.log(&question);
                *told = latest;
            }
            is_new
        });
        tokio::select! {
            () = sleep(next) => {}
            changed = resolvers.changed() => if changed.is_err() { return },
            () = tell.closed() => {}
        }
        match directory.upgrade() {
            Some(shared) if tell.is_closed() && shared.forget(&question, &tell) => return,
            Some(_) => {}
            None => return,
        }
    }
}

/// Takes the system's files anew when they change.
async fn follow_system(is_system: bool, resolvers: watch::Sender<Resolver>) {
    if !is_system {
        return std::future::pending().await;
    }
    let read = || SYSTEM_FILES.map(std::fs::read);
    let is_denied = |file: &io::Result<_>| {
        let error = file.as_ref().err();
        error.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    let mut texts = read().map(Result::ok);
    let mut is_told = false;
    loop {
        sleep(LOOK).await;
        let now = read();
        // The sandbox does not know a file that has taken the place of another. What was read
        // before is better than nothing.
        if now.iter().any(is_denied) {
            if !is_told {
                tracing::warn!(
                    "hosts or resolv.conf was replaced by a file outside of the sandbox: what was read before stays; restart to change it"
                );
                is_told = true;
            }
            continue;
        }
        let now = now.map(Result::ok);
        if now == texts {
            continue;
        }
        texts = now;
        match Resolver::new(&Names::of_system()) {
            Ok(resolver) => {
                tracing::info!("hosts or resolv.conf has changed: names are looked up again");
                resolvers.send_replace(resolver);
            }
            Err(error) => tracing::warn!(%error, "the changed resolv.conf can't be used"),
        }
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").finish_non_exhaustive()
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Host(name) | Self::Service(name)) = self;
        f.write_str(name)
    }
}

const SYSTEM_FILES: [&str; 2] = ["/etc/hosts", "/etc/resolv.conf"];
/// How often they are looked at.
const LOOK: Duration = Duration::from_secs(2);
