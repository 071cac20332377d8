//! Files that are written: nobody else reads them, and a link that somebody put there leads
//! nowhere.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// A file to read.
pub(crate) fn read(path: &Path) -> io::Result<File> {
    told(
        OpenOptions::new()
            .read(true)
            .custom_flags(NO_LINK)
            .open(path),
    )
}

/// A file to add to, which is made if it isn't there.
pub(crate) fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(OWN);
    told(options.custom_flags(NO_LINK).open(path))
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

fn told(opened: io::Result<File>) -> io::Result<File> {
    opened.map_err(|error| match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => {
            io::Error::new(error.kind(), "it must not be a symbolic link")
        }
        _ => error,
    })
}

const OWN: u32 = 0o600;
const NO_LINK: i32 = OFlags::NOFOLLOW.bits().cast_signed();

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
}
