//! Files of a bounded size and number.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::RecordingSettings;
use crate::files;

/// The file that is written to, and those before it.
#[derive(Debug)]
pub(super) struct Files {
    settings: RecordingSettings,
    current: File,
    size: u64,
}

impl Files {
    pub(super) fn open(settings: &RecordingSettings) -> io::Result<Self> {
        let current = files::append(&settings.file)?;
        Ok(Self {
            size: current.metadata()?.len(),
            current,
            settings: settings.clone(),
        })
    }

    /// Writes whole `lines`, into the next file if this one would become too large.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size + lines.len() as u64 > self.settings.max_size {
            self.rotate()?;
        }
        if let Err(error) = self.current.write_all(lines) {
            // What was written of them may break off in a line, to which the next one would be
            // added.
            let _ = self.current.set_len(self.size);
            return Err(error);
        }
        self.size += lines.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let RecordingSettings { file, rotate, .. } = &self.settings;
        // From the oldest on: each takes the place of the one that is older.
        for number in (1..*rotate).rev() {
            move_to(&numbered(file, number), &numbered(file, number + 1))?;
        }
        match rotate {
            0 => fs::remove_file(file)?,
            _ => move_to(file, &numbered(file, 1))?,
        }
        self.current = files::append(file)?;
        self.size = 0;
        Ok(())
    }
}

/// There may be fewer files than are kept.
fn move_to(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn numbered(file: &Path, number: u32) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}
