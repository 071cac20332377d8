//! Landlock: files by directory, TCP by port, and no reach to other processes.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use super::rules::Rules;
use super::{Applied, Layer};

/// What came of Landlock.
pub(super) struct Locked {
    /// The version of the kernel's interface, if anything is in force.
    pub(super) abi: Option<i32>,
    pub(super) layers: Vec<(Layer, Applied)>,
}

/// What this process may read, once it is restricted.
#[derive(Debug)]
struct Confined {
    /// Device and inode of each directory and file.
    readable: BTreeSet<(u64, u64)>,
    /// A directory of `/proc` gets another inode once nobody holds it, which no rule would know.
    _held: Vec<PathFd>,
}

/// Why there is no Landlock.
#[derive(Debug, thiserror::Error)]
enum NoLandlock {
    #[error("Landlock is not enabled in this kernel (boot parameter lsm=)")]
    NotEnabled,
    #[error("this kernel has no Landlock, or a filter of the container keeps it away")]
    Missing,
    #[error(transparent)]
    Refused(#[from] RulesetError),
}

static CONFINED: OnceLock<Confined> = OnceLock::new();

/// Restricts this thread, and those that it will start.
pub(super) fn restrict(rules: &Rules) -> Locked {
    match try_restrict(rules) {
        Ok((abi, confined)) => {
            if abi >= FILES.1 {
                // It is restricted once.
                let _ = CONFINED.set(confined);
            }
            Locked {
                abi: Some(abi),
                layers: layers(rules, |(what, least, linux)| {
                    (abi < least).then(|| {
                        format!("{what} needs Linux {linux}: this kernel has Landlock ABI {abi}")
                    })
                }),
            }
        }
        Err(why) => Locked {
            abi: None,
            layers: layers(rules, |_| Some(why.to_string())),
        },
    }
}

type Need = (&'static str, i32, &'static str);

fn layers(rules: &Rules, missing: impl Fn(Need) -> Option<String>) -> Vec<(Layer, Applied)> {
    let applied = |need| missing(need).map_or(Applied::On, Applied::Missing);
    let connect = match rules.ports() {
        Ok(_) => applied(TCP),
        Err(why) => Applied::LeftOut(format!("connections to any port: {why}")),
    };
    vec![
        (Layer::Filesystem, applied(FILES)),
        (Layer::TcpConnect, connect),
        (Layer::TcpBind, applied(TCP)),
        (Layer::Scopes, applied(SCOPES)),
    ]
}

fn try_restrict(rules: &Rules) -> Result<(i32, Confined), NoLandlock> {
    let mut confined = Confined {
        readable: BTreeSet::new(),
        _held: Vec::new(),
    };
    let restricted = confined.restrict(rules)?;
    match (restricted.ruleset, restricted.landlock) {
        (_, LandlockStatus::NotEnabled) => Err(NoLandlock::NotEnabled),
        (RulesetStatus::NotEnforced, _) | (_, LandlockStatus::NotImplemented) => {
            Err(NoLandlock::Missing)
        }
        (
            _,
            LandlockStatus::Available {
                effective_abi,
                kernel_abi,
            },
        ) => Ok((kernel_abi.unwrap_or(effective_abi as i32), confined)),
    }
}

impl Confined {
    fn restrict(&mut self, rules: &Rules) -> Result<landlock::RestrictionStatus, RulesetError> {
        let mut ruleset = Ruleset::default()
            .handle_access(AccessFs::from_all(KNOWN))?
            .handle_access(AccessNet::BindTcp)?
            .scope(Scope::from_all(KNOWN))?;
        if rules.ports().is_ok() {
            ruleset = ruleset.handle_access(AccessNet::ConnectTcp)?;
        }
        let mut ruleset = ruleset.create()?;
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let write = read
            | AccessFs::WriteFile
            | AccessFs::Truncate
            | AccessFs::MakeReg
            | AccessFs::RemoveFile;
        let wanted = [
            (rules.read(), read),
            (rules.written(), write),
            (rules.removed(), AccessFs::RemoveFile.into()),
        ];
        for (paths, access) in wanted {
            for path in paths {
                // What is not there can't be opened later either: its directory has no rule.
                let Some((path, access)) = self.opened(path, access) else {
                    continue;
                };
                ruleset = ruleset.add_rule(PathBeneath::new(path, access))?;
            }
        }
        for port in rules.ports().into_iter().flatten() {
            ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
        }
        ruleset.restrict_self()
    }

    /// `path`, with the part of `access` that it can have.
    fn opened(
        &mut self,
        path: &Path,
        access: BitFlags<AccessFs>,
    ) -> Option<(PathFd, BitFlags<AccessFs>)> {
        let metadata = fs::metadata(path).ok()?;
        let access = match metadata.is_dir() {
            true => access,
            false => access & AccessFs::from_file(KNOWN),
        };
        if access.contains(AccessFs::ReadFile) {
            self.readable.insert((metadata.dev(), metadata.ino()));
        }
        let opened = PathFd::new(path).ok()?;
        if path.starts_with("/proc") {
            self._held.extend(PathFd::new(path));
        }
        (!access.is_empty()).then_some((opened, access))
    }

    /// Whether `path` is, or is in, what may be read.
    fn covers(&self, path: &Path) -> bool {
        let Ok(path) = path.canonicalize() else {
            return true;
        };
        path.ancestors().any(|part| {
            fs::metadata(part).is_ok_and(|part| self.readable.contains(&(part.dev(), part.ino())))
        })
    }
}

/// `error`, which came of reading `path`; if the sandbox is why, it says so.
pub(crate) fn explained(path: &Path, error: io::Error) -> io::Error {
    let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
    match CONFINED.get() {
        Some(confined) if is_denied && !confined.covers(path) => {
            let rule = "it is outside of the sandbox; restart to change it";
            io::Error::new(error.kind(), rule)
        }
        _ => error,
    }
}

/// The last version whose rights were tried with this program.
const KNOWN: ABI = ABI::V7;
const FILES: Need = ("it", 1, "5.13");
const TCP: Need = ("it", 4, "6.7");
const SCOPES: Need = ("it", 6, "6.12");
