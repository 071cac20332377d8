//! A file that is there whole, or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::files;

/// What is in `file`, up to one byte more than `most`; `None` if there is no such file.
pub(super) fn read(file: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let opened = match files::read(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    opened.take(most + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Replaces `file` in one step: who reads it sees what was there before, or all of `bytes`, after a
/// loss of power too.
pub(super) fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = suffixed(file, ".tmp");
    let mut new = files::create(&beside)?;
    let written = new.write_all(bytes).and_then(|()| new.sync_all());
    if let Err(error) = written {
        // Half a file takes room on a disk that is full.
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    fs::rename(&beside, file)?;
    File::open(folder(file))?.sync_all()
}

/// Whether [`write`] can do its work, as far as can be told without.
pub(super) fn check_writable(file: &Path) -> io::Result<()> {
    if file.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let beside = suffixed(file, ".tmp");
    files::create(&beside)?;
    fs::remove_file(beside)
}

/// Moves `file` out of the way, for people to look at. Returns where it is.
pub(super) fn set_aside(file: &Path) -> io::Result<PathBuf> {
    let bad = suffixed(file, ".bad");
    fs::rename(file, &bad).map(|()| bad)
}

fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn suffixed(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
