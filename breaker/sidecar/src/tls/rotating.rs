//! What is made of certificates, in files or of the Workload API, and made anew when they change.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::error::Fault;
use super::keys;
use super::workload::Workload;

/// How something is made of files.
pub(crate) trait Source: fmt::Debug + Send + Sync + 'static {
    /// What is made.
    type Made: Send + Sync + 'static;

    /// The files.
    fn files(&self) -> Vec<PathBuf>;

    /// What it takes of the Workload API.
    fn workloads(&self) -> Vec<Workload>;

    /// Reads them, checks them, and makes it.
    fn make(&self) -> Result<Self::Made, Fault>;

    /// Until when our certificates in it are valid, in seconds since 1970.
    fn until(made: &Self::Made) -> Option<i64>;

    /// Whether handshakes fail for want of what the Workload API says: it has said nothing yet, has
    /// taken it back, or it has expired.
    fn lacks_identity(&self, made: &Self::Made) -> bool;
}

/// What was made last, and the files that it was made of. Clones share it.
pub(crate) struct Rotating<S: Source>(Arc<RotatingState<S>>);

struct RotatingState<S: Source> {
    source: S,
    current: RwLock<Arc<S::Made>>,
    tried: Mutex<Tried>,
}

/// The files as they were tried last.
struct Tried {
    mark: u64,
    /// How often these files could not be used; 0 if they could.
    failed: u32,
}

/// What came of a look at the files.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Rotated {
    /// They are the same, and were good.
    Same,
    /// They are in use from now on.
    Applied,
    /// They can't be used, seen now for the first time: one of them may be yet to come.
    Doubtful(Fault),
    /// They can't be used, and still can't.
    Refused(Fault),
    /// The same, told before.
    StillRefused,
}

/// What certificates are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Clients of the proxy.
    Listener,
    /// Clients of the admin port.
    Admin,
    /// Senders of telemetry.
    Receiver,
    /// The Breaker that is followed.
    Brain,
    /// An upstream of this name.
    Upstream(String),
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener => f.write_str("listener"),
            Self::Admin => f.write_str("admin"),
            Self::Receiver => f.write_str("receiver"),
            Self::Brain => f.write_str("brain"),
            Self::Upstream(name) => write!(f, "upstream {name}"),
        }
    }
}

/// Something rotating, whatever is made.
pub(crate) trait Rotate: fmt::Debug + Send + Sync {
    /// The files.
    fn files(&self) -> Vec<PathBuf>;

    /// What it takes of the Workload API.
    fn workloads(&self) -> Vec<Workload>;

    /// Looks at the files, and makes it anew of others.
    fn rotate(&self) -> Rotated;

    /// Until when our certificates in it are valid, in seconds since 1970.
    fn until(&self) -> Option<i64>;

    /// Whether handshakes fail now for want of an identity.
    fn lacks_identity(&self) -> bool;
}

impl<S: Source> Rotating<S> {
    /// Makes it of the files as they are now.
    pub(crate) fn new(source: S) -> Result<Self, Fault> {
        let mark = mark(&source);
        let made = source.make()?;
        Ok(Self(Arc::new(RotatingState {
            source,
            current: RwLock::new(Arc::new(made)),
            tried: Mutex::new(Tried { mark, failed: 0 }),
        })))
    }

    pub(crate) fn source(&self) -> &S {
        &self.0.source
    }

    pub(crate) fn current(&self) -> Arc<S::Made> {
        let current = self.0.current.read();
        // It is replaced as a whole.
        current.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<S: Source> Rotate for Rotating<S> {
    fn files(&self) -> Vec<PathBuf> {
        self.0.source.files()
    }

    fn workloads(&self) -> Vec<Workload> {
        self.0.source.workloads()
    }

    fn rotate(&self) -> Rotated {
        let RotatingState {
            source,
            current,
            tried,
        } = &*self.0;
        let mut tried = tried.lock().unwrap_or_else(PoisonError::into_inner);
        // Before they are read: what changes meanwhile is something new to try.
        let mark = mark(source);
        if tried.mark == mark && tried.failed == 0 {
            return Rotated::Same;
        }
        let failed = if tried.mark == mark { tried.failed } else { 0 };
        if failed > 1 {
            return Rotated::StillRefused;
        }
        match source.make() {
            Ok(made) => {
                *current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(made);
                *tried = Tried { mark, failed: 0 };
                Rotated::Applied
            }
            Err(fault) => {
                *tried = Tried {
                    mark,
                    failed: failed + 1,
                };
                match failed {
                    0 => Rotated::Doubtful(fault),
                    _ => Rotated::Refused(fault),
                }
            }
        }
    }

    fn until(&self) -> Option<i64> {
        S::until(&self.current())
    }

    fn lacks_identity(&self) -> bool {
        self.source().lacks_identity(&self.current())
    }
}

impl<S: Source> Clone for Rotating<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Source> fmt::Debug for Rotating<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rotating").field(&self.0.source).finish()
    }
}

/// Tells apart what files have in them, and what the Workload API has said.
fn mark(source: &impl Source) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in source.files() {
        let read = keys::read(&file);
        let read = read.as_deref().map_err(io::Error::kind);
        read.hash(&mut hasher);
    }
    for workload in source.workloads() {
        workload.version().hash(&mut hasher);
    }
    hasher.finish()
}
