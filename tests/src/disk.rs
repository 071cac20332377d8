//! A disk that can be full.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A small file system in memory; unmounted with its value.
#[derive(Debug)]
pub struct Tiny {
    directory: TempDir,
    kib: usize,
}

impl Tiny {
    /// One of this size in KiB; `None` where this process may not mount.
    ///
    /// # Panics
    /// If there can be no temporary directory.
    pub fn mount(kib: usize) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory to mount on");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"]);
        let mounted = mount.arg(directory.path()).output();
        let mounted = mounted.ok()?.status.success();
        mounted.then_some(Self { directory, kib })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Takes all that is left of it.
    ///
    /// # Panics
    /// If it does not become full.
    pub fn fill(&self) {
        let rest = vec![0; 2 * self.kib * 1024];
        let filled = fs::write(self.path().join("rest"), rest);
        assert!(filled.is_err(), "it is larger than it was to be");
    }

    /// Gives back what [`Tiny::fill`] took.
    ///
    /// # Panics
    /// If nothing was taken.
    pub fn make_room(&self) {
        fs::remove_file(self.path().join("rest")).expect("it was filled");
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
