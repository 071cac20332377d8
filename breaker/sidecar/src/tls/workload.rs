//! The SPIFFE Workload API: an agent of this machine tells who we are, shows it by certificates
//! that it renews, and says whom to trust.
//!
//! What an agent has said is shared by all that use its socket. It is heard by whoever polls
//! [`Workload::follow`].

#[cfg(test)]
pub(crate) mod agent;
mod api;
mod svid;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use self::api::{ApiError, Session};
use crate::clock::unix_now;
use crate::random;
use crate::sockets::{SCHEME, path_of};

pub(crate) use self::svid::Svid;

/// The Workload API at a socket, and what it has said. Clones share it, and so do all of the same
/// socket.
#[derive(Clone)]
pub struct Workload(Arc<Shared>);

struct Shared {
    socket: PathBuf,
    heard: watch::Sender<Heard>,
    /// Whether somebody listens already.
    followed: AtomicBool,
}

/// Who listens for all that have it, who are not kept by that.
struct Follower(Weak<Shared>);

/// What was heard last.
#[derive(Clone, Default)]
struct Heard {
    /// How often another identity was put in force.
    version: u64,
    svid: Option<Arc<Svid>>,
    /// Why nothing was heard when it was tried last, or nothing that is of use.
    problem: Option<String>,
}

/// What came of listening to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// There is another identity, or other roots.
    Renewed,
    /// What it says is used without trust domains whose roots can't be.
    LeftOut(String),
    /// What it says can't be used. What it said before stays.
    Refused(String),
    /// It says that we have no identity any more.
    Withdrawn(String),
    /// It says nothing, or not to us.
    Unheard(String),
}

static KNOWN: Mutex<BTreeMap<PathBuf, Weak<Shared>>> = Mutex::new(BTreeMap::new());

// === impl Workload ===

impl Workload {
    /// The one at the socket of a text such as `unix:///run/spire/agent.sock`.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        // A URL whose authority is empty, or none.
        let path = text.strip_prefix("unix://").unwrap_or_else(|| {
            let path = text.strip_prefix(SCHEME);
            path.unwrap_or_default()
        });
        let text = format!("{SCHEME}{path}");
        let path = path_of(&text).map_err(|_rule| RULE)?.to_owned();
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, shared| shared.strong_count() > 0);
        if let Some(shared) = known.get(&path).and_then(Weak::upgrade) {
            return Ok(Self(shared));
        }
        let shared = Arc::new(Shared {
            socket: path.clone(),
            heard: watch::Sender::default(),
            followed: AtomicBool::new(false),
        });
        known.insert(path, Arc::downgrade(&shared));
        Ok(Self(shared))
    }

    /// Where the socket is.
    pub fn socket(&self) -> &Path {
        &self.0.socket
    }

    /// Who we are, and whom we trust; `None` until that was heard.
    pub(crate) fn svid(&self) -> Option<Arc<Svid>> {
        self.0.heard.borrow().svid.clone()
    }

    /// Another number whenever there is another identity, or other roots.
    pub(super) fn version(&self) -> u64 {
        self.0.heard.borrow().version
    }

    /// Why the agent gave nothing when it was listened to last.
    pub(crate) fn problem(&self) -> Option<String> {
        self.0.heard.borrow().problem.clone()
    }

    /// Waits until there is an identity, whoever listens for it.
    pub(crate) async fn identified(&self) {
        let mut heard = self.0.heard.subscribe();
        // It can't be gone: it is ours.
        let _ = heard.wait_for(|heard| heard.svid.is_some()).await;
    }

    /// Listens to the agent and keeps what it says, until nobody else has this. Ends at once if
    /// somebody listens already. Nothing more is read while `tell` is awaited: an agent that says
    /// more than can be put in force waits for its window of HTTP/2.
    pub(crate) async fn follow<F: Future<Output = ()>>(self, tell: impl FnMut(News) -> F) {
        if self.0.followed.swap(true, Ordering::Relaxed) {
            return;
        }
        let follower = Follower(Arc::downgrade(&self.0));
        let mut heard = self.0.heard.subscribe();
        drop(self);
        let gone = async { while heard.changed().await.is_ok() {} };
        tokio::select! {
            () = gone => {}
            () = follower.run(tell) => {}
        }
    }

    /// Uses the identity no more, and trusts nobody by it. Tells whether there was one.
    fn withdraw(&self) -> bool {
        self.0.heard.send_if_modified(|heard| {
            let withdrawn = heard.svid.take().is_some();
            heard.version += u64::from(withdrawn);
            withdrawn
        })
    }

    /// Notes a problem. Tells whether it is another one than before.
    fn failed(&self, news: &News) -> bool {
        let problem = match news {
            News::Renewed => None,
            News::LeftOut(why) | News::Refused(why) | News::Withdrawn(why) | News::Unheard(why) => {
                Some(why.clone())
            }
        };
        self.0.heard.send_if_modified(|heard| {
            let is_new = heard.problem != problem;
            heard.problem = problem;
            is_new
        })
    }

    /// Puts what was heard in force. Tells whether it is something else than before.
    fn heard(&self, svid: Svid) -> bool {
        let mut is_new = false;
        self.0.heard.send_modify(|heard| {
            is_new = heard.svid.as_ref().is_none_or(|before| !before.is(&svid));
            heard.problem.clone_from(&svid.left_out);
            if is_new {
                heard.version += 1;
                heard.svid = Some(Arc::new(svid));
            }
        });
        is_new
    }
}

impl PartialEq for Workload {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Workload {}

impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Workload({self})")
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix://{}", self.socket().display())
    }
}

// === impl Follower ===

impl Follower {
    async fn run<F: Future<Output = ()>>(&self, mut tell: impl FnMut(News) -> F) {
        let Self(shared) = self;
        let mut pause = FIRST_PAUSE;
        loop {
            let Some(socket) = shared.upgrade().map(|it| it.socket.clone()) else {
                return;
            };
            let ended = listen(&socket, shared, &mut pause, &mut tell).await;
            let Some(workload) = shared.upgrade().map(Workload) else {
                return;
            };
            let news = match ended {
                ApiError::Refused(fault) => News::Refused(fault.to_string()),
                denied @ ApiError::NoIdentity(_) if workload.withdraw() => {
                    News::Withdrawn(denied.to_string())
                }
                other => News::Unheard(other.to_string()),
            };
            let is_new = workload.failed(&news);
            drop(workload);
            if is_new {
                tell(news).await;
            }
            // The sidecars of a machine do not come back in step.
            sleep(random::jittered(pause, 0.2)).await;
            pause = (2 * pause).min(LAST_PAUSE);
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.followed.store(false, Ordering::Relaxed);
        }
    }
}

/// Hears what an agent says, until it says no more or something that can't be used.
async fn listen<F: Future<Output = ()>>(
    socket: &Path,
    shared: &Weak<Shared>,
    pause: &mut Duration,
    tell: &mut impl FnMut(News) -> F,
) -> ApiError {
    let begun = async {
        let mut session = Session::open(socket).await?;
        let first = session.next().await?;
        Ok((session, first))
    };
    let (mut session, mut said) = match timeout(FIRST_ANSWER, begun).await {
        Ok(Ok(begun)) => begun,
        Ok(Err(error)) => return error,
        Err(_late) => return ApiError::Silent,
    };
    let begun = Instant::now();
    loop {
        let svid = match Svid::of(&said) {
            Ok(svid) => svid,
            Err(fault) => return fault.into(),
        };
        // It has the key, and the next one may be long in coming.
        drop(said);
        let until = svid.shown.validity.until as f64;
        let left_out = svid.left_out.clone();
        let is_new = shared.upgrade().map(|it| Workload(it).heard(svid));
        match is_new {
            Some(true) => {
                tell(News::Renewed).await;
                if let Some(why) = left_out {
                    tell(News::LeftOut(why)).await;
                }
            }
            Some(false) => {}
            None => return ApiError::Ended,
        }
        // One that has not renewed it by then may hang.
        let left = Duration::from_secs_f64((until - unix_now()).clamp(0.0, MAX_LEFT) + 1.0);
        let next = timeout(left, session.next()).await;
        // One that always garbles what it says next is not asked again at once.
        if begun.elapsed() >= LAST_PAUSE {
            *pause = FIRST_PAUSE;
        }
        said = match next {
            Ok(Ok(said)) => said,
            Ok(Err(error)) => return error,
            Err(_late) => return ApiError::Overdue,
        };
    }
}

const RULE: &str = "must be unix:// and an absolute path of at most 107 bytes, as in \
                    unix:///run/spire/agent.sock";
/// Between attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// Beyond any life of a certificate, in seconds.
const MAX_LEFT: f64 = 1e9;
/// Within what time an agent must say something at all.
const FIRST_ANSWER: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::future::ready;

    use tokio::sync::{Semaphore, mpsc};

    use super::agent::{Agent, Domain};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_lets_an_identity_expire_is_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent.sock");
        let domain = Domain::new("example.org");
        let agent = Agent::start(&socket, domain.svid(&domain.sign("ns/pay", 1)));
        let workload = Workload::new(&format!("unix://{}", socket.display())).unwrap();
        let (tell, mut told) = mpsc::unbounded_channel();
        let _following = tokio::spawn(workload.clone().follow(move |news| {
            let _ = tell.send(news);
            ready(())
        }));
        let mut next = async || timeout(Duration::from_secs(7200), told.recv()).await;
        assert_eq!(next().await, Ok(Some(News::Renewed)));
        let why = ApiError::Overdue.to_string();
        assert_eq!(next().await, Ok(Some(News::Unheard(why.clone()))));
        assert_eq!(workload.problem(), Some(why));
        let mut heard = workload.0.heard.subscribe();
        heard.wait_for(|it| it.problem.is_none()).await.unwrap();
        assert_eq!(agent.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_garbles_each_second_message_is_asked_ever_more_seldom() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent.sock");
        let domain = Domain::new("example.org");
        let good = domain.svid(&domain.sign("ns/pay", 1));
        let agent = Agent::start_with(&socket, good, Some(Default::default()));
        let workload = Workload::new(&format!("unix://{}", socket.display())).unwrap();
        let _following = tokio::spawn(workload.clone().follow(|_| ready(())));
        sleep(Duration::from_secs(120)).await;
        // After 0.5, 1, 2, 4, 8 and 16 s, and each 30 s from then on.
        let asked = agent.asked();
        assert!((8..=14).contains(&asked), "{asked}");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_more_is_heard_until_what_was_heard_is_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent.sock");
        let domain = Domain::new("example.org");
        let agent = Agent::start(&socket, domain.svid(&domain.sign("ns/pay", 0)));
        let workload = Workload::new(&format!("unix://{}", socket.display())).unwrap();
        let gate = Arc::new(Semaphore::new(0));
        let (opened, mut heard) = (gate.clone(), workload.0.heard.subscribe());
        let _following = tokio::spawn(workload.clone().follow(move |_| {
            let opened = opened.clone();
            async move { opened.acquire().await.unwrap().forget() }
        }));
        workload.identified().await;
        let (mut id, patience) = (String::new(), Duration::from_secs(20));
        for serial in 1..=100 {
            id = format!("ns/pay/{serial}");
            agent.say(domain.svid(&domain.sign(&id, serial)));
            // It lets the agent say it, and whoever listens hear it.
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(workload.version(), 1);
        gate.add_permits(1000);
        let is_last = |heard: &Heard| {
            let svid = heard.svid.as_ref();
            svid.is_some_and(|svid| svid.id.as_str().ends_with(&id))
        };
        let last = timeout(patience, heard.wait_for(is_last)).await;
        drop(last.expect("the last one").unwrap());
    }

    #[tokio::test]
    async fn an_agent_is_listened_to_once_and_until_nobody_needs_it() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent.sock");
        let domain = Domain::new("example.org");
        let agent = Agent::start(&socket, domain.svid(&domain.sign("ns/pay", 1)));
        let workload = Workload::new(&format!("unix://{}", socket.display())).unwrap();
        let first = tokio::spawn(workload.clone().follow(|_| ready(())));
        workload.identified().await;
        let patience = Duration::from_secs(5);
        let second = timeout(patience, workload.clone().follow(|_| ready(())));
        assert_eq!(second.await, Ok(()));
        assert_eq!(agent.asked(), 1);
        drop(workload);
        let ended = timeout(patience, first).await;
        ended.expect("an end without a word of the agent").unwrap();
    }

    #[test]
    fn a_socket_is_a_url_with_an_absolute_path_and_known_once() {
        let workload = Workload::new("unix:///run/a/agent.sock").unwrap();
        assert_eq!(workload.socket(), Path::new("/run/a/agent.sock"));
        assert_eq!(workload.to_string(), "unix:///run/a/agent.sock");
        let same = Workload::new("unix:/run/a/agent.sock").unwrap();
        let other = Workload::new("unix:///run/b/agent.sock").unwrap();
        assert_eq!(workload, same);
        assert_ne!(workload, other);
        for wrong in [
            "",
            "/run/agent.sock",
            "unix://run/agent.sock",
            "unix://",
            "unix:///",
            "tcp://127.0.0.1:8081",
            "unix:///a?b",
        ] {
            assert!(Workload::new(wrong).is_err(), "{wrong}");
        }
    }
}
