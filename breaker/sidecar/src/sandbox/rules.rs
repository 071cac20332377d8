//! What a process needs after its start: files by directory, and TCP ports.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf, absolute};

/// The directories and ports that a configuration needs. It only says so; nothing is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    read: BTreeSet<PathBuf>,
    write: BTreeSet<PathBuf>,
    remove: BTreeSet<PathBuf>,
    ports: BTreeSet<u16>,
    any_port: Option<String>,
}

impl Rules {
    /// A file that is read, perhaps after another has taken its place: its directory is read. In
    /// the root directory, it is the file alone: else all files would be.
    pub fn reads(&mut self, file: &Path) {
        match parent(file) {
            Some(folder) if folder != Path::new("/") => self.read.insert(folder),
            _ => self.reads_all(file),
        };
    }

    /// What `path` names is read, a file, or all that is in a directory.
    pub fn reads_all(&mut self, path: &Path) -> bool {
        self.read.insert(absolute(path).unwrap_or(path.to_owned()))
    }

    /// A file that is written, replaced and removed in its directory. A device is only written.
    pub fn writes(&mut self, file: &Path) {
        match parent(file) {
            Some(folder) if folder != Path::new("/dev") => self.write.insert(folder),
            _ => self.write.insert(file.to_owned()),
        };
    }

    /// The file of a socket, which is removed at the end.
    pub fn removes(&mut self, file: &Path) {
        self.remove.extend(parent(file));
    }

    /// A TCP port that is connected to.
    pub fn connects(&mut self, port: u16) {
        self.ports.insert(port);
    }

    /// Any TCP port may be connected to, and why.
    pub fn connects_anywhere(&mut self, why: impl Into<String>) {
        self.any_port.get_or_insert_with(|| why.into());
    }

    /// What is read.
    pub const fn read(&self) -> &BTreeSet<PathBuf> {
        &self.read
    }

    /// Where files are made, written, replaced and removed, and read.
    pub const fn written(&self) -> &BTreeSet<PathBuf> {
        &self.write
    }

    /// Where files are removed.
    pub(super) const fn removed(&self) -> &BTreeSet<PathBuf> {
        &self.remove
    }

    /// The TCP ports that are connected to, or why none can be named.
    pub fn ports(&self) -> Result<&BTreeSet<u16>, &str> {
        match &self.any_port {
            None => Ok(&self.ports),
            Some(why) => Err(why),
        }
    }

    /// The files that `next` needs and these rules don't have.
    pub fn files_outside<'a>(&'a self, next: &'a Self) -> impl Iterator<Item = &'a PathBuf> {
        let all = || self.read.iter().chain(&self.write);
        let is_within = |path: &Path, mut known: Box<dyn Iterator<Item = &PathBuf> + '_>| {
            known.any(|known| path.starts_with(known))
        };
        let read = next.read.iter();
        let read = read.filter(move |path| !is_within(path, Box::new(all())));
        let written = next.write.iter();
        let written = written.filter(move |path| !is_within(path, Box::new(self.write.iter())));
        let outside: BTreeSet<_> = read.chain(written).collect();
        outside.into_iter()
    }

    /// The ports that `next` needs and these rules don't have.
    pub fn ports_outside(&self, next: &Self) -> Vec<String> {
        match (self.ports(), next.ports()) {
            (Err(_), _) => Vec::new(),
            (Ok(_), Err(why)) => vec![format!("any port ({why})")],
            (Ok(known), Ok(next)) => {
                let outside = next.difference(known);
                outside.map(|port| format!("port {port}")).collect()
            }
        }
    }
}

fn parent(path: &Path) -> Option<PathBuf> {
    Some(absolute(path).ok()?.parent()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(read: &[&str], written: &[&str], ports: &[u16]) -> Rules {
        let mut rules = Rules::default();
        read.iter().for_each(|file| rules.reads(Path::new(file)));
        written
            .iter()
            .for_each(|file| rules.writes(Path::new(file)));
        ports.iter().for_each(|port| rules.connects(*port));
        rules
    }

    fn shown(paths: &BTreeSet<PathBuf>) -> Vec<String> {
        paths
            .iter()
            .map(|path| path.display().to_string())
            .collect()
    }

    #[test]
    fn a_file_is_read_by_its_directory_unless_that_is_the_root() {
        let read = [
            "/etc/breaker/breaker.yaml",
            "/etc/breaker/tls/key",
            "/token",
        ];
        let rules = rules(&read, &["/var/lib/breaker/state.json", "/dev/null"], &[]);
        assert_eq!(
            shown(rules.read()),
            ["/etc/breaker", "/etc/breaker/tls", "/token"]
        );
        assert_eq!(shown(rules.written()), ["/dev/null", "/var/lib/breaker"]);
    }

    #[test]
    fn a_relative_file_is_one_of_the_current_directory() {
        let here = std::env::current_dir().unwrap();
        let rules = rules(&["breaker.yaml"], &[], &[]);
        assert_eq!(rules.read().iter().collect::<Vec<_>>(), [&here]);
    }

    #[test]
    fn what_other_rules_need_more_is_outside() {
        let running = rules(&["/a/x"], &["/b/x"], &[53, 80]);
        let within = rules(&["/a/c/x", "/b/x"], &["/b/d/x"], &[80]);
        assert_eq!(running.files_outside(&within).count(), 0);
        assert!(running.ports_outside(&within).is_empty());

        let beyond = rules(&["/ab/x"], &["/a/x"], &[53, 8443]);
        let files: Vec<_> = running.files_outside(&beyond).collect();
        let expected = [Path::new("/a"), Path::new("/ab")];
        assert_eq!(files, expected, "what is read is not written");
        assert_eq!(running.ports_outside(&beyond), ["port 8443"]);
    }

    #[test]
    fn rules_for_any_port_contain_all_and_are_contained_by_none() {
        let some = rules(&[], &[], &[53]);
        let mut any = some.clone();
        any.connects_anywhere("upstream pay has SRV records");
        assert!(any.ports_outside(&some).is_empty());
        assert_eq!(
            some.ports_outside(&any),
            ["any port (upstream pay has SRV records)"]
        );
    }
}
