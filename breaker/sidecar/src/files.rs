//! Files that are written: nobody else reads them, and a link that somebody put there leads
//! nowhere.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// A file to read.
pub(crate) fn read(path: &Path) -> io::Result<File> {
    open(OpenOptions::new().read(true), path)
}

/// A file to add to, which is made if it isn't there.
pub(crate) fn append(path: &Path) -> io::Result<File> {
    open(OpenOptions::new().append(true).create(true).mode(OWN), path)
}

/// A file that is new. What a process that ended left there is removed.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(OWN)
        .open(path)
}

fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let opened = options.custom_flags(CAREFUL).open(path);
    let file = opened.map_err(|error| match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => {
            io::Error::new(error.kind(), "it must not be a symbolic link")
        }
        Some(code) if code == rustix::io::Errno::NXIO.raw_os_error() => no_file(),
        _ => error,
    })?;
    let kind = file.metadata()?.file_type();
    match kind.is_file() || kind.is_char_device() {
        true => Ok(file),
        false => Err(no_file()),
    }
}

/// Whoever opens a pipe may wait for ever for its other end.
fn no_file() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "it must be a file: no pipe, socket or directory",
    )
}

const OWN: u32 = 0o600;
/// No link is followed, and no pipe waited for.
const CAREFUL: i32 = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .bits()
    .cast_signed();

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn links_are_not_followed_and_others_read_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "theirs").unwrap();
        symlink(&target, &link).unwrap();
        for opened in [read(&link), append(&link)] {
            let error = opened.unwrap_err().to_string();
            assert_eq!(error, "it must not be a symbolic link");
        }
        create(&link).unwrap().write_all(b"ours").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "theirs");
        let mut text = String::new();
        read(&link).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "ours");

        let added = folder.path().join("added");
        append(&added).unwrap();
        for file in [&link, &added] {
            let mode = fs::metadata(file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file:?}");
        }
    }

    #[test]
    fn a_pipe_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let refused = |opened: io::Result<File>| {
            let error = opened.unwrap_err().to_string();
            assert_eq!(error, "it must be a file: no pipe, socket or directory");
        };
        // Nobody has the other end, then somebody has.
        refused(append(&pipe));
        refused(read(&pipe));
        let mut both = OpenOptions::new();
        let _other = both.read(true).write(true).open(&pipe).unwrap();
        refused(append(&pipe));
        append(Path::new("/dev/null")).unwrap();
    }
}
