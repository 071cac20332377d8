//! The files that a configuration was made of, and how a change of them is seen.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Config, Follow, Receive, Route};
use crate::tls::{Rotate, Use, Workload, date};

impl Config {
    /// The file that it was loaded from, if it was.
    pub fn file(&self) -> Option<&Path> {
        self.origin.file.as_deref()
    }

    /// A hash of the texts that it was made of, the policies' files included; 32 hexadecimal
    /// digits. Empty where it was made of flags.
    pub fn hash(&self) -> &str {
        &self.origin.hash
    }

    /// What [`Self::hash`] would be of the texts as they are now; another one if something can't be
    /// read.
    pub fn hash_now(&self) -> String {
        self.origin.hash_now()
    }

    /// The directories in which something changes when the texts do: those of the files, and of
    /// links on the way to them.
    pub fn folders(&self) -> BTreeSet<PathBuf> {
        let certificates = self.certificates();
        let files = certificates.iter().flat_map(|(_, it)| it.files());
        self.origin.folders(files)
    }

    /// What follows files of certificates, and what it is for.
    pub(crate) fn certificates(&self) -> Vec<(Use, Box<dyn Rotate>)> {
        let upstreams = self.routes.iter().filter_map(Route::upstream);
        let mut known = BTreeSet::new();
        let upstreams = upstreams.filter(|upstream| known.insert(&*upstream.name));
        let secured = upstreams.filter_map(|upstream| {
            let tls = upstream.tls.as_ref()?;
            Some((Use::Upstream(upstream.name.clone()), tls.rotating()))
        });
        let listener = self.tls.iter().map(|tls| (Use::Listener, tls.rotating()));
        let admin = self
            .admin_tls
            .iter()
            .map(|tls| (Use::Admin, tls.rotating()));
        let receiver = self.receive.iter().filter_map(Receive::tls);
        let receiver = receiver.map(|tls| (Use::Receiver, tls.rotating()));
        let brain = self.follow.iter().filter_map(Follow::tls);
        let brain = brain.map(|tls| (Use::Brain, tls.rotating()));
        listener
            .chain(admin)
            .chain(receiver)
            .chain(secured)
            .chain(brain)
            .collect()
    }

    /// The SPIFFE Workload APIs that certificates or roots come from.
    pub fn workloads(&self) -> Vec<Workload> {
        let mut workloads = Vec::new();
        let certificates = self.certificates();
        for workload in certificates.iter().flat_map(|(_, it)| it.workloads()) {
            if !workloads.contains(&workload) {
                workloads.push(workload);
            }
        }
        workloads
    }

    /// What our certificates are for, and until when they are valid, in words.
    pub fn expiries(&self) -> Vec<(String, String)> {
        let certificates = self.certificates().into_iter();
        let dated = certificates.filter_map(|(of, it)| Some((of.to_string(), date(it.until()?))));
        dated.collect()
    }

    /// Tells apart what was read from what was read before: the texts, and the token's file. It is
    /// of a secret, so nobody is shown it.
    pub(crate) fn mark(&self) -> String {
        self.origin.mark(self.token.as_ref())
    }

    /// What [`Self::mark`] would be of the files as they are now.
    pub(crate) fn mark_now(&self) -> String {
        self.origin.mark_now()
    }
}
