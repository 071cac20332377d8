//! The file of a Unix socket: made for those who may use it, taken over from a process that ended
//! without removing it, and removed with the socket.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags};
use socket2::{Domain, SockAddr, Socket, Type};

use super::{ListenAddress, SocketPath};

/// A socket's file, for as long as it lives.
#[derive(Debug)]
pub struct SocketFile {
    path: Arc<Path>,
    mode: u32,
    /// What it is told from another's by, which may have taken its place.
    identity: Identity,
    /// Whether it was seen to be gone.
    is_gone: AtomicBool,
}

/// Device, inode and the time of the last change: a new file may have the inode of one that was
/// removed.
type Identity = (u64, u64, i64, i64);

/// Listens at `path`, which then has `mode`.
pub(super) fn bind(path: &Arc<Path>, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    make_room(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // What Linux makes of it has no more than the mode of the socket, so that nobody else gets in
    // before it has its own.
    rustix::fs::fchmod(&socket, Mode::from_bits_truncate(mode))?;
    socket.bind(&SockAddr::unix(path)?)?;
    permit(path, mode)?;
    let file = SocketFile {
        path: path.clone(),
        mode,
        identity: identity(&fs::symlink_metadata(path)?),
        is_gone: AtomicBool::new(false),
    };
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)?;
    Ok((socket.into(), file))
}

/// Removes the socket of a process that has ended. Whatever else is there stays.
fn make_room(path: &Path) -> io::Result<()> {
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        there => there?,
    };
    if !there.file_type().is_socket() {
        let what = "something else is there, and no socket";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    }
    let asking = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A process that has no room for another connection would not answer.
    asking.set_nonblocking(true)?;
    match asking.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Ok(()) => Err(in_use()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(in_use()),
        Err(error) => Err(error),
    }
}

fn in_use() -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")
}

fn identity(file: &Metadata) -> Identity {
    (file.dev(), file.ino(), file.ctime(), file.ctime_nsec())
}

/// Gives a socket its mode, of which the process's mask may have taken something. By a descriptor,
/// so that a link that somebody puts there meanwhile leads nowhere.
fn permit(path: &Path, mode: u32) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let socket = rustix::fs::open(path, flags, Mode::empty())?;
    let opened = format!("/proc/self/fd/{}", socket.as_raw_fd());
    let found = fs::metadata(&opened)?;
    if !found.file_type().is_socket() {
        return Err(in_use());
    }
    match found.permissions().mode() & 0o777 == mode {
        true => Ok(()),
        false => fs::set_permissions(opened, Permissions::from_mode(mode)),
    }
}

// === impl SocketFile ===

impl SocketFile {
    pub(super) fn address(&self) -> ListenAddress {
        ListenAddress::Unix(SocketPath {
            path: self.path.clone(),
            mode: self.mode,
        })
    }

    /// Looks whether the file is still there. Without it nobody can connect, though the socket
    /// listens: that is told once, and again when the file is back.
    pub(super) fn look(&self) {
        let there = fs::symlink_metadata(&self.path);
        // Its mode may be another one, or it was moved away and back.
        let is_gone = !there.is_ok_and(|there| {
            let (device, inode, ..) = self.identity;
            (there.dev(), there.ino()) == (device, inode)
        });
        if is_gone == self.is_gone.swap(is_gone, Ordering::Relaxed) {
            return;
        }
        let path = self.path.display();
        if is_gone {
            tracing::warn!(%path, "the file of a socket is gone: no client can connect by it until a restart");
        } else {
            tracing::info!(%path, "the file of a socket is there again");
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let there = fs::symlink_metadata(&self.path);
        if there.is_ok_and(|there| identity(&there) == self.identity) {
            // Left behind, it is taken over by the next one.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Connections that the kernel holds until they are taken.
const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_socket_has_its_mode_and_goes_with_who_listens() {
        let folder = tempfile::tempdir().unwrap();
        for wanted in [0o660, 0o600, 0o666] {
            let path: Arc<Path> = folder.path().join("s").into();
            let (listener, file) = bind(&path, wanted).unwrap();
            assert_eq!(mode(&path), wanted);
            UnixStream::connect(&path).unwrap();
            drop(listener);
            drop(file);
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_stale_socket_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path: Arc<Path> = folder.path().join("s").into();
        // What a killed process leaves.
        drop(UnixListener::bind(&path).unwrap());
        let (listener, file) = bind(&path, 0o660).unwrap();
        let error = bind(&path, 0o660).unwrap_err();
        assert_eq!(error.to_string(), "another process listens there");
        UnixStream::connect(&path).unwrap();
        drop(listener);

        // Another has taken the place, and keeps it.
        let (next, _file) = bind(&path, 0o660).unwrap();
        drop(file);
        UnixStream::connect(&path).unwrap();
        drop(next);
    }

    #[test]
    fn a_file_that_is_gone_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path: Arc<Path> = folder.path().join("s").into();
        let (_listener, file) = bind(&path, 0o660).unwrap();
        let is_gone = || {
            file.look();
            file.is_gone.load(Ordering::Relaxed)
        };
        assert!(!is_gone());
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(!is_gone(), "an operator may give it another mode");
        let away = folder.path().join("away");
        fs::rename(&path, &away).unwrap();
        assert!(is_gone());
        let another = UnixListener::bind(&path).unwrap();
        assert!(is_gone(), "it is another's");
        drop(another);
        fs::rename(&away, &path).unwrap();
        assert!(!is_gone());
    }

    #[test]
    fn links_and_files_stay_where_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        fs::write(&target, "theirs").unwrap();
        fs::set_permissions(&target, Permissions::from_mode(0o600)).unwrap();
        let link: Arc<Path> = folder.path().join("link").into();
        let stale = folder.path().join("stale");
        drop(UnixListener::bind(&stale).unwrap());
        for to in [&target, &stale, &folder.path().join("nothing")] {
            symlink(to, &link).unwrap();
            let error = bind(&link, 0o660).unwrap_err();
            assert_eq!(error.to_string(), "something else is there, and no socket");
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            fs::remove_file(&link).unwrap();
        }
        assert!(bind(&target.clone().into(), 0o660).is_err());
        assert_eq!(fs::read_to_string(&target).unwrap(), "theirs");
        assert_eq!(mode(&target), 0o600);
    }
}
