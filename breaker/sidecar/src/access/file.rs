//! A file that logrotate or another program may move away: it is then created again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::files;

/// What is written is added to the file that has this path now, or had it a second ago.
pub(super) struct FollowedFile {
    path: PathBuf,
    file: File,
    looked_at: Instant,
}

impl FollowedFile {
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        Ok(Self {
            file: open(&path)?,
            path,
            looked_at: Instant::now(),
        })
    }

    fn follow(&mut self) -> io::Result<()> {
        if self.looked_at.elapsed() < BETWEEN_LOOKS {
            return Ok(());
        }
        self.looked_at = Instant::now();
        let ours = self.file.metadata()?;
        let is_there = fs::symlink_metadata(&self.path)
            .is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino()));
        if !is_there {
            self.file = open(&self.path)?;
        }
        Ok(())
    }
}

/// Opens a file to add lines to. The last one may have broken off when a disk was full, and nobody
/// was left to end it.
fn open(path: &Path) -> io::Result<File> {
    let mut file = files::append(path)?;
    let length = file.metadata()?.len();
    let mut last = *b"\n";
    // A file that can't be read is one that others made so: it is written as it is.
    if length > 0
        && let Ok(written) = files::read(path)
        && written.read_exact_at(&mut last, length - 1).is_ok()
        && last != *b"\n"
    {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

impl Write for FollowedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.follow()?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_begins_on_its_own_line_after_half_a_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for (there, expected) in [
            ("one\ntw", "one\ntw\nthree\n"),
            ("one\n", "one\nthree\n"),
            ("", "three\n"),
        ] {
            fs::write(&path, there).unwrap();
            let mut file = FollowedFile::open(path.clone()).unwrap();
            file.write_all(b"three\n").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        }
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
        let mut file = FollowedFile::open(path.clone()).unwrap();
        file.write_all(b"one\n").unwrap();
        fs::rename(&path, &moved).unwrap();
        // Within the second it is still the old one.
        file.write_all(b"two\n").unwrap();
        file.looked_at = Instant::now().checked_sub(BETWEEN_LOOKS).unwrap();
        file.write_all(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(&moved).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
    }
}
