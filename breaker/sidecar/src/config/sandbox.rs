//! `sandbox`, and what a configuration needs inside it.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::{Config, Topology};
use crate::sandbox::{Mode, Rules};
use crate::upstream::Endpoint;

impl Config {
    /// The sandbox that it asks for.
    pub const fn sandbox(&self) -> Mode {
        self.sandbox
    }

    /// What it needs once it runs: its own files, so that it can be loaded again, those that it
    /// writes, and the ports of upstreams, of the collector that it names, and of DNS.
    pub fn needs(&self) -> Rules {
        let mut rules = Rules::default();
        let certificates = self.certificates();
        let certificates = certificates.iter().flat_map(|(_, it)| it.files());
        for file in self.origin.files().chain(certificates) {
            read(&file, &mut rules);
        }
        let access = self.access.as_ref();
        let access = access.and_then(|log| log.file.as_deref());
        for file in self.state().into_iter().chain(access) {
            rules.writes(file);
        }
        for listen in [&self.listen, &self.admin] {
            listen
                .path()
                .into_iter()
                .for_each(|path| rules.removes(path));
        }
        rules.connects(DNS);
        for upstream in self.routes.iter().flat_map(|route| route.upstreams()) {
            for endpoint in &upstream.endpoints {
                match endpoint {
                    Endpoint::Service(name) => rules.connects_anywhere(format!(
                        "the SRV records of {name} say the ports of upstream {}",
                        upstream.name
                    )),
                    endpoint => endpoint
                        .port()
                        .into_iter()
                        .for_each(|port| rules.connects(port)),
                }
            }
        }
        let forward = self.receive().and_then(|receive| receive.forward());
        let forward = forward
            .into_iter()
            .flat_map(|it| it.grpc().into_iter().chain(it.http()));
        for url in forward {
            rules.connects(port_of(url));
        }
        if self.receive().is_some_and(|it| it.kafka().is_some()) {
            rules.connects_anywhere("the brokers of Kafka say their ports");
        }
        if let Some(fleet) = self.fleet() {
            for (_, port) in fleet.engine().hosts() {
                rules.connects(*port);
            }
            if *fleet.engine().topology() != Topology::Single {
                rules.connects_anywhere("Redis says the ports of the fleet's engine");
            }
            fleet
                .key_file()
                .into_iter()
                .for_each(|file| rules.reads(file));
        }
        if let Some(follow) = self.follow() {
            rules.connects(port_of(follow.brain()));
            follow
                .token_file()
                .into_iter()
                .for_each(|file| read(file, &mut rules));
        }
        rules
    }
}

/// The port of a URL, whose scheme may say it.
pub(crate) fn port_of(url: &http::Uri) -> u16 {
    let usual = match url.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    url.port_u16().unwrap_or(usual)
}

/// A file or a directory that is read again, and where it is when links on the way to it are
/// followed.
fn read(path: &Path, rules: &mut Rules) {
    let found = fs::canonicalize(path).ok();
    for path in [Some(path), found.as_deref()].into_iter().flatten() {
        if path.is_dir() {
            rules.reads_all(path);
        } else {
            rules.reads(path);
        }
    }
    for folder in path.ancestors().filter_map(releases) {
        rules.reads_all(&folder);
    }
}

/// The directory of a link that leads to another place within it, as `current` leads to
/// `releases/7`: after the next release it leads elsewhere there. Not a directory of the system,
/// as `/var`, which has such links too.
fn releases(link: &Path) -> Option<PathBuf> {
    let target = fs::read_link(link).ok()?;
    let folder = std::path::absolute(link).ok()?.parent()?.to_owned();
    let is_within = match target.is_absolute() {
        true => target.starts_with(&folder),
        false => !target.components().any(|part| part == Component::ParentDir),
    };
    (is_within && folder.components().count() > 2).then_some(folder)
}

/// A name server is asked by TCP where an answer is too long for UDP.
const DNS: u16 = 53;
